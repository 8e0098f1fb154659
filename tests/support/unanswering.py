"""Ports that are there, and where nobody answers: a connection is not even made, or has no handshake."""

from __future__ import annotations

import contextlib
import socket


@contextlib.contextmanager
def nobody_accepts(port: int, host: str = "127.0.0.1"):
    """As a router does that drops packets: whoever connects waits."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        # Its queue is full from then on.
        for _ in range(4):
            waits = stack.enter_context(socket.socket())
            waits.setblocking(False)
            waits.connect_ex((host, port))
        yield


@contextlib.contextmanager
def nobody_speaks(port: int):
    """Connections are made, and that is all."""
    with socket.create_server(("127.0.0.1", port), backlog=64):
        yield
