"""Keys that become something else than a string between two commands: they are not there, and nothing of what was there before is shown."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from helpers import failure, read
from redis_server import Proxy, db, in_front_of_the_server, server  # noqa: F401 - fixtures


class Between(Proxy):
    """Has something done after the first command of a packet that holds `word`, before the next one is sent: `between`, called until it is empty."""

    def __init__(self, server):  # noqa: F811
        self.word, self.between = b"*4\r\n$8\r\nGETRANGE", []
        super().__init__(server)

    def _requests(self, client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                at = data.find(self.word)
                if at > 0 and self.between:
                    upstream.sendall(data[:at])
                    self.wait_for_answers()
                    self.between.pop(0)()
                    data = data[at:]
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_RDWR)

    def wait_for_answers(self) -> None:
        """A server that has answered somebody else has run what was sent to it before: it looks at its connections in turn."""
        for _ in range(3):
            self.server.client().ping()


between = in_front_of_the_server(Between)


# A small value needs no second look.
@pytest.mark.parametrize("size, looks", [(100, 1), (100_000, 1), (100_000, 2)])
def test_what_is_no_string_any_more_when_its_bytes_are_read_is_not_there(server, db, between, mount, size, looks):  # noqa: F811
    m = mount(between.url, "timeout=3")
    db.set("k", b"a" * size)

    def becomes_a_list() -> None:
        db.delete("k")
        db.rpush("k", "x")

    between.between = [lambda: db.set("k", b"b" * size)] * (looks - 1) + [becomes_a_list]
    assert failure(m / "frame/k") == "ENOENT"
    assert (between.between, m.process.poll()) == ([], None)
    db.delete("k")
    db.set("k", b"c" * size)
    assert read(m / "frame/k") == b"c" * size


def test_what_is_no_string_any_more_is_not_listed(server, db, between, mount):  # noqa: F811
    m = mount(between.url, "timeout=3")
    db.set("k", b"a" * 1000)
    between.between = [lambda: db.delete("k") and db.rpush("k", "x")]
    with os.scandir(m / "arrow") as lines:
        assert [line.name for line in lines] == []
    assert between.between == []
