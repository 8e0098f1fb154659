"""Keys that become something else than a string between two commands: they are not there, and nothing of what was there before is shown."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from announcing import WITHOUT_RESP3
from helpers import failure, read
from redis_server import Proxy, db, in_front_of_the_server, proxy, running, server  # noqa: F401 - fixtures
from writing import frame, outcome, write


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


def becomes_a_list(db) -> None:  # noqa: F811
    db.delete("k")
    db.rpush("k", "x", "y")


# A small value needs no second look.
@pytest.mark.parametrize("size, looks", [(100, 1), (100_000, 1), (100_000, 2)])
def test_what_is_no_string_any_more_when_its_bytes_are_read_is_not_there(server, db, between, mount, size, looks):  # noqa: F811
    m = mount(between.url, "timeout=3")
    db.set("k", b"a" * size)

    between.between = [lambda: db.set("k", b"b" * size)] * (looks - 1) + [lambda: becomes_a_list(db)]
    assert failure(m / "frame/k") == "ENOENT"
    assert (between.between, m.process.poll()) == ([], None)
    db.delete("k")
    db.set("k", b"c" * size)
    assert read(m / "frame/k") == b"c" * size


def test_what_is_no_string_any_more_is_not_listed(server, db, between, mount):  # noqa: F811
    m = mount(between.url, "timeout=3")
    db.set("k", b"a" * 1000)
    between.between = [lambda: becomes_a_list(db)]
    with os.scandir(m / "arrow") as lines:
        assert [line.name for line in lines] == []
    assert between.between == []


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("without", [(), WITHOUT_RESP3], ids=["a known version", "an unknown version"])
def test_what_becomes_a_list_while_it_is_written_over_is_not_written_over(mount, size, without):
    with running(*without) as s:
        db = s.client()  # noqa: F811
        db.set("k", frame("old", size), ex=1000)
        m = mount(s.url, "write")
        assert read(m / "frame/k") == frame("old", size)
        file = os.open(m / "frame/k", os.O_WRONLY | os.O_TRUNC)
        os.write(file, frame("new"))
        becomes_a_list(db)
        assert outcome(os.close, file) == "EPERM"
        assert db.lrange("k", 0, -1) == [b"x", b"y"]
        db.delete("k")
        assert outcome(write, m / "frame/k", frame("new")) is None
        assert read(m / "frame/k") == frame("new")


def test_what_becomes_a_list_at_the_last_moment_is_not_written_over(server, db, proxy, mount):  # noqa: F811
    """When the SET is on its way already."""
    db.set("k", frame("old"), ex=1000)
    m = mount(proxy.url, "write")

    def requests(data: bytes) -> bytes:
        if b"\r\nSET\r\n" in data:
            becomes_a_list(db)
        return data

    proxy.requests = requests
    assert outcome(write, m / "frame/k", frame("new")) == "EPERM"
    proxy.requests = None
    assert db.lrange("k", 0, -1) == [b"x", b"y"]


def test_to_write_over_a_small_value_that_was_looked_up_takes_one_command(server, db, mount):  # noqa: F811
    m = mount(server.url, "write")
    for n in range(3):
        db.set("k", frame(f"old {n}"), ex=1000)
        read(m / "frame/k")
        before = server.calls()
        write(m / "frame/k", frame("new"))
        made = {name for name, count in server.calls().items() if count > before.get(name, 0)} - {"info", "client|setinfo", "ping"}
        assert (made, db.get("k"), db.ttl("k") > 900) == ({"set"}, frame("new"), True)
