"""The rows of the bench: each is a function of a Bench that yields Figures."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator

import decoded
import material
import memcached
import served
import service
import untouched
import without_mount
import written
from harness import READ_AHEAD_KB, Figure, Mount, Peak, interleaved, mounted, names_length, one_cpu, run_quietly, seconds, set_read_ahead, sum_columns, touch_memory

MIB = 1 << 20
NAMES = 100_000
SMALL_ENTRIES = 2000
SMALL_SIZE = 4096


@dataclasses.dataclass
class Bench:
    """What every row needs: the programs, a scratch directory, and how much to do."""

    ckfs: list[str]
    nullfs: list[str]
    looks: str
    scratch: pathlib.Path
    size: int
    runs: int

    @functools.cached_property
    def table(self) -> material.Table:
        return material.make_table(self.scratch, self.size)

    def mount(self, cache: pathlib.Path, *options: str) -> contextlib.AbstractContextManager[Mount]:
        return mounted([*self.ckfs, *options, str(cache)], self.scratch)

    def mount_null(self, **options: int | str) -> contextlib.AbstractContextManager[Mount]:
        settings = ",".join(f"{name}={value}" for name, value in options.items())
        return mounted([*self.nullfs, "-o", settings], self.scratch)

    def arrow(self, mount: Mount) -> pathlib.Path:
        return mount.path / "arrow" / f"{self.table.hash}.arrow"


def read_all(path: pathlib.Path) -> float:
    """Seconds to read an open file from end to end, 1 MiB at a time into one buffer."""
    buffer = bytearray(MIB)
    descriptor = os.open(path, os.O_RDONLY)
    try:

        def read() -> None:
            while os.readv(descriptor, [buffer]):
                pass

        return seconds(read)
    finally:
        os.close(descriptor)


def memory(bench: Bench) -> Iterator[Figure]:
    """Private memory of the daemon while one table is read in two views and mapped."""
    peaks, kept = [], []
    for _ in range(bench.runs):
        with bench.mount(bench.table.cache) as mount:
            before = mount.rss_anon()
            with Peak(mount.rss_anon) as peak:
                read_all(mount.path / bench.table.hash)
                read_all(bench.arrow(mount))
                sum_columns(bench.arrow(mount))
            peaks.append((peak.value - before) / MIB)
            kept.append((mount.rss_anon() - before) / MIB)
    yield Figure("daemon's private memory, growth at most", peaks, unit="MiB", goal=8, goal_is_ratio=False)
    yield Figure("daemon's private memory, growth kept", kept, unit="MiB", goal=8, goal_is_ratio=False)


def warm(bench: Bench) -> Iterator[Figure]:
    """What the kernel has cached, against the same bytes in a plain file."""
    plain = bench.table.plain
    with bench.mount(bench.table.cache) as mount:
        arrow, root = bench.arrow(mount), mount.path / bench.table.hash
        for path in (root, arrow, plain):
            read_all(path)
            read_all(path)
        sums = interleaved(bench.runs, lambda: sum_columns(arrow), lambda: sum_columns(plain))
        yield Figure("warm `memory_map`, sum of all columns", *sums, goal=1.2)
        reads = interleaved(bench.runs, lambda: read_all(arrow), lambda: read_all(plain), lambda: read_all(root))
        yield Figure("warm sequential read, `arrow/`", reads[0], reads[1], goal=1.4)
        yield Figure("warm sequential read, root", reads[2], reads[1], goal=1.4)


def cold(bench: Bench) -> Iterator[Figure]:
    """A fresh mount each time, the backing file in memory; the do-nothing filesystem shows FUSE's own share."""
    plain = bench.table.plain
    read_all(plain)

    def fresh(measure, verified: bool = False) -> float:
        with bench.mount(bench.table.cache) as mount:
            if verified:
                os.close(os.open(bench.arrow(mount), os.O_RDONLY))
            touch_memory(bench.table.size * 9 // 8)
            return measure(mount)

    def read_null(**options: int | str) -> float:
        with bench.mount_null(names=1, **options) as mount:
            set_read_ahead(mount.path, READ_AHEAD_KB)
            touch_memory(bench.table.size * 9 // 8)
            return read_all(next(mount.path.iterdir()))

    def open_and_read(path: pathlib.Path) -> float:
        return seconds(lambda: read_all(path))

    root, arrow, whole, null, copied, native = interleaved(
        bench.runs,
        lambda: fresh(lambda mount: read_all(mount.path / bench.table.hash)),
        lambda: fresh(lambda mount: read_all(bench.arrow(mount)), verified=True),
        lambda: fresh(lambda mount: open_and_read(bench.arrow(mount))),
        lambda: read_null(size=bench.table.size),
        lambda: read_null(file=str(plain)),
        lambda: read_all(plain),
    )
    yield Figure("cold sequential read, root", root, native, goal=2.2)
    yield Figure("cold sequential read, `arrow/`, verified before", arrow, native, goal=2.2)
    yield Figure("cold sequential read, `arrow/`, with its verification", whole, native)
    yield Figure("for comparison: root against zeros from the do-nothing filesystem", root, null)
    yield Figure("for comparison: zeros from the do-nothing filesystem, against the plain file", null, native)
    yield Figure("for comparison: the plain file's bytes from the do-nothing filesystem, against the plain file", copied, native)
    yield Figure("root against the plain file's bytes from the do-nothing filesystem", root, copied)
    sums = interleaved(
        bench.runs,
        lambda: fresh(lambda mount: sum_columns(bench.arrow(mount)), verified=True),
        lambda: sum_columns(plain),
        lambda: fresh(lambda mount: sum_columns(bench.arrow(mount))),
    )
    yield Figure("cold `memory_map`, sum of all columns, verified before", sums[0], sums[1])
    yield Figure("cold `memory_map`, sum of all columns, with its verification", sums[2], sums[1])


def column(bench: Bench) -> Iterator[Figure]:
    """One of 32 columns of a table in 128 batches, mapped on a fresh mount: what a reader pays for what it does not look at."""
    where = bench.scratch / "columns"
    table = material.make_table(where, bench.size, "--columns", "32", "--batches", "128")
    read: list[float] = []

    def mapped(path: pathlib.Path) -> float:
        return json.loads(subprocess.check_output([sys.executable, str(material.READER), "map", str(path)]))["seconds"]

    def fresh(*options: str) -> float:
        with mounted([*bench.ckfs, *options, str(table.cache)], bench.scratch) as mount:
            took = mapped(mount.path / "arrow" / f"{table.hash}.arrow")
            if options:
                read.append(read_bytes(mount) / (table.size / 32))
            return took

    def null() -> float:
        with bench.mount_null(names=1, file=table.plain) as nullfs:
            return mapped(next(nullfs.path.iterdir()))

    checked, unchecked, native, floor, hashed = interleaved(
        bench.runs,
        fresh,
        lambda: fresh("-o", "verify=never"),
        lambda: mapped(table.plain),
        null,
        lambda: run_quietly("xxhsum", "-H3", str(table.plain)),
    )

    def opened() -> float:
        with bench.mount(table.cache, "-o", "verify=never") as mount:
            return seconds(lambda: open_mapped(mount.path / "arrow" / f"{table.hash}.arrow"))

    def null_opened() -> float:
        with bench.mount_null(names=1, file=table.plain) as nullfs:
            [path] = nullfs.path.iterdir()
            return seconds(lambda: open_mapped(path))

    open_mapped(table.plain)  # what is loaded at the first time counts nowhere
    alone, native_alone, null_alone = interleaved(bench.runs, opened, lambda: seconds(lambda: open_mapped(table.plain)), null_opened)
    shutil.rmtree(where)
    yield Figure("one of 32 columns mapped, fresh mount, with its verification", checked, native, goal=7)
    yield Figure("for comparison: the hash of the plain file (`xxhsum -H3`), against the plain file", hashed, native)
    yield Figure("one of 32 columns mapped, fresh mount, `verify=never`", unchecked, native, goal=3 if bench.size > 512 * MIB else 4)
    yield Figure("for comparison: the same of the plain file's bytes from the do-nothing filesystem, against the plain file", floor, native)
    yield Figure("… and what the daemon was asked for, in times of the column's bytes", read, unit="times", goal=2.2 if bench.size > 512 * MIB else 3, goal_is_ratio=False)
    yield Figure("the table opened alone, fresh mount, `verify=never`", alone, native_alone, goal=0.015, goal_is_ratio=False)
    yield Figure("for comparison: the plain file's bytes from the do-nothing filesystem, opened alone", null_alone, native_alone)


def open_mapped(path: pathlib.Path) -> None:
    """Maps a table and reads where all its columns are, and none of them."""
    import pyarrow

    with pyarrow.memory_map(str(path)) as source:
        pyarrow.ipc.open_file(source).read_all()


def read_bytes(mount: Mount) -> int:
    text = (mount.path / ".ckfs" / "stats").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("ckfs_read_bytes_total "))


def listing(bench: Bench) -> Iterator[Figure]:
    """A directory of 100,000 entries, against as many names that cost nothing, and the directory itself."""
    cache = bench.scratch / "names"
    material.make_entries(cache, NAMES, b"\x00" * 100)

    def on_fresh_mounts(*command: str) -> tuple[list[list[float]], list[list[float]]]:
        """[first, second] times of a command, for ckfs and for the do-nothing filesystem."""
        ours: list[list[float]] = [[], []]
        null: list[list[float]] = [[], []]
        for _ in range(bench.runs):
            with bench.mount(cache) as ckfs, bench.mount_null(names=NAMES) as nullfs:
                for again in (0, 1):
                    ours[again].append(run_quietly(*command, str(ckfs.path)))
                    null[again].append(run_quietly(*command, str(nullfs.path)))
        return ours, null

    for where, placed in ((", all on one CPU", one_cpu), ("", contextlib.nullcontext)):
        with placed():
            ours, null = on_fresh_mounts("ls", "-l")
        yield Figure(f"`ls -l` of 100,000, fresh mount{where}", ours[0], null[0], goal=1.3)
        yield Figure(f"`ls -l` of 100,000, again{where}", ours[1], null[1], goal=1.3)

    def on_fresh_mount(*command: str, options: tuple[str, ...] = ()) -> float:
        with bench.mount(cache, *options) as mount:
            return run_quietly(*command, str(mount.path))

    def on_null(*command: str, **options: int) -> float:
        with bench.mount_null(names=NAMES, **options) as nullfs:
            return run_quietly(*command, str(nullfs.path))

    def looks_and_null(*command: str, **options: int) -> float:
        return run_quietly(bench.looks, str(len(os.sched_getaffinity(0))), str(cache)) + on_null(*command, **options)

    with bench.mount(cache) as mount:
        attributes = names_length(next(entry.path for entry in os.scandir(mount.path / "raw") if entry.is_file()))
    for where, placed in ((", all on one CPU", one_cpu), ("", contextlib.nullcontext)):
        with placed():
            fresh, native, floor = interleaved(
                bench.runs, lambda: on_fresh_mount("ls", "-f"), functools.partial(run_quietly, "ls", "-f", str(cache)), lambda: looks_and_null("ls", "-f")
            )
            long, short, plain, null, bare = interleaved(
                bench.runs,
                lambda: on_fresh_mount("ls", "-l"),
                lambda: on_fresh_mount("ls", "-l", options=("-o", "noxattr")),
                functools.partial(run_quietly, "ls", "-l", str(cache)),
                lambda: looks_and_null("ls", "-l", attributes=attributes),
                lambda: looks_and_null("ls", "-l", noxattr=1),
            )
        yield Figure(f"`ls -f`, fresh mount, against the native directory{where}", fresh, native, goal=3)
        yield Figure(f"for comparison: a program with no more than the calls that it takes, and then `ls -f` of the do-nothing filesystem{where}", floor, native)
        yield Figure(f"`ls -l`, fresh mount, against the native directory{where}", long, plain, goal=4)
        yield Figure(f"for comparison: a program with no more than the calls that it takes, and then `ls -l` of the do-nothing filesystem with as many attributes{where}", null, plain)
        yield Figure(f"`ls -l` with `noxattr`, fresh mount, against the native directory{where}", short, plain, goal=2.5)
        yield Figure(f"for comparison: that program, and then `ls -l` of the do-nothing filesystem without attributes{where}", bare, plain)

    with bench.mount(cache) as mount, bench.mount_null(names=NAMES) as nullfs:
        for path in (mount.path, nullfs.path, cache):
            run_quietly("ls", "-f", str(path))
        for command, goal in ((["ls", "-f"], 3), (["find", "-maxdepth", "1", "-size", "+0"], None), (["ls", "--color=always"], None)):
            on = [_command_at(command, path) for path in (mount.path, cache, nullfs.path)]
            times = interleaved(bench.runs, *(functools.partial(run_quietly, *c) for c in on))
            name = " ".join(command)
            yield Figure(f"`{name}` against the native directory", times[0], times[1], goal=goal)
            yield Figure(f"`{name}` against the do-nothing filesystem", times[0], times[2])


def _command_at(command: list[str], path: pathlib.Path) -> list[str]:
    """find takes its place first, ls last."""
    if command[0] == "find":
        return ["find", str(path), *command[1:]]
    return [*command, str(path)]


def open_table(bench: Bench) -> Iterator[Figure]:
    """`pyarrow.memory_map` and one column, against cachekit's own read of the entry; a fresh process each."""
    table = bench.table
    names = ("first", "later", "sdk", "plain")
    results: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(bench.runs):
        with bench.mount(table.cache) as mount:
            for name in ("first", "later"):
                results[name].append(_read_in_child("map", bench.arrow(mount)))
            results["sdk"].append(_read_in_child("sdk", table.cache))
            results["plain"].append(_read_in_child("map", table.plain))
    sums = {result["sum"] for side in results.values() for result in side}
    assert len(sums) == 1, f"the readers do not agree: {sums}"

    def column(side: str, field: str, scale: float = 1) -> list[float]:
        return [result[field] / scale for result in results[side]]

    sdk = column("sdk", "seconds")
    yield Figure("open and one column, first (verifies), against cachekit's read", column("first", "seconds"), sdk)
    yield Figure("open and one column, later, against cachekit's read", column("later", "seconds"), sdk)
    yield Figure(
        "open and one column, later, against the plain file", column("later", "seconds"), column("plain", "seconds")
    )
    for field, what in (("peak_private", "private"), ("peak_rss", "resident, mapped pages counted")):
        yield Figure(
            f"reader's memory, {what}, against cachekit's read",
            column("later", field, MIB),
            column("sdk", field, MIB),
            unit="MiB",
        )


def _read_in_child(action: str, path: pathlib.Path) -> dict:
    done = subprocess.run(
        [sys.executable, str(material.READER), action, str(path)], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def small(bench: Bench) -> Iterator[Figure]:
    """open + read + close of many small entries, all cached; everything on one CPU."""
    cache, plain = bench.scratch / "small", bench.scratch / "small-plain"
    payload = b"x" * SMALL_SIZE
    hashes = material.make_entries(cache, SMALL_ENTRIES, payload)
    material.make_files(plain, hashes, payload)

    def each(directory: pathlib.Path, names: list[str]) -> float:
        def read() -> None:
            for name in names:
                descriptor = os.open(directory / name, os.O_RDONLY)
                os.read(descriptor, 2 * SMALL_SIZE)
                os.close(descriptor)

        return seconds(read) / len(names)

    null_options = {"names": SMALL_ENTRIES, "size": SMALL_SIZE, "timeout": 0}
    with one_cpu(), bench.mount(cache) as mount, bench.mount_null(**null_options) as nullfs:
        null_names = os.listdir(nullfs.path)
        first = each(mount.path, hashes)
        each(nullfs.path, null_names)
        each(plain, hashes)
        times = interleaved(
            bench.runs,
            lambda: each(mount.path, hashes),
            lambda: each(plain, hashes),
            lambda: each(nullfs.path, null_names),
        )
    yield Figure("open + read + close of 4 KiB, against native files", times[0], times[1], unit="µs")
    yield Figure("open + read + close of 4 KiB, against the do-nothing filesystem", times[0], times[2], unit="µs")
    yield Figure("open + read + close of 4 KiB, first time", [first], [statistics.median(times[1])], unit="µs")


ROWS = {
    "memory": memory,
    "warm": warm,
    "cold": cold,
    "column": column,
    "listing": listing,
    "open": open_table,
    "small": small,
    **decoded.ROWS,
    **served.ROWS,
    **written.ROWS,
    **memcached.ROWS,
    **service.ROWS,
    **without_mount.ROWS,
    **untouched.ROWS,
}
