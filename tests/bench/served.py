"""Rows of a Redis server: the same values as files, against clients that ask it for them."""

from __future__ import annotations

import contextlib
import mmap
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

import material
from harness import READ_AHEAD_KB, Figure, Mount, interleaved, mounted, names_length, one_cpu, run_quietly, seconds, set_read_ahead, sum_columns, sum_table, touch_memory

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


def mount(bench, server: Server, *options: str) -> contextlib.AbstractContextManager[Mount]:
    """With room for the large value in memory, beside what the default keeps."""
    return mounted([*bench.ckfs, "-o", "cache_size=1G", *options, f"unix://{server.socket}"], bench.scratch)


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


def received(server: Server, key: bytes, size: int) -> memoryview:
    """The reply of a GET, received straight into memory with huge pages: nothing that has to keep a value can take less."""
    head = len(b"$%d\r\n" % size)
    area = mmap.mmap(-1, head + size + 2, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        area.madvise(mmap.MADV_HUGEPAGE)
    reply = memoryview(area)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(server.socket))
        s.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key))
        at = 0
        while at < len(reply):
            at += s.recv_into(reply[at : at + MIB])
    return reply[head : head + size]


def receive_and_copy(server: Server, key: bytes, buffer: bytearray) -> None:
    """Receives a value of LARGE bytes and copies it 1 MiB at a time to where a reader has it."""
    value = received(server, key, LARGE)
    for at in range(0, LARGE, MIB):
        buffer[:] = value[at : at + MIB]


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

        def floor() -> float:
            touch_memory(2 * LARGE)
            return seconds(lambda: receive_and_copy(server, b"large", buffer))

        def null() -> float:
            with bench.mount_null(names=1, size=LARGE) as m:
                set_read_ahead(m.path, READ_AHEAD_KB)
                touch_memory(2 * LARGE)
                return seconds(lambda: read_file(next(m.path.iterdir()), buffer))

        cold, client, raw, copied, zeros = interleaved(bench.runs, fresh, get, lambda: drop_reply(server, b"large", LARGE), floor, null)
        yield Figure("Redis, cold open and read of 256 MiB, against redis-py's GET", cold, client, goal=0.45)
        yield Figure("for comparison: received into memory and copied from there once, against redis-py's GET", copied, client)
        yield Figure(
            "for comparison: received and dropped, then as many zeros read from the do-nothing filesystem, against redis-py's GET",
            [a + b for a, b in zip(raw, zeros, strict=True)],
            client,
        )
        yield Figure("Redis, cold open and read of 256 MiB, against a socket that drops the reply", cold, raw)
        with mount(bench, server) as m:
            for path in (m.path / "large", plain):
                read_file(path, buffer)
            warm, native = interleaved(
                bench.runs,
                lambda: seconds(lambda: read_file(m.path / "large", buffer)),
                lambda: seconds(lambda: read_file(plain, buffer)),
            )
        yield Figure("Redis, warm open and read of 256 MiB, against a plain file", warm, native, goal=1.05)
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
    import xxhash
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

        start = payload.index(b"ARROW1")
        size = len(server.client.get("table"))

        def floor(hashed: bool) -> float:
            touch_memory(2 * LARGE)

            def read() -> None:
                value = received(server, b"table", size)
                document = value[size - len(payload) + start :]
                if hashed:
                    xxhash.xxh3_64_digest(document)
                sum_table(pyarrow.ipc.open_file(pyarrow.py_buffer(document)).read_all())

            return seconds(read)

        ours, client, hashed, bare = interleaved(bench.runs, cold, sdk, lambda: floor(True), lambda: floor(False))
        yield Figure("Redis, Arrow table of 256 MiB, mapped and summed on a fresh mount, against the SDK's own read", ours, client, goal=0.4)
        yield Figure("for comparison: received into memory, hashed and summed there, against the SDK's own read", hashed, client)
        yield Figure("for comparison: received into memory and summed there, against the SDK's own read", bare, client)
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


def ask_each(server: Server, command: bytes, names: list[str]) -> float:
    """Seconds that a GET of a small value takes, or a PING, one after the other from a bare socket."""
    buffer = bytearray(2 * SMALL_SIZE)
    requests = [b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(name), name.encode()) if command == b"GET" else b"PING\r\n" for name in names]
    size = len(b"$%d\r\n\r\n" % SMALL_SIZE) + SMALL_SIZE if command == b"GET" else len(b"+PONG\r\n")
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(server.socket))

        def ask() -> None:
            for request in requests:
                s.sendall(request)
                left = size
                while left:
                    left -= s.recv_into(buffer)

        return seconds(ask) / len(names)


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
            cold, client, null, bare, pings = interleaved(
                bench.runs,
                lambda: both(again),
                lambda: seconds(lambda: [server.client.get(name) for name in names]) / len(names),
                lambda: nothing(null_again),
                lambda: ask_each(server, b"GET", names),
                lambda: ask_each(server, b"PING", names),
            )
        what = "open + read + close of 4 KiB"
        yield Figure(f"Redis, {what}, fresh mount, against redis-py's GET{where}", cold, client, unit="µs", goal=1.5)
        yield Figure(f"Redis, {what}, again, against redis-py's GET{where}", again, client, unit="µs", goal=0.75)
        yield Figure(f"for comparison: {what} in the do-nothing filesystem, against redis-py's GET{where}", null, client, unit="µs")
        yield Figure(f"… again{where}", null_again, client, unit="µs")
        yield Figure(f"Redis, {what}, fresh mount, against the do-nothing filesystem{where}", cold, null, unit="µs", goal=1)
        yield Figure(f"… again{where}", again, null_again, unit="µs", goal=1)
        both_cold, both_again = ([a + b for a, b in zip(x, y, strict=True)] for x, y in ((null, bare), (null_again, pings)))
        yield Figure(f"Redis, {what}, fresh mount, against the do-nothing filesystem and a GET from a bare socket, one after the other{where}", cold, both_cold, unit="µs")
        yield Figure(f"… again, against the do-nothing filesystem and a PING{where}", again, both_again, unit="µs")


def listing(bench) -> Iterator[Figure]:
    """100,000 keys of small values, against the server's own client and names that cost nothing."""
    keys = [f"ns:bench:func:app.load:args:{n}" for n in range(KEYS)]
    asking = bench.scratch / "asking"
    asking.write_text("".join(f"STRLEN {key}\r\nGETRANGE {key} 0 512\r\n" for key in keys))
    for where, placed in placements():
        with placed(), serving() as server:
            for i in range(0, KEYS, 10_000):
                server.client.mset(dict.fromkeys(keys[i : i + 10_000], b"\x00" * 100))

            def on_fresh_mount(*command: str, server: Server = server, options: tuple[str, ...] = ()) -> float:
                with mount(bench, server, *options) as m:
                    return run_quietly(*command, str(m.path / "raw"))

            def on_null(**options: int) -> float:
                with bench.mount_null(names=KEYS, **options) as nullfs:
                    return run_quietly("ls", "-l", str(nullfs.path))

            def asked_and_null(server: Server = server, **options: int) -> float:
                """What the server takes to name all keys and to tell the size and the beginning of each, and then the do-nothing filesystem."""
                scanned = run_quietly("redis-cli", "-s", str(server.socket), "--scan")
                asked = run_quietly("sh", "-ec", 'redis-cli -s "$0" --pipe <"$1"', str(server.socket), str(asking))
                return scanned + asked + on_null(**options)

            names, scan = interleaved(
                bench.runs,
                lambda: on_fresh_mount("ls", "-f"),
                lambda: run_quietly("redis-cli", "-s", str(server.socket), "--scan"),
            )
            native = bench.scratch / "native"
            material.make_files(native, keys, b"\x00" * 100)
            with mount(bench, server) as m:
                length = names_length(next(entry.path for entry in os.scandir(m.path / "raw")))
            attributes, bare, null, floor, floor_bare, plain = interleaved(
                bench.runs,
                lambda: on_fresh_mount("ls", "-l"),
                lambda: on_fresh_mount("ls", "-l", options=("-o", "noxattr")),
                on_null,
                lambda: asked_and_null(attributes=length),
                lambda: asked_and_null(noxattr=1),
                lambda: run_quietly("ls", "-l", str(native)),
            )
            shutil.rmtree(native)
        yield Figure(f"Redis, `ls -f` of 100,000 keys, against `redis-cli --scan`{where}", names, scan, goal=0.8)
        yield Figure(f"Redis, `ls -l` of 100,000 keys, against the do-nothing filesystem{where}", attributes, null, goal=1.3)
        yield Figure(f"Redis, `ls -l` of 100,000 keys, against `ls -l` of as many files{where}", attributes, plain, goal=4)
        yield Figure(f"for comparison: what the server takes for that, and then `ls -l` of the do-nothing filesystem with as many attributes{where}", floor, plain)
        yield Figure(f"Redis, `ls -l` of 100,000 keys with `noxattr`, against `ls -l` of as many files{where}", bare, plain, goal=2.5)
        yield Figure(f"for comparison: what the server takes for that, and then `ls -l` of the do-nothing filesystem without attributes{where}", floor_bare, plain)


ROWS = {"redis-large": large, "redis-table": table, "redis-small": small, "redis-listing": listing}
