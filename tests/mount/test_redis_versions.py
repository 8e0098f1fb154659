"""§5 on a Redis server: one version at a time, and the newest one at each open, with announcements and without."""

import concurrent.futures
import mmap
import os
import random
import subprocess
import sys
import threading
import time

import pytest

from announcing import mode, number_of, server, source, stamped  # noqa: F401 - fixtures
from entries import Mapping, stats
from helpers import failure, read
from redis_server import db, proxy  # noqa: F401 - fixtures
from waiting import PATIENCE


@pytest.mark.parametrize("size", [16, 4096, 200_000, 3 << 20])
def test_what_was_set_is_seen_by_the_next_open_and_stat(source, db, mount, size):
    m = mount(source)
    inodes = set()
    for i in range(40):
        db.set("k", stamped(i, size))
        inodes.add(os.stat(m / "k").st_ino)
        assert number_of(read(m / "k"), size) == i
    assert len(inodes) == 40, "a new version is a new inode"


def test_a_size_that_changes_is_seen_by_stat(source, db, mount):
    m = mount(source)
    for n in random.Random(1).choices([0, 1, 512, 513, 65536, 65537, 300_000], k=40):
        db.set("k", b"x" * n)
        assert os.stat(m / "k").st_size == n


@pytest.mark.parametrize("size", [400, 5000, 300_000])
def test_readers_of_a_key_that_writers_overwrite_see_whole_new_values(source, server, mount, size):
    m = mount(source)
    done = [-1]  # the last number whose SET has returned
    stop = threading.Event()
    server.client().set("k", stamped(0, size))
    done[0] = 0

    def write():
        client, i = server.client(), 0
        while not stop.is_set():
            i += 1
            client.set("k", stamped(i, size))
            done[0] = i

    def look(_):
        seen = 0
        end = time.monotonic() + 3
        while seen < 6 or (time.monotonic() < end and seen < 300):
            before = done[0]
            number = number_of(read(m / "k"), size)
            assert number >= before, f"stale: {number}, {before} was set"
            seen += 1
        return seen

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert min(pool.map(look, range(4))) > 5
    finally:
        stop.set()
        writer.join()


OPENER = """
import os, sys, threading

failed = []

def go(n):
    while not os.path.exists(sys.argv[2]):
        for name in os.listdir(sys.argv[1])[n % 3 :: 3]:
            try:
                os.close(os.open(f"{sys.argv[1]}/{name}", os.O_RDONLY))
            except OSError as e:
                failed.append(repr(e))

threads = [threading.Thread(target=go, args=(n,)) for n in range(40)]
[t.start() for t in threads]
[t.join() for t in threads]
sys.exit("\\n".join(sorted(failed)[:3]) or 0)
"""


def test_no_open_by_a_name_that_was_listed_is_stale(server, mount, tmp, size=100_000):
    """Of more keys than are kept open after a lookup, by more threads than wait, while all are overwritten and memory is short: for five seconds, and until
    there was enough to come back from."""
    client, keys = server.client(), [f"k{i}" for i in range(400)]
    m = mount(server.url, "cache_size=1M")
    client.mset(dict.fromkeys(keys, b"x" * size))
    openers = [subprocess.Popen([sys.executable, "-c", OPENER, m / "raw", tmp / "enough"], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    n, begin = 0, time.monotonic()
    try:
        while time.monotonic() < begin + 5 or stats(m)["ckfs_stale_opens_total"] <= 100 and time.monotonic() < begin + PATIENCE:
            n += 1
            client.mset(dict.fromkeys(keys, stamped(n, size)))
    finally:
        (tmp / "enough").touch()
    assert [opener.communicate()[1] for opener in openers] == [""] * 3
    assert stats(m)["ckfs_stale_opens_total"] > 100, "there was something to come back from"


def test_an_open_file_stays_what_it_was(source, db, mount):
    m = mount(source)
    for size in (100, 10_000, 1 << 20):
        db.set("k", stamped(1, size))
        with open(m / "k", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            db.set("k", stamped(2, size * 2))
            db.delete("k")
            assert number_of(file.read(), size) == 1 and number_of(mapped[:], size) == 1
            assert os.fstat(file.fileno()).st_size == len(mapped)


def test_the_same_bytes_keep_their_inode(source, db, mount):
    m = mount(source)
    for size in (100, 4096, 65536):
        db.set("k", b"s" * size)
        inode = os.stat(m / "k").st_ino
        db.set("k", b"s" * size)
        assert os.stat(m / "k").st_ino == inode


@pytest.mark.parametrize("size", [400, 4096, 200_000, 3 << 20])
def test_a_changed_ttl_keeps_inode_mtime_and_pages(source, db, mount, size):
    m = mount(source, "listed_ttl=0")
    db.set("k", stamped(1, size), ex=3600)
    assert number_of(read(m / "k"), size) == 1
    first = os.stat(m / "k")
    for seconds in (100, 200, 300):
        db.expire("k", seconds)
        assert seconds - 2 <= int(os.getxattr(m / "k", "user.ckfs.ttl")) <= seconds
        now = os.stat(m / "k")
        with os.scandir(m) as listing:
            assert {entry.name: entry.stat().st_ino for entry in listing}["k"] == first.st_ino
        assert (now.st_ino, now.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert all(Mapping.resident(m / "k"))


@pytest.mark.parametrize("size", [400, 4096, 200_000])
def test_a_changed_ttl_shows_no_other_inode_in_a_listing(source, db, mount, size):
    m = mount(source, "listed_ttl=60")
    db.set("k", stamped(1, size), ex=3600)
    assert number_of(read(m / "k"), size) == 1
    first = os.stat(m / "k")
    for seconds in (100, 200):
        db.expire("k", seconds)
        with os.scandir(m) as listing:
            [listed] = [entry.stat() for entry in listing if entry.name == "k"]
        assert (listed.st_ino, listed.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_a_value_that_begins_like_the_one_before_is_a_new_one(source, db, mount):
    """Also where only its end differs, and its TTL is set with it, as an application does."""
    m = mount(source)
    value = bytearray(300_000)
    for n in range(20):
        value[-1] = n
        db.set("k", bytes(value), ex=1000 + n)
        if n % 2:
            os.stat(m / "k")
        if n % 3:
            with os.scandir(m) as listing:
                assert [entry.stat().st_size for entry in listing if entry.name == "k"] == [len(value)]
        assert read(m / "k") == value


@pytest.mark.parametrize("read_before", [True, False])
@pytest.mark.parametrize("size", [512, 5000, 300_000])
def test_a_listing_shows_no_version_that_was_overwritten(source, db, mount, size, read_before):
    """Also where it begins like the newest one, and is as large."""
    m = mount(source, "listed_ttl=60")
    db.set("other", b"v")

    def listed():
        # Once another one was looked up all is known that was announced: what an earlier listing gave may serve no longer.
        assert os.stat(m / "frame/other").st_size == os.stat(m / "frame/other").st_size == 1
        with os.scandir(m / "raw") as listing:
            return [(entry.stat().st_ino, entry.stat().st_mtime_ns) for entry in listing if entry.name == "k"]

    shown, value = [], bytearray(size)
    for n in range(5):
        value[-1] = n
        db.set("k", bytes(value))
        if read_before:
            assert read(m / "k") == value
        shown += listed()
        assert [os.stat(m / "raw/k").st_ino] == [inode for inode, _ in listed()] == [shown[-1][0]], "the same bytes are the same inode"
    assert len(set(shown)) == 5


@pytest.mark.parametrize("size", [100, 5000, 300_000])
def test_a_listing_and_a_lookup_name_the_same_inode(source, db, mount, size):
    db.set("k", b"s" * size)
    m = mount(source, "listed_ttl=60")
    listed = {e.name: e.stat().st_ino for e in os.scandir(m)}["k"]
    os.listdir(m)
    with open(m / "k", "rb") as file:
        assert os.fstat(file.fileno()).st_ino == listed
        assert file.read() == b"s" * size
