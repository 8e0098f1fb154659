"""Promises of doc/SEMANTICS.md that are about no single subject of the other files: defaults, logs, times on a server."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from commands import command  # noqa: F401 - a fixture
from documents import SMALL, envelope
from helpers import failure, flipped, listing, metadata, prefixed, read, v3
from redis_server import db, server  # noqa: F401 - fixtures
from test_redis_slow import MIB, Slow, noise
from waiting import PATIENCE, stop_process, taking, until

# What is shown


def test_verify_never_still_compares_what_tells_where_json_begins(cache, mount):
    cache.set("k", v3(flipped(prefixed(b'{"a": [1, 2, 3]}')), metadata("orjson"), "orjson"))
    assert failure(mount(cache, "verify=never") / "json/k.json") == "EBADMSG"


def test_an_envelope_needs_no_frame_and_a_checksum_that_matches(cache, mnt):
    good = envelope(SMALL)
    checksum = good.index(bytes([0x98]))  # an array of eight integers
    for key, value in {"good": good, "bad": flipped(good, checksum + 1)}.items():
        cache.set(key, value)
        assert (read(mnt / key), read(mnt / f"frame/{key}")) == (value, value)
    assert (read(mnt / "msgpack/good.msgpack"), failure(mnt / "msgpack/bad.msgpack")) == (SMALL, "EBADMSG")
    assert listing(mnt / "msgpack") == {"good.msgpack"}


def test_the_inside_of_an_arrow_file_is_the_readers_business(cache, mnt):
    document = b"ARROW1\0\0" + bytes(100) + b"ARROW1"
    cache.set("k", v3(prefixed(document), metadata("arrow"), "arrow"))
    assert read(mnt / "arrow/k.arrow") == document


def test_st_mtime_on_a_server_is_the_change_that_was_told_or_the_mounting(server, db, mount):  # noqa: F811
    db.mset({"changes": b"1", "stays": b"1"})
    time.sleep(0.05)
    before = time.time_ns()
    m = mount(server.url)
    mounted = os.stat(m / "stays").st_mtime_ns
    assert before < mounted < time.time_ns()
    assert os.stat(m / "changes").st_mtime_ns == mounted, "nobody has told of a change"
    assert read(m / "changes") == b"1"
    time.sleep(0.05)
    before = time.time_ns()
    db.set("changes", b"2")
    assert before <= os.stat(m / "changes").st_mtime_ns <= time.time_ns()
    assert os.stat(m / "stays").st_mtime_ns == mounted


# What a server has to bear


def test_a_silent_server_is_waited_for_five_seconds(server, db, mount):  # noqa: F811
    db.set("k", b"v")
    m = mount(server.url)
    assert read(m / "k") == b"v"
    stop_process(server.process)
    try:
        with taking(4.8, 9.5):
            assert failure(m / "k") == "ETIMEDOUT"
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def test_a_server_has_seventeen_connections_at_most(server, db, mount):  # noqa: F811
    """Of more readers than that, each of whom wants a large value over a slow network."""
    names = [f"big{n}" for n in range(40)]
    db.mset(dict.fromkeys(names, noise(2 * MIB)))
    slow = Slow(server)
    m = mount(slow.url, "timeout=60")
    slow.rate = MIB / 8
    opens = [subprocess.Popen(["stat", m / "frame" / name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in names]
    opens += [subprocess.Popen(["head", "-c1", m / name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in names]
    counts = []

    def count() -> int:
        counts.append(sum(client["name"].startswith("ckfs") for client in db.client_list()))
        return counts[-1]

    try:
        assert until(lambda: count() > 10)
        until(lambda: count() > 17, 3)
    finally:
        for process in opens:
            process.send_signal(signal.SIGINT)
        for process in opens:
            process.wait(PATIENCE)
        slow.close()
    assert max(counts) <= 17


# Where messages go

SYSLOG = 'mount -t tmpfs none /dev; mknod -m 666 /dev/fuse c 10 229; mknod -m 666 /dev/null c 1 3; ln -s "$1" /dev/log; point=$2; shift 2; '
USE = '"$@"; cat "$point/malformed" 2>/dev/null || umount "$point"'


@pytest.mark.file_only
@pytest.mark.parametrize("options, to_syslog, to_stderr", [((), 1, 0), (("-o", "log=syslog"), 1, 0), (("-o", "log=stderr"), 0, 1)], ids=str)
def test_messages_of_a_daemon_go_to_syslog_or_to_stderr(command, cache, options, to_syslog, to_stderr):  # noqa: F811
    cache.set("malformed", b"CK\x02 and more")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(command.tmp / "log"))
        inside = ["unshare", "-m", "sh", "-euc", SYSLOG + USE, "sh", command.tmp / "log", command.point, command.ckfs]
        result = command(*options, command.source, command.point, program=[str(word) for word in inside])
        log.setblocking(False)
        lines = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(log.recv(4096).decode())
    about = [line for line in lines if re.search(r"ckfs\S*: .*malformed", line)]
    assert (result.returncode, len(about), len(re.findall(r"^ckfs: .*malformed", result.stderr, re.M))) == (0, to_syslog, to_stderr)
