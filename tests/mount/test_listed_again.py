"""§5 of the contract: a second listing opens only what has changed since the first, and shows the same as one that opens all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time

import pytest

from caches import FileCache
from entries import entries_of, frame, memory_directory, opening
from helpers import memory, read
from waiting import sleep_until, until

ENTRY = frame({"s": "default", "m": {"format": "msgpack"}, "v": "2.0"}, b"\xc0")
STAYS = [f"stays-{n}" for n in range(2000)]


@pytest.fixture(params=["memory", "disk"])
def listed(request, tmp, mount):
    """A cache, and a mount that has listed it twice."""
    with memory_directory() as memory:
        cache = FileCache((memory if request.param == "memory" else tmp) / "cache")
        write_all(cache, "k", *STAYS)
        # What has just changed is not relied on.
        time.sleep(0.1)
        m = mount(cache)
        assert len(names(m)) == len(names(m)) == len(STAYS) + 1
        yield cache, m


def write_all(cache, *keys: str) -> None:
    for key in keys:
        cache.write(key, ENTRY, int(time.time()) + 3600)


def names(m) -> set[str]:
    return set(entries_of(m / "frame"))


def others(cache) -> set[str]:
    return {cache.hash(key) for key in STAYS}


class TestAnEntryThatChangesAfterAListing:
    def test_expires(self, listed, mount):
        cache, m = listed
        assert cache.backend._refresh_ttl("k", 1)
        sleep_until(cache.expiry("k") + cache.GONE_WITHIN)
        assert names(m) == others(cache)

    def test_expires_when_nothing_else_touches_it(self, tmp, mount):
        cache = FileCache(tmp / "cache")
        m = mount(cache)
        for life in (2, 8, 60):  # more for who is too slow
            cache.set("k", ENTRY, ttl=life)
            time.sleep(0.1)
            shown = [len(names(m)) for _ in range(3)]
            if time.time() < cache.expiry("k"):
                break
        assert shown == [1, 1, 1]
        sleep_until(cache.expiry("k") + cache.GONE_WITHIN)
        assert names(m) == set()

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


@pytest.fixture
def twins(tmp):
    """Two cache directories on filesystems of their own, and keys whose two files have one inode number and one time of change."""
    with contextlib.ExitStack() as stack:
        for name in ("one", "other"):
            (tmp / name).mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp / name], check=True)
            stack.callback(subprocess.run, ["umount", "-l", tmp / name])
        one, other = FileCache(tmp / "one"), FileCache(tmp / "other")
        stored = [(one, FileCache.entry_header() + ENTRY), (other, FileCache.entry_header(1) + ENTRY)]
        files = [[(cache.path(f"k{n}"), content) for cache, content in stored] for n in range(200)]
        for pair in files:
            for path, content in pair:
                written(path, content)
        same = [first for (first, _), (second, _) in files if told(first) == told(second)]
        assert same, "clocks are coarse: some were written within one tick"
        time.sleep(0.1)
        yield one, other, same[0].name


def written(path, content: bytes) -> None:
    """Without asking for its times: what is asked for is told more exactly from then on."""
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(fd, content)
    os.close(fd)


def told(path) -> tuple[int, int]:
    st = os.stat(path)
    return st.st_ino, st.st_ctime_ns


def test_a_file_that_another_is_mounted_over_is_not_taken_for_it(twins, mount):
    one, other, name = twins
    m = mount(one)
    assert name in names(m) and name in names(m)
    subprocess.run(["mount", "--bind", f"{other.source}/{name}", f"{one.source}/{name}"], check=True)
    try:
        assert name not in names(m), "this one has expired"
    finally:
        subprocess.run(["umount", f"{one.source}/{name}"])
    assert name in names(m)


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

    def test_reads_all_files_after_sighup(self, listed):
        """A signal may come in the middle of a listing: then half of the files are read by that one, and half by the next."""
        cache, m = listed

        def reads_all() -> bool:
            m.process.send_signal(signal.SIGHUP)
            before = reads(m)
            names(m)
            return reads(m) - before >= len(STAYS)

        assert until(reads_all)

    def test_reads_what_has_changed(self, listed):
        cache, m = listed
        write_all(cache, *STAYS)
        before = reads(m)
        names(m)
        assert reads(m) - before >= len(STAYS)


@pytest.mark.memory
@pytest.mark.parametrize("gone", ["expired", "no entry"])
def test_listings_keep_nothing_of_files_that_they_do_not_show(tmp, mount, gone):
    """Also where a file carries its key."""
    cache = FileCache(tmp / "cache")
    for n in range(500):
        key = f"{n}" + "k" * 200
        path = cache.write_file(key, cache.entry_header(1) + ENTRY if gone == "expired" else bytes(100))
        os.setxattr(path, "user.ckfs.key", key.encode())
    m = mount(cache)

    def grows() -> int:
        before = memory(m, "RssAnon")
        for _ in range(100):
            assert os.listdir(m / "arrow") == []
        return memory(m, "RssAnon") - before

    grows()
    assert grows() < 4 << 20  # less than half of their keys
