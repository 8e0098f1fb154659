"""§5 on a Redis server: how changes are announced, what that saves, and that nothing is missed when connections break."""

import concurrent.futures
import os
import signal
import subprocess
import time

import pytest

from announcing import WITHOUT_RESP3, mode, number_of, reader_of, server, source, stamped  # noqa: F401 - fixtures
from caches import noise
from helpers import failure, read
from redis_server import db, proxy, running  # noqa: F401 - fixtures
from waiting import until
from while_lost import interrupt_a_reader


# How much is asked for


def test_an_entry_that_was_looked_up_costs_no_command_but_a_fence(server, db, mount):
    db.set("k", b"v" * 1000)
    m = mount(server.url)
    read(m / "k")
    before = server.calls()
    for _ in range(100):
        assert read(m / "k") == b"v" * 1000
    after = server.calls()
    asked = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert set(asked) <= {"ping", "info", "hello", "client|setinfo"} and 100 <= asked["ping"] <= 202


def test_a_small_value_that_is_read_first_costs_no_fence(server, db, mount):
    for n in range(50):
        db.set(f"k{n}", stamped(n, 4096))
    m = mount(server.url)
    before = server.calls().get("ping", 0)
    assert [number_of(read(m / f"k{n}"), 4096) for n in range(50)] == list(range(50))
    assert server.calls()["ping"] - before < 10


def test_a_large_value_is_fetched_once_for_all_who_open_it(server, db, mount):
    value = noise(1 << 20) * 16
    db.set("k", value)
    m = mount(server.url)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert all(v == value for v in pool.map(read, [m / "k"] * 6))
    assert server.calls()["get"] == 1


# When the connections break


def test_a_listener_that_is_killed_hides_no_change(server, db, mount):
    m = mount(server.url)
    for i in range(20):
        db.set("k", stamped(i, 4096))
        assert number_of(read(m / "k"), 4096) == i
        server.kill_listeners()
        db.set("k", stamped(i + 100, 4096))
        assert number_of(read(m / "k"), 4096) == i + 100


@pytest.mark.parametrize("size", [400, 4096, 200_000])
def test_a_reading_connection_that_is_killed_hides_no_change(source, server, db, mount, size):
    """The server announces no more what was read by it."""
    m = mount(source)
    for i in range(10):
        db.set("k", stamped(i, size))
        assert [number_of(read(m / "k"), size) for _ in range(2)] == [i, i]
        server.kill_readers()
        db.set("k", stamped(i + 100, size))
        assert number_of(read(m / "k"), size) == i + 100


def test_a_reading_connection_that_was_idle_for_too_long_hides_no_change(mount):
    with running("--timeout", "1") as server:
        server.client().set("k", stamped(1, 4096))
        m = mount(server.url)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert number_of(read(m / "k"), 4096) == 1
            time.sleep(0.1)
        server.client().set("k", stamped(2, 4096))
        assert number_of(read(m / "k"), 4096) == 2


def test_a_reader_that_is_interrupted_hides_no_change(db, proxy, mount):
    """What it has asked for costs the connection, by which others have read."""
    db.set("large", b"l" * 1_000_000)
    db.set("k", stamped(1, 4096))
    m = mount(proxy.url, "timeout=60")
    time.sleep(1.1)  # they have not just changed
    os.stat(m / "large")
    assert [number_of(read(m / "k"), 4096) for _ in range(2)] == [1, 1]
    proxy.replies = lambda data: [data, time.sleep(5)][:1] if len(data) > 5000 else [data]
    interrupt_a_reader(m / "large")
    proxy.replies = None
    time.sleep(0.5)
    db.set("k", stamped(2, 4096))
    assert number_of(read(m / "k"), 4096) == 2


def test_an_answer_that_nobody_has_asked_for_hides_no_change(db, proxy, mount):
    """It ends the round, and is not taken for the answer to each next question."""
    first = [True]

    def replies(data):
        yield data
        if data.startswith(b"%") and first:
            first.clear()
            time.sleep(0.5)
            yield b"+PONG\r\n"

    proxy.replies = replies
    m = mount(proxy.url)
    db.set("k", stamped(0, 4096))
    read(m / "k")
    time.sleep(1)
    for i in range(30):
        db.set("k", stamped(i, 4096))
        assert [number_of(read(m / "k"), 4096) for _ in range(2)] == [i, i]


def test_what_was_set_while_nobody_listened_is_seen_afterwards(server, db, mount):
    m = mount(server.url)
    for i in range(10):
        db.set("k", stamped(i, 4096))
        assert number_of(read(m / "k"), 4096) == i
        server.kill_listeners()
        db.set("k", stamped(i + 100, 4096))
        assert until(server.listeners)
        assert number_of(read(m / "k"), 4096) == i + 100


def test_changes_are_announced_again_after_the_listener_was_killed(server, db, mount):
    m = mount(server.url)
    db.set("k", b"1" * 1000)
    assert read(m / "k") == b"1" * 1000
    server.kill_listeners()

    def costs_nothing() -> bool:
        read(m / "k")
        before = server.calls().get("strlen", 0) + server.calls().get("get", 0)
        assert read(m / "k") == b"1" * 1000
        return server.calls().get("strlen", 0) + server.calls().get("get", 0) == before

    assert until(costs_nothing)
    db.set("k", b"2" * 1000)
    assert read(m / "k") == b"2" * 1000


def test_cut_connections_hide_no_change(server, db, proxy, mount):
    m = mount(proxy.url)
    for i in range(20):
        db.set("k", stamped(i, 4096))
        assert number_of(read(m / "k"), 4096) == i
        proxy.cut()
        db.set("k", stamped(i + 100, 4096))
        assert number_of(read(m / "k"), 4096) == i + 100


@pytest.mark.parametrize(
    "options, rights, protocols",
    [
        ((), "resetchannels +@read +@connection", ["3"]),
        (WITHOUT_RESP3, "allchannels +@read +@connection +subscribe", ["2"]),
        (WITHOUT_RESP3, "resetchannels +@read +@connection +subscribe", []),
        (WITHOUT_RESP3, "allchannels +@read +@connection", []),
    ],
)
def test_changes_are_announced_by_resp3_or_else_by_a_channel(mount, options, rights, protocols):
    with running(*options) as server:
        server.client().set("k", b"v" * 1000)
        m = mount(reader_of(server, rights))
        assert read(m / "k") == b"v" * 1000
        assert list(server.listeners().values()) == protocols
        before = server.calls()
        assert read(m / "k") == b"v" * 1000
        after = server.calls()
        asked = sum(after.get(command, 0) - before.get(command, 0) for command in ("get", "strlen", "getrange"))
        assert (asked == 0) == bool(protocols)


def test_all_that_is_flushed_is_announced(source, server, db, mount):
    m = mount(source)
    for flush in (db.flushdb, db.flushall):
        db.mset({f"k{i}": b"v" * 1000 for i in range(20)})
        assert all(read(m / f"k{i}") == b"v" * 1000 for i in range(20))
        flush()
        assert all(failure(m / f"k{i}") == "ENOENT" for i in range(20))


def time_of(directory) -> str:
    """Of its last change, as the mount says and not the kernel."""
    return subprocess.run(["stat", "--cached=never", "--format=%y %z", directory], capture_output=True, text=True, check=True).stdout


def test_directories_keep_their_time_until_something_changes(source, server, db, mount):
    """tar says of a directory that it has changed while it was read, and ends as if that were an error."""
    db.mset({f"k{i}": noise(i * 37) for i in range(200)})
    m = mount(source)
    directories = [m.path, m / "raw", m / "frame"]
    before = [time_of(d) for d in directories]
    for d in directories[1:]:
        for entry in os.scandir(d):
            entry.stat()
            read(entry.path)
    assert [time_of(d) for d in directories] == before


@pytest.mark.parametrize("size", [5, 100_000])
def test_databases_that_are_swapped_are_seen_when_asked_to(server, mount, size):
    """A server announces nothing of it."""
    here, there = server.client(), server.client(db=1)
    here.mset({"k": b"1" * size, "only": b"1"})
    there.set("k", b"2" * size)
    m = mount(server.url)
    assert read(m / "k") == b"1" * size and read(m / "only") == b"1"
    inode = os.stat(m / "k").st_ino
    os.kill(m.pid, signal.SIGHUP)
    assert read(m / "k") == b"1" * size and os.stat(m / "k").st_ino == inode, "what is the same stays the same"
    here.swapdb(0, 1)
    os.kill(m.pid, signal.SIGHUP)
    assert until(lambda: read(m / "k") == b"2" * size)
    assert failure(m / "only") == "ENOENT"


def test_who_listens_goes_on_when_nobody_asks_any_more(server, db, mount):
    m = mount(server.url)
    db.mset({f"k{i}": b"v" * 1000 for i in range(100)})
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: read(m / f"k{i % 100}"), range(4000)))
        time.sleep(0.5)
        before = set(server.listeners())
        server.kill_listeners()
        assert until(lambda: set(server.listeners()) - before), "nobody has noticed"
