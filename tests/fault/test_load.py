"""A mount under load: it ends cleanly, leaks nothing, and a waiting call ends on a signal."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

import numpy
import pyarrow
import pytest
import xxhash

from caches import FileCache

MIB = 1 << 20
GIB = 1 << 30

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


def until(condition, seconds: float = 5):
    """Wait for what takes a moment. Returns the condition's last value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return value


def is_idle(m) -> bool:
    before = m.cpu_ticks()
    time.sleep(0.2)
    return m.cpu_ticks() - before <= 1


def descriptors(m) -> int:
    return len(os.listdir(f"/proc/{m.pid}/fd"))


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


@contextlib.contextmanager
def processes(*commands):
    """Run commands; those that still live are killed at the end."""
    with contextlib.ExitStack() as stack:
        running = []
        for command in commands:
            process = subprocess.Popen([str(arg) for arg in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            stack.callback(lambda p=process: (p.kill(), p.communicate()))
            running.append(process)
        yield running


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
            until(lambda: m.process.poll() is not None, 20)
        assert m.process.poll() == 0, m.log()

    def test_its_readers_meet_no_error_and_no_short_file(self, stocked, mount):
        m = mount(stocked)
        with Writer(stocked), load(m) as running:
            time.sleep(self.SECONDS)
            ended = [process.communicate()[1].decode() for process in running if process.poll() is not None]
        assert ended == []

    def test_its_descriptors_come_back(self, stocked, mount):
        m = mount(stocked)
        slurp(m / "arrow/table.arrow")
        before = descriptors(m)
        with Writer(stocked), load(m):
            time.sleep(self.SECONDS)
        assert until(lambda: descriptors(m) <= before + 8, 3), (before, descriptors(m))

    @pytest.mark.memory
    def test_its_memory_is_bounded(self, stocked, mount):
        m = mount(stocked)
        slurp(m / "arrow/table.arrow")
        before = m.rss_anon()
        with Writer(stocked), load(m):
            time.sleep(self.SECONDS)
        assert (m.rss_anon() - before) // (32 * MIB) == 0

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

    def test_readers_that_are_killed_leave_no_descriptors(self, stocked, mount):
        m = mount(stocked)
        slurp(m / "arrow/table.arrow")
        before = descriptors(m)
        for _ in range(3):
            with load(m):
                time.sleep(0.3)
        assert until(lambda: descriptors(m) <= before + 8, 3), (before, descriptors(m))


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
        assert until(lambda: not deleted_files_held(m, stocked), 3), deleted_files_held(m, stocked)

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
        assert until(lambda: not failing(short / "k7"), 3), short.log()


def failing(path) -> bool:
    try:
        slurp(path)
    except OSError:
        return True
    return False


class TestWaiting:
    """The first open of a large arrow entry hashes all of it. (The entries are holes: they take no room.)"""

    @pytest.fixture
    def large(self):
        """make(key, size): a cache directory in memory with a sparse arrow entry of that size."""
        shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
        path = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-test-", dir=shm))
        cache = FileCache(path / "cache")

        def make(key: str, size: int, checksum: bytes = bytes(8)) -> None:
            header = b'{"s": "arrow", "m": {"format": "arrow", "original_type": "arrow"}, "v": "2.0"}'
            start = cache.entry_header() + b"CK\x03" + struct.pack(">I", len(header)) + header + checksum
            with open(cache.path(key), "wb") as f:
                f.write(start + b"ARROW1\0\0")
                f.truncate(len(start) + size - 6)
                f.seek(0, os.SEEK_END)
                f.write(b"ARROW1")

        cache.make = make
        yield cache
        shutil.rmtree(path, ignore_errors=True)

    ENDLESS = 256 * GIB  # a minute or more

    @staticmethod
    def checksum(size: int) -> bytes:
        state, left, zeros = xxhash.xxh3_64(b"ARROW1\0\0"), size - 14, bytes(64 * MIB)
        while left:
            state.update(zeros[: min(left, len(zeros))])
            left -= min(left, len(zeros))
        state.update(b"ARROW1")
        return state.digest()

    @staticmethod
    def opening(process) -> bool:
        """Whether a process is inside openat(2)."""
        try:
            return pathlib.Path(f"/proc/{process.pid}/syscall").read_text().split()[0] == "257"
        except (OSError, IndexError):
            return False

    def wait_for_open(self, m, running) -> None:
        """Until each process hangs in its open."""

        def all_wait() -> bool:
            return all(self.opening(process) for process in running)

        for _ in range(3):
            assert until(all_wait, 10), [process.poll() for process in running]
            time.sleep(0.1)

    @pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_a_process_that_waits_for_an_open_ends_on_a_signal(self, large, mount, sent):
        large.make("k", self.ENDLESS)
        m = mount(large)
        with processes(["head", "-c", "1", m / "arrow/k.arrow"]) as running:
            self.wait_for_open(m, running)
            running[0].send_signal(sent)
            assert running[0].wait(5) == -sent

    def test_an_open_that_is_interrupted_by_a_handled_signal_gives_eintr(self, large, mount):
        large.make("k", self.ENDLESS)
        m = mount(large)
        code = "import ctypes, signal, sys; libc = ctypes.CDLL(None, use_errno=True)"
        code += "; signal.signal(signal.SIGUSR1, lambda *_: None)"
        code += "; sys.exit(ctypes.get_errno() if libc.open(sys.argv[1].encode(), 0) < 0 else 0)"
        with processes([sys.executable, "-c", code, m / "arrow/k.arrow"]) as running:
            assert until(lambda: "arrow" in self.target(running[0]), 10)
            self.wait_for_open(m, running)
            running[0].send_signal(signal.SIGUSR1)
            assert running[0].wait(5) == 4  # EINTR

    @staticmethod
    def target(process) -> str:
        """Words of a process that has finished starting: its signal mask catches SIGUSR1."""
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
        return "arrow" if caught >> (signal.SIGUSR1 - 1) & 1 else ""

    def test_interrupted_checks_make_room_for_others(self, large, mount):
        waiting = (os.cpu_count() or 1) + 2
        for n in range(waiting):
            large.make(f"endless{n}", self.ENDLESS)
        large.make("small", MIB, self.checksum(MIB))
        m = mount(large)
        with processes(*(["head", "-c", "1", m / f"arrow/endless{n}.arrow"] for n in range(waiting))) as running:
            self.wait_for_open(m, running)
            for process in running:
                process.send_signal(signal.SIGINT)
            for process in running:
                process.wait(5)
            done = subprocess.run(["wc", "-c", m / "arrow/small.arrow"], capture_output=True, timeout=10)
        assert done.stdout.split()[0] == str(MIB).encode(), done

    def test_the_rest_is_served_while_checks_run(self, large, mount):
        waiting = (os.cpu_count() or 1) + 2
        for n in range(waiting):
            large.make(f"endless{n}", self.ENDLESS)
        large.set("other", b"value")
        m = mount(large)
        with processes(*(["head", "-c", "1", m / f"arrow/endless{n}.arrow"] for n in range(waiting))) as running:
            self.wait_for_open(m, running)
            done = subprocess.run(["cat", m / "other"], capture_output=True, timeout=10)
        assert done.stdout == b"value"

    def test_one_that_gives_up_does_not_harm_another_that_waits_for_the_same(self, large, mount):
        large.make("k", 6 * GIB, self.checksum(6 * GIB))
        m = mount(large)
        with processes(*[["head", "-c", "1", m / "arrow/k.arrow"]] * 2) as running:
            until(lambda: all(self.opening(process) for process in running), 2)
            running[0].send_signal(signal.SIGINT)
            assert running[1].wait(60) == 0, running[1].stderr.read()

    def test_sigterm_to_the_daemon_ends_it_while_a_check_runs(self, large, mount):
        large.make("k", self.ENDLESS)
        m = mount(large)
        with processes(["head", "-c", "1", m / "arrow/k.arrow"]) as running:
            self.wait_for_open(m, running)
            m.unmount()
            assert running[0].wait(10) == 1

    def test_a_check_that_nobody_waits_for_ends(self, large, mount):
        large.make("k", self.ENDLESS)
        m = mount(large)
        with processes(["head", "-c", "1", m / "arrow/k.arrow"]) as running:
            self.wait_for_open(m, running)
            running[0].send_signal(signal.SIGINT)
            running[0].wait(5)

        assert until(lambda: is_idle(m), 5)


def test_a_mount_that_is_not_used_is_idle(cache, mount):
    names = cache.fill([f"k{i}" for i in range(500)], b"value")
    m = mount(cache)
    for name in names:
        assert (m / name).read_bytes() == b"value"
    assert until(lambda: is_idle(m), 5)
