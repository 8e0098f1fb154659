"""§6 on a Redis server behind a slow network: large values take their time, and hold up nobody who wants little."""

import contextlib
import json
import signal
import subprocess
import time

import pytest

from caches import noise
from helpers import metadata, prefixed, v3
from redis_server import Proxy, db, server  # noqa: F401 - fixtures

MIB = 1 << 20
QUICK = 1e12


class Slow(Proxy):
    """Each connection brings so many bytes a second."""

    rate = QUICK

    def __init__(self, server):
        super().__init__(server)
        self.replies = self.slowly

    def slowly(self, data):
        for at in range(0, len(data), 4096):
            piece = data[at : at + 4096]
            time.sleep(len(piece) / self.rate)
            yield piece


@pytest.fixture
def slow(server):
    p = Slow(server)
    yield p
    p.close()


@contextlib.contextmanager
def at_work(*commands):
    """Commands that run all the while, and are interrupted then."""
    running = [subprocess.Popen([str(word) for word in c], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for c in commands]
    try:
        time.sleep(0.7)
        yield running
    finally:
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            process.wait(10)


def read_soon(path) -> bytes:
    return subprocess.run(["cat", path], stdout=subprocess.PIPE, check=True, timeout=4).stdout


@pytest.fixture
def many(db) -> list[str]:
    """Large values, more than there are cores, if those are few."""
    names = [f"big{n}" for n in range(16)]
    db.mset(dict.fromkeys(names, noise(8 * MIB)))
    return names


@contextlib.contextmanager
def fetching(slow, m, names):
    """Opens of large values take a quarter of a minute."""
    slow.rate = MIB / 2
    with at_work(*(["cat", m / name] for name in names)) as running:
        yield running


def are_waiting(running) -> bool:
    return all(process.poll() is None for process in running)


def test_a_small_fetch_does_not_wait_for_large_ones(slow, db, many, mount):
    """One that is too large to come with its lookup."""
    value = noise(70_000)
    db.set("small", value)
    m = mount(slow.url)
    with fetching(slow, m, many[:8]) as running:
        assert read_soon(m / "small") == value
        assert are_waiting(running)


def test_a_decoding_does_not_wait_for_large_fetches(slow, db, many, mount):
    """Of what is at hand: to compare its checksum takes no network."""
    document = json.dumps(["v" * 2 * MIB]).encode()
    db.set("doc", v3(prefixed(document), metadata("orjson"), "orjson"))
    m = mount(slow.url)
    with open(m / "raw/doc", "rb"), fetching(slow, m, many[:8]) as running:
        assert read_soon(m / "json/doc.json") == document
        assert are_waiting(running)


def test_fetches_that_are_interrupted_make_room_for_others(slow, db, many, mount):
    value = noise(MIB)
    db.set("next", value)
    m = mount(slow.url)
    with fetching(slow, m, many) as running:
        assert are_waiting(running)
    slow.rate = QUICK
    assert read_soon(m / "next") == value


def test_a_mount_ends_while_values_are_fetched(slow, many, mount):
    """More than are fetched at once."""
    m = mount(slow.url)
    with fetching(slow, m, many) as running:
        assert are_waiting(running)
        start = time.monotonic()
        m.unmount()
        assert time.monotonic() - start < 4
