"""§8 of the contract: what a file cache adds. The SDK's own steps and limits, and nothing that the SDK would stumble over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import threading
import time

import pytest

from caches import FileCache
from mounts import Mount
from helpers import read
from waiting import until
from writing import frame, outcome, write

pytestmark = pytest.mark.file_only

SMALL = {"CACHEKIT_FILE_MAX_SIZE_MB": "4", "CACHEKIT_FILE_MAX_VALUE_MB": "2", "CACHEKIT_FILE_MAX_ENTRY_COUNT": "100"}


def backend(path, **limits):
    """The package's backend, with the limits of an application."""
    from cachekit.backends.file import FileBackend
    from cachekit.backends.file.config import FileBackendConfig

    return FileBackend(FileBackendConfig(cache_dir=path, **limits))


def count(cache) -> int:
    return len([name for name in os.listdir(cache.dir) if ".tmp." not in name])


class TestTheFile:
    def test_its_header_mode_and_name_are_the_sdks(self, cache, mount):
        m = mount(cache, "write", "ttl=500")
        write(m / "frame/k", frame())
        path = cache.path("k")
        header, st = path.read_bytes()[:14], path.stat()
        assert (header[:6], st.st_mode & 0o7777, st.st_nlink) == (b"CK\x01\x00\x00\x00", 0o600, 1)
        assert 400 < struct.unpack(">Q", header[6:])[0] - time.time() <= 500
        assert cache.backend.get("k") == frame()

    def test_a_failed_store_leaves_no_file(self, cache, mount):
        m = mount(cache, "write")
        assert outcome(write, m / "frame/k", b"garbage") == "EINVAL"
        assert until(lambda: os.listdir(cache.dir) == [])

    def test_a_cache_directory_that_is_removed_and_made_again_is_written_to(self, mount, tmp):
        path = tmp / "app" / "cache"
        m = mount(FileCache(path), "write")
        write(m / "frame/k", frame("old"))
        for text in ("new", "newer"):
            shutil.rmtree(path)
            cache = FileCache(path)
            write(m / "frame/k", frame(text))
            assert (cache.backend.get("k"), read(m / "frame/k")) == (frame(text), frame(text))
        os.setxattr(m / "k", "user.ckfs.ttl", b"60")
        os.unlink(m / "k")
        assert cache.backend.get("k") is None

    def test_while_it_is_written_the_directory_has_no_file_of_it(self, cache, mount):
        m = mount(cache, "write")
        with open(m / "frame/k", "wb", buffering=0) as file:
            file.write(frame("x", 3 << 20))
            assert os.listdir(cache.dir) == []

    def test_an_expiry_changes_eight_bytes_in_place(self, cache, mount):
        cache.set("k", frame(), 100)
        m = mount(cache, "write")
        before = cache.path("k").stat().st_ino
        os.setxattr(m / "k", "user.ckfs.expires", b"2035-01-01T00:00:00Z")
        assert (cache.path("k").stat().st_ino, cache.expiry("k"), cache.value("k")) == (before, 2051222400, frame())

    def test_an_expiry_waits_for_the_lock_and_then_gives_up(self, cache, mount):
        cache.set("k", frame(), 100)
        m = mount(cache, "write")
        with open(cache.path("k"), "rb") as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            assert outcome(os.setxattr, m / "k", "user.ckfs.ttl", b"60") == "EBUSY"
        os.setxattr(m / "k", "user.ckfs.ttl", b"60")

    def test_no_lock_is_left(self, cache, mount):
        cache.set("k", frame(), 100)
        m = mount(cache, "write")
        os.setxattr(m / "k", "user.ckfs.ttl", b"60")
        assert cache.refresh_ttl("k", 90)

    def test_a_held_lock_stops_no_store(self, cache, mount):
        cache.set("k", frame("old"), 100)
        m = mount(cache, "write")
        with open(cache.path("k"), "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            write(m / "frame/k", frame("new"))
        assert cache.value("k") == frame("new")

    def test_what_root_stores_belongs_to_the_owner_of_the_directory(self, cache, mount):
        cache.set("old", frame())
        cache.give(12345)
        m = mount(cache, "write")
        write(m / "frame/new", frame())
        write(m / "frame/old", frame("other"))
        assert {cache.path(key).stat().st_uid for key in ("new", "old")} == {12345}

    def test_a_cache_directory_that_may_not_be_written_is_told(self, cache, mount):
        cache.set("k", frame())
        subprocess.run(["mount", "--bind", cache.dir, cache.dir], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", cache.dir], check=True)
            m = mount(cache, "write")
            assert (outcome(write, m / "frame/k", frame("new")), outcome(os.unlink, m / "k")) == ("EROFS", "EROFS")
            m.unmount()
        finally:
            subprocess.run(["umount", "-l", cache.dir], check=True)

    def test_a_filesystem_that_is_full_is_enospc_and_the_entry_stays(self, cache, tmp, mount):
        full = tmp / "full"
        full.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", full], check=True)
        try:
            other = FileCache(full / "cache")
            other.set("k", frame("old"))
            m = mount(str(other.dir), "write")
            assert outcome(write, m / "frame/k", frame("new", 2 << 20)) == "ENOSPC"
            assert (other.value("k"), os.listdir(other.dir)) == (frame("old"), [other.hash("k")])
            m.unmount()
        finally:
            subprocess.run(["umount", "-l", full], check=True)

    def test_what_a_full_filesystem_took_of_a_write_is_in_nothing_that_begins_anew(self, cache, tmp, mount):
        full, room = tmp / "full", 64 << 10
        full.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", full], check=True)
        try:
            other = FileCache(full / "cache")
            m = mount(str(other.dir), "write", "unchecked")
            with open(m / "frame/k", "wb", buffering=0) as file:
                with open(full / "more", "wb") as more:
                    os.posix_fallocate(more.fileno(), 0, (1 << 20) - room)
                assert outcome(file.write, b"y" * 2 * room) == "ENOSPC"
                file.truncate(0)
                os.pwrite(file.fileno(), b"end", 100)
            assert other.value("k") == bytes(100) + b"end"
            m.unmount()
        finally:
            subprocess.run(["umount", "-l", full], check=True)


class TestHashes:
    def test_a_name_of_32_hex_digits_is_written_over(self, cache, mount):
        cache.set("k", frame("old"))
        m = mount(cache, "write")
        write(m / f"frame/{cache.hash('k')}", frame("new"))
        assert cache.value("k") == frame("new")

    def test_a_new_one_is_eperm(self, cache, mount):
        m = mount(cache, "write")
        assert outcome(write, m / f"frame/{cache.hash('k')}", frame()) == "EPERM"
        assert os.listdir(cache.dir) == []

    def test_one_that_goes_meanwhile_is_enoent(self, cache, mount):
        cache.set("k", frame("old"))
        m = mount(cache, "write")
        file = open(m / f"frame/{cache.hash('k')}", "wb", buffering=0)
        file.write(frame("new"))
        cache.delete("k")
        assert outcome(file.close) == "ENOENT"
        assert os.listdir(cache.dir) == []

    def test_one_is_removed(self, cache, mount):
        cache.set("k", frame())
        os.unlink(mount(cache, "write") / cache.hash("k"))
        assert cache.backend.get("k") is None


class TestLimits:
    def test_a_value_over_the_limit_is_efbig(self, cache, mount):
        m = mount(cache, "write", env=SMALL)
        assert outcome(write, m / "frame/k", frame("x", 2 << 20)) == "EFBIG"
        write(m / "frame/k", frame("x", (2 << 20) - 300))
        assert cache.backend.get("k")

    def test_a_write_that_failed_is_not_stored_by_close(self, cache, mount):
        m = mount(cache, "write", "unchecked", env=SMALL)
        file = open(m / "frame/k", "wb", buffering=0)
        assert outcome(lambda: [file.write(b"x" * (1 << 20)) for _ in range(3)]) == "EFBIG"
        assert outcome(file.close) == "EFBIG"
        assert cache.backend.get("k") is None

    def test_new_entries_end_at_nine_tenths(self, cache, mount):
        sdk = backend(cache.dir, max_entry_count=100)
        m = mount(cache, "write", env=SMALL)
        results = [outcome(write, m / f"frame/k{i}", frame()) for i in range(95)]
        assert (results.count(None), set(results[90:])) == (90, {"ENOSPC"})
        write(m / "frame/k3", frame("over"))
        assert (count(cache), sdk.get("k3")) == (90, frame("over"))

    def test_bytes_end_at_nine_tenths(self, cache, mount):
        m = mount(cache, "write", env=SMALL)
        results = [outcome(write, m / f"frame/k{i}", frame("x", 1 << 20)) for i in range(5)]
        assert results == [None, None, None, "ENOSPC", "ENOSPC"]
        write(m / "frame/k1", frame("smaller"))

    def test_what_others_store_counts(self, cache, mount):
        m = mount(cache, "write", env=SMALL)
        write(m / "frame/k", frame())
        cache.fill([f"k{i}" for i in range(89)], frame())
        time.sleep(0.2)
        assert outcome(write, m / "frame/new", frame()) == "ENOSPC"
        for i in range(20):
            cache.delete(f"k{i}")
        assert outcome(write, m / "frame/newest", frame()) is None

    @pytest.mark.parametrize("value", ["", "many", "-1", "0", "99", "1000001"])
    def test_what_is_no_limit_is_refused(self, ckfs, cache, tmp, value):
        (tmp / "mnt").mkdir()
        done = subprocess.run([ckfs, "-o", "write", cache.source, tmp / "mnt"], capture_output=True, text=True, env={**os.environ, "CACHEKIT_FILE_MAX_ENTRY_COUNT": value})
        assert (done.returncode, "CACHEKIT_FILE_MAX_ENTRY_COUNT" in done.stderr, done.stderr.count("\n")) == (1, True, 1)

    def test_the_sdk_beside_loses_no_call(self, cache, mount):
        """An application at its cap, that evicts, and ckfs that stores and removes."""
        m = mount(cache, "write", env=SMALL)
        sdk = backend(cache.dir, max_entry_count=100, max_size_mb=4, max_value_mb=2)
        ours = []

        def store_ours():
            for i in range(300):
                ours.append(outcome(write, m / f"frame/ours{i % 40}", frame(str(i))))
                if i % 7 == 0:
                    outcome(os.unlink, m / f"ours{(i - 3) % 40}")

        thread = threading.Thread(target=store_ours)
        thread.start()
        for i in range(600):
            sdk.set(f"theirs{i}", frame(str(i)), 60)
            assert sdk.get(f"theirs{i}") == frame(str(i))
        thread.join()
        assert set(ours) <= {None, "ENOSPC"} and None in ours
        assert not [name for name in os.listdir(cache.dir) if ".tmp." in name]


class TestKilled:
    def test_at_any_moment_there_is_the_old_entry_or_the_new_one(self, ckfs, cache):
        """ckfs is killed while it stores; what is left is whole, and the SDK counts nothing else."""
        values = [frame(str(i), random.Random(i).randrange(200_000)) for i in range(40)]
        cache.set("k", values[0])
        choice = random.Random(5)
        for turn in range(12):
            m = Mount(ckfs, cache.source, cache.home / f"mnt{turn}", ("write",), {})
            timer = threading.Timer(choice.random() * 0.15, m.process.kill)
            timer.start()
            with contextlib.suppress(OSError):
                for i in range(10_000):
                    write(m / "frame/k", values[i % 40])
                    write(m / f"frame/new{i % 5}", values[i % 40])
            timer.join()
            m.abandon()
            for key in ("k", *(f"new{i}" for i in range(5))):
                assert (cache.backend.get(key) or values[0]) in values
            strays = [name for name in os.listdir(cache.dir) if not re.fullmatch("[0-9a-f]{32}", name)]
            assert all(".tmp." in name for name in strays) and len(strays) <= turn + 4

    def test_who_dies_while_writing_leaves_the_entry(self, cache, mount):
        cache.set("k", frame("old"))
        m = mount(cache, "write")
        writer = subprocess.Popen(["sh", "-c", f'exec 3>"{m}/frame/k"; printf CK >&3; echo; sleep 60 3>&-'], stdout=subprocess.PIPE)
        writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert until(lambda: len(m.log_lines("not stored")) == 1)
        assert cache.value("k") == frame("old")


@pytest.mark.memory
def test_a_large_value_takes_no_more_memory_than_cache_size(cache, mount):
    m = mount(cache, "write", "cache_size=16M", env={"CACHEKIT_FILE_MAX_SIZE_MB": "4000", "CACHEKIT_FILE_MAX_VALUE_MB": "1000"})
    value, n = frame("x", 1 << 20), 200
    head, tail = value[:-5], value[-5:]
    before, peak = m.rss_anon(), 0
    with open(m / "frame/k", "wb", buffering=0) as file:
        file.write(head)
        for _ in range(n):
            file.write(b"x" * (1 << 20))
            peak = max(peak, m.rss_anon())
        file.write(tail)
    peak = max(peak, m.rss_anon())
    assert cache.path("k").stat().st_size == 14 + len(value) + (n << 20)
    assert peak - before < 24 << 20
