"""Ports for servers that are started, ended and started again: nobody else's until the tests end."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import pathlib
import random
import socket
import tempfile

# Below those that the kernel gives to who connects (ip_local_port_range begins at 32768).
PORTS = range(12_000, 32_000)

RESERVED = pathlib.Path(tempfile.gettempdir()) / "ckfs-test-ports"

_held: dict[int, int] = {}


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """One file a port, which whoever has the port keeps locked until it ends."""
    try:
        RESERVED.mkdir(exist_ok=True)
        fd = os.open(RESERVED / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return False
    _held[port] = fd
    return True


@atexit.register
def _let_go() -> None:
    for port in _held:
        with contextlib.suppress(OSError):
            os.unlink(RESERVED / str(port))
    with contextlib.suppress(OSError):
        RESERVED.rmdir()


def free_port() -> int:
    """A port that nothing listens on, and that no other test gets while this process lives."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        if _is_free(port) and _reserve(port):
            return port
