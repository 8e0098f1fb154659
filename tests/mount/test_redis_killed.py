"""§6: a lost server is reconnected to. A connection that ends, before or within a reply, is asked for again: nobody notices."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time

import pytest

from garbling import garbler  # noqa: F401 - a fixture
from helpers import failure, read, xattrs
from redis_server import server  # noqa: F401 - fixtures
from waiting import taking

SIZES = {"small": 100, "middle": 5000, "large": 400_000}


@pytest.fixture
def db(server):  # noqa: F811
    client = server.client()
    for key, size in SIZES.items():
        client.set(key, key.encode()[:1] * size)
    return client


def tour(mnt) -> None:
    for key, size in SIZES.items():
        assert read(mnt / key) == key.encode()[:1] * size
        assert os.stat(mnt / key).st_size == size
        assert xattrs(mnt / key)["key"] == key.encode()
    assert failure(mnt / "absent") == "ENOENT"
    assert {e.name for e in os.scandir(mnt / "raw")} == set(SIZES)
    assert {e.name: e.stat().st_size for e in os.scandir(mnt / "raw")} == SIZES
    os.statvfs(mnt)


@pytest.mark.parametrize("part", ["before", "within", "at the end of"])
def test_connections_that_end_with_a_reply_of_twelve(garbler, db, mount, part):  # noqa: F811
    m = mount(garbler.url)
    chance = random.Random(part)

    def change(words, reply):
        if words is None or words[0] in (b"SELECT", b"CLIENT", b"HELLO") or chance.randrange(12):
            return reply
        return [reply[: {"before": 0, "within": len(reply) // 2, "at the end of": len(reply) - 1}[part]], None]

    garbler.change = change
    for _ in range(10):
        tour(m)


def test_connections_that_end_while_they_are_set_up(garbler, db, mount):  # noqa: F811
    m = mount(garbler.url)
    # One of more commands than a connection is set up with: else each connection may end at the same one.
    count = itertools.count()
    garbler.change = lambda words, reply: reply if words is None or words[0] not in (b"SELECT", b"CLIENT", b"HELLO") or next(count) % 11 else [None]
    for _ in range(12):
        garbler.cut()
        tour(m)


def test_a_server_that_kills_connections_all_the_time(server, db, mount):  # noqa: F811
    m = mount(server.url)
    ended = threading.Event()

    def kill() -> None:
        with server.client() as client:
            while not ended.wait(0.003):
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            tour(m)
    finally:
        ended.set()
        killer.join()


def test_one_that_ends_all_of_them_is_eio_within_the_timeout(garbler, db, mount):  # noqa: F811
    m = mount(garbler.url, "timeout=1")
    garbler.change = lambda words, reply: [None]
    garbler.cut()
    with taking():
        assert failure(m / "small") == "EIO"
    garbler.change = None
    garbler.cut()
    tour(m)
