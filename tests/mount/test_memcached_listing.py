"""§5, §6 on Memcached: listings, of one server and of several, that refuse, are busy, or are lost on the way."""

from __future__ import annotations

import errno
import os
import subprocess
import threading

import pytest

from caches import MemcachedCache
from helpers import failure, listing, memory, peak, read, reset_peak
from memcached_server import Memcached, between, running, scripted, sdk_backend, server, servers, source_of, value_of  # noqa: F401 - fixtures
from waiting import until
from while_lost import ends_on_a_signal

VIEWS = set("arrow frame json meta msgpack npy raw".split())
KEYS = 1_000_000


def names(directory) -> list[str]:
    return sorted(name for name in os.listdir(directory) if name not in VIEWS)


def fill(server: Memcached, tmp, keys, value: bytes = b"value") -> set[str]:
    return MemcachedCache(server, tmp).fill(keys, value)


# Several servers


def test_each_key_is_listed_once_and_from_where_the_sdk_looks(servers, mount):
    three = servers(3)
    backend = sdk_backend(three)
    keys = [f"ns:users:func:app.load:args:{n}" for n in range(2000)]
    for key in keys:
        backend.set(key, b"the right one")
    # What was stored elsewhere while a server was away stays there, and is old.
    for n, server in enumerate(three):
        for key in keys[n :: 20]:
            if server.client().get(key) is None:
                server.client().set(key, b"old", noreply=False)
    three[1].client().set("only-here-by-mistake", b"old", noreply=False)
    m = mount(source_of(three))
    expected = sorted(key for key in [*keys, "only-here-by-mistake"] if backend.get(key) is not None)
    assert names(m / "raw") == names(m) == expected
    assert {read(m / key) for key in keys[::20]} == {b"the right one"}


@pytest.mark.parametrize("lost", ["killed", "stopped"])
def test_a_lost_server_ends_a_listing_in_an_error_behind_the_names_of_the_others(servers, mount, tmp, lost):
    three = servers(3)
    backend = sdk_backend(three)
    for n in range(3000):
        backend.set(f"k{n}", b"v")
    m = mount(source_of(three), "timeout=3")
    assert len(names(m / "raw")) == 3000
    kept = {f"k{n}" for n in range(3000) if three[1].client().get(f"k{n}") is None}
    three[1].kill() if lost == "killed" else three[1].stop()
    run = subprocess.run(["ls", "-f", m / "raw"], capture_output=True, text=True)
    assert set(run.stdout.split()) - {".", ".."} == kept and len(kept) > 1000
    assert run.returncode == 2 and os.strerror(errno.ECONNREFUSED if lost == "killed" else errno.ETIMEDOUT) in run.stderr
    with pytest.raises(OSError):
        os.listdir(m / "raw")
    three[1].start() if lost == "killed" else three[1].go_on()
    assert until(lambda: failure(m / "k0") in (None, "ENOENT") and len(names(m / "raw")) >= len(kept))


# A server that refuses


@pytest.mark.parametrize("options", [("-X",), ("-o", "no_lru_crawler")], ids=["-X", "no_lru_crawler"])
def test_a_server_that_lists_no_keys_is_an_error_and_told_once(mount, options):
    with running(*options) as s:
        s.client().set("k", b"v", noreply=False)
        m = mount(s.source)
        for _ in range(2):
            with pytest.raises(OSError) as error:
                os.listdir(m / "raw")
            assert error.value.errno == errno.EOPNOTSUPP
        assert len(m.log_lines("lists no keys")) == 1
        assert read(m / "k") == b"v"


@pytest.mark.parametrize("options", [("-X",), ("-o", "no_lru_crawler")], ids=["-X", "no_lru_crawler"])
def test_keys_that_are_given_or_opened_are_listed_all_the_same(mount, tmp, options):
    with running(*options) as s:
        for key in ("a", "b", "c"):
            s.client().set(key, b"v", noreply=False)
        (tmp / "keys").write_text("a\nnever-there\n")
        m = mount(s.source, f"keys={tmp / 'keys'}")
        assert read(m / "b") == b"v"
        assert "c" not in names(m) and {"a", "b"} <= set(names(m))


def test_a_server_that_refuses_later_is_told_then(server, mount):
    server.client().set("k", b"v", noreply=False)
    m = mount(server.source)
    assert names(m) == ["k"]
    server.say(b"lru_crawler disable")
    assert until(lambda: server.say(b"lru_crawler metadump hash", b"\n").startswith(b"CLIENT_ERROR"))  # its thread has ended
    with pytest.raises(OSError) as error:
        os.listdir(m / "raw")
    assert (error.value.errno, len(m.log_lines("lists no keys"))) == (errno.EOPNOTSUPP, 1)


# A server that is busy


def is_busy(server: Memcached) -> bool:
    """Asked for a dump instead, it would stop one of its threads until the other dump is read."""
    return b"STAT lru_crawler_running 1\r\n" in server.say(b"stats", b"END\r\n")


class Dumping:
    """Another client that has a dump and does not read it: the server's one thread for dumps waits for it."""

    def __init__(self, server: Memcached):
        assert until(lambda: self.begins(server))

    def begins(self, server: Memcached) -> bool:
        """Whether it has the dump: the server may be at another one, or move its keys to a larger table, and then it has none."""
        self.connection = server.connection(little=True)
        self.connection.sendall(b"lru_crawler metadump hash\r\n")
        if until(lambda: not is_busy(server), 0.5):
            self.connection.close()
            return False
        return True


def test_a_busy_server_is_waited_for(server, mount, tmp):
    expected = fill(server, tmp, [f"ns:users:func:app.load:args:{n:0150d}" for n in range(60_000)])
    m = mount(server.source, "timeout=60")
    other = Dumping(server)
    assert is_busy(server)
    threading.Timer(1, other.connection.close).start()
    assert listing(m / "raw") == expected


def test_a_listing_stops_no_thread_of_a_server_whose_dump_another_client_does_not_read(server, mount, tmp):
    """The server would block each thread that takes the command, and with it a part of its clients, in the end all."""
    fill(server, tmp, [f"ns:users:func:app.load:args:{n:0150d}" for n in range(60_000)])
    m = mount(server.source, "timeout=2")
    other = Dumping(server)
    for _ in range(4):
        with pytest.raises(OSError) as error:
            os.listdir(m / "raw")
        assert error.value.errno == errno.EAGAIN
    for _ in range(8):
        client = server.client(timeout=5)
        assert client.version().startswith(b"1.")
        client.close()
    other.connection.close()
    assert until(lambda: not is_busy(server))
    assert len(listing(m / "raw")) == 60_000


def test_a_server_that_stays_busy_is_eagain(scripted, mount):
    s = scripted({"lru_crawler": b"BUSY currently processing crawler request\r\n"})
    m = mount(s.source, "timeout=1")
    with pytest.raises(OSError) as error:
        os.listdir(m / "raw")
    assert error.value.errno == errno.EAGAIN


def test_listings_of_one_mount_wait_for_each_other(server, mount, tmp):
    expected = fill(server, tmp, [f"ns:users:func:app.load:args:{n}" for n in range(100_000)])
    m = mount(server.source, "timeout=30")
    found = []
    threads = [threading.Thread(target=lambda: found.append(listing(m / "raw") == expected)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 5


def test_a_reader_that_pauses_holds_up_nobody(server, mount, tmp):
    """Its listing is read on in its place, so that the server can make others'."""
    expected = fill(server, tmp, [f"ns:users:func:app.load:args:{n:0150d}" for n in range(60_000)])
    m = mount(server.source)
    with os.scandir(m / "raw") as paused:
        first = next(paused).name
        assert until(lambda: not is_busy(server))
        assert {first} | {entry.name for entry in paused} == expected


# What a server says


def dump(*lines: bytes) -> dict:
    return {"lru_crawler": b"".join(lines)}


NEWER = b"OK\r\n" + b"".join(b"key=k%d exp=-1 la=1 cas=%d fetch=no cls=1 size=70 flags=0 ext_page=3 ext_offset=4\n" % (n, n) for n in range(500)) + b"END\r\n"


def test_a_newer_server_is_understood(scripted, mount):
    m = mount(scripted({"lru_crawler": NEWER, "mg": value_of(b"x")}).source)
    assert names(m / "raw") == sorted(f"k{n}" for n in range(500))


ITEM = b"key=a exp=-1 la=1 cas=1 fetch=no cls=1 size=70\n"
GARBLED = {
    "nothing": (b"\r\n", "EIO"),
    "no item": (ITEM + b"hello\n", "EIO"),
    "no key": (ITEM + b"key= exp=-1\n", "EIO"),
    "a bad escape": (ITEM + b"key=%4 exp=-1\n", "EIO"),
    "a key that is too long": (ITEM + b"key=" + b"x" * 251 + b" exp=-1\n", "EIO"),
    "a line without an end": (ITEM + b"key=" + b"x" * 10_000, "EIO"),
    "no memory": (b"SERVER_ERROR out of memory\r\n", "EAGAIN"),
    "an unknown command": (b"ERROR\r\n", "EIO"),
    "no login": (b"CLIENT_ERROR unauthenticated\r\n", "EACCES"),
}


@pytest.mark.parametrize("case", GARBLED)
def test_a_garbled_dump_is_an_error(scripted, mount, case):
    said, number = GARBLED[case]
    m = mount(scripted({"lru_crawler": said}).source)
    with pytest.raises(OSError) as error:
        os.listdir(m / "raw")
    assert errno.errorcode[error.value.errno] == number


@pytest.mark.parametrize("cut", ["in a line", "between lines"])
def test_a_dump_that_is_cut_is_no_shorter_listing(scripted, mount, cut):
    s = scripted({"lru_crawler": lambda line: None})
    whole = ITEM * 3 if cut == "between lines" else ITEM * 3 + b"key=b ex"
    s.answers["lru_crawler"] = lambda line: (s.connections[-1].sendall(whole), None)[1]
    m = mount(s.source)
    run = subprocess.run(["ls", "-f", m / "raw"], capture_output=True, text=True)
    assert run.returncode == 2 and os.strerror(errno.EIO) in run.stderr


def test_a_dump_in_small_pieces_is_whole(between, server, mount, tmp):
    expected = fill(server, tmp, [f"k{n}" for n in range(300)])
    between.replies = lambda data: [data[i : i + 7] for i in range(0, len(data), 7)]
    assert listing(mount(between.source) / "raw") == expected


# Values


def test_ls_l_and_format_directories_tell_what_is_there(server, mount, tmp):
    cache = MemcachedCache(server, tmp)
    for n in range(300):
        cache.put(f"doc{n}", {"n": n})
    cache.fill([f"plain{n}" for n in range(300)], b"v" * 500)
    m = mount(server.source)
    assert len(names(m)) == 600
    assert sorted(names(m / "json")) == sorted(f"doc{n}.json" for n in range(300))
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(m / "raw")}
    assert {sizes[f"plain{n}"] for n in range(300)} == {500}
    assert sizes["doc7"] == len(cache.payload("doc7"))


def test_keys_that_vanish_during_a_listing_are_left_out(server, mount, tmp):
    fill(server, tmp, [f"k{n}" for n in range(5000)])
    m = mount(server.source)
    stop = threading.Event()

    def remove() -> None:
        client = server.client()
        for n in range(0, 5000, 2):
            client.delete(f"k{n}", noreply=False)
        stop.set()

    thread = threading.Thread(target=remove)
    thread.start()
    while not stop.is_set():
        assert {f"k{n}" for n in range(1, 5000, 2)} <= {entry.name for entry in os.scandir(m / "frame") if entry.is_file()}
    thread.join()
    assert set(names(m)) == {f"k{n}" for n in range(1, 5000, 2)}


# Who waits


def test_a_reader_that_gets_a_signal_is_told_at_once_and_others_go_on(server, mount, tmp):
    fill(server, tmp, [f"k{n}" for n in range(1000)])
    m = mount(server.source, "timeout=60")
    server.stop()
    try:
        ends_on_a_signal("ls", "-f", m / "raw")
    finally:
        server.go_on()
    assert len(names(m / "raw")) == 1000


def test_a_listing_that_is_left_waits_for_nobody(scripted, mount):
    """While its keys are shown, others are made ahead, of a server that says nothing more."""
    items = b"".join(b"key=k%d exp=-1 la=1 cas=1 fetch=no cls=1 size=70\n" % n for n in range(3000))
    m = mount(scripted({"lru_crawler": items, "mg": value_of(b"x")}).source, "timeout=60")
    for _ in range(20):
        with os.scandir(m / "raw") as entries:
            assert len({next(entries).name for _ in range(1000)}) == 1000
    assert read(m / "k1") == b"x"


def test_names_and_values_of_one_listing_are_each_key_once(servers, mount):
    """The kernel wants values at first, then names, then values again: what was made ahead counts for both."""
    three = servers(3)
    for server in three:
        lines = [b"ms k%d 1 q\r\nv\r\n" % n for n in range(20_000)]
        server.say(b"".join(lines) + b"mn")
    m = mount(source_of(three))
    expected = {f"k{n}" for n in range(20_000)}
    found = []
    with os.scandir(m / "raw") as entries:
        for n, entry in enumerate(entries):
            found.append(entry.name)
            if n % 1500 == 0:
                entry.stat()
    assert len(found) == len(expected) and set(found) == expected


@pytest.mark.once
@pytest.mark.memory
def test_a_million_keys_are_listed_in_bounded_memory(mount, tmp):
    with running("-m", "2048") as s:
        fill(s, tmp, [f"ns:many:func:app.load:args:{n}" for n in range(KEYS)], b"v")
        m = mount(s.source)
        failure(m / "none")
        before = reset_peak(m)
        lines = subprocess.run(["ls", "-f", m / "raw"], check=True, capture_output=True).stdout.count(b"\n")
        most = peak(m) - before
        assert (lines, most <= 48 << 20) == (KEYS + 2, True), most / (1 << 20)
        assert memory(m, "RssAnon", "RssShmem") <= 64 << 20
