"""A mount under load: it ends cleanly, and is idle when the load ends. What its readers see, and what it leaks, is the soak's (test_soak.py)."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import resource
import shutil
import struct
import subprocess
import sys
import threading
import time

import numpy
import pyarrow
import pytest

from beside import is_idle, processes
from waiting import until

MIB = 1 << 20

READER = """
import errno, os, random, sys
top, end = sys.argv[1], {errno.ENOTCONN, errno.ECONNABORTED}
while True:
    try:
        for directory, _, names in os.walk(top, onerror=lambda e: (_ for _ in ()).throw(e)):
            for name in random.sample(names, min(20, len(names))):
                try:
                    with open(os.path.join(directory, name), "rb", buffering=0) as f:
                        size, content = os.fstat(f.fileno()).st_size, f.read()
                        if not directory.endswith(("meta", ".ckfs")) and len(content) != size:
                            sys.exit(f"{directory}/{name}: {len(content)} bytes of {size}")
                except FileNotFoundError:
                    pass
    except OSError as e:
        if e.errno in end or not os.path.ismount(top):
            sys.exit(0)
        sys.exit(f"{e!r}")
    if not os.path.ismount(top):
        sys.exit(0)
"""

LISTER = "while ls -lR {0} >/dev/null 2>&1 || mountpoint -q {0}; do :; done"


def deleted_files_held(m, cache) -> list[str]:
    """Deleted entries that the daemon still holds open."""
    links = []
    for fd in os.listdir(f"/proc/{m.pid}/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/{m.pid}/fd/{fd}"))
    return [link for link in links if link.startswith(f"{cache.dir}/") and link.endswith("(deleted)")]


def slurp(path) -> bytes:
    with open(path, "rb", buffering=0) as f:
        return f.read()


@contextlib.contextmanager
def reading(path):
    """A descriptor of which the first byte was read; its mount may end meanwhile."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.pread(fd, 1, 0)
        yield fd
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.fixture
def stocked(cache):
    cache.put("table", pyarrow.table({"number": list(range(50_000))}), "arrow")
    cache.put("array", numpy.arange(50_000.0), "auto")
    cache.put("text", {"list": list(range(5000))}, "orjson")
    cache.put("packed", {"a": [1, 2, 3]}, "default")
    for n in range(200):
        cache.write(f"k{n}", struct.pack(">Q", n) * (n * 50))
    return cache


class Writer(threading.Thread):
    """Overwrites, deletes and adds until it is told to stop."""

    def __init__(self, cache):
        super().__init__(daemon=True)
        self.cache, self.done = cache, threading.Event()
        self.fixed = {key: cache.value(key) for key in ("table", "text")}

    def run(self):
        n = 0
        while not self.done.is_set():
            n += 1
            self.cache.write(f"k{n % 200}", struct.pack(">Q", n) * (n % 10_000))
            for key, value in self.fixed.items():
                self.cache.write(key, value)
            if n % 3 == 0:
                self.cache.delete(f"k{n * 7 % 200}")
            time.sleep(0.001)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


def load(m):
    """Readers of all views and listers, as processes."""
    readers = [[sys.executable, "-c", READER, m.path]] * 3
    return processes(*readers, ["sh", "-c", LISTER.format(m.path)])


class TestUnderLoad:
    SECONDS = 3

    def test_sigterm_ends_it_cleanly(self, stocked, mount):
        m = mount(stocked)
        with Writer(stocked), load(m):
            time.sleep(self.SECONDS)
            m.unmount()

    def test_fusermount_lazy_ends_it_cleanly(self, stocked, mount):
        m = mount(stocked)
        with Writer(stocked), load(m):
            time.sleep(1)
            subprocess.run(["fusermount3", "-uz", m.path], check=True)
            until(lambda: m.process.poll() is not None)
        assert m.process.poll() == 0, m.log()

    @pytest.mark.memory
    def test_thousands_of_versions_are_not_kept_in_memory(self, cache, mount):
        cache.set("k", b"value")
        m = mount(cache)
        slurp(m / "k")

        def churn(versions: int) -> int:
            for n in range(versions):
                cache.write("k", struct.pack(">Q", n))
                slurp(m / "k")
                os.stat(m / "raw/k")
            return m.rss_anon()

        assert (-churn(500) + churn(5000)) // (4 * MIB) <= 0


class TestOpenFiles:
    def test_sigterm_while_files_are_open_ends_it_cleanly(self, stocked, mount):
        m = mount(stocked)
        with reading(m / "table"), reading(m / "frame/array"):
            m.unmount()

    def test_reading_an_open_file_of_an_ended_mount_gives_an_error(self, stocked, mount):
        m = mount(stocked)
        with reading(m / "raw/array") as fd:
            m.unmount()
            with pytest.raises(OSError):
                os.pread(fd, 1, 300_000)

    def test_open_files_that_are_deleted_are_read_whole(self, stocked, mount):
        m = mount(stocked)
        expected = {f"k{n}": stocked.value(f"k{n}") for n in range(1, 200)}
        with contextlib.ExitStack() as stack:
            files = {key: stack.enter_context(open(m / key, "rb", buffering=0)) for key in expected}
            stocked.clear()
            assert [key for key, f in files.items() if f.read() != expected[key]] == []

    @pytest.mark.file_only
    def test_a_deleted_file_is_let_go_when_it_is_closed(self, stocked, mount):
        m = mount(stocked)
        for name in ("arrow/table.arrow", "raw/array", "json/text.json", "frame/k100"):
            slurp(m / name)
        with open(m / "k150", "rb", buffering=0) as f:
            shutil.rmtree(stocked.dir)
            f.read(1)
        assert until(lambda: not deleted_files_held(m, stocked)), deleted_files_held(m, stocked)

    def test_a_thousand_open_files_are_served(self, stocked, mount):
        m = mount(stocked)
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(m / "npy/array.npy", "rb", buffering=0)) for _ in range(1000)]
            assert {f.seek(0, os.SEEK_END) for f in files} == {os.stat(m / "npy/array.npy").st_size}


class TestWithoutDescriptors:
    @pytest.fixture
    def short(self, stocked, mount):
        """A mount that may open but a few more descriptors. (libfuse wants some for more threads.)"""
        m = mount(stocked, "max_threads=1")
        slurp(m / "arrow/table.arrow")
        limit = max(int(fd) for fd in os.listdir(f"/proc/{m.pid}/fd")) + 20
        resource.prlimit(m.pid, resource.RLIMIT_NOFILE, (limit, resource.prlimit(m.pid, resource.RLIMIT_NOFILE)[1]))
        return m

    def open_all(self, m, stack) -> set[str]:
        """Open 200 entries and hold them. What that ends in."""
        results = set()
        for n in range(200):
            try:
                fd = os.open(m / f"k{n}", os.O_RDONLY)
                stack.callback(os.close, fd)
                results.add("OK")
            except OSError as e:
                results.add(errno.errorcode[e.errno])
        return results

    @pytest.mark.file_only  # what was fetched needs none
    def test_an_open_gives_emfile(self, short):
        with contextlib.ExitStack() as stack:
            assert self.open_all(short, stack) == {"OK", "EMFILE"}

    def test_a_listing_is_whole_or_an_error(self, short, stocked):
        with contextlib.ExitStack() as stack:
            self.open_all(short, stack)
            try:
                listed = len(os.listdir(short / "frame"))
            except OSError as e:
                listed = errno.errorcode[e.errno]
        assert listed in (len(stocked.names()), "EMFILE")

    def test_a_listing_with_stat_gets_by_on_few(self, short, stocked):
        for _ in range(10):
            with os.scandir(short / "frame") as listing:
                assert len([entry.stat() for entry in listing]) == len(stocked.names())

    def test_a_mount_ends_when_there_are_none_left(self, stocked, mount):
        """To end threads the C library loads another library when it first does so: that must have been early."""
        m = mount(stocked)
        used = {int(fd) for fd in os.listdir(f"/proc/{m.pid}/fd")}
        free = next(fd for fd in itertools.count() if fd not in used)
        resource.prlimit(m.pid, resource.RLIMIT_NOFILE, (free, resource.prlimit(m.pid, resource.RLIMIT_NOFILE)[1]))
        m.unmount()

    def test_those_that_come_back_are_used(self, short):
        with contextlib.ExitStack() as stack:
            self.open_all(short, stack)
        assert until(lambda: not failing(short / "k7")), short.log()


def failing(path) -> bool:
    try:
        slurp(path)
    except OSError:
        return True
    return False


def test_a_mount_that_is_not_used_is_idle(cache, mount):
    names = cache.fill([f"k{i}" for i in range(500)], b"value")
    m = mount(cache)
    for name in names:
        assert (m / name).read_bytes() == b"value"
    assert until(lambda: is_idle(m))
