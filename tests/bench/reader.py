"""A process of its own that writes or reads the table, so that its peak memory can be told.

    reader.py make CACHE --size BYTES     cachekit stores the table (--columns, --batches)
    reader.py sdk CACHE                   cachekit reads it back and sums one column
    reader.py map FILE                    pyarrow.memory_map, and the same sum

The reading ones print one line of JSON: seconds (imports not counted), how far the
resident memory (peak_rss) and its private part without mapped files (peak_private) grew
at most, in bytes, and the sum.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import time

COLUMNS = 8
COLUMN = "c3"
KEY = "bench:table"


def cached_table(cache: str, produce):
    """cachekit's own decorator over a file backend, Arrow stored plain, without its L1."""
    os.environ.setdefault("CACHEKIT_MAX_VALUE_SIZE", str(1 << 40))
    from cachekit import cache as decorate
    from cachekit.backends.file import FileBackend
    from cachekit.backends.file.config import FileBackendConfig
    from cachekit.serializers.arrow_serializer import ArrowSerializer

    config = FileBackendConfig(cache_dir=pathlib.Path(cache), max_size_mb=200_000, max_value_mb=50_000)
    serializer = ArrowSerializer(compression=None, return_format="arrow")

    @decorate(backend=FileBackend(config), serializer=serializer, ttl=30 * 86400, l1_enabled=False, namespace="bench")
    def table():
        return produce()

    return table


def make(cache: str, size: int, columns: int, batches: int) -> None:
    import numpy
    import pyarrow

    rows = size // (8 * columns)
    random = numpy.random.default_rng(1)

    def table():
        whole = pyarrow.table({f"c{i}": random.random(rows) for i in range(columns)})
        return pyarrow.Table.from_batches(whole.to_batches(max_chunksize=-(-rows // batches)))

    cached_table(cache, table)()
    if not os.listdir(cache):
        raise SystemExit("cachekit stored nothing")


def column_sum(table) -> float:
    import pyarrow.compute

    return pyarrow.compute.sum(table[COLUMN]).as_py()


def not_cached():
    raise SystemExit("cachekit did not find its own entry")


def read_with_sdk(cache: str) -> float:
    return column_sum(cached_table(cache, not_cached)())


def read_mapped(path: str) -> float:
    import pyarrow

    with pyarrow.memory_map(path) as source:
        return column_sum(pyarrow.ipc.open_file(source).read_all())


def measure(read, argument: str) -> None:
    import cachekit.backends.file  # noqa: F401
    import cachekit.serializers.arrow_serializer  # noqa: F401
    import pyarrow.compute  # noqa: F401
    from cachekit import cache  # noqa: F401  imports are no part of either time
    from harness import Peak, status_bytes

    private_before = status_bytes("self", "RssAnon")
    resident_before = status_bytes("self", "VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here, not from the imports
    with Peak(lambda: status_bytes("self", "RssAnon")) as private:
        start = time.perf_counter()
        result = read(argument)
        elapsed = time.perf_counter() - start
    grown = {
        "peak_rss": status_bytes("self", "VmHWM") - resident_before,
        "peak_private": private.value - private_before,
    }
    print(json.dumps({"seconds": elapsed, "sum": result, **grown}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=("make", "sdk", "map"))
    parser.add_argument("path")
    parser.add_argument("--size", type=int, default=1 << 30)
    parser.add_argument("--columns", type=int, default=COLUMNS)
    parser.add_argument("--batches", type=int, default=1)
    args = parser.parse_args()
    if args.action == "make":
        make(args.path, args.size, args.columns, args.batches)
    else:
        measure(read_with_sdk if args.action == "sdk" else read_mapped, args.path)


if __name__ == "__main__":
    main()
