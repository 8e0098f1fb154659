"""A call that waits for a long check ends on a signal, and holds nobody else up."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import pytest
import xxhash

from beside import is_idle, processes
from caches import FileCache
from waiting import PATIENCE, SOON, until

MIB = 1 << 20
GIB = 1 << 30


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

    ENDLESS = 2048 * GIB  # some minutes

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
            assert until(all_wait), [process.poll() for process in running]
            time.sleep(0.1)

    @pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_a_process_that_waits_for_an_open_ends_on_a_signal(self, large, mount, sent):
        large.make("k", self.ENDLESS)
        m = mount(large)
        with processes(["head", "-c", "1", m / "arrow/k.arrow"]) as running:
            self.wait_for_open(m, running)
            running[0].send_signal(sent)
            assert running[0].wait(PATIENCE) == -sent

    def test_an_open_that_is_interrupted_by_a_handled_signal_gives_eintr(self, large, mount):
        large.make("k", self.ENDLESS)
        m = mount(large)
        code = "import ctypes, signal, sys; libc = ctypes.CDLL(None, use_errno=True)"
        code += "; signal.signal(signal.SIGUSR1, lambda *_: None)"
        code += "; sys.exit(ctypes.get_errno() if libc.open(sys.argv[1].encode(), 0) < 0 else 0)"
        with processes([sys.executable, "-c", code, m / "arrow/k.arrow"]) as running:
            assert until(lambda: "arrow" in self.target(running[0]))
            self.wait_for_open(m, running)
            running[0].send_signal(signal.SIGUSR1)
            assert running[0].wait(PATIENCE) == 4  # EINTR

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
                process.wait(PATIENCE)
            done = subprocess.run(["wc", "-c", m / "arrow/small.arrow"], capture_output=True, timeout=SOON)
        assert done.stdout.split()[0] == str(MIB).encode(), done

    def test_the_rest_is_served_while_checks_run(self, large, mount):
        waiting = (os.cpu_count() or 1) + 2
        for n in range(waiting):
            large.make(f"endless{n}", self.ENDLESS)
        large.set("other", b"value")
        m = mount(large)
        with processes(*(["head", "-c", "1", m / f"arrow/endless{n}.arrow"] for n in range(waiting))) as running:
            self.wait_for_open(m, running)
            done = subprocess.run(["cat", m / "other"], capture_output=True, timeout=SOON)
        assert done.stdout == b"value"

    def test_one_that_gives_up_does_not_harm_another_that_waits_for_the_same(self, large, mount):
        large.make("k", 6 * GIB, self.checksum(6 * GIB))
        m = mount(large)
        with processes(*[["head", "-c", "1", m / "arrow/k.arrow"]] * 2) as running:
            until(lambda: all(self.opening(process) for process in running))
            running[0].send_signal(signal.SIGINT)
            assert running[1].wait(PATIENCE) == 0, running[1].stderr.read()

    def test_sigterm_to_the_daemon_ends_it_while_a_check_runs(self, large, mount):
        large.make("k", self.ENDLESS)
        m = mount(large)
        with processes(["head", "-c", "1", m / "arrow/k.arrow"]) as running:
            self.wait_for_open(m, running)
            m.unmount()
            assert running[0].wait(PATIENCE) == 1

    def test_a_check_that_nobody_waits_for_ends(self, large, mount):
        large.make("k", self.ENDLESS)
        m = mount(large)
        with processes(["head", "-c", "1", m / "arrow/k.arrow"]) as running:
            self.wait_for_open(m, running)
            running[0].send_signal(signal.SIGINT)
            running[0].wait(PATIENCE)

        assert until(lambda: is_idle(m))
