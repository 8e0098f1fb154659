"""§6 on a Redis server that takes requests and answers none: who waits is free to go, and nobody else waits with them."""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from helpers import meta
from redis_server import Proxy, db, running, server  # noqa: F401 - fixtures
from while_lost import ends_on_a_signal


@contextlib.contextmanager
def stopped(server):
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


class Deaf(Proxy):
    """Passes on all requests but those with certain words."""

    words: tuple[bytes, ...] = ()

    def _requests(self, client, upstream):
        while data := client.recv(1 << 16):
            if not any(word in data for word in self.words):
                upstream.sendall(data)


@pytest.fixture
def deaf(server):
    p = Deaf(server)
    yield p
    p.close()


@pytest.fixture
def listed(server, db, mount):
    """A mount whose kernel knows the name of an entry that is open, so that attributes are asked for without a lookup."""
    db.set("k", b"v" * 1000, ex=1000)
    m = mount(server.url, "timeout=20", "listed_ttl=60")
    with open(m / "k", "rb"):
        assert [e.stat().st_size for e in os.scandir(m) if e.name == "k"] == [1000]
        with stopped(server):
            yield m


@pytest.mark.parametrize("name", ["ttl", "expires"])
def test_a_signal_ends_the_wait_for_an_expiry(listed, name):
    ends_on_a_signal("getfattr", "-n", f"user.ckfs.{name}", listed / "k")


def test_a_signal_ends_the_wait_for_the_names_of_attributes(listed):
    ends_on_a_signal("getfattr", listed / "k")


def test_who_waits_for_expiries_holds_up_nobody(listed):
    waiting = [subprocess.Popen(["getfattr", "-n", "user.ckfs.ttl", listed / "k"], stderr=subprocess.DEVNULL) for _ in range(30)]
    try:
        time.sleep(0.5)
        start = time.monotonic()
        assert os.getxattr(listed / "k", "user.ckfs.size.frame") == b"1000"
        assert os.stat(listed / "k").st_size == 1000
        assert time.monotonic() - start < 1
        assert all(w.poll() is None for w in waiting)
    finally:
        for w in waiting:
            w.send_signal(signal.SIGINT)
        for w in waiting:
            w.wait(5)


def test_an_expiry_that_cannot_be_had_is_an_error_after_the_timeout(server, db, mount):
    db.set("k", b"v", ex=1000)
    m = mount(server.url, "timeout=0.5", "listed_ttl=60")
    with open(m / "k", "rb"):
        list(map(os.DirEntry.stat, os.scandir(m)))
        with stopped(server):
            for ask in (lambda: os.getxattr(m / "k", "user.ckfs.ttl"), lambda: os.listxattr(m / "k")):
                start = time.monotonic()
                with pytest.raises(TimeoutError):
                    ask()
                assert 0.4 < time.monotonic() - start < 1.2


def test_meta_waits_for_nothing_that_its_lookup_has_not_found(deaf, db, mount):
    db.set("k", b"v", ex=1000)
    m = mount(deaf.url)
    before = meta(m, "k")
    deaf.words = (b"PTTL", b"PEXPIRETIME")
    start = time.monotonic()
    assert meta(m, "k")["expires"] == before["expires"] != "never"
    assert time.monotonic() - start < 1


def test_meta_tells_the_newest_expiry_of_what_is_open(server, db, mount):
    db.set("k", b"v" * 1000, ex=1000)
    m = mount(server.url)
    with open(m / "k", "rb") as file:
        seen = set()
        for seconds in (2000, 3000, 4000):
            db.expire("k", seconds)
            seen.add(meta(m, "k")["expires"])
            assert seconds - 2 <= int(os.getxattr(file.fileno(), "user.ckfs.ttl")) <= seconds
            assert os.stat(m / "meta/k.json").st_size == len((m / "meta/k.json").read_bytes())
        db.persist("k")
        assert meta(m, "k")["expires"] == "never" and len(seen) == 3
