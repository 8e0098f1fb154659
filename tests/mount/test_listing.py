"""§5 and §2 of the contract: a listing shows every name exactly once, holds little, and touches nothing."""

from __future__ import annotations

import collections
import fcntl
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import numpy
import pyarrow
import pytest

from caches import FileCache
from entries import DIRECTORIES, entries_of, frame, memory_directory, opening, outcome, slurp, stats
from stores import empty_redis
from waiting import PATIENCE

VALUE = frame({"s": "default", "m": {"format": "msgpack"}, "v": "2.0"}, b"\xc0")
CONTENT = FileCache.entry_header() + VALUE
CROWD, SMALL_CROWD = 200_000, 30_000
MIB = 1 << 20
F_SETSIG = 10


def repeated(names) -> list[str]:
    return [name for name, times in collections.Counter(names).items() if times > 1]


@pytest.fixture(scope="module")
def crowd(shared_cache, few):
    """A cache of 200,000 entries, and their names. (A directory of so many is made in memory.)"""
    count = SMALL_CROWD if few else CROWD
    with memory_directory(count * 8192) as path:
        cache = FileCache(path / "cache") if shared_cache.KIND == "file" else shared_cache
        yield cache, cache.fill((f"ns:crowd:{n}" for n in range(count)), VALUE)


class TestManyEntries:
    def test_each_name_is_listed_exactly_once(self, crowd, mount):
        cache, names = crowd
        listed = entries_of(mount(cache))
        assert (len(listed), set(listed) == names) == (len(names), True)

    def test_a_format_directory_lists_each_name_exactly_once(self, crowd, mount):
        cache, names = crowd
        listed = os.listdir(mount(cache) / "meta")
        assert (len(listed), set(listed) == {f"{name}.json" for name in names}) == (len(names), True)

    @pytest.mark.once
    @pytest.mark.memory
    def test_a_listing_is_not_held_in_memory(self, crowd, mount):
        m = mount(crowd[0])
        os.stat(m)
        before = m.rss_anon()
        lines = subprocess.run(["ls", "-f", m], check=True, capture_output=True).stdout.count(b"\n")
        assert (lines >= CROWD, (m.rss_anon() - before) // (16 * MIB)) == (True, 0)

    @pytest.mark.once
    @pytest.mark.memory
    def test_a_listing_with_stat_is_bounded_in_memory(self, crowd, mount):
        m = mount(crowd[0])
        os.stat(m)
        before = m.rss_anon()
        lines = subprocess.run(["ls", "-l", m / "raw"], check=True, capture_output=True).stdout.count(b"\n")
        assert (lines, (m.rss_anon() - before) // (96 * MIB)) == (CROWD + 1, 0)

    def test_two_listings_at_once_are_both_whole(self, crowd, mount):
        cache, names = crowd
        m = mount(cache)
        results = []
        threads = [threading.Thread(target=lambda: results.append(set(entries_of(m)) == names)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True, True]


WRITER = """
import itertools, os, sys
directory, content = sys.argv[1], bytes.fromhex(sys.argv[2])
staying, passing = ([line.strip() for line in open(path)] for path in sys.argv[3:5])
def write(name):
    temporary = f"{directory}/{name}.tmp.{os.getpid()}.1"
    with open(temporary, "wb") as f:
        f.write(content)
    os.rename(temporary, f"{directory}/{name}")
for n in itertools.count():
    write(staying[n * 7919 % len(staying)])
    write(passing[n * 104729 % len(passing)])
    try:
        os.unlink(f"{directory}/{passing[n * 15485863 % len(passing)]}")
    except FileNotFoundError:
        pass
"""


REDIS_WRITER = """
import itertools, sys
import redis
client, value = redis.Redis.from_url(sys.argv[1]), bytes.fromhex(sys.argv[2])
staying, passing = ([line.strip() for line in open(path)] for path in sys.argv[3:5])
for n in itertools.count():
    client.set(staying[n * 7919 % len(staying)], value)
    client.set(passing[n * 104729 % len(passing)], value)
    client.delete(passing[n * 15485863 % len(passing)])
"""


class TestAChangingCache:
    @pytest.fixture
    def shm(self):
        with memory_directory() as path:
            yield path

    @pytest.fixture(params=["disk", "tmpfs", "redis"])
    def busy(self, request, tmp, shm):
        """A cache that another process overwrites, adds to and deletes from; the names that stay."""
        if request.param == "redis":
            cache = empty_redis(request, 0, tmp)
            writer, target, content = REDIS_WRITER, cache.source, VALUE
        else:
            cache = FileCache((tmp if request.param == "disk" else shm) / "busy")
            writer, target, content = WRITER, cache.source, CONTENT
        staying, passing = ([f"{what}:{n}" for n in range(2500)] for what in ("staying", "passing"))
        names = [cache.fill(keys, VALUE) for keys in (staying, passing)]
        for path, of in zip((tmp / "staying", tmp / "passing"), names, strict=True):
            path.write_text("\n".join(sorted(of)))
        process = subprocess.Popen([sys.executable, "-c", writer, target, content.hex(), tmp / "staying", tmp / "passing"])
        yield cache, names[0]
        alive = process.poll() is None
        process.kill()
        process.wait()
        assert alive, "the writer ended early"

    def test_every_name_that_stays_is_listed_exactly_once(self, busy, mount):
        cache, staying = busy
        m = mount(cache)
        wrong = []
        for _ in range(15):
            counts = collections.Counter(os.listdir(m))
            wrong.append(sum(counts[name] != 1 for name in staying))
        assert wrong == [0] * 15

    def test_no_name_is_listed_twice(self, busy, mount):
        m = mount(busy[0])
        assert [repeated(os.listdir(m / "raw")) for _ in range(15)] == [[]] * 15

    def test_every_name_that_stays_is_listed_while_its_files_are_looked_at(self, busy, mount):
        cache, staying = busy
        m = mount(cache)
        seen = []
        with os.scandir(m) as listing:
            for entry in listing:
                seen.append(entry.name)
                if entry.name in staying and len(seen) % 10 == 0:
                    slurp(entry.path)
        assert (staying - set(seen), repeated(seen)) == (set(), [])


@pytest.mark.file_only
class TestWhatIsNoEntry:
    """Things in a cache directory that are none of its entries."""

    @pytest.fixture
    def littered(self, cache, tmp):
        cache.set("entry", b"value")
        (tmp / "outside").write_bytes(CONTENT)
        name = cache.hash
        cache.path("symlink").symlink_to(tmp / "outside")
        cache.path("symlink-to-entry").symlink_to(name("entry"))
        cache.path("dangling").symlink_to("nowhere")
        cache.path("directory").mkdir()
        os.mkfifo(cache.path("fifo"))
        with socket.socket(socket.AF_UNIX) as s:
            here = os.open(cache.dir, os.O_PATH)
            s.bind(f"/proc/self/fd/{here}/{name('socket')}")
            os.close(here)
        hidden = {f"{name('entry')}.tmp.12.34", f"{name('other')}.tmp.1", f".{name('entry')}"}
        foreign = {"README", name("upper").upper(), name("short")[:-1], name("long") + "0", "g" * 32}
        for other in hidden | foreign:
            (cache.dir / other).write_bytes(CONTENT)
        cache.write_file("expired", cache.entry_header(1) + b"value")
        return cache

    KINDS = ("symlink", "symlink-to-entry", "dangling", "directory", "fifo", "socket", "expired")

    @pytest.mark.parametrize("directory", ["", *DIRECTORIES])
    def test_is_not_listed(self, littered, mount, directory):
        stems = {name.split(".")[0] for name in entries_of(mount(littered) / directory)}
        assert stems - {littered.hash("entry")} == set()

    def test_does_not_hide_what_is_one(self, littered, mount):
        assert entries_of(mount(littered)) == [littered.hash("entry")]

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("view", ["", "frame/", "meta/"])
    def test_is_enoent_by_its_hash_and_never_blocks(self, littered, mount, kind, view):
        m = mount(littered)
        done = subprocess.run(["cat", m / (view + littered.hash(kind))], capture_output=True, timeout=PATIENCE, text=True)
        assert "No such file" in done.stderr, done

    @pytest.mark.parametrize("kind", KINDS)
    def test_is_enoent_by_its_key(self, littered, mount, kind):
        m = mount(littered)
        assert outcome(os.stat, m / kind) == "ENOENT"

    def test_is_enoent_by_its_name(self, littered, mount):
        m = mount(littered)
        names = set(os.listdir(littered.dir)) - {littered.hash("entry"), littered.hash("fifo")}
        assert {name: opening(m / name) for name in names} == dict.fromkeys(names, "ENOENT")

    def test_does_not_end_a_listing_with_an_error(self, littered, mount):
        done = subprocess.run(["ls", "-lR", mount(littered)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.file_only
class TestWhatMayNotBeRead:
    @pytest.fixture
    def ckfs(self, ckfs, tmp):
        """The binary without root's powers over modes."""
        if os.geteuid() != 0:
            return ckfs
        wrapper = tmp / "ckfs"
        wrapper.write_text(f'#!/bin/sh\nexec setpriv --bounding-set=-dac_override,-dac_read_search "{ckfs}" "$@"\n')
        wrapper.chmod(0o755)
        return str(wrapper)

    @pytest.fixture
    def closed(self, cache):
        for key in ("before", "closed", "after"):
            cache.set(key, b"value")
        cache.path("closed").chmod(0)
        return cache

    def test_gives_eacces(self, closed, mount):
        assert opening(mount(closed) / "closed") == "EACCES"

    def test_does_not_end_a_listing(self, closed, mount):
        assert {closed.hash("before"), closed.hash("after")} <= set(entries_of(mount(closed)))

    def test_is_listed_all_the_same(self, closed, mount):
        assert closed.hash("closed") in entries_of(mount(closed))


@pytest.mark.file_only
class TestWhatCannotBeReadJustNow:
    """As on a bad disk. Here somebody has a lease on the file, so that opening it is EAGAIN."""

    @pytest.fixture
    def leased(self, cache):
        for key in ("before", "leased", "after"):
            cache.set(key, VALUE)
        with open(cache.path("leased"), "r+b") as file:
            fcntl.fcntl(file, F_SETSIG, signal.SIGURG)  # as it is ignored
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            yield cache

    @pytest.mark.parametrize("directory, extension", {"raw": "", "frame": "", "meta": ".json", "msgpack": ".msgpack"}.items())
    def test_is_listed_with_all_others(self, leased, mount, directory, extension):
        names = os.listdir(mount(leased) / directory)
        assert sorted(names) == sorted(leased.hash(key) + extension for key in ("before", "leased", "after"))

    def test_gives_its_errno_to_who_looks(self, leased, mount):
        m = mount(leased)
        assert [outcome(os.stat, m / d / leased.hash("leased")) for d in ("raw", "frame")] == ["EAGAIN"] * 2
        assert outcome(os.stat, m / "leased") == opening(m / "leased") == "EAGAIN"
        done = subprocess.run(["ls", "-l", m / "raw"], capture_output=True, text=True)
        assert leased.hash("before") in done.stdout and leased.hash("leased") in done.stderr and "temporarily" in done.stderr

    def test_is_whole_again_when_it_can_be_read(self, leased, mount):
        m = mount(leased)
        os.listdir(m)
        leased.set("leased", b"new")
        assert {e.name: e.stat().st_size for e in os.scandir(m / "raw")}[leased.hash("leased")] == 3


@pytest.mark.file_only
class TestReading:
    def snapshot(self, directory: pathlib.Path) -> dict:
        """All that can be seen of a directory and its files, but for access times."""
        seen = {}
        for path in (directory, *directory.iterdir()):
            s = os.lstat(path)
            fields = (s.st_ino, s.st_mode, s.st_uid, s.st_size, s.st_nlink, s.st_mtime_ns, s.st_ctime_ns)
            seen[path.name] = (fields, path.read_bytes() if path.is_file() else None)
        return seen

    def use(self, m) -> None:
        subprocess.run(["ls", "-lR", m], capture_output=True)
        subprocess.run(["getfattr", "-R", "-d", m], capture_output=True)
        for top, _, names in os.walk(m):
            for name in names:
                opening(os.path.join(top, name))

    @pytest.fixture
    def stocked(self, cache):
        cache.put("kept", {"a": 1}, "orjson")
        cache.set("foreign", b"value")
        cache.write_file("expired", cache.entry_header(1) + b"value")
        cache.write_file("corrupt", b"CX\x01" + bytes(40))
        cache.write_file("truncated", b"CK")
        cache.set("malformed", b"CK\x02 and more")
        (cache.dir / f"{cache.hash('kept')}.tmp.1.1").write_bytes(b"left by a writer")
        os.utime(cache.dir / f"{cache.hash('kept')}.tmp.1.1", (1, 1))
        return cache

    def test_deletes_nothing_and_changes_nothing(self, stocked, mount):
        before = self.snapshot(stocked.dir)
        m = mount(stocked)
        self.use(m)
        m.unmount()
        assert self.snapshot(stocked.dir) == before

    def test_leaves_the_access_times(self, stocked, mount):
        for path in stocked.dir.iterdir():
            os.utime(path, (1_000_000, 2_000_000))  # older than the change: relatime would move it
        m = mount(stocked)
        self.use(m)
        assert {os.stat(path).st_atime for path in stocked.dir.iterdir()} == {1_000_000}

    def test_reads_an_entry_that_a_writer_has_locked(self, stocked, mount):
        with open(stocked.path("foreign"), "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            assert slurp(mount(stocked) / "foreign") == b"value"

    def test_takes_no_lock(self, stocked, mount):
        m = mount(stocked)
        with open(m / "kept", "rb"), open(m / "frame/foreign", "rb"):
            locks = pathlib.Path("/proc/locks").read_text().split("\n")
            assert [line for line in locks if f" {m.pid} " in line] == []


class TestWhatAListingCosts:
    @pytest.mark.parametrize("command", [["ls", "-f"], ["ls", "-l"], ["find"]])
    def test_a_listing_computes_no_checksum(self, cache, mnt, command):
        cache.put("table", pyarrow.table({"number": list(range(1000))}), "arrow")
        cache.put("array", numpy.arange(1000.0), "auto")
        subprocess.run([*command, mnt, mnt / "arrow", mnt / "npy", mnt / "meta"], check=True, capture_output=True)
        assert stats(mnt)["ckfs_checks_total"] == 0
