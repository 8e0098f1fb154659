"""§5 on a Redis server: what fails for one key is no reason to end a listing, and what fails for all is."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import functools
import os
import threading
import time

import pytest

from helpers import FORMATS, failure
from redis_server import Proxy, db, in_front_of_the_server, scripted, server  # noqa: F401 - fixtures

UNKNOWN = b"-ERR unknown command\r\n"

# A server that announces nothing, so that a value is read whole when it is looked up.
READABLE = {
    "HELLO": UNKNOWN, "CLIENT": UNKNOWN, "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n",
    "STRLEN": b":3\r\n", "GETRANGE": b"$3\r\nabc\r\n", "GET": b"$3\r\nabc\r\n",
}  # fmt: skip


def page(*keys: bytes) -> bytes:
    return b"*2\r\n$1\r\n0\r\n*%d\r\n" % len(keys) + b"".join(b"$%d\r\n%s\r\n" % (len(key), key) for key in keys)


SILENT = b""


def answered_for(key: bytes, reply: bytes | None, *commands: bytes):
    """A server that answers so for one key, and as it should for others."""

    def answer(usual: bytes, words: list[bytes]) -> bytes | None:
        if words[1] == key and reply == SILENT:
            time.sleep(2)
        return reply if words[1] == key else usual

    other = {command: functools.partial(answer, READABLE[command]) for command in commands}
    return {**READABLE, **other, "SCAN": page(b"a", b"b", b"c", b"d")}


@pytest.mark.parametrize("words, told", {b"ERR upstream failure": "EIO", b"NOPERM no": "EACCES", b"OOM no": "EAGAIN"}.items())
def test_a_key_of_which_the_server_tells_nothing_but_an_error_is_listed_all_the_same(scripted, mount, words, told):  # noqa: F811
    """As a proxy does, one of whose servers is lost."""
    s = scripted(answered_for(b"b", b"-%s\r\n" % words, "GET", "STRLEN", "GETRANGE", "PTTL", "PEXPIRETIME"))
    m = mount(s.url, "timeout=2")
    listed = {view: {entry.name for entry in os.scandir(m / view)} - set(FORMATS) for view in ("", "raw", "frame", "json")}
    # One that cannot be read may be of any format.
    assert listed == {"": {*"abcd"}, "raw": {*"abcd"}, "frame": {*"abcd"}, "json": {"b.json"}}
    assert [failure(m / key) for key in "abcd"] == [None, told, None, None]


@pytest.mark.parametrize("words", [b"BUSY a script", b"LOADING", b"MASTERDOWN", b"CLUSTERDOWN"])
def test_a_server_that_cannot_answer_just_now_ends_the_listing_with_eagain(scripted, mount, words):  # noqa: F811
    """It says nothing of that key alone: names that may not belong there would be shown."""
    m = mount(scripted(answered_for(b"b", b"-%s\r\n" % words, "GET", "STRLEN", "GETRANGE", "PTTL", "PEXPIRETIME")).url, "timeout=2")
    with pytest.raises(OSError) as error:
        os.listdir(m / "json")
    assert errno.errorcode[error.value.errno] == "EAGAIN"


@pytest.mark.parametrize("reply, told", {None: "EIO", b"$-7\r\n": "EIO", SILENT: "ETIMEDOUT"}.items(), ids=["lost", "garbled", "silent"])
def test_a_connection_that_fails_at_a_key_ends_the_listing_with_an_error(scripted, mount, reply, told):  # noqa: F811
    m = mount(scripted(answered_for(b"b", reply, "GETRANGE")).url, "timeout=1")
    with pytest.raises(OSError) as error:
        os.listdir(m / "json")
    assert errno.errorcode[error.value.errno] == told


class Old(Proxy):
    """As before Redis 6: it knows no TYPE of SCAN, and says so once so many have asked for it."""

    def __init__(self, server):  # noqa: F811
        self.together = threading.Barrier(3, timeout=3)
        super().__init__(server)

    def _requests(self, client, upstream):
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if b"SCAN" in data and b"TYPE" in data:
                    with contextlib.suppress(threading.BrokenBarrierError):
                        self.together.wait()
                    client.sendall(b"-ERR syntax error\r\n")
                else:
                    upstream.sendall(data)


old = in_front_of_the_server(Old)


def test_several_who_learn_at_once_that_a_server_knows_no_type_for_scan_list_all(db, old, mount):  # noqa: F811
    db.mset({f"k{i}": b"v" for i in range(50)})
    db.rpush("list", 1)
    m = mount(old.url, "timeout=10")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for listed in pool.map(os.listdir, [m / view for view in ("raw", "frame", "raw")]):
            assert sorted(listed) == sorted(f"k{i}" for i in range(50))
