"""§3, §5 on a Redis server: a listing shows every name that was there throughout exactly once."""

import collections
import concurrent.futures
import contextlib
import ctypes
import errno
import os
import resource
import threading
import time

import numpy as np
import pytest

from caches import RedisCache
from helpers import FORMATS, failure, legacy, memory, read
from redis_server import Proxy, db, in_front_of_the_server, running, scripted, server  # noqa: F401 - fixtures
from waiting import PATIENCE


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


@pytest.mark.parametrize(
    "page",
    {
        "no array": b"+OK\r\n",
        "one part": b"*1\r\n$1\r\n0\r\n",
        "no cursor": b"*2\r\n$-1\r\n*0\r\n",
        "a long cursor": b"*2\r\n$30\r\n" + b"1" * 30 + b"\r\n*0\r\n",
        "a cursor without its end": b"*2\r\n$1\r\n0: *0\r\n",
        "no names": b"*2\r\n$1\r\n0\r\n:7\r\n",
        "a name that is none": b"*2\r\n$1\r\n0\r\n*1\r\n*0\r\n",
        "a name without its end": b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na: ",
        "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    }.values(),
)
def test_a_page_that_makes_no_sense_ends_the_listing_in_an_error(scripted, mount, page):
    answers = {"SCAN": page, "STRLEN": b":1\r\n", "GETRANGE": b"$1\r\nx\r\n", "PTTL": b":-1\r\n"}
    s = scripted({**answers, "CLIENT": b"-ERR unknown command\r\n"})
    m = mount(s.url)
    with pytest.raises(OSError) as error:
        os.listdir(m / "raw")
    assert error.value.errno == errno.EIO
    # A name that is nil is no key.
    s.answers["SCAN"] = b"*2\r\n$1\r\n0\r\n*2\r\n$-1\r\n$1\r\na\r\n"
    assert os.listdir(m / "raw") == ["a"]


def test_sizes_of_a_listing_come_in_pages(server, db, mount):
    db.mset({f"k{i}": b"x" * i for i in range(1000)})
    m = mount(server.url, "listed_ttl=60")
    before = server.calls()
    assert {e.name: e.stat().st_size for e in os.scandir(m / "raw")} == {f"k{i}": i for i in range(1000)}
    assert server.calls()["scan"] <= 8
    os.scandir(m / "raw").close()
    assert server.calls()["ping"] - before.get("ping", 0) < 100, "a fence for each page, not for each key"


def test_sizes_of_arrays_in_a_listing_come_in_pages(server, mount, tmp_path):
    cache = RedisCache(server, 0, tmp_path)
    for i in range(100):
        cache.put(f"k{i}", np.arange(5000.0 + i))
    m = mount(server.url)
    before = server.calls()
    assert sorted(e.stat().st_size for e in os.scandir(m / "npy")) == [128 + 8 * (5000 + i) for i in range(100)]
    assert server.calls()["ping"] - before.get("ping", 0) < 20, "a fence for each page, not for each array"


class Directory:
    """An open directory that is read name by name, also on after an error."""

    def __init__(self, path):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.opendir.restype = self.libc.readdir.restype = ctypes.c_void_p
        self.libc.telldir.restype = ctypes.c_long
        self.handle = ctypes.c_void_p(self.libc.opendir(os.fsencode(path)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.libc.closedir(self.handle)

    def names(self, n: int, found: list | None = None) -> list[bytes]:
        """The next n, or all that are left; those before an error are in `found`."""
        found = [] if found is None else found
        ctypes.set_errno(0)
        while len(found) < n and (entry := self.libc.readdir(self.handle)):
            found.append(ctypes.string_at(entry + 19))
        if ctypes.get_errno():
            raise OSError(ctypes.get_errno(), "readdir")
        return found

    def tell(self) -> int:
        return self.libc.telldir(self.handle)

    def seek(self, at: int) -> None:
        self.libc.seekdir(self.handle, ctypes.c_long(at))


def test_seeking_back_shows_the_same_names(server, db, mount):
    db.mset({f"k{i}": b"" for i in range(3000)})
    with Directory(mount(server.url) / "raw") as directory:
        first = directory.names(1500)
        at = directory.tell()
        rest = directory.names(10_000)
        directory.seek(at)
        again = directory.names(10_000)
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


def test_a_listing_outlasts_the_rounds_of_the_one_who_listens(server, db, mount):
    """Each reader who is interrupted ends one: the connection that has the cursor stays for all that."""
    keys = {f"k{i}": b"v" for i in range(30_000)}
    db.mset(keys)
    m = mount(server.url)
    with Directory(m / "raw") as directory:
        found = directory.names(10)
        for i in range(20):
            for client in db.client_list():
                if client["name"].startswith("ckfs-"):
                    db.client_kill_filter(_id=client["id"])
            db.set("k1", b"%d" % i)
            assert read(m / "raw/k1") == b"%d" % i
            directory.names(len(found) + 1000, found)
        directory.names(100_000, found)
    assert sorted(found) == sorted([b".", b".."] + [key.encode() for key in keys])


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
    assert set(names(m)) >= {"open:1", "open:2", "closed:1"}
    shown = {e.name: e for e in os.scandir(m / "raw")}
    assert set(shown) == {"open:1", "open:2", "closed:1"}
    assert (shown["open:1"].stat().st_size, failure(m / "raw/closed:1")) == (1, "EACCES")


@pytest.mark.parametrize("rights", ["allchannels +@all", "resetchannels +@read +@connection"], ids=["announced", "each open asks"])
def test_a_format_directory_looks_past_the_beginning_of_a_value(server, db, mount, rights):
    """A legacy frame tells at its end what it holds."""
    db.set("legacy", legacy(b"\xc5\x10\x00" + b"x" * 4096, {"format": "msgpack", "compressed": False}))
    db.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", *rights.split())
    m = mount(f"unix://reader:pw@{server.socket}")
    assert {d: os.listdir(m / d) for d in ("arrow", "msgpack", "npy")} == {"arrow": [], "msgpack": ["legacy.msgpack"], "npy": []}


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


class Stalled(Proxy):
    """Holds back the second page of a listing until it may go on."""

    def __init__(self, server):
        self.stalls, self.goes_on = threading.Event(), threading.Event()
        super().__init__(server)

    def _requests(self, client, upstream):
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if b"\r\nSCAN\r\n" in data and b"\r\nSCAN\r\n$1\r\n0\r\n" not in data:
                    self.stalls.set()
                    self.goes_on.wait()
                upstream.sendall(data)

    def close(self):
        self.goes_on.set()
        super().close()


stalled = in_front_of_the_server(Stalled)


@pytest.mark.parametrize("seconds", [1.5, 7])
def test_what_changes_while_a_listing_waits_is_new_after_it(stalled, db, mount, seconds):
    """Though one reply has names of both pages, and the versions of the first one are still open."""
    keys = [f"k{i}" for i in range(20)]
    db.mset(dict.fromkeys(keys, b"old"))
    pipe = db.pipeline(transaction=False)
    for i in range(2000):
        pipe.rpush(f"not shown:{i}", 1)
    pipe.execute()
    m = mount(stalled.url, "timeout=20")
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(1) as pool:
        for key in keys:
            stack.enter_context(open(m / "raw" / key, "rb"))
        shown = pool.submit(names, m)
        assert stalled.stalls.wait(PATIENCE)
        db.mset(dict.fromkeys(keys, b"newer"))
        time.sleep(seconds)
        stalled.goes_on.set()
        assert sorted(shown.result()) == sorted(keys)
        sizes = {os.stat(m / "raw" / key).st_size for key in keys}
        assert ({read(m / "raw" / key) for key in keys}, sizes) == ({b"newer"}, {5})


def test_what_changes_while_a_reader_pauses_is_new_after_it(server, db, mount):
    """Also the name that did not fit the reply before."""
    keys = [f"k{i}" for i in range(900)]
    db.mset(dict.fromkeys(keys, b"old"))
    with Directory(m := mount(server.url) / "raw") as directory:
        for name in directory.names(20):
            os.stat(os.fsencode(m) + b"/" + name)
        time.sleep(1.5)
        db.mset(dict.fromkeys(keys, b"newer"))
        shown = [name for name in directory.names(10_000) if name not in (b".", b"..")]
        sizes = collections.Counter(os.stat(os.fsencode(m) + b"/" + name).st_size for name in shown)
    assert sizes == {5: len(shown)}


BIG = 64 << 20


@pytest.mark.memory  # a sanitizer has no limit
def test_a_name_for_which_there_is_no_memory_ends_the_listing_with_an_error(scripted, mount):
    """What cannot be shown is not left out, and is there for whoever asks again."""
    names = [b"%0220d" % i for i in range(200)]
    names[170] = b"x" * BIG
    page = b"*2\r\n$1\r\n0\r\n*%d\r\n" % len(names) + b"".join(b"$%d\r\n%s\r\n" % (len(name), name) for name in names)
    m = mount(scripted({"SCAN": page, "CLIENT": b"-ERR unknown command\r\n"}).url)
    whole = set(os.listdir(m / "meta"))
    assert len(whole) == 200
    limit = resource.prlimit(m.pid, resource.RLIMIT_AS)
    found = []
    with Directory(m / "meta") as directory:
        directory.names(1, found)
        resource.prlimit(m.pid, resource.RLIMIT_AS, (memory(m, "VmSize") + BIG // 2, limit[1]))
        for _ in range(2):
            with pytest.raises(OSError) as e:
                directory.names(1000, found)
            assert e.value.errno == errno.ENOMEM and len(found) <= 172
        resource.prlimit(m.pid, resource.RLIMIT_AS, limit)
        directory.names(1000, found)
    assert collections.Counter(map(os.fsdecode, found)) == collections.Counter([".", "..", *whole])
