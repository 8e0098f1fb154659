"""How fast a mounted cache is, next to what one would use without it.

    python tests/bench/bench.py --ckfs build/ckfs --nullfs build/tests/bench/nullfs

Prints a Markdown table of medians (lowest–highest). See README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile

from harness import HEAD, machine
from rows import ROWS, Bench

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(text: str) -> int:
    """Bytes of `1G`, `256M`, `4096`."""
    found = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: give a number and K, M or G")
    return int(found[1]) * UNITS[found[2]]


def rows(text: str) -> list[str]:
    chosen = text.split(",")
    for name in chosen:
        if name not in ROWS:
            raise argparse.ArgumentTypeError(f"{name!r} is no row: there are {', '.join(ROWS)}")
    return chosen


def program(text: str) -> str:
    path = os.path.abspath(text)
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{text}: build it first (meson setup build -Dbench=enabled && ninja -C build)")
    return path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckfs", type=program, default="build/ckfs", help="the program (%(default)s)")
    parser.add_argument("--nullfs", type=program, default="build/tests/bench/nullfs", help="the baseline (%(default)s)")
    parser.add_argument("--looks", type=program, default="build/tests/bench/looks", help="the calls of a first listing (%(default)s)")
    parser.add_argument("--rows", type=rows, default=list(ROWS), metavar=",".join(ROWS), help="only these rows")
    parser.add_argument("--size", type=size, default=1 << 30, help="size of the table (1G)")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (%(default)s)")
    parser.add_argument("--dir", type=pathlib.Path, help="where the caches are made (/dev/shm if there is one)")
    parser.add_argument("-o", dest="options", action="append", default=[], help="a mount option for ckfs")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    where = args.dir or pathlib.Path("/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that mounts and files go then, too
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-bench-", dir=where))
    ckfs = [args.ckfs, "-f"]
    for option in args.options:
        ckfs += ["-o", option]
    bench = Bench(ckfs, [args.nullfs, "-f"], args.looks, scratch, args.size, args.runs)
    try:
        print(f"{machine(scratch)}; load {os.getloadavg()[0]:.1f} at the start\n\n{HEAD}", flush=True)
        for name in args.rows:
            for figure in ROWS[name](bench):
                print(figure.row(), flush=True)
        print(f"\nload {os.getloadavg()[0]:.1f} at the end; medians of {args.runs} (lowest–highest)")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
