"""Rows of a Memcached server: the same values as files, against clients that ask it for them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

from harness import Figure, Mount, interleaved, mounted, run_quietly, seconds, status_bytes, touch_memory
from served import KEYS, MIB, SMALL_SIZE, SMALL_VALUES, placements, read_file

LARGE = 100 * MIB
MANY = 1_000_000


class Server:
    """A memcached of its own, on a unix socket: what it has is gone with it."""

    def __init__(self, directory: pathlib.Path, *options: str):
        from pymemcache.client.base import Client

        self.socket = directory / "s"
        self.process = subprocess.Popen(["memcached", "-u", "root", "-s", str(self.socket), *options], stdout=subprocess.DEVNULL)
        self.client = Client(str(self.socket))
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client.version()
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.end()
                    raise RuntimeError(f"memcached did not start: {error}") from error
                time.sleep(0.01)

    def connection(self) -> socket.socket:
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(self.socket))
        return s

    def fill(self, count: int, value: bytes) -> None:
        """Many keys of one value, without a client that would take most of the time."""
        for first in range(0, count, 10_000):
            with self.connection() as s:
                lines = [b"ms ns:bench:func:app.load:args:%d %d q\r\n%s\r\n" % (n, len(value), value) for n in range(first, min(count, first + 10_000))]
                s.sendall(b"".join(lines) + b"mn\r\n")
                s.recv(100)

    def dump(self) -> None:
        """All keys, as the server tells them, read and dropped."""
        with self.connection() as s:
            s.sendall(b"lru_crawler metadump hash\r\n")
            end = b""
            while not end.endswith(b"END\r\n"):
                piece = s.recv(1 << 16)
                if not piece or piece.startswith(b"BUSY"):
                    raise RuntimeError("no dump")
                end = (end + piece)[-5:]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def serving(*options: str) -> Iterator[Server]:
    # Not in the scratch directory: the path of a socket has a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="ckfs-bench-") as directory:
        server = Server(pathlib.Path(directory), *options)
        try:
            yield server
        finally:
            server.end()


def mount(bench, server: Server) -> contextlib.AbstractContextManager[Mount]:
    return mounted([*bench.ckfs, "-o", "cache_size=1G", f"memcached://{server.socket}"], bench.scratch)


def large(bench) -> Iterator[Figure]:
    """open + read of one value of 100 MiB, against pymemcache's get."""
    buffer = bytearray(MIB)
    with serving("-I", "128m", "-m", "512") as server:
        server.client.set("large", b"~" + os.urandom(MIB - 1) + bytes(LARGE - MIB), noreply=False)

        def cold() -> float:
            touch_memory(LARGE)
            with mount(bench, server) as m:
                return seconds(lambda: read_file(m.path / "large", buffer))

        def get() -> float:
            touch_memory(2 * LARGE)
            return seconds(lambda: server.client.get("large"))

        first, client = interleaved(bench.runs, cold, get)
        yield Figure("Memcached, cold open and read of 100 MiB, against pymemcache's get", first, client, goal=0.8)


def small(bench) -> Iterator[Figure]:
    """open + read + close of many small values, against the do-nothing filesystem and a get of each together."""
    names = [f"small:{i}" for i in range(SMALL_VALUES)]
    buffer = bytearray(2 * SMALL_SIZE)
    for where, placed in placements():
        with placed(), serving("-m", "256") as server:
            for name in names:
                server.client.set(name, b"~" + os.urandom(SMALL_SIZE - 1), noreply=False)

            def files(paths: list[pathlib.Path]) -> float:
                return seconds(lambda: [read_file(path, buffer) for path in paths]) / len(paths)

            def both(again: list[float], server: Server = server) -> float:
                with mount(bench, server) as m:
                    paths = [m.path / name for name in names]
                    first = files(paths)
                    again.append(files(paths))
                return first

            def null_and_get(again: list[float], server: Server = server) -> float:
                with bench.mount_null(names=SMALL_VALUES, size=SMALL_SIZE, timeout=0) as nullfs:
                    paths = [nullfs.path / name for name in os.listdir(nullfs.path)]
                    first, second = files(paths), files(paths)
                get = seconds(lambda: [server.client.get(name) for name in names]) / len(names)
                again.append(second + get)
                return first + get

            again: list[float] = []
            null_again: list[float] = []
            cold, together = interleaved(bench.runs, lambda: both(again), lambda: null_and_get(null_again))
        what = "open + read + close of 4 KiB"
        baseline = f"against the do-nothing filesystem and pymemcache's get, one after the other{where}"
        yield Figure(f"Memcached, {what}, fresh mount, {baseline}", cold, together, unit="µs", goal=1.0)
        yield Figure(f"Memcached, {what}, again, {baseline}", again, null_again, unit="µs")


def peak(m: Mount) -> int:
    """The most memory that the daemon has had."""
    return status_bytes(m.process.pid, "VmHWM")


def listing(bench) -> Iterator[Figure]:
    """100,000 keys against the raw dump, and the daemon's memory for a million."""
    for where, placed in placements():
        with placed(), serving("-m", "256") as server:
            server.fill(KEYS, bytes(100))

            def names(server: Server = server) -> float:
                with mount(bench, server) as m:
                    return run_quietly("ls", "-f", str(m.path / "raw"))

            def null() -> float:
                with bench.mount_null(names=KEYS) as nullfs:
                    return run_quietly("ls", "-f", str(nullfs.path))

            shown, dumped, nothing = interleaved(bench.runs, names, lambda: seconds(server.dump), null)
        yield Figure(f"Memcached, `ls -f` of 100,000 keys, against the raw metadump{where}", shown, dumped, goal=1.5)
        yield Figure(f"for comparison: `ls -f` of as many names in the do-nothing filesystem, without a server, against the raw metadump{where}", nothing, dumped)
    with serving("-m", "1024") as server:
        server.fill(MANY, b"v")
        with mount(bench, server) as m:
            pathlib.Path(f"/proc/{m.process.pid}/clear_refs").write_text("5")
            before = peak(m)
            run_quietly("ls", "-f", str(m.path / "raw"))
            growth = (peak(m) - before) / MIB
    yield Figure("daemon's memory for `ls -f` of a million keys of a Memcached server, growth at most", [growth], unit="MiB", goal=48, goal_is_ratio=False)


ROWS = {"memcached-large": large, "memcached-small": small, "memcached-listing": listing}
