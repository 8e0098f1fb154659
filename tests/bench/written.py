"""Rows of what is written: a large value into a file cache, many small ones to a Redis server, and listings of files that carry their keys."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

from harness import Figure, Mount, interleaved, mounted, run_quietly, seconds, touch_memory
from served import SMALL_SIZE, SMALL_VALUES, Server, placements, serving

LARGE = 1 << 30
NAMES = 100_000
ROOM = {"CACHEKIT_FILE_MAX_SIZE_MB": "100000", "CACHEKIT_FILE_MAX_VALUE_MB": "50000", "CACHEKIT_FILE_MAX_ENTRY_COUNT": "1000000"}


def frame(size: int) -> bytes:
    """A value that the SDK reads, of so many bytes: a text in a frame."""
    header = b'{"s": "orjson", "m": {"format": "orjson", "original_type": "orjson"}, "v": "2.0"}'
    head = b"CK\x03" + len(header).to_bytes(4, "big") + header + b'"'
    return head + b"x" * (size - len(head) - 1) + b'"'


@contextlib.contextmanager
def on_disk() -> Iterator[pathlib.Path]:
    """Not in memory: writing is about the disk."""
    with tempfile.TemporaryDirectory(prefix="ckfs-bench-", dir="/var/tmp") as directory:
        yield pathlib.Path(directory)


def copy_and_sync(source: pathlib.Path, to: pathlib.Path) -> float:
    """Seconds of `cp` and of writing it to the disk; what was there before is gone."""
    to.unlink(missing_ok=True)
    os.sync()
    touch_memory(2 * LARGE)
    return run_quietly("sh", "-ec", 'cp "$0" "$1"; sync "$1"', str(source), str(to))


def copy(source: pathlib.Path, to: pathlib.Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        to.unlink()
    os.sync()
    touch_memory(2 * LARGE)
    return run_quietly("cp", str(source), str(to))


def large(bench) -> Iterator[Figure]:
    """`cp` of 1 GiB, an Arrow table as cachekit stores it, into frame/."""
    with on_disk() as directory:
        (directory / "cache").mkdir()
        stored = directory / "value"
        table = bench.table
        subprocess.run(["tail", "-c", "+15", table.cache / table.hash], stdout=open(stored, "wb"), check=True)
        with mounted([*bench.ckfs, "-o", "write", str(directory / "cache")], bench.scratch, {**os.environ, **ROOM}) as m:
            before = m.rss_anon()
            ours, plain = interleaved(bench.runs, lambda: copy(stored, m.path / "frame/key"), lambda: copy_and_sync(stored, directory / "plain"))
            grown = (m.rss_anon() - before) / (1 << 20)
        yield Figure("`cp` of 1 GiB into frame/ of a file cache, against `cp` to the same disk and fsync", ours, plain, goal=1.5)
        yield Figure("… daemon's private memory, growth kept", [grown], unit="MiB", goal=8, goal_is_ratio=False)


def write_file(path: pathlib.Path, value: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, value)
    finally:
        os.close(descriptor)


def small(bench) -> Iterator[Figure]:
    """2,000 values of 4 KiB, one by one, new and over what there is, against a SET of each."""
    names = [f"small:{i}" for i in range(SMALL_VALUES)]
    value = frame(SMALL_SIZE)
    null = [*bench.nullfs, "-o", f"names={SMALL_VALUES},size={SMALL_SIZE},timeout=0,default_permissions"]
    for where, placed in placements():
        ckfs = [*bench.ckfs, "-o", "write"]
        with placed(), serving() as server, mounted([*ckfs, f"unix://{server.socket}"], bench.scratch) as m, mounted(null, bench.scratch) as nullfs:
            there = os.listdir(nullfs.path)
            rounds = itertools.count()

            def files(directory: pathlib.Path, named: list[str]) -> float:
                return seconds(lambda: [write_file(directory / name, value) for name in named]) / len(named)

            def store(m: Mount = m) -> float:
                return files(m.path / "frame", names)

            def new(server: Server = server) -> float:
                server.client.flushdb()
                return store()

            def null_new(nullfs: Mount = nullfs, rounds: Iterator[int] = rounds) -> float:
                number = next(rounds)
                return files(nullfs.path, [f"{number}:{i}" for i in range(SMALL_VALUES)])

            sides = (
                new,
                store,
                lambda server=server: seconds(lambda: [server.client.set(name, value) for name in names]) / len(names),
                null_new,
                lambda nullfs=nullfs, there=there: files(nullfs.path, there),
            )
            fresh, over, client, null_fresh, null_over = interleaved(bench.runs, *sides)
        for what, ours, nothing in (("a new value of 4 KiB into frame/", fresh, null_fresh), ("a value of 4 KiB over another one", over, null_over)):
            yield Figure(f"Redis, {what}, against redis-py's SET{where}", ours, client, unit="µs", goal=2)
            both = [a + b for a, b in zip(nothing, client, strict=True)]
            yield Figure(f"… against the do-nothing filesystem and redis-py's SET, one after the other{where}", ours, both, unit="µs")
            yield Figure(f"for comparison: the do-nothing filesystem, {what}, against redis-py's SET{where}", nothing, client, unit="µs")


def named(bench) -> Iterator[Figure]:
    """`ls` of 100,000 entries whose files carry their keys, against the same names from a file of keys."""
    directories = {kind: bench.scratch / kind for kind in ("named", "unnamed")}
    keys = bench.scratch / "keys"
    keys.write_text("".join(f"ns:bench:func:app.load:args:{i:064x}:1s\n" for i in range(NAMES)))
    for kind, directory in directories.items():
        directory.mkdir()
        for i in range(NAMES):
            key = f"ns:bench:func:app.load:args:{i:064x}:1s".encode()
            path = directory / hashlib.blake2b(key, digest_size=16).hexdigest()
            path.write_bytes(b"CK\x01" + bytes(11) + b"x" * 100)
            if kind == "named":
                os.setxattr(path, "user.ckfs.key", key)

    def listed(kind: str, again: list[float]) -> float:
        options = [] if kind == "named" else ["-o", f"keys={keys}"]
        with mounted([*bench.ckfs, *options, str(directories[kind])], bench.scratch) as m:
            first = run_quietly("ls", "-f", str(m.path / "raw"))
            again.append(run_quietly("ls", "-f", str(m.path / "raw")))
        return first

    again: dict[str, list[float]] = {"named": [], "unnamed": []}
    first, plain = interleaved(bench.runs, lambda: listed("named", again["named"]), lambda: listed("unnamed", again["unnamed"]))
    yield Figure("`ls -f` of 100,000 files that carry their keys, against `-o keys=`, fresh mount", first, plain, goal=1.1)
    yield Figure("… again", again["named"], again["unnamed"], goal=1.1)
    for directory in directories.values():
        subprocess.run(["rm", "-r", directory], check=True)


ROWS = {"written-large": large, "written-small": small, "names": named}
