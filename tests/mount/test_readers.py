"""§5: a listing costs as much as there are names, whatever the buffer of its reader, and wherever it seeks.

What a listing has cost is told without a clock: by the SCANs that the server has counted, or the CPU time of the daemon.
"""

from __future__ import annotations

import collections
import ctypes
import os
import pathlib
import random
import struct
import subprocess
import sys

import pytest

from caches import Cache
from entries import DIRECTORIES, frame, framed, numpy_raw, prefixed
from waiting import PATIENCE

MSGPACK = frame({"s": "default", "m": {"format": "msgpack"}, "v": "2.0"}, b"\xc0")
JSON = framed(prefixed(b"{}"), "orjson", "orjson")
ARROW = framed(prefixed(b"ARROW1\0\0ARROW1"), "arrow", "arrow")
ARRAY = framed(prefixed(numpy_raw("|u1", (3,), b"abc")), "msgpack", "numpy")
MANY = 20_000
GETDENTS64 = 217 if os.uname().machine == "x86_64" else 61

libc = ctypes.CDLL(None, use_errno=True)


class Reader:
    """Asks the kernel for the names of a directory with a buffer of its own, as a C library does."""

    def __init__(self, path, size: int):
        self.fd, self.buffer = os.open(path, os.O_RDONLY | os.O_DIRECTORY), ctypes.create_string_buffer(size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def read(self) -> list[tuple[str, int]]:
        """Some names, each with the position after it; none at the end."""
        n = libc.syscall(GETDENTS64, self.fd, self.buffer, len(self.buffer))
        if n < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        found, at, raw = [], 0, self.buffer.raw
        while at < n:
            _, position, length, _ = struct.unpack_from("<QqHB", raw, at)
            found.append((os.fsdecode(raw[at + 19 : at + length].split(b"\0", 1)[0]), position))
            at += length
        return found

    def rest(self) -> list[tuple[str, int]]:
        return [line for piece in iter(self.read, []) for line in piece]

    def seek(self, position: int) -> None:
        os.lseek(self.fd, position, os.SEEK_SET)


def names(lines: list[tuple[str, int]]) -> list[str]:
    return [name for name, _ in lines if name not in (".", "..", *DIRECTORIES)]


class Cost:
    """What was asked of the backend since: in whole listings."""

    def __init__(self, cache: Cache, m, entries: int):
        self.cache, self.m, self.entries, self.before = cache, m, entries, 0.0
        self.before = self.listings

    @property
    def listings(self) -> float:
        if self.cache.KIND == "redis":
            scans = self.cache.client.info("commandstats").get("cmdstat_scan", {"calls": 0})["calls"]
            return scans / (self.entries / 1000) - self.before
        return self.m.cpu_ticks() / os.sysconf("SC_CLK_TCK") / 0.5 - self.before  # half a second is plenty for 20,000 names


@pytest.fixture(scope="module")
def crowd(shared_cache):
    """20,000 entries."""
    shared_cache.clear()
    if shared_cache.KIND == "file":
        shared_cache.dir.mkdir(mode=0o700)
    yield shared_cache, shared_cache.fill((f"ns:crowd:{n}" for n in range(MANY)), MSGPACK)
    shared_cache.clear()


# Reads to the end, goes back to where it was after some names, and reads on, while a timer interrupts it.
INTERRUPTED = """
import errno, os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_readers import Reader
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, True)

def read(reader):
    while True:
        try:
            return reader.read()
        except OSError as e:
            if e.errno != errno.EINTR:
                raise

with Reader(sys.argv[2], 32768) as reader:
    first = read(reader)
    while read(reader):
        pass
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    reader.seek(first[-1][1])
    print(len(read(reader)))
    signal.setitimer(signal.ITIMER_REAL, 0)
"""


class TestManyNames:
    def test_who_goes_back_and_is_interrupted_all_the_time_gets_on(self, crowd, mount):
        cache, _ = crowd
        m = mount(cache)
        script = [sys.executable, "-c", INTERRUPTED, str(pathlib.Path(__file__).parent), str(m / "raw")]
        run = subprocess.run(script, capture_output=True, text=True, timeout=PATIENCE, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        assert int(run.stdout) > 0

    @pytest.mark.parametrize("size", [2048, 600, 32768])
    def test_a_small_buffer_costs_no_more_than_a_large_one(self, crowd, mount, size):
        cache, whole = crowd
        m = mount(cache)
        cost = Cost(cache, m, MANY)
        with Reader(m / "raw", size) as reader:
            assert collections.Counter(names(reader.rest())) == collections.Counter(whole)
        assert cost.listings < 4

    def test_going_to_any_place_costs_no_listing_each_time(self, crowd, mount):
        """Back, and on again, to each place that was told: the name that followed it follows."""
        cache, _ = crowd
        m = mount(cache)
        cost = Cost(cache, m, MANY)
        with Reader(m / "raw", 4096) as reader:
            lines = reader.rest()
            places = [*range(0, MANY, 29)]
            random.Random(7).shuffle(places)
            wrong = 0
            for i in places:
                reader.seek(lines[i][1])
                wrong += reader.read()[0] != lines[i + 1]
        assert (wrong, cost.listings < 6) == (0, True)

    def test_going_back_a_little_costs_nothing(self, crowd, mount):
        cache, whole = crowd
        m = mount(cache)
        cost = Cost(cache, m, MANY)
        shown, position = [], 0
        with Reader(m / "raw", 4096) as reader:
            while piece := reader.read():
                reader.seek(position)
                again = reader.read()
                assert again[: len(piece)] == piece[: len(again)]
                shown += piece[: len(piece) // 2 + 1]
                position = shown[-1][1]
                reader.seek(position)
        assert collections.Counter(names(shown)) == collections.Counter(whole)
        assert cost.listings < 4


DOCUMENTS = {"msgpack": MSGPACK, "json": JSON, "arrow": ARROW, "npy": ARRAY}


class TestEachDirectory:
    @pytest.fixture
    def stocked(self, cache):
        for kind, value in DOCUMENTS.items():
            cache.fill((f"{kind}:{n}" for n in range(400)), value)
        return cache

    @pytest.mark.parametrize("directory", ["", *DIRECTORIES, ".ckfs"])
    def test_shows_the_same_to_readers_of_all_sizes(self, stocked, mount, directory):
        m = mount(stocked)
        whole = collections.Counter([".", "..", *os.listdir(m / directory)])
        for size in (290, 2048, 5000, 1 << 20):
            with Reader(m / directory, size) as reader:
                assert collections.Counter(name for name, _ in reader.rest()) == whole

    @pytest.mark.parametrize("directory", ["", *DIRECTORIES])
    def test_goes_to_each_place_and_on_from_there(self, stocked, mount, directory):
        with Reader(mount(stocked) / directory, 3000) as reader:
            lines = reader.rest()
            for i in (len(lines) - 2, 0, len(lines) // 2, 12, len(lines) // 3):
                reader.seek(lines[i][1])
                assert reader.rest() == lines[i + 1 :]

    @pytest.mark.parametrize("directory", ["raw", "json"])
    def test_two_who_share_a_descriptor_share_the_listing(self, stocked, mount, directory):
        with Reader(mount(stocked) / directory, 1000) as one, Reader("/", 700) as other:
            whole = collections.Counter(name for name, _ in one.rest())
            one.seek(0)
            os.dup2(one.fd, other.fd)
            found: list[tuple[str, int]] = []
            while piece := one.read() + other.read():
                found += piece
        assert collections.Counter(name for name, _ in found) == whole


class TestAPlaceFarBack:
    """Names that were forgotten are found once more."""

    def test_shows_all_that_stays_and_nothing_that_is_gone(self, cache, mount):
        whole = cache.fill((f"k{n}" for n in range(6000)), MSGPACK)
        m = mount(cache)
        with Reader(m / "raw", 4096) as reader:
            lines = reader.rest()
            for n in range(0, 6000, 20):
                cache.delete(f"k{n}")
            cache.set("new", MSGPACK)
            reader.seek(lines[99][1])
            again = reader.rest()
        staying = {cache.listed(f"k{n}") for n in range(6000) if n % 20}
        assert len(whole) == 6000
        # What is new may be shown, or not.
        assert [name for name in names(again) if name != cache.listed("new")] == [name for name in names(lines[100:]) if name in staying]

    def test_is_there_still_after_the_first_line_was_read_again(self, cache, mount):
        """rewinddir() begins anew, and is the same to the kernel as seekdir() to the first line."""
        cache.fill((f"k{n}" for n in range(3000)), MSGPACK)
        with Reader(mount(cache) / "raw", 4096) as reader:
            lines = reader.rest()
            for i in (2500, 20, 2900):
                reader.seek(0)
                assert reader.read()[0] == lines[0]
                reader.seek(lines[i][1])
                assert reader.rest() == lines[i + 1 :]

    def test_that_was_never_told_is_an_error(self, cache, mount):
        """It is not the silent end of a listing."""
        cache.fill((f"k{n}" for n in range(100)), MSGPACK)
        with Reader(mount(cache) / "raw", 4096) as reader:
            reader.seek(90)
            with pytest.raises(OSError, match="Invalid argument"):
                reader.read()
            reader.seek(0)
            assert len(reader.rest()) == 102

    @pytest.mark.memory
    def test_takes_memory_for_the_names_only(self, crowd, mount):
        cache, _ = crowd
        m = mount(cache)
        os.stat(m)
        before = m.rss_anon()
        with Reader(m / "raw", 4096) as reader:
            lines = reader.rest()
            listed = m.rss_anon() - before
            reader.seek(lines[1][1])
            reader.read()
            more = m.rss_anon() - before - listed
            assert (listed // (16 << 20), more // (8 << 20)) == (0, 0)
