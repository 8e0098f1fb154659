"""§3, §5 on a Redis server: a listing shows every name that was there throughout exactly once."""

import collections
import os
import threading

import pytest

from helpers import FORMATS
from redis_server import Proxy, db, running, scripted, server  # noqa: F401 - fixtures


def names(m, directory="raw") -> list[str]:
    return [name for name in os.listdir(m / directory) if name not in FORMATS]


def test_20_000_keys_during_a_rehash_show_once_each(server, db, mount):
    kept = [f"kept:{i}" for i in range(20_000)]
    pipe = db.pipeline(transaction=False)
    for key in kept:
        pipe.set(key, b"v")
    pipe.execute()
    m = mount(server.url)
    stop = threading.Event()

    def grow_and_shrink():
        client = server.client()
        while not stop.is_set():
            client.mset({f"more:{i}": b"x" for i in range(50_000)})
            pipe = client.pipeline(transaction=False)
            for i in range(50_000):
                pipe.unlink(f"more:{i}")
            pipe.execute()

    thread = threading.Thread(target=grow_and_shrink)
    thread.start()
    try:
        for directory in ("raw", "."):
            counts = collections.Counter(names(m, directory))
            assert {counts[key] for key in kept} == {1} and set(counts.values()) == {1}
    finally:
        stop.set()
        thread.join()


def test_what_a_scan_gives_twice_shows_once(scripted, mount):
    def page(next_cursor: bytes, *keys: bytes) -> bytes:
        return b"*2\r\n$%d\r\n%s\r\n*%d\r\n" % (len(next_cursor), next_cursor, len(keys)) + b"".join(b"$1\r\n%s\r\n" % k for k in keys)

    pages = {b"0": page(b"7", b"a", b"b", b"a"), b"7": page(b"5"), b"5": page(b"0", b"b", b"c")}
    answers = {"SCAN": lambda words: pages[words[1]], "STRLEN": b":1\r\n", "GETRANGE": b"$1\r\nx\r\n", "PTTL": b":-1\r\n"}
    m = mount(scripted({**answers, "CLIENT": b"-ERR unknown command\r\n"}).url)
    assert sorted(names(m)) == ["a", "b", "c"]


def test_sizes_of_a_listing_come_in_pages(server, db, mount):
    db.mset({f"k{i}": b"x" * i for i in range(1000)})
    m = mount(server.url, "listed_ttl=60")
    before = server.calls()
    assert {e.name: e.stat().st_size for e in os.scandir(m / "raw")} == {f"k{i}": i for i in range(1000)}
    assert server.calls()["scan"] <= 8
    os.scandir(m / "raw").close()
    assert server.calls()["ping"] - before.get("ping", 0) < 100, "a fence for each page, not for each key"


def test_seeking_back_shows_the_same_names(server, db, mount):
    db.mset({f"k{i}": b"" for i in range(3000)})
    m = mount(server.url)
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    directory = ctypes.c_void_p(libc.opendir(os.fsencode(m / "raw")))

    def read(n):
        found = []
        while len(found) < n and (entry := libc.readdir(directory)):
            found.append(ctypes.string_at(entry + 19))
        return found

    try:
        first = read(1500)
        at = libc.telldir(directory)
        rest = read(10_000)
        libc.seekdir(directory, ctypes.c_long(at))
        again = read(10_000)
    finally:
        libc.closedir(directory)
    assert len(first) == 1500 and sorted(again) == sorted(rest)
    assert sorted(first + rest) == sorted([b".", b".."] + [b"k%d" % i for i in range(3000)])


def test_a_server_that_is_restarted_shortens_no_listing(mount):
    """A cursor of SCAN means nothing to another process: the names of both are shown, or it is an error."""
    with running() as server:
        keys = {f"k{i}": b"v" for i in range(20_000)}
        server.client().mset(keys)
        m = mount(server.url)
        iterator = os.scandir(m / "raw")
        found = [next(iterator).name for _ in range(10)]
        server.kill()
        server.start()
        server.client().mset(keys)
        try:
            found += [e.name for e in iterator]
        except OSError:
            return
        assert sorted(found) == sorted(keys)


def test_a_page_that_fails_ends_the_listing_with_an_error(server, db, mount):
    db.mset({f"k{i}": b"v" for i in range(20_000)})
    proxy = Proxy(server)
    try:
        m = mount(proxy.url, "timeout=1")
        iterator = os.scandir(m / "raw")
        next(iterator)
        proxy.replies = lambda data: [b"?" * len(data)]
        proxy.cut()
        with pytest.raises(OSError):
            list(iterator)
    finally:
        proxy.close()


def test_keys_that_may_not_be_read_do_not_end_a_listing(server, db, mount):
    db.mset({"open:1": b"v", "closed:1": b"v", "open:2": b"v"})
    db.execute_command("ACL", "SETUSER", "half", "on", ">pw", "~open:*", "allchannels", "+@all")
    m = mount(f"unix://half:pw@{server.socket}")
    assert {"open:1", "open:2"} <= set(names(m))
    assert {e.name for e in os.scandir(m / "raw") if e.stat().st_size == 1} >= {"open:1", "open:2"}


def test_a_server_that_knows_no_type_for_scan_is_asked_key_by_key(server, db, mount):
    """As before Redis 6."""
    db.mset({f"k{i}": b"v" for i in range(500)})
    db.rpush("list", 1)
    refused = b"-ERR syntax error\r\n"

    class Old(Proxy):
        def _requests(self, client, upstream):
            while data := client.recv(1 << 16):
                if b"SCAN" in data and b"TYPE" in data:
                    client.sendall(refused)
                else:
                    upstream.sendall(data)

    old = Old(server)
    try:
        m = mount(old.url)
        assert sorted(names(m)) == sorted(f"k{i}" for i in range(500))
    finally:
        old.close()
