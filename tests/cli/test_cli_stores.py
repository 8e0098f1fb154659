"""§9 on servers: what a listing costs, and what is told of one that cannot be reached."""

import contextlib
import os
import pathlib
import pty
import re
import signal
import subprocess
import threading
import time

import pytest

from caches import HttpCache, noise
from helpers import memory
from redis_server import db, proxy, server  # noqa: F401 - fixtures
from waiting import stop_process
from without_mount import commands  # noqa: F401 - a fixture

KEYS = 1_000_000

# Without a script, a million commands would take longer than what is tested.
MANY_KEYS = "for i = ARGV[1], ARGV[2] do redis.call('SET', 'ns:many:func:app.load:args:' .. i, 'value ' .. i) end"


@pytest.mark.memory
def test_a_listing_of_a_million_keys_is_streamed(server, db, commands):
    for first in range(1, KEYS, 20_000):
        db.eval(MANY_KEYS, 0, first, first + 19_999)
    c = commands(server.url)
    with subprocess.Popen(c.line("ls"), stdout=subprocess.PIPE, env=c.env) as process:
        names = [process.stdout.readline()]
        # Nobody reads on: it has not found all of them, since it cannot write them.
        assert process.poll() is None
        names += process.stdout.readlines(30 << 20)
        most = memory(process, "VmHWM")
        rest = process.stdout.read()
        assert process.wait(60) == 0
    names = b"".join(names) + rest
    assert len(set(names.splitlines())) == names.count(b"\n") == KEYS
    assert 0 < most < 32 << 20


def test_a_password_is_blanked_where_others_can_see_it(server, db, commands):
    db.config_set("requirepass", "sesame")
    db.execute_command("AUTH", "sesame")
    db.set("k", noise(8 << 20))
    c = commands(f"redis://:sesame@127.0.0.1:{server.port}")
    with subprocess.Popen(c.line("cat", "k"), stdout=subprocess.PIPE, env=c.env) as process:
        process.stdout.read(1)
        proc = pathlib.Path(f"/proc/{process.pid}")
        assert b"sesame" not in (proc / "cmdline").read_bytes()
        process.stdout.read()
        assert process.wait(60) == 0
    assert "sesame" not in commands(f"redis://:sesame@127.0.0.1:{server.port}/99").failure("ls")


def test_a_wrong_password_is_told(server, db, commands):
    db.config_set("requirepass", "sesame")
    said = commands(f"redis://:wrong@127.0.0.1:{server.port}").failure("ls")
    assert "wrong" not in re.sub("wrong (user|password)|WRONGPASS", "", said) and "password" in said and said.count("\n") == 1


def test_a_service_that_lists_nothing_says_so(http_services, commands, tmp):
    service = http_services(3)
    cache = HttpCache(service, tmp)
    cache.clear()
    c = commands(cache)
    cache.write(cache.key, b"value of it")
    assert c.out("cat", cache.key) == b"value of it"
    assert c.failure("ls") == "ckfs: the root: Operation not supported: its keys cannot be listed: name them with -o keys=FILE\n"
    (tmp / "keys").write_text(f"{cache.key}\n{cache.key}:none\n")
    options = (f"keys={tmp / 'keys'}",)
    assert set(c.names(options=options)) == {cache.key, f"{cache.key}:none"}
    assert [line.split()[0::3] for line in c.out("ls", "-l", options=options).splitlines()] == [[b"11", cache.key.encode()]]


def test_ctrl_c_ends_a_wait_for_a_server_at_once(server, db, commands):
    """The server is stopped in the middle: it would be waited for for an hour."""
    db.set("k", b"value")
    c = commands(server.tcp)
    program = subprocess.Popen(c.line("ls", "-l", options=("timeout=3600",)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=c.env)
    with program as process:
        stop_process(server.process)
        try:
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) in (-signal.SIGINT, 0)
        finally:
            server.process.send_signal(signal.SIGCONT)


def test_a_long_wait_is_told_of_on_a_terminal(db, proxy, commands):
    """The value stops in its middle, until the line was seen."""
    value, seen, through = noise(64 << 20), threading.Event(), [0]
    db.set("k", value)

    def hold(data: bytes) -> list[bytes]:
        through[0] += len(data)
        if through[0] > 16 << 20:
            seen.wait(60)
        return [data]

    proxy.replies = hold
    c = commands(proxy.url)
    ours, theirs = pty.openpty()
    with subprocess.Popen(c.line("cat", "k", options=("timeout=600", "cache_size=256M")), stdout=subprocess.PIPE, stderr=theirs, env=c.env) as process:
        os.close(theirs)
        told = b""
        while b" s" not in told:
            told += os.read(ours, 1000)
        seen.set()
        got = process.stdout.read()
        assert process.wait(60) == 0
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 1000):
            told += piece
    os.close(ours)
    assert got == value
    assert re.match(rb"\r\x1b\[Kckfs: k: (\d+ of )?64 MiB, \d+ s", told) and told.endswith(b"\r\x1b[K")
