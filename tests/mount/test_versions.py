"""§5 of the contract: an open file is one version, and a new open sees the newest."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import shutil
import struct
import threading
import time

import msgpack
import pyarrow
import pytest

from caches import FileCache
from entries import Mapping, entries_of, opening, outcome, slurp, stats
from helpers import v3
from waiting import sleep_until

pytestmark = pytest.mark.on_http

WORDS = 20_000


def numbered(n: int) -> bytes:
    """Version n of a value: its size and each of its words tell n."""
    return struct.pack(">Q", n) * (WORDS + n)


def number(size: int) -> int:
    return size // 8 - WORDS


def check(content: bytes) -> int:
    """The version that the bytes are, whole."""
    n = struct.unpack(">Q", content[:8])[0]
    assert content == numbered(n), f"torn: {len(content)} bytes that begin as version {n}"
    return n


@pytest.fixture
def opened(cache, mnt):
    """A descriptor over version 1 of `k`; nothing has been read."""
    cache.write("k", numbered(1))
    fd = os.open(mnt / "k", os.O_RDONLY)
    yield fd
    os.close(fd)


CHANGES = {
    "overwritten": lambda cache: cache.write("k", numbered(2)),
    "overwritten by the backend": lambda cache: cache.set("k", numbered(2)),
    "deleted": lambda cache: cache.delete("k"),
    "made again": lambda cache: (cache.delete("k"), cache.write("k", numbered(3))),
    "expired": lambda cache: cache.expire("k"),
    "removed with all others": lambda cache: cache.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
class TestAnOpenFile:
    def test_keeps_its_bytes(self, cache, opened, change):
        CHANGES[change](cache)
        assert os.pread(opened, 1 << 20, 0) == numbered(1)

    def test_keeps_its_size(self, cache, opened, change):
        CHANGES[change](cache)
        assert os.fstat(opened).st_size == len(numbered(1))

    def test_keeps_its_inode(self, cache, opened, change):
        before = os.fstat(opened).st_ino
        CHANGES[change](cache)
        assert os.fstat(opened).st_ino == before

    def test_keeps_its_bytes_when_the_new_version_is_read_as_well(self, cache, mnt, opened, change):
        half = os.pread(opened, 60_000, 0)
        CHANGES[change](cache)
        outcome(slurp, mnt / "k")
        assert half + os.pread(opened, 1 << 20, 60_000) == numbered(1)

    def test_keeps_its_mapping(self, cache, mnt, opened, change):
        with mmap.mmap(opened, 0, prot=mmap.PROT_READ) as mapped:
            mapped[:8]
            CHANGES[change](cache)
            outcome(slurp, mnt / "k")
            assert mapped[:] == numbered(1)


def document(n: int) -> bytes:
    """Version n as a document of more than 64 KiB."""
    return v3(msgpack.packb({"n": n, "words": f"{n} " * WORDS * 2}), {"format": "msgpack", "compressed": False, "original_type": "msgpack", "encoding": "utf-8"})


def document_number(text: bytes) -> int:
    shown = json.loads(text)
    assert shown["words"] == f"{shown['n']} " * WORDS * 2, f"torn: version {shown['n']}"
    return shown["n"]


def race(cache, look, lookers: int = 4, *more, value=numbered) -> list[str]:
    """Overwrite `k` hundreds of times while threads look which version there is. Returns what went wrong."""
    failures, published, done = [], [0], threading.Event()

    def watch():
        while not done.is_set():
            least = published[0]
            try:
                if (n := look()) < least:
                    failures.append(f"saw {n} after {least} was published")
            except (OSError, AssertionError) as e:
                failures.append(repr(e))

    def keep_doing(what):
        while not done.is_set():
            what()

    cache.write("k", value(0))
    threads = [threading.Thread(target=watch) for _ in range(lookers)]
    threads += [threading.Thread(target=keep_doing, args=(what,)) for what in more]
    for thread in threads:
        thread.start()
    try:
        for n in range(1, 601):
            cache.write("k", value(n))
            published[0] = n
            time.sleep(0.001)  # let the threads of this very process run
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return failures


class TestANewOpen:
    @pytest.mark.not_on_http("who asks joins a request that is under way")
    def test_is_never_torn_nor_stale_under_hundreds_of_overwrites(self, cache, mnt):
        assert race(cache, lambda: check(slurp(mnt / "k"))) == []

    @pytest.mark.not_on_http("a stat may be as old as listed_ttl")
    def test_stat_by_path_is_never_stale_under_hundreds_of_overwrites(self, cache, mnt):
        assert race(cache, lambda: number(os.stat(mnt / "k").st_size)) == []

    @pytest.mark.not_on_http("who asks joins a request that is under way")
    def test_of_a_decoded_view_is_never_torn_nor_stale(self, cache, mnt):
        assert race(cache, lambda: document_number(slurp(mnt / "json/k.json")), value=document) == []

    @pytest.mark.not_on_http("who asks joins a request that is under way")
    def test_is_never_torn_nor_stale_through_a_mapping(self, cache, mnt):
        def look() -> int:
            with open(mnt / "raw/k", "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                return check(mapped[:])

        assert race(cache, look, 2) == []

    @pytest.mark.not_on_http("who asks joins a request that is under way")
    def test_is_never_torn_nor_stale_while_others_list(self, cache, mnt):
        def walk() -> None:
            with os.scandir(mnt) as listing:
                for entry in listing:
                    outcome(entry.stat)

        assert race(cache, lambda: check(slurp(mnt / cache.listed("k"))), 2, walk) == []

    def test_right_after_a_listing_with_stat_is_new(self, cache, mnt):
        stale = []
        for n in range(100):
            cache.write("k", numbered(n))
            with os.scandir(mnt) as listing:
                [entry.stat() for entry in listing]
            cache.write("k", numbered(n + 1000))
            if (seen := check(slurp(mnt / cache.listed("k")))) != n + 1000:
                stale.append((n, seen))
        assert stale == []

    def test_right_after_a_listing_has_the_new_size(self, cache, mnt):
        stale = []
        for n in range(50):
            cache.write("k", numbered(n))
            with os.scandir(mnt / "raw") as listing:
                [entry.stat() for entry in listing]
            cache.write("k", numbered(n + 1000))
            with open(mnt / f"raw/{cache.listed('k')}", "rb") as f:
                if os.fstat(f.fileno()).st_size != len(numbered(n + 1000)):
                    stale.append(n)
        assert stale == []

    def test_right_after_a_listing_and_a_deletion_is_enoent(self, cache, mnt):
        results = set()
        for _ in range(50):
            cache.write("k", numbered(1))
            with os.scandir(mnt) as listing:
                [entry.stat() for entry in listing]
            cache.delete("k")
            results.add(opening(mnt / cache.listed("k")))
        assert results == {"ENOENT"}

    def test_of_a_value_of_the_same_size_is_new(self, cache, mnt):
        seen = []
        for n in range(100):
            cache.write("k", struct.pack(">Q", n))
            seen.append(struct.unpack(">Q", slurp(mnt / "k"))[0])
        assert seen == list(range(100))

    def test_of_a_value_made_again_in_the_same_place_is_new(self, cache, mnt):
        seen = []
        for n in range(100):
            cache.delete("k")
            cache.write("k", struct.pack(">Q", n))
            seen.append(struct.unpack(">Q", slurp(mnt / "k"))[0])
        assert seen == list(range(100))


class TestStatAfterAListing:
    def see(self, cache, m) -> None:
        """Deliver version 1 by a listing, then overwrite it."""
        cache.write("k", numbered(1))
        with os.scandir(m) as listing:
            [entry.stat() for entry in listing]
        cache.write("k", numbered(2))

    def test_is_new_after_a_second_at_most(self, cache, mnt):
        self.see(cache, mnt)
        time.sleep(1.05)
        assert number(os.stat(mnt / cache.listed("k")).st_size) == 2

    def test_is_new_at_once_with_listed_ttl_0(self, cache, mount):
        m = mount(cache, "listed_ttl=0")
        seen = set()
        for _ in range(30):
            self.see(cache, m)
            seen.add(number(os.stat(m / cache.listed("k")).st_size))
        assert seen == {2}

    @pytest.mark.not_on_http("listings")
    def test_is_new_where_a_listing_pauses_and_goes_on(self, cache, mnt):
        def overwrite_all(size: int) -> None:
            for n in range(600):
                cache.write(f"k{n}", bytes(size))

        overwrite_all(1)
        with os.scandir(mnt / "frame") as listing:
            first = [next(listing).stat().st_size for _ in range(50)]
            overwrite_all(2)
            time.sleep(0.2)
            rest = [entry.stat().st_size for entry in listing]
        # A reply of the kernel's holds some 250 names at most, the first one with the sizes of then.
        assert (set(first), set(rest[250:])) == ({1}, {2})

    @pytest.mark.not_on_http("listings")
    def test_may_be_served_from_the_listing_for_listed_ttl(self, cache, mount):
        m = mount(cache, "listed_ttl=60")
        self.see(cache, m)
        assert number(os.stat(m / cache.listed("k")).st_size) == 1

    def test_is_new_at_once_after_an_open_however_long_listed_ttl_is(self, cache, mount):
        m = mount(cache, "listed_ttl=60")
        self.see(cache, m)
        opening(m / cache.listed("k"))
        assert number(os.stat(m / cache.listed("k")).st_size) == 2

    def test_is_new_at_once_under_a_name_that_was_not_listed(self, cache, mnt):
        self.see(cache, mnt)
        assert number(os.stat(mnt / "raw/k").st_size) == 2


class TestInodes:
    @pytest.mark.not_on_http("a stat may be as old as listed_ttl")
    def test_a_new_version_is_a_new_inode(self, cache, mnt):
        seen = []
        for n in range(50):
            cache.write("k", b"version %d" % n)
            seen.append(os.stat(mnt / "k").st_ino)
        assert len(set(seen)) == 50

    @pytest.mark.file_only
    def test_a_new_file_with_the_same_bytes_is_a_new_inode(self, cache, mnt):
        seen = []
        for _ in range(50):
            cache.write("k", b"same")
            seen.append(os.stat(mnt / "k").st_ino)
        assert len(set(seen)) == 50

    @pytest.mark.file_only
    def test_a_file_made_again_in_the_same_place_is_a_new_inode(self, cache, mnt):
        seen = []
        for _ in range(50):
            cache.path("k").unlink(missing_ok=True)
            cache.path("k").write_bytes(cache.entry_header() + b"same")
            seen.append(os.stat(mnt / "k").st_ino)
        assert len(set(seen)) == 50

    def test_an_unchanged_entry_keeps_its_inode(self, cache, mnt):
        cache.write("k", numbered(1))
        seen = {os.stat(mnt / "k").st_ino}
        opening(mnt / "k")
        os.listdir(mnt)
        seen.add(os.stat(mnt / "k").st_ino)
        assert len(seen) == 1

    def test_the_views_of_an_entry_are_different_inodes(self, cache, mnt):
        cache.write("k", numbered(1))
        assert len({os.stat(mnt / name).st_ino for name in ("raw/k", "frame/k", "meta/k.json")}) == 3

    def test_the_inode_of_first_sight_stays_when_the_file_is_opened(self, cache, mnt):
        cache.write("k", numbered(1))
        seen = os.stat(mnt / "k").st_ino
        with open(mnt / "k", "rb") as f:
            assert os.fstat(f.fileno()).st_ino == seen

    def test_a_refreshed_ttl_keeps_the_inode(self, cache, mnt):
        cache.set("k", numbered(1), ttl=3600)
        slurp(mnt / "k")
        before = os.stat(mnt / "k").st_ino
        assert cache.refresh_ttl("k", 7200)
        assert os.stat(mnt / "k").st_ino == before

    def test_a_refreshed_ttl_keeps_the_mtime(self, cache, mnt):
        cache.set("k", numbered(1), ttl=3600)
        slurp(mnt / "k")
        before = os.stat(mnt / "k").st_mtime_ns
        time.sleep(0.02)  # more than a tick of the file times' clock
        assert cache.refresh_ttl("k", 7200)
        assert os.stat(mnt / "k").st_mtime_ns == before


class TestThePageCache:
    READS = "ckfs_reads_total"

    def test_keeps_an_unchanged_entry_across_opens(self, cache, mnt):
        cache.write("k", numbered(1))
        slurp(mnt / "k")
        assert all(Mapping.resident(mnt / "k"))

    def test_keeps_an_unchanged_entry_across_listings(self, cache, mnt):
        cache.write("k", numbered(1))
        slurp(mnt / "raw/k")
        with os.scandir(mnt / "raw") as listing:
            [entry.stat() for entry in listing]
        assert all(Mapping.resident(mnt / "raw/k"))

    def test_keeps_an_entry_whose_ttl_was_refreshed(self, cache, mnt):
        cache.set("k", numbered(1), ttl=3600)
        slurp(mnt / "k")
        time.sleep(0.02)  # more than a tick of the file times' clock
        assert cache.refresh_ttl("k", 7200)
        os.stat(mnt / "k")
        assert all(Mapping.resident(mnt / "k"))

    def test_has_nothing_of_a_new_version(self, cache, mnt):
        cache.write("k", numbered(1))
        slurp(mnt / "k")
        cache.write("k", numbered(2))
        assert not any(Mapping.resident(mnt / "k"))

    def test_a_second_read_sends_no_read_requests(self, cache, mnt):
        cache.write("k", numbered(1))
        slurp(mnt / "k")
        before = stats(mnt)[self.READS]
        baseline = stats(mnt)[self.READS] - before  # what looking at the counters costs
        slurp(mnt / "k")
        assert stats(mnt)[self.READS] - before == 2 * baseline

    def test_a_checksum_is_computed_once_a_version(self, cache, mnt):
        cache.put("k", pyarrow.table({"number": list(range(1000))}), "arrow")
        for _ in range(3):
            slurp(mnt / "arrow/k.arrow")
            assert cache.refresh_ttl("k", 7200)
        assert stats(mnt)["ckfs_checks_total"] == 1

    def test_a_refresh_of_the_ttl_works_while_the_file_is_open(self, cache, mnt):
        cache.set("k", numbered(1), ttl=3600)
        with open(mnt / "k", "rb", buffering=0) as f:
            f.read(1)
            assert cache.refresh_ttl("k", 7200)


class TestExpiry:
    def expires(self, cache, mnt, meanwhile=lambda: None):
        """The mount lists and reads an entry. Returns when it expires, and what is done before that; who is too slow for it gets more time."""
        for life in (2, 8, 60):
            moment = int(time.time()) + life
            cache.write("k", numbered(1), expires=moment)
            with contextlib.suppress(FileNotFoundError):
                with os.scandir(mnt) as listing:
                    [entry.stat() for entry in listing]
                assert slurp(mnt / cache.listed("k")) == numbered(1)
                return moment, meanwhile()
            assert time.time() > moment - 1.1, "it is gone before its time"
        raise AssertionError("too slow")

    @pytest.fixture
    def expiring(self, cache, mnt):
        """A mount that has listed and read an entry; it expires at the time given."""
        return self.expires(cache, mnt)[0]

    def test_an_expired_entry_is_gone_from_lookup_within_a_second(self, cache, mnt, expiring):
        sleep_until(expiring + cache.GONE_WITHIN)
        assert [outcome(os.stat, mnt / name) for name in (cache.listed("k"), "k", "frame/k")] == ["ENOENT"] * 3

    def test_an_expired_entry_does_not_open(self, cache, mnt, expiring):
        sleep_until(expiring + cache.GONE_WITHIN)
        assert [opening(mnt / name) for name in (cache.listed("k"), "k", "raw/k", "meta/k.json")] == ["ENOENT"] * 4

    @pytest.mark.not_on_http("listings")
    def test_an_expired_entry_is_gone_from_the_listing_within_a_second(self, cache, mnt, expiring):
        sleep_until(expiring + cache.GONE_WITHIN)
        assert [entries_of(mnt / directory) for directory in ("", "raw", "meta")] == [[], [], []]

    def test_an_open_file_outlives_its_expiry(self, cache, mnt):
        expiring, file = self.expires(cache, mnt, lambda: open(mnt / "frame/k", "rb", buffering=0))
        with file as f:
            sleep_until(expiring + cache.GONE_WITHIN)
            assert f.read() == numbered(1)

    @pytest.mark.file_only
    def test_the_file_of_an_expired_entry_is_left_in_place(self, cache, mnt, expiring):
        sleep_until(expiring + cache.GONE_WITHIN)
        opening(mnt / "k")
        os.listdir(mnt)
        assert cache.path("k").exists()

    def test_a_ttl_shortened_in_place_is_obeyed(self, cache, mnt):
        cache.set("k", numbered(1), ttl=3600)
        slurp(mnt / "k")
        assert cache.refresh_ttl("k", 1)
        time.sleep(1 + cache.GONE_WITHIN)
        assert opening(mnt / "k") == "ENOENT"

    def test_a_ttl_lengthened_in_place_is_obeyed(self, cache, mnt):
        def lengthen() -> None:
            if not cache.refresh_ttl("k", 3600):
                raise FileNotFoundError

        expiring, _ = self.expires(cache, mnt, lengthen)
        sleep_until(expiring + cache.GONE_WITHIN)
        assert slurp(mnt / "k") == numbered(1)


class TestAppearing:
    def test_a_key_that_appears_is_found_at_once(self, cache, mnt):
        before = []
        for n in range(50):
            before.append((outcome(os.stat, mnt / f"k{n}"), opening(mnt / f"raw/k{n}")))
            cache.write(f"k{n}", b"value")
            before.append((outcome(os.stat, mnt / f"k{n}"), opening(mnt / f"raw/k{n}")))
        assert before == [("ENOENT", "ENOENT"), ("OK", "OK")] * 50

    @pytest.mark.not_on_http("listings")
    def test_a_key_that_appears_is_listed_at_once(self, cache, mnt):
        sizes = []
        for n in range(20):
            cache.write(f"k{n}", b"value")
            sizes.append(len(entries_of(mnt)))
        assert sizes == list(range(1, 21))

    @pytest.mark.not_on_http("a stat may be as old as listed_ttl")
    def test_a_key_that_is_deleted_is_gone_at_once(self, cache, mnt):
        cache.write("k", b"value")
        slurp(mnt / "k")
        cache.delete("k")
        assert [outcome(os.stat, mnt / "k"), opening(mnt / "k"), entries_of(mnt)] == ["ENOENT", "ENOENT", []]

    @pytest.mark.file_only
    def test_a_cache_directory_that_is_removed_and_made_again_is_picked_up(self, cache, mnt):
        cache.write("k", b"old")
        slurp(mnt / "k")
        shutil.rmtree(cache.dir)
        opening(mnt / "k")
        outcome(os.listdir, mnt)
        again = FileCache(cache.dir)
        again.set("k", b"new")
        assert slurp(mnt / "k") == b"new"

    @pytest.mark.file_only
    def test_a_cache_directory_that_is_made_again_is_listed(self, cache, mnt):
        cache.write("k", b"old")
        os.listdir(mnt)
        shutil.rmtree(cache.dir)
        outcome(os.listdir, mnt)
        FileCache(cache.dir).set("other", b"new")
        assert entries_of(mnt) == [cache.listed("other")]

    @pytest.mark.file_only
    def test_a_cache_directory_that_is_swapped_for_another_is_picked_up(self, cache, mnt, tmp):
        cache.write("k", b"old")
        slurp(mnt / "k")
        other = FileCache(tmp / "other")
        other.set("k", b"new")
        cache.dir.rename(tmp / "moved")
        other.dir.rename(cache.dir)
        assert slurp(mnt / "k") == b"new"

    @pytest.mark.file_only
    def test_the_old_value_is_gone_with_its_directory(self, cache, mnt):
        cache.write("k", b"old")
        slurp(mnt / "k")
        shutil.rmtree(cache.dir)
        cache.dir.mkdir()
        time.sleep(1.05)
        assert opening(mnt / "k") == "ENOENT"
