"""§6 on a Redis server that takes requests and answers none: who waits is free to go, and nobody else waits with them."""

import contextlib
import os
import signal
import subprocess
import threading
import time

import pytest

from helpers import meta
from redis_server import Proxy, Scripted, db, in_front_of_the_server, proxy, running, server  # noqa: F401 - fixtures
from waiting import PATIENCE, all_wait, stop_process, taking
from while_lost import ends_on_a_signal


@contextlib.contextmanager
def stopped(server):
    stop_process(server.process)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


class Deaf(Proxy):
    """A connection that has brought one of certain words brings nothing more to the server."""

    words: tuple[bytes, ...] = ()

    def _requests(self, client, upstream):
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if any(word in data for word in self.words):
                    while data := client.recv(1 << 16):
                        pass
                upstream.sendall(data)


deaf = in_front_of_the_server(Deaf)


@pytest.fixture
def listed(server, db, mount):
    """A mount whose kernel knows the name of an entry that is open, so that attributes are asked for without a lookup."""
    db.set("k", b"v" * 1000, ex=1000)
    m = mount(server.url, "timeout=60", "listed_ttl=60")
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
        assert all_wait(*waiting)
        assert os.getxattr(listed / "k", "user.ckfs.size.frame") == b"1000"
        assert os.stat(listed / "k").st_size == 1000
        assert all(w.poll() is None for w in waiting)
    finally:
        for w in waiting:
            w.send_signal(signal.SIGINT)
        for w in waiting:
            w.wait(PATIENCE)


def test_an_expiry_that_cannot_be_had_is_an_error_after_the_timeout(server, db, mount):
    db.set("k", b"v", ex=1000)
    m = mount(server.url, "timeout=0.5", "listed_ttl=60")
    with open(m / "k", "rb"):
        list(map(os.DirEntry.stat, os.scandir(m)))
        with stopped(server):
            for ask in (lambda: os.getxattr(m / "k", "user.ckfs.ttl"), lambda: os.listxattr(m / "k")):
                with taking(0.4), pytest.raises(TimeoutError):
                    ask()


def test_meta_waits_for_nothing_that_its_lookup_has_not_found(deaf, db, mount):
    db.set("k", b"v", ex=1000)
    m = mount(deaf.url, "timeout=60")
    before = meta(m, "k")
    deaf.words = (b"PTTL", b"PEXPIRETIME")
    with taking():
        assert meta(m, "k")["expires"] == before["expires"] != "never"


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


# Names


def looking(*paths) -> list[subprocess.Popen]:
    return [subprocess.Popen(["stat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for path in paths]


def test_lookups_in_one_directory_wait_side_by_side(server, db, mount):
    m = mount(server.url, "timeout=5")
    os.stat(m)
    with stopped(server):
        with taking(4.8, 9.5):
            waiting = looking(*(m / f"k{i}" for i in range(5)))
            for w in waiting:
                assert w.wait() == 1


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("command", [["stat", "k2"], ["ls", "."], ["ls", "json"]])
def test_a_signal_ends_the_wait_behind_another_lookup(server, mount, command, sent):
    m = mount(server.url, "timeout=60")
    os.stat(m / "json")
    with stopped(server):
        first = looking(m / "k1")
        assert all_wait(*first)
        ends_on_a_signal(command[0], m / command[1], sent=sent)
        first[0].send_signal(signal.SIGINT)
        first[0].wait(PATIENCE)


@pytest.mark.parametrize("size", [5, 100_000])
def test_a_name_that_is_known_waits_once(server, db, mount, size):
    """The kernel looks up such a name a second time when the first comes to an error."""
    db.set("k", b"v" * size)
    m = mount(server.url, "timeout=5")
    assert os.stat(m / "k").st_size == size
    with stopped(server):
        with taking(4.8, 9.5), pytest.raises(TimeoutError):
            os.stat(m / "k")
    assert os.stat(m / "k").st_size == size


def test_a_daemon_that_waits_ends_at_once(server, db, mount):
    db.set("k", b"v")
    m = mount(server.url, "timeout=60")
    assert os.stat(m / "k").st_size == 1
    with stopped(server):
        waiting = looking(m / "k", m / "other", m / "json/k.json")
        assert all_wait(*waiting)
        with taking():
            assert m.end()
        for w in waiting:
            w.wait(PATIENCE)


def test_an_entry_that_expires_while_answers_are_under_way_is_gone(proxy, db, mount):
    m = mount(proxy.url, "timeout=60")
    os.stat(m)
    held = threading.Event()

    def hold(data: bytes) -> list[bytes]:
        held.wait()
        return [data]

    time.sleep(1 - time.time() % 1)
    db.set("k", b"v", px=4850)
    assert os.stat(m / "k").st_size == 1
    proxy.replies = hold
    waiting = subprocess.Popen(["stat", m / "k"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(7.6)
    held.set()
    assert b"No such file" in waiting.communicate()[1]
    assert not os.path.exists(m / "k")


# Listings


@pytest.fixture
def in_pages(deaf, db):
    """Keys in the order that a listing shows them: enough for several requests, and so long that a program reads 132 at a time."""
    db.mset({f"{i:0220}": b"v" for i in range(900)})
    return [key for key in db.scan_iter(count=1000)]


def listed_by(m) -> list[str]:
    return sorted(os.listdir(m / "raw"))


def test_a_listing_that_hangs_ahead_of_its_reader_stops_no_other(deaf, in_pages, mount):
    m = mount(deaf.url, "timeout=60")
    deaf.words = (in_pages[300],)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            next(stack.enter_context(os.scandir(m / "raw")))
        time.sleep(0.2)
        deaf.words = ()
        with taking():
            assert listed_by(m) == sorted(key.decode() for key in in_pages)


@pytest.mark.parametrize("at", [0, 300])
def test_a_signal_ends_the_wait_of_a_listing(deaf, in_pages, mount, at):
    m = mount(deaf.url, "timeout=60")
    deaf.words = (in_pages[at],)
    ends_on_a_signal("ls", m / "json")


def test_a_listing_of_names_does_without_what_cannot_be_had_of_them(deaf, in_pages, mount):
    m = mount(deaf.url, "timeout=1")
    deaf.words = (in_pages[300],)
    assert listed_by(m) == sorted(key.decode() for key in in_pages)


@pytest.mark.parametrize("at", [0, 300])
def test_a_listing_that_hangs_ends_in_an_error_after_the_timeout(deaf, in_pages, mount, at):
    """What json/ shows hangs on each value."""
    m = mount(deaf.url, "timeout=2")
    deaf.words = (in_pages[at],)
    with taking(1.8), pytest.raises(TimeoutError):
        os.listdir(m / "json")


class Endless(Scripted):
    """A page of SCAN that does not end, and comes faster than it is read: a reader never has to wait."""

    def __init__(self):
        self.here, self.begun, self.over = threading.local(), threading.Event(), threading.Event()
        super().__init__({"SCAN": self.flood, "PING": b"+PONG\r\n", "HELLO": b"-ERR unknown command\r\n", "CLIENT": b"-ERR unknown command\r\n"})

    def serve(self, client):
        self.here.client = client
        super().serve(client)

    def flood(self, words):
        self.begun.set()
        try:
            self.here.client.sendall(b"*2\r\n$1\r\n0\r\n*4294967296\r\n")
            while True:
                self.here.client.sendall(b"$-1\r\n" * 1_000_000)
        finally:
            self.over.set()


@pytest.mark.parametrize("ended", ["reader", "mount"])
def test_an_answer_without_an_end_is_not_read_on_when_nobody_waits(mount, ended):
    with contextlib.closing(Endless()) as endless:
        m = mount(endless.url, "timeout=60")
        reader = subprocess.Popen(["ls", m / "raw"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert endless.begun.wait(PATIENCE)
            with taking():
                (reader if ended == "reader" else m.process).send_signal(signal.SIGTERM)
                assert endless.over.wait(PATIENCE)
                assert ended == "reader" or m.process.wait(PATIENCE) == 0
        finally:
            reader.kill()
            reader.wait()
