"""§5 of the contract holds for whoever calls: also for callers of whom the daemon knows nothing, not even a pid."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

import pytest

from commands import command  # noqa: F401 - a fixture

# Opens what listings show, and says of each what it saw: by name, the number that was set before, and the number found.
READER = """
import os, pathlib, struct, sys, threading, time

point, published = pathlib.Path(sys.argv[1]), open(sys.argv[2], "rb", buffering=0)
end, enough, wrong, opens = time.monotonic() + float(sys.argv[3]), int(sys.argv[4]), [], [0]

def goes_on():
    return opens[0] < 170 or time.monotonic() < end and opens[0] < enough

def least():
    return struct.unpack(">Q", os.pread(published.fileno(), 8, 0))[0]

def walk():
    while goes_on():
        for entry in os.scandir(point):
            try:
                entry.stat()
            except FileNotFoundError:
                pass

def look(name):
    while goes_on():
        before = least()
        try:
            with open(point / name, "rb", buffering=0) as file:
                content = file.read(1 << 20)
            n = struct.unpack(">Q", content[:8])[0]
            if n < before or content != content[:8] * (len(content) // 8):
                wrong.append(f"{n} after {before}")
        except OSError as e:
            wrong.append(repr(e))
        opens[0] += 1

threads = [threading.Thread(target=walk) for _ in range(2)] + [threading.Thread(target=look, args=(name,)) for name in sys.argv[5:] * 3]
[t.start() for t in threads]
[t.join() for t in threads]
print(opens[0])
sys.exit("\\n".join(wrong[:5]) if wrong else 0)
"""

NAMES = ["a", "b", "c", "d"]
SECONDS, OPENS = 5, 1500  # of each reader: whichever is over first, but for a few opens


def version(n: int, size: int) -> bytes:
    return n.to_bytes(8, "big") * (size // 8)


@contextlib.contextmanager
def overwriting(cache, published, size):
    """Overwrites all keys again and again, and tells in the file `published` which number all have by now."""
    done = threading.Event()

    def overwrite():
        n = 0
        with open(published, "r+b", buffering=0) as file:
            while not done.is_set():
                n += 1
                for name in NAMES:
                    cache.write(name, version(n, size))
                os.pwrite(file.fileno(), n.to_bytes(8, "big"), 0)
                time.sleep(0.001)

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize("size", [800, 160_000])
@pytest.mark.parametrize("inside", [["unshare", "--pid", "--fork", "--kill-child"], []], ids=["out of sight", "in sight"])
def test_no_open_that_races_with_a_writer_is_stale_whoever_opens(command, cache, inside, size):  # noqa: F811
    """The daemon is in a pid namespace of its own: to it, all who are outside have the same pid, which is none."""
    published = command.tmp / "published"
    published.write_bytes(bytes(8))
    for name in NAMES:
        cache.write(name, version(0, size))
    command.start(command.source, command.point, program=[*inside, command.ckfs])
    args = [sys.executable, "-c", READER, command.point, published, str(SECONDS), str(OPENS), *[cache.listed(name) for name in NAMES]]
    with overwriting(cache, published, size):
        readers = [subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        told = [reader.communicate() for reader in readers]
    assert [errors for _, errors in told] == [""] * 3
    assert sum(int(opens) for opens, _ in told) > 500
