"""Rows of the commands that need no mount: a large table to a pipe, and names."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import material
from harness import Figure, interleaved, run_quietly
from served import KEYS, serving

NAMES = 100_000

# A reader that does nothing but read. The figures include it, on both sides.
TO_READER = '"$@" | cat >/dev/null'


def to_reader(*command: str) -> float:
    """Seconds until a reader at the other end of a pipe has had all of it."""
    return run_quietly("sh", "-c", TO_READER, "sh", *command)


def cat(bench) -> Iterator[Figure]:
    """A plain Arrow table to a pipe, against `cat` of the same bytes."""
    table = bench.table
    ours = [bench.ckfs[0], "cat", str(table.cache), f"arrow/{table.hash}"]
    checked, unchecked, plain = interleaved(
        bench.runs,
        lambda: to_reader(*ours),
        lambda: to_reader(*ours[:2], "-o", "verify=never", *ours[2:]),
        lambda: to_reader("cat", str(table.plain)),
    )
    yield Figure("`ckfs cat arrow/` to a pipe, with its verification, against `cat` of the same bytes", checked, plain, goal=1.3)
    yield Figure("… with `-o verify=never`", unchecked, plain, goal=1.3)


def ls(bench) -> Iterator[Figure]:
    """100,000 names: of a cache directory against `ls -f` of it, of a Redis server against its own client."""
    cache: pathlib.Path = bench.scratch / "listed"
    material.make_entries(cache, NAMES, b"\x00" * 100)
    names, native, known, looked = interleaved(
        bench.runs,
        lambda: run_quietly(bench.ckfs[0], "ls", str(cache)),
        lambda: run_quietly("ls", "-f", str(cache)),
        lambda: run_quietly(bench.ckfs[0], "ls", "-l", str(cache)),
        lambda: run_quietly("ls", "-l", str(cache)),
    )
    yield Figure("`ckfs ls` of 100,000 entries, against `ls -f` of the directory", names, native)
    yield Figure("`ckfs ls -l`, against `ls -l` of the directory", known, looked)
    with serving() as server:
        for i in range(0, KEYS, 10_000):
            server.client.mset({f"ns:bench:func:app.load:args:{n}": b"\x00" * 100 for n in range(i, i + 10_000)})
        names, scan = interleaved(
            bench.runs,
            lambda: run_quietly(bench.ckfs[0], "ls", f"unix://{server.socket}"),
            lambda: run_quietly("redis-cli", "-s", str(server.socket), "--scan"),
        )
    yield Figure("Redis, `ckfs ls` of 100,000 keys, against `redis-cli --scan`", names, scan)


ROWS = {"cat": cat, "ls": ls}
