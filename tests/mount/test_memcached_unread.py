"""§6 on Memcached: what is left unread of an answer is never read as the answer to another question."""

from __future__ import annotations

import errno
import os
import time

import pytest

from failing_calls import ALL, failing, library  # noqa: F401 - fixtures
from helpers import failure, read
from memcached_server import SETTINGS, STATS, running, scripted, server, value_of  # noqa: F401 - fixtures
from writing import outcome, write

MIB = 1 << 20
LACKS = {errno.ENOSPC: "ENOSPC", errno.ENOMEM: "ENOMEM", errno.EMFILE: "EMFILE"}


@pytest.mark.parametrize("number", LACKS, ids=LACKS.get)
def test_a_value_that_finds_no_room_answers_nothing_else(mount, failing, number):
    """It is made of misses."""
    with running("-I", "64m", "-m", "256") as s:
        s.client().set("big", b"EN\r\n" * (3 * MIB), noreply=False)
        for first in (1, 2, 3):
            s.client().set(f"other{first}", b"value", noreply=False)
        m = mount(s.source, "cache_size=1M", env=failing.env)
        for first in (1, 2, 3):
            failing.begin("posix_fallocate64", number, first, ALL)
            assert failure(m / "frame/big") == LACKS[number]
            failing.end()
            # Of a name that the kernel does not know yet it asks once.
            assert read(m / f"frame/other{first}") == b"value"
        assert read(m / "frame/big") == b"EN\r\n" * (3 * MIB)


def test_a_listed_value_that_finds_no_room_hides_no_other(server, mount, failing):  # noqa: F811
    """The values of many keys are asked for together."""
    values = {f"k{i}": b"EN\r\n" * 60_000 for i in range(12)}
    for key, value in values.items():
        server.client().set(key, value, noreply=False)
    m = mount(server.source, "cache_size=64K", "listed_ttl=0", env=failing.env)
    for first in range(1, len(values) + 1):
        failing.begin("posix_fallocate64", errno.ENOSPC, first)
        with os.scandir(m / "frame") as found:
            assert {entry.name: entry.stat(follow_symlinks=False).st_size for entry in found} == {key: len(value) for key, value in values.items()}
        failing.end()
        assert {key: read(m / "frame" / key) for key in values} == values


def test_a_value_that_is_taken_for_commands_answers_nothing_else(scripted, mount):  # noqa: F811
    """The server does not know the command to store, and has more to say than that."""

    def miss(line: bytes) -> bytes:
        time.sleep(0.3)
        return b"EN\r\n"

    there = value_of(b"what is there")
    s = scripted({"mg": lambda line: there(line) if b"there" in line else b"EN\r\n", "ms": b"ERROR\r\n", "value": miss})
    m = mount(s.source, "write", "unchecked")
    assert outcome(write, m / "frame/k", b"value\r\nvalue\r\nvalue") == "EIO"
    assert read(m / "frame/there") == b"what is there"


def unasked(line: bytes) -> bytes:
    return b"VA 5 s5 t-1 c1 %s\r\nvalue\r\n" % next(word for word in line.split() if word.startswith(b"O"))


def test_a_value_that_nobody_asked_for_is_eio(scripted, mount):  # noqa: F811
    """Values may be so large that a lookup asks how large they are."""
    s = scripted({"stats": lambda line: SETTINGS.replace(b"1048576", b"134217728") if b"settings" in line else STATS % s.count, "mg": unasked})
    m = mount(s.source)
    assert failure(m / "k") == "EIO"
    s.answers["mg"] = value_of(b"good")
    assert read(m / "k") == b"good"


def test_nothing_is_stored_over_a_value_that_nobody_asked_for(scripted, mount):  # noqa: F811
    """Before a value is stored it is asked what is there."""
    stored = []
    s = scripted({"mg": lambda line: b"EN\r\n" if b" s " in line else unasked(line), "ms": lambda line: stored.append(line) or b"HD\r\n"})
    m = mount(s.source, "write", "unchecked")
    assert (outcome(write, m / "frame/k", b"mine"), stored) == ("EIO", [])
