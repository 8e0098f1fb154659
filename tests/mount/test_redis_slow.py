"""§6 on a Redis server behind a slow network: large values take their time, and hold up nobody who wants little."""

import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

from caches import noise
from helpers import failure, metadata, prefixed, v3
from redis_server import Proxy, db, in_front_of_the_server, server  # noqa: F401 - fixtures
from waiting import PATIENCE, SOON, all_wait, taking, until

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


slow = in_front_of_the_server(Slow)


@contextlib.contextmanager
def at_work(*commands):
    """Commands that run all the while, and are interrupted then."""
    running = [subprocess.Popen([str(word) for word in c], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for c in commands]
    try:
        assert all_wait(*running)
        yield running
    finally:
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            process.wait(PATIENCE)


def read_soon(path) -> bytes:
    return subprocess.run(["cat", path], stdout=subprocess.PIPE, check=True, timeout=SOON).stdout


@pytest.fixture
def many(db) -> list[str]:
    """Large values, more than there are cores, if those are few."""
    names = [f"big{n}" for n in range(16)]
    db.mset(dict.fromkeys(names, noise(8 * MIB)))
    return names


@contextlib.contextmanager
def fetching(slow, m, names):
    """Opens of large values take a minute."""
    slow.rate = MIB / 8
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
        with taking():
            m.unmount()


def test_who_went_away_leaves_no_one_waiting(slow, db, many, mount):
    """Where nothing is announced a lookup reads all of a value, over as many connections as there are."""
    db.set("small", b"v")
    db.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection", "-client|tracking")
    m = mount(slow.url.replace("//", "//reader:pw@"), "timeout=60")
    os.stat(m)
    slow.rate = MIB / 8
    with at_work(*(["stat", m / name] for name in many)) as looking:
        assert all(process.poll() is None for process in looking)
    with taking():
        assert os.stat(m / "small").st_size == 1


@pytest.fixture
def lent(slow, db, mount):
    """
    A mount where nothing is announced, so that an open reads the value whole to tell which one it is: as many do so as there are
    connections, for longer than the timeout.
    """
    names = [f"big{n}" for n in range(16)]
    db.mset(dict.fromkeys(names, noise(2 * MIB)) | {"small": b"v"})
    db.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection", "-client|tracking")
    m = mount(slow.url.replace("//", "//reader:pw@"), "timeout=1", "listed_ttl=60")
    assert {entry.stat().st_size for entry in os.scandir(m) if entry.name in names} == {2 * MIB}
    slow.rate = MIB / 16
    with at_work(*(["head", "-c1", m / name] for name in names)) as m.opens:
        assert until(lambda: len([c for c in db.client_list() if c["name"].startswith("ckfs")]) >= 16)
        slow.rate = MIB / 2
        yield m


@pytest.mark.times
def test_who_waits_for_a_connection_waits_as_long_as_others_make_progress(lent):
    assert (lent / "raw/small").read_bytes() == b"v"
    assert [process.wait(PATIENCE) for process in lent.opens] == [0] * 16


def test_who_waits_for_a_connection_gives_up_when_nothing_arrives(lent, slow):
    slow.rate = 1
    with taking(0.9):
        assert failure(lent / "raw/small") == "ETIMEDOUT"
