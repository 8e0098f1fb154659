"""The cold reads once more in memory that was never touched: what a user of a virtual machine has that gives its free memory back."""

from __future__ import annotations

import os
from collections.abc import Iterator

from harness import Figure, give_back_memory, interleaved, seconds
from served import LARGE, MIB, mount, read_file, serving


def untouched(bench) -> Iterator[Figure]:
    """Right before each read, free memory is given back to the host, where there is one that takes it."""
    buffer = bytearray(MIB)
    table = bench.table

    def file() -> float:
        with bench.mount(table.cache) as m:
            give_back_memory(table.size * 9 // 8)
            return seconds(lambda: read_file(m.path / table.hash, buffer))

    def plain() -> float:
        return seconds(lambda: read_file(table.plain, buffer))

    yield Figure("cold sequential read, root, in memory that was never touched, against the plain file", *interleaved(bench.runs, file, plain), goal=2.6)
    with serving() as server:
        server.client.set("large", (b"~" + os.urandom(MIB - 1)) * (LARGE // MIB))

        def fresh() -> float:
            with mount(bench, server) as m:
                give_back_memory(4 * LARGE)
                return seconds(lambda: read_file(m.path / "large", buffer))

        def get() -> float:
            give_back_memory(4 * LARGE)
            return seconds(lambda: server.client.get("large"))

        cold, client = interleaved(bench.runs, fresh, get)
    yield Figure("Redis, cold open and read of 256 MiB in memory that was never touched, against redis-py's GET", cold, client, goal=0.45)


ROWS = {"untouched": untouched}
