"""§5 of the contract: a second listing opens only what has changed since the first, and shows the same as one that opens all."""

from __future__ import annotations

import os
import pathlib
import time

import pytest

from caches import FileCache
from entries import entries_of, frame, memory_directory, opening, until
from helpers import read

ENTRY = frame({"s": "default", "m": {"format": "msgpack"}, "v": "2.0"}, b"\xc0")
STAYS = [f"stays-{n}" for n in range(2000)]


@pytest.fixture(params=["memory", "disk"])
def listed(request, tmp, mount):
    """A cache, and a mount that has listed it twice."""
    with memory_directory() as memory:
        cache = FileCache((memory if request.param == "memory" else tmp) / "cache")
        for key in ("k", *STAYS):
            cache.set(key, ENTRY, ttl=3600)
        # What has just changed is not relied on.
        time.sleep(0.1)
        m = mount(cache)
        assert len(names(m)) == len(names(m)) == len(STAYS) + 1
        yield cache, m


def names(m) -> set[str]:
    return set(entries_of(m / "frame"))


def others(cache) -> set[str]:
    return {cache.hash(key) for key in STAYS}


class TestAnEntryThatChangesAfterAListing:
    def test_expires(self, listed, mount):
        cache, m = listed
        assert cache.backend._refresh_ttl("k", 1)
        assert until(lambda: names(m) == others(cache), 3)

    def test_expires_when_nothing_else_touches_it(self, tmp, mount):
        cache = FileCache(tmp / "cache")
        cache.set("k", ENTRY, ttl=2)
        m = mount(cache)
        time.sleep(0.1)
        assert [len(names(m)) for _ in range(3)] == [1, 1, 1]
        assert until(lambda: names(m) == set(), 3)

    def test_has_its_ttl_rewritten_back_and_forth(self, listed):
        cache, m = listed
        path, header = cache.path("k"), [FileCache.entry_header(1), FileCache.entry_header()]
        for n in range(100):
            with open(path, "r+b", buffering=0) as entry:
                entry.write(header[n % 2])
            assert (cache.hash("k") in names(m)) == bool(n % 2)

    def test_stops_being_an_entry(self, listed):
        cache, m = listed
        with open(cache.path("k"), "r+b", buffering=0) as entry:
            entry.write(b"no entry")
        assert names(m) == others(cache)

    def test_is_cut(self, listed):
        cache, m = listed
        os.truncate(cache.path("k"), 13)
        assert names(m) == others(cache)

    def test_is_replaced_by_one_that_has_expired(self, listed):
        cache, m = listed
        cache.write_file("k", FileCache.entry_header(1) + ENTRY)
        assert names(m) == others(cache)

    def test_is_deleted(self, listed):
        cache, m = listed
        cache.path("k").unlink()
        assert names(m) == others(cache)

    def test_gives_its_file_to_another_key(self, listed):
        cache, m = listed
        cache.path("k").rename(cache.path("other"))
        assert names(m) == others(cache) | {cache.hash("other")}

    def test_becomes_a_link(self, listed):
        cache, m = listed
        cache.path("k").unlink()
        cache.path("k").symlink_to(cache.path(STAYS[0]))
        assert names(m) == others(cache)

    def test_has_the_inode_that_stat_tells(self, listed):
        cache, m = listed
        cache.set("k", ENTRY + b"more", ttl=3600)
        for _ in range(2):
            with os.scandir(m / "frame") as listing:
                assert all(entry.inode() == os.stat(entry).st_ino for entry in listing)

    def test_is_read_as_it_is_now(self, listed):
        cache, m = listed
        cache.set("k", ENTRY + b"more", ttl=3600)
        names(m)
        assert read(m / "frame/k") == ENTRY + b"more"
        assert opening(m / f"frame/{STAYS[0]}") == "OK"


def reads(m) -> int:
    """How many reads the daemon has done."""
    return int(pathlib.Path(f"/proc/{m.pid}/io").read_text().split("syscr: ")[1].split()[0])


class TestASecondListing:
    def test_reads_hardly_any_file(self, listed):
        """But the first ones, of which the kernel asks the attributes."""
        cache, m = listed
        before = reads(m)
        names(m)
        assert reads(m) - before < len(STAYS) // 2

    def test_reads_what_has_changed(self, listed):
        cache, m = listed
        for key in STAYS:
            cache.set(key, ENTRY, ttl=3600)
        before = reads(m)
        names(m)
        assert reads(m) - before >= len(STAYS)
