"""§6: a garbled reply is EIO to the one who asked. It ends neither the daemon nor the mount, and nothing of it is believed later."""

from __future__ import annotations

import os
import pathlib
import re
import time

import pytest

from garbling import Random, garbler  # noqa: F401 - a fixture
from helpers import errno_name, failure, read, xattrs
from redis_server import running, scripted, server  # noqa: F401 - fixtures
from redis_cluster import wait_for

VALUES = {"small": b"a" * 100, "middle": b"b" * 5000, "edge": b"c" * 65537, "large": b"d" * 300_000}

# What one caller may be told of a server that makes no sense: also of one that contradicts itself between two questions.
TOLD = {"EIO", "EAGAIN", "EACCES", "ENOENT", "ETIMEDOUT", "ESTALE", "ENODATA"}


@pytest.fixture
def db(server):  # noqa: F811
    client = server.client()
    for key, value in VALUES.items():
        client.set(key, value)
    return client


def outcomes(mnt) -> dict[str, bytes | str | None]:
    """What each call of a tour comes to: bytes, or the name of an errno."""

    def outcome(call):
        try:
            return call()
        except OSError as e:
            return errno_name(e.errno)

    found: dict = {}
    for key in VALUES:
        found[f"raw {key}"] = outcome(lambda: read(mnt / "raw" / key))
        found[f"stat {key}"] = outcome(lambda: os.stat(mnt / key).st_size)
        found[f"xattrs {key}"] = outcome(lambda: sorted(xattrs(mnt / key)))
    for directory in ("", "json"):
        found[f"list {directory}"] = outcome(lambda: sorted(e.name for e in os.scandir(mnt / directory)))
        found[f"list -l {directory}"] = outcome(lambda: sorted((e.name, e.stat().st_size) for e in os.scandir(mnt / directory) if e.is_file()))
    found["df"] = outcome(lambda: os.statvfs(mnt).f_bsize)
    found["hash"] = failure(mnt / ("raw/" + "x" * 206 + "%~" + "0" * 32))
    return found


def is_well(mnt, db) -> bool:
    """Whether all is right again with values that are new."""
    for key, value in VALUES.items():
        db.set(key, value[::-1] + b"new")
    if any(failure(mnt / key) for key in VALUES):
        return False
    assert all(read(mnt / key) == value[::-1] + b"new" for key, value in VALUES.items())
    assert all(xattrs(mnt / key)["key"] == key.encode() for key in VALUES)
    assert {e.name: e.stat().st_size for e in os.scandir(mnt / "raw")} == {key: len(value) + 3 for key, value in VALUES.items()}
    return os.statvfs(mnt).f_bsize > 0


NONSENSE = {
    "nil": b"$-1\r\n",
    "nil-array": b"*-1\r\n",
    "null": b"_\r\n",
    "a negative number": b":-5\r\n",
    "the highest number": b":9223372036854775807\r\n",
    "zero": b":0\r\n",
    "no bytes": b"$0\r\n\r\n",
    "too many bytes": b"$99999999999999\r\n",
    "no elements": b"*0\r\n",
    "nils": b"*2\r\n$-1\r\n*-1\r\n",
    "moved": b"-MOVED 1 127.0.0.1:1\r\n",
    "moved-to-nowhere": b"-MOVED \r\n",
    "ask": b"-ASK 1 127.0.0.1:1\r\n",
    "a status": b"+OK\r\n",
    "an empty error": b"-\r\n",
    # Told to the kernel as such, it would never ask for that again.
    "an unknown command": b"-ERR unknown command\r\n",
}
COMMANDS = ["GET", "STRLEN", "GETRANGE", "PTTL", "PEXPIRETIME", "SCAN", "INFO", "PING", "HELLO", "CLIENT", "SELECT"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reply_that_makes_no_sense(garbler, db, mount, command):  # noqa: F811
    m = mount(garbler.url, "timeout=2")
    for case, nonsense in NONSENSE.items():
        garbler.change = lambda words, reply, nonsense=nonsense: nonsense if words and words[0] == command.encode() else reply
        # Connections that were opened before, and new ones.
        for _ in range(2):
            for call, found in outcomes(m).items():
                if isinstance(found, str):
                    assert found in TOLD, (case, call)
                if isinstance(found, bytes):
                    # That all of a value is nothing is for a server to say.
                    assert found in (VALUES[call.split()[1]], b""), (case, call)
            garbler.cut()
        assert m.process.poll() is None, case
    garbler.change = None
    garbler.cut()
    wait_for(lambda: is_well(m, db), "all is well again")


# A server whose values are read whole.
PLAIN = {"HELLO": b"-ERR unknown command\r\n", "CLIENT": b"-ERR unknown command\r\n", "PEXPIRETIME": b":-1\r\n"}
GONE, THERE = b"$-1\r\n", b"$1\r\nv\r\n"


@pytest.mark.parametrize(
    "get, pttl, told",
    [
        (GONE, b":-2\r\n", "ENOENT"),
        (THERE, b":-2\r\n", "ENOENT"),
        (THERE, b":0\r\n", "ENOENT"),
        (THERE, b":-7\r\n", "EIO"),
        (THERE, b":-9223372036854775807\r\n", "EIO"),
        (b"*-1\r\n", b":-1\r\n", "EIO"),
        (b"_\r\n", b":-1\r\n", "EIO"),
        (b"*0\r\n", b":-1\r\n", "EIO"),
    ],
)
def test_only_what_says_so_is_absence(scripted, mount, get, pttl, told):
    m = mount(scripted({**PLAIN, "GET": get, "PTTL": pttl}).url, "timeout=2")
    assert failure(m / "k") == told


@pytest.mark.parametrize("kind", ["MOVED", "ASK"])
@pytest.mark.parametrize("command", ["GET", "GETRANGE", "STRLEN", "PTTL", "SCAN", "INFO"])
def test_a_redirection_where_no_cluster_is_leads_nowhere(garbler, db, mount, kind, command):  # noqa: F811
    m = mount(garbler.url, "timeout=2")
    garbler.change = lambda words, reply: f"-{kind} 1 127.0.0.1:1\r\n".encode() if words and words[0] == command.encode() else reply
    told = {found for call, found in outcomes(m).items() if isinstance(found, str)}
    assert told <= {"EIO", "ENOENT"}
    assert "EIO" in told or command == "GET"


def test_what_one_connection_said_of_its_server_is_not_believed_of_others(server, garbler, db, mount):  # noqa: F811
    """The exact expiry is asked for again, though a server once did not know how to tell it."""
    m = mount(garbler.url)
    garbler.change = lambda words, reply: b"-ERR unknown command\r\n" if words and words[0] == b"PEXPIRETIME" else reply
    assert read(m / "small") == VALUES["small"]
    garbler.change = None
    garbler.cut()
    before = server.calls().get("pexpiretime", 0)
    db.set("small", b"new")
    wait_for(lambda: failure(m / "small") is None and read(m / "small") == b"new", "the new value is there")
    assert server.calls()["pexpiretime"] > before


@pytest.mark.parametrize("announces", [True, False])
def test_a_size_that_is_not_that_of_the_bytes(server, garbler, db, mount, announces):  # noqa: F811
    """Sizes and bytes are two replies: they have to agree."""
    if not announces:
        db.execute_command("ACL", "SETUSER", "default", "-client|tracking")
    m = mount(garbler.url, "timeout=2")
    for size in (0, 1, 513, 65536, 65538):
        garbler.change = lambda words, reply, size=size: b":%d\r\n" % size if words and words[0] == b"STRLEN" else reply
        for key, value in VALUES.items():
            try:
                assert read(m / key) == value
            except OSError as e:
                assert errno_name(e.errno) in TOLD
            for entry in os.scandir(m.path):
                assert not entry.is_file() or entry.stat().st_size >= 0
    garbler.change = None
    garbler.cut()
    wait_for(lambda: is_well(m, db), "all is well again")


@pytest.mark.parametrize("seed", range(6))
def test_replies_that_are_garbled_at_random(garbler, db, mount, pytestconfig, seed):  # noqa: F811
    m = mount(garbler.url, "timeout=1")
    end = time.monotonic() + max(2.0, pytestconfig.getoption("--fuzz-seconds") / 6)
    change, rounds = Random(seed, 12), 0
    while time.monotonic() < end and m.process.poll() is None:
        garbler.change = change
        for call, found in outcomes(m).items():
            assert not isinstance(found, str) or found in TOLD, (call, found)
        garbler.change = None
        rounds += 1
        if rounds % 8 == 0:
            garbler.cut()
            wait_for(lambda: is_well(m, db), "all is well again")
            for key, value in VALUES.items():
                db.set(key, value)
    assert m.process.poll() is None
    assert change.count > 0
    garbler.cut()
    wait_for(lambda: is_well(m, db), "all is well again")


@pytest.mark.memory  # TSan has a thread of its own, which hears of nothing
def test_threads_hear_of_their_own_faults(cache, mnt):
    """What a thread does wrong has to reach it: blocked, it would end the daemon without a word of a sanitizer."""
    cache.put("k", list(range(1000)))
    read(mnt / "json" / "k.json")
    faults = sum(1 << (number - 1) for number in (4, 5, 6, 7, 8, 11, 31))

    def blocked() -> list[int]:
        status = [(thread / "status").read_text() for thread in pathlib.Path(f"/proc/{mnt.pid}/task").iterdir()]
        return [int(re.search(r"SigBlk:\s+(\S+)", text)[1], 16) & faults for text in status]

    # The C library has a new thread block all of them for an instant.
    wait_for(lambda: not any(blocked()), "no thread blocks them")
    assert len(blocked()) > 2
