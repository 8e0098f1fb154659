"""§5, §6 by TLS: values come whole and new, and trouble is an errno in bounded time, as without it."""

import os
import random
import signal
import threading
import time

import pytest

from caches import noise
from helpers import failure, read
from tls_server import live, pki, relay, running_tls  # noqa: F401 - fixtures
from waiting import stop_process, taking, until
from while_lost import interrupt_a_reader, restart_under_load


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("size", [0, 1, 16_384, 70_000, 5 << 20])
def test_values_come_whole_and_the_newest_one(pki, mount, version, size):
    with running_tls(pki.good, pki.ca.pem, "--tls-auth-clients", "no", "--tls-protocols", version) as s:
        m = mount(s.rediss, f"tls_ca={pki.ca.pem}")
        for i in range(10):
            value = random.Random(i).randbytes(size)
            s.client().set("k", value)
            assert read(m / "k") == value and os.stat(m / "k").st_size == size


def test_a_listing_shows_all(pki, live, mount):
    live.client().mset({f"k{i}": b"v" * (i % 3000) for i in range(3000)})
    m = mount(live.rediss, f"tls_ca={pki.ca.pem}")
    assert sorted(os.listdir(m / "raw")) == sorted(f"k{i}" for i in range(3000))
    assert sum(e.stat().st_size for e in os.scandir(m / "raw")) == sum(i % 3000 for i in range(3000))


@pytest.mark.parametrize("size", [400, 300_000])
def test_readers_of_a_key_that_is_overwritten_see_whole_values(pki, live, mount, size):
    m = mount(live.rediss, f"tls_ca={pki.ca.pem}")
    db, stop, wrong = live.client(), threading.Event(), []
    written = 0
    db.set("k", b"%016d" % 0 * (size // 16))

    def reader():
        while not stop.is_set():
            least = written
            value = read(m / "k")
            if value != value[:16] * (size // 16) or int(value[:16]) < least:
                wrong.append(value[:64])

    threads = [threading.Thread(target=reader) for _ in range(6)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        db.set("k", b"%016d" % (written + 1) * (size // 16))
        written += 1
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and written > 20


# Faults


def test_records_that_trickle_are_read(pki, live, relay, mount):
    value = bytes(range(256)) * 100
    live.client().set("k", value)
    relay.replies = lambda data: [data[i : i + 7] for i in range(0, len(data), 7)]
    m = mount(relay.url, f"tls_ca={pki.ca.pem}")
    assert read(m / "k") == value and "k" in os.listdir(m)


@pytest.mark.parametrize("what", ["cut", "garbled"])
@pytest.mark.parametrize("at", [1, 20, 1000, 70_000, 150_000])
def test_a_reply_that_is_cut_or_garbled_is_eio_and_the_next_one_whole(pki, live, relay, mount, at, what):
    db = live.client()
    db.set("k", b"v" * 200_000)
    m = mount(relay.url, f"tls_ca={pki.ca.pem}")
    assert read(m / "k") == b"v" * 200_000
    db.set("k", b"w" * 200_000)
    passed = 0

    def spoil(data):
        nonlocal passed
        at_here, passed = at - passed, passed + len(data)
        if not 0 <= at_here < len(data):
            return [data]
        return [data[:at_here], *([None] if what == "cut" else [bytes([data[at_here] ^ 1]), data[at_here + 1 :]])]

    relay.replies = spoil
    assert failure(m / "k") in ("EIO", None)
    relay.replies = lambda data: [data]
    assert until(lambda: failure(m / "k") is None)
    assert read(m / "k") == b"w" * 200_000
    db.set("k", b"x")
    assert read(m / "k") == b"x"


def test_connections_that_are_cut_in_the_handshake_or_later_leave_nothing(pki, live, relay, mount):
    live.client().set("k", b"v" * 1000)
    m = mount(relay.url, f"tls_ca={pki.ca.pem}", "timeout=2")
    assert read(m / "k") == b"v" * 1000
    before = len(os.listdir(f"/proc/{m.pid}/fd"))
    for i in range(40):
        relay.replies = (lambda data: [data[:i], None]) if i % 2 else (lambda data: [data])
        relay.cut()
        failure(m / "k")
    relay.replies = lambda data: [data]
    assert until(lambda: failure(m / "k") is None)
    assert len(os.listdir(f"/proc/{m.pid}/fd")) <= before + 8


def test_a_server_that_stops_to_answer_times_out(pki, live, mount):
    live.client().set("k", b"v")
    m = mount(live.rediss, f"tls_ca={pki.ca.pem}", "timeout=2")
    assert read(m / "k") == b"v"
    stop_process(live.process)
    try:
        with taking(1.8):
            assert failure(m / "k") == "ETIMEDOUT"
    finally:
        os.kill(live.process.pid, signal.SIGCONT)
    assert until(lambda: failure(m / "k") is None)


def test_who_waits_can_be_interrupted(pki, live, mount):
    live.client().set("k", b"v" * 200_000)
    m = mount(live.rediss, f"tls_ca={pki.ca.pem}", "timeout=60")
    os.stat(m / "k")
    stop_process(live.process)
    try:
        interrupt_a_reader(m / "k")
    finally:
        os.kill(live.process.pid, signal.SIGCONT)
    assert read(m / "k") == b"v" * 200_000


def test_restarts_under_load_give_errors_or_whole_values(pki, live, mount):
    value = noise(300_000)
    live.client().set("k", value)
    m = mount(live.rediss, f"tls_ca={pki.ca.pem}", "timeout=2")
    restart_under_load(live, m / "k", "k", value)
