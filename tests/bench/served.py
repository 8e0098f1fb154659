"""Rows of a Redis server: the same values as files, against clients that ask it for them."""

from __future__ import annotations

import contextlib
import mmap
import os
import pathlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

from harness import Figure, Mount, interleaved, mounted, one_cpu, run_quietly, seconds, sum_columns, sum_table, touch_memory

MIB = 1 << 20
LARGE = 256 * MIB
KEYS = 100_000
SMALL_VALUES = 2000
SMALL_SIZE = 4096


class Server:
    """A redis-server of its own, on a unix socket: what it has is gone with it."""

    def __init__(self, directory: pathlib.Path):
        import redis

        self.socket = directory / "s"
        args = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(directory)]
        args += ["--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL)
        self.client = redis.Redis(unix_socket_path=str(self.socket))
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client.ping()
                return
            except redis.RedisError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.end()
                    raise RuntimeError(f"redis-server did not start: {error}") from error
                time.sleep(0.01)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    # Not in the scratch directory: the path of a socket has a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="ckfs-bench-") as directory:
        server = Server(pathlib.Path(directory))
        try:
            yield server
        finally:
            server.end()


def mount(bench, server: Server) -> contextlib.AbstractContextManager[Mount]:
    """With room for the large value in memory, beside what the default keeps."""
    return mounted([*bench.ckfs, "-o", "cache_size=1G", f"unix://{server.socket}"], bench.scratch)


def read_file(path: pathlib.Path, buffer: bytearray) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while os.readv(descriptor, [buffer]):
            pass
    finally:
        os.close(descriptor)


def drop_reply(server: Server, key: bytes, size: int) -> float:
    """Seconds that the reply of a GET takes over the socket, into one buffer."""
    buffer = bytearray(MIB)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(server.socket))

        def get() -> None:
            s.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key))
            left = len(b"$%d\r\n" % size) + size + 2
            while left:
                left -= s.recv_into(buffer)

        return seconds(get)


def large(bench) -> Iterator[Figure]:
    """One value of 256 MiB: on a fresh mount, and again."""
    buffer = bytearray(MIB)
    plain = bench.scratch / "large"
    value = (b"~" + os.urandom(MIB - 1)) * (LARGE // MIB)
    plain.write_bytes(value)
    with serving() as server:
        server.client.set("large", value)

        def fresh() -> float:
            with mount(bench, server) as m:
                touch_memory(2 * LARGE)
                return seconds(lambda: read_file(m.path / "large", buffer))

        def get() -> float:
            touch_memory(2 * LARGE)
            return seconds(lambda: server.client.get("large"))

        cold, client, raw = interleaved(bench.runs, fresh, get, lambda: drop_reply(server, b"large", LARGE))
        yield Figure("Redis, cold open and read of 256 MiB, against redis-py's GET", cold, client, goal=0.9)
        yield Figure("Redis, cold open and read of 256 MiB, against a socket that drops the reply", cold, raw)
        with mount(bench, server) as m:
            for path in (m.path / "large", plain):
                read_file(path, buffer)
            warm, native = interleaved(
                bench.runs,
                lambda: seconds(lambda: read_file(m.path / "large", buffer)),
                lambda: seconds(lambda: read_file(plain, buffer)),
            )
        yield Figure("Redis, warm open and read of 256 MiB, against a plain file", warm, native, goal=1.4)
    plain.unlink()


def read_at(path: pathlib.Path, offsets: list[int]) -> float:
    """Seconds to copy 4 KiB at each of these offsets out of a new mapping of a file."""

    def read() -> None:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as area:
            for offset in offsets:
                area[offset : offset + SMALL_SIZE]

    return seconds(read)


def table(bench) -> Iterator[Figure]:
    """An Arrow table of 256 MiB: mapped and summed on a fresh mount, and again; random reads of it."""
    import numpy
    import pyarrow
    from cachekit.serializers.arrow_serializer import ArrowSerializer
    from cachekit.serializers.base import SerializationMetadata
    from cachekit.serializers.wrapper import SerializationWrapper

    numbers = numpy.random.default_rng(1)
    stored = pyarrow.table({f"c{i}": numbers.random(LARGE // 64) for i in range(8)})
    serializer = ArrowSerializer(compression=None, return_format="arrow")
    payload, metadata = serializer.serialize(stored)
    plain = bench.scratch / "table.arrow"
    plain.write_bytes(payload[payload.index(b"ARROW1") :])
    offsets = [int(n) for n in numbers.integers(0, plain.stat().st_size - SMALL_SIZE, 20_000)]

    with serving() as server:
        server.client.set("table", SerializationWrapper.wrap(payload, metadata.to_dict(), "arrow"))

        def cold() -> float:
            with mount(bench, server) as m:
                touch_memory(2 * LARGE)
                return sum_columns(m.path / "arrow" / "table.arrow")

        def sdk() -> float:
            touch_memory(2 * LARGE)

            def read() -> None:
                got, header, _ = SerializationWrapper.unwrap(server.client.get("table"))
                sum_table(serializer.deserialize(got, SerializationMetadata.from_dict(header)))

            return seconds(read)

        yield Figure("Redis, Arrow table of 256 MiB, mapped and summed on a fresh mount, against the SDK's own read", *interleaved(bench.runs, cold, sdk), goal=0.4)
        with mount(bench, server) as m:
            ours = m.path / "arrow" / "table.arrow"
            for path in (ours, plain):
                sum_columns(path)
            sums = interleaved(bench.runs, lambda: sum_columns(ours), lambda: sum_columns(plain))
            random = interleaved(bench.runs, lambda: read_at(ours, offsets), lambda: read_at(plain, offsets))
    yield Figure("… again, against a plain file", *sums, goal=1.05)
    yield Figure("… 20,000 random reads of 4 KiB in its mapping, against a plain file", *random, goal=1.1)
    plain.unlink()


def placements() -> list[tuple[str, Callable[[], contextlib.AbstractContextManager]]]:
    """On one CPU it repeats within a few percent; as it comes it is what users see."""
    return [(", all on one CPU", one_cpu), ("", contextlib.nullcontext)]


def small(bench) -> Iterator[Figure]:
    """open + read + close of many small values, against a GET of each."""
    names = [f"small:{i}" for i in range(SMALL_VALUES)]
    buffer = bytearray(2 * SMALL_SIZE)

    def files(m: Mount) -> float:
        return seconds(lambda: [read_file(m.path / name, buffer) for name in names]) / len(names)

    for where, placed in placements():
        with placed(), serving() as server:
            server.client.mset({name: b"~" + os.urandom(SMALL_SIZE - 1) for name in names})

            def both(again: list[float], server: Server = server) -> float:
                with mount(bench, server) as m:
                    first = files(m)
                    again.append(files(m))
                return first

            def nothing(again: list[float]) -> float:
                with bench.mount_null(names=SMALL_VALUES, size=SMALL_SIZE, timeout=0) as nullfs:
                    paths = [nullfs.path / name for name in os.listdir(nullfs.path)]
                    first, second = (seconds(lambda: [read_file(path, buffer) for path in paths]) / len(paths) for _ in range(2))
                again.append(second)
                return first

            again: list[float] = []
            null_again: list[float] = []
            cold, client, null = interleaved(
                bench.runs,
                lambda: both(again),
                lambda: seconds(lambda: [server.client.get(name) for name in names]) / len(names),
                lambda: nothing(null_again),
            )
        what = "open + read + close of 4 KiB"
        yield Figure(f"Redis, {what}, fresh mount, against redis-py's GET{where}", cold, client, unit="µs", goal=1.5)
        yield Figure(f"Redis, {what}, again, against redis-py's GET{where}", again, client, unit="µs", goal=0.75)
        yield Figure(f"for comparison: {what} in the do-nothing filesystem, against redis-py's GET{where}", null, client, unit="µs")
        yield Figure(f"… again{where}", null_again, client, unit="µs")


def listing(bench) -> Iterator[Figure]:
    """100,000 keys of small values, against the server's own client and names that cost nothing."""
    for where, placed in placements():
        with placed(), serving() as server:
            for i in range(0, KEYS, 10_000):
                server.client.mset({f"ns:bench:func:app.load:args:{n}": b"\x00" * 100 for n in range(i, i + 10_000)})

            def on_fresh_mount(*command: str, server: Server = server) -> float:
                with mount(bench, server) as m:
                    return run_quietly(*command, str(m.path / "raw"))

            def on_null() -> float:
                with bench.mount_null(names=KEYS) as nullfs:
                    return run_quietly("ls", "-l", str(nullfs.path))

            names, scan = interleaved(
                bench.runs,
                lambda: on_fresh_mount("ls", "-f"),
                lambda: run_quietly("redis-cli", "-s", str(server.socket), "--scan"),
            )
            attributes, null = interleaved(bench.runs, lambda: on_fresh_mount("ls", "-l"), on_null)
        yield Figure(f"Redis, `ls -f` of 100,000 keys, against `redis-cli --scan`{where}", names, scan, goal=0.8)
        yield Figure(f"Redis, `ls -l` of 100,000 keys, against the do-nothing filesystem{where}", attributes, null, goal=1.3)


ROWS = {"redis-large": large, "redis-table": table, "redis-small": small, "redis-listing": listing}
