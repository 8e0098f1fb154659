"""A row of the CacheKit service: small values as files, against curl that asks for them over one connection."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

from harness import Figure, interleaved, mounted, seconds
from served import placements, read_file

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "support"))

VALUES = 100
SIZE = 4096


def serve(sender) -> None:
    """The service of the tests, in a process of its own: until that is ended."""
    from http_service import HttpService, Pki, Stored

    pki = Pki()
    service = HttpService(pki)
    service.data = {f"small:{i}": Stored(b"~" + os.urandom(SIZE - 1)) for i in range(VALUES)}
    sender.send((service.url, pki.env))
    sender.recv()
    pki.remove()


@contextlib.contextmanager
def serving() -> Iterator[tuple[str, dict[str, str]]]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(there,))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send(None)
        process.join(10)
        process.kill()


def curl(url: str, env: dict[str, str]) -> float:
    """Seconds that the transfers take, connecting included, but not the start of the program."""
    headers = ["-H", f"Authorization: Bearer {env['CACHEKIT_API_KEY']}", "-H", "X-CacheKit-L1-Status: disabled"]
    words = ["curl", "-s", "--http1.1", "--cacert", env["SSL_CERT_FILE"], *headers, "-w", "%{time_total}\n", "-o", "/dev/null"]
    urls = [f"{url}/v1/cache/small%3A{i}" for i in range(VALUES)]
    return sum(map(float, subprocess.check_output([*words, urls[0], *(word for other in urls[1:] for word in ("-o", "/dev/null", other))], text=True).split()))


def small(bench) -> Iterator[Figure]:
    """open + read + close of each on a fresh mount, and what of that is the way through the kernel."""
    buffer = bytearray(2 * SIZE)
    for where, placed in placements():
        with placed(), serving() as (url, env):

            def read_all(paths: list[pathlib.Path]) -> float:
                return seconds(lambda: [read_file(path, buffer) for path in paths]) / VALUES

            def files(url: str = url, env: dict[str, str] = env) -> float:
                with mounted([*bench.ckfs, url], bench.scratch, {**os.environ, **env}) as m:
                    return read_all([m.path / f"small:{i}" for i in range(VALUES)])

            def null() -> float:
                with bench.mount_null(names=VALUES, size=SIZE, timeout=0) as nullfs:
                    return read_all([nullfs.path / name for name in os.listdir(nullfs.path)])

            ours, theirs, nothing = interleaved(bench.runs, files, lambda url=url, env=env: curl(url, env) / VALUES, null)
        what, baseline = f"open + read + close of {VALUES} values of 4 KiB", f"against curl over one connection{where}"
        yield Figure(f"CacheKit service, {what}, fresh mount, {baseline}", ours, theirs, unit="µs", goal=1.2)
        both = [a + b for a, b in zip(nothing, theirs, strict=True)]
        yield Figure(f"for comparison: {what} in the do-nothing filesystem, without a service, and curl, one after the other, {baseline}", both, theirs, unit="µs")


ROWS = {"http-small": small}
