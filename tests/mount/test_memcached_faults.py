"""§6 on Memcached: servers that are lost, stop to answer, come back, or say what makes no sense."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time

import pytest

from caches import noise
from helpers import failure, read
from memcached_server import SETTINGS, STATS, Memcached, between, running, scripted, sdk_backend, server, servers, source_of, value_of  # noqa: F401 - fixtures
from waiting import PATIENCE, SOON, all_wait, taking, until
from while_lost import ends_on_a_signal, interrupt_a_reader, restart_under_load

MIB = 1 << 20


def spread(several: list[Memcached], n: int = 60) -> list[list[str]]:
    """Stores n keys by the package; which of them each server has."""
    backend = sdk_backend(several)
    keys = [f"k{i}" for i in range(n)]
    for key in keys:
        backend.set(key, b"value of " + key.encode())
    return [[key for key in keys if server.client().get(key) is not None] for server in several]


# Lost servers


def test_a_killed_server_is_an_error_for_its_keys_alone(servers, mount):
    three = servers(3)
    of = spread(three)
    m = mount(source_of(three), "timeout=20")
    held = open(m / of[1][0], "rb")
    three[1].kill()
    assert {failure(m / key) for key in of[1]} == {"ECONNREFUSED"}
    assert [read(m / key) for key in of[0] + of[2]] == [b"value of " + key.encode() for key in of[0] + of[2]]
    assert held.read() == b"value of " + of[1][0].encode()
    held.close()
    three[1].start()
    assert until(lambda: failure(m / of[1][0]) == "ENOENT"), "it has forgotten all, and tells so"
    three[1].client().set(of[1][0], b"again", noreply=False)
    assert read(m / of[1][0]) == b"again"
    assert (len(m.log_lines("refused")), len(m.log_lines("answers again"))) == (1, 1)


def test_a_stopped_server_times_out_and_does_not_hold_up_the_others(servers, mount):
    three = servers(3)
    of = spread(three, 300)
    m = mount(source_of(three), "timeout=10", "listed_ttl=0")
    assert read(m / of[0][0]) == b"value of " + of[0][0].encode()
    three[1].stop()
    try:
        assert failure(m / of[1][0]) == "ETIMEDOUT"
        waiting = [subprocess.Popen(["cat", m / key], stderr=subprocess.DEVNULL) for key in of[1][:40]]
        time.sleep(1)
        for key in of[0][:40] + of[2][:40]:
            with taking(most=8):  # else somebody waits behind those who wait for a timeout
                assert read(m / key) == b"value of " + key.encode()
        assert {process.wait(PATIENCE) for process in waiting} == {1}
    finally:
        three[1].go_on()
    # Who asks again within a moment of a timeout gets the same answer.
    assert until(lambda: not any(failure(m / key) for key in of[1]))
    assert [read(m / key) for key in of[1]] == [b"value of " + key.encode() for key in of[1]]


def test_many_who_wait_for_a_stopped_server_do_not_hold_up_the_others(servers, mount):
    """Before anybody knows that it has stopped."""
    three = servers(3)
    of = spread(three, 300)
    m = mount(source_of(three), "timeout=60", "listed_ttl=0")
    three[1].stop()
    waiting = [subprocess.Popen(["cat", m / key], stderr=subprocess.DEVNULL) for key in of[1][:60]]
    try:
        assert all_wait(*waiting)
        with taking():
            for key in of[0][:40] + of[2][:40]:
                assert read(m / key) == b"value of " + key.encode()
    finally:
        for process in waiting:
            process.kill()
            process.wait()
        three[1].go_on()
    assert until(lambda: not any(failure(m / key) for key in of[1]))


def test_one_server_that_answers_is_enough_to_mount(servers, mount, ckfs):
    three = servers(3)
    of = spread(three)
    three[0].kill()
    three[2].kill()
    m = mount(source_of(three), "timeout=2")
    assert read(m / of[1][0]) == b"value of " + of[1][0].encode()
    assert {failure(m / key) for key in of[0] + of[2]} == {"ECONNREFUSED"}


def test_a_server_that_is_restarted_under_load_shows_whole_values(server, mount):
    server.client().set("k", b"value" * 1000, noreply=False)

    class Again:
        kill, start = server.kill, server.start

        @staticmethod
        def client():
            class Setter:
                def set(self, key, value):
                    server.client().set(key, value, noreply=False)

            return Setter()

    restart_under_load(Again, mount(server.source, "timeout=2") / "k", "k", b"value" * 1000)


def test_a_connection_that_was_closed_meanwhile_is_replaced(server, mount):
    server.client().set("k", b"v", noreply=False)
    m = mount(server.source, "listed_ttl=0")
    assert read(m / "k") == b"v"
    server.kill()
    server.start()
    server.client().set("k", b"w", noreply=False)
    assert read(m / "k") == b"w"


def test_a_large_value_that_is_cut_off_is_eio_and_whole_the_next_time(mount):
    from memcached_server import Between

    with running("-I", "64m", "-m", "256") as s:
        value = noise(MIB) * 20
        s.client().set("big", value, noreply=False)
        relay = Between(s)
        try:
            m = mount(relay.source)
            passed = [0]

            def cut(data: bytes) -> list:
                passed[0] += len(data)
                return [data] if passed[0] < 5 * MIB else [data, None]

            relay.replies = cut
            assert failure(m / "big") == "EIO"
            relay.replies = None
            assert read(m / "big") == value
        finally:
            relay.close()


# Who waits


def test_who_waits_can_be_interrupted(server, mount):
    server.client().set("k", b"v", noreply=False)
    m = mount(server.source, "timeout=60", "listed_ttl=0")
    assert read(m / "k") == b"v"
    server.stop()
    try:
        interrupt_a_reader(m / "k")
        ends_on_a_signal("stat", m / "k", sent=signal.SIGTERM)
    finally:
        server.go_on()
    assert read(m / "k") == b"v"


def test_a_daemon_that_waits_ends_at_once(server, mount):
    server.client().set("k", b"v", noreply=False)
    m = mount(server.source, "timeout=60", "listed_ttl=0")
    assert read(m / "k") == b"v"
    server.stop()
    try:
        waiting = [subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for command in (["cat", m / "k"], ["ls", "-f", m / "raw"])]
        assert all_wait(*waiting)
        with taking():
            m.process.send_signal(signal.SIGTERM)
            assert m.process.wait(PATIENCE) == 0
        assert all(process.wait(PATIENCE) != 0 for process in waiting)
    finally:
        server.go_on()


def test_a_small_value_does_not_wait_for_large_ones(mount):
    with running("-I", "64m", "-m", "1024") as s:
        client = s.client()
        for n in range(8):
            client.set(f"big{n}", noise(MIB) * 60, noreply=False)
        client.set("small", b"v", noreply=False)
        m = mount(s.source, "cache_size=1G", "listed_ttl=0")
        readers = [subprocess.Popen(["cat", m / f"big{n}"], stdout=subprocess.DEVNULL) for n in range(8)]
        while any(reader.poll() is None for reader in readers):
            with taking():
                assert read(m / "small") == b"v"
        assert [reader.returncode for reader in readers] == [0] * 8


# What a server says


def reply(*lines: bytes):
    return lambda line: b"".join(lines).replace(b"O?", next(word for word in line.split() if word.startswith(b"O")))


REPLIES = {
    "garbage": (reply(b"hello\r\n"), "EIO"),
    "nothing": (reply(b"\r\n"), "EIO"),
    "no size": (reply(b"HD t-1 c1 O?\r\n"), "EIO"),
    "a size that is no number": (reply(b"VA x s1 t-1 c1 O?\r\n"), "EIO"),
    "a size beyond all": (reply(b"VA 99999999999999 s99999999999999 t-1 c1 O?\r\n"), "EIO"),
    "two sizes": (reply(b"VA 1 s2 t-1 c1 O?\r\nv\r\n"), "EIO"),
    "a value without its end": (reply(b"VA 1 s1 t-1 c1 O?\r\nvxx"), "EIO"),
    "the answer to another question": (reply(b"VA 1 s1 t-1 c1 O999\r\nv\r\n"), "EIO"),
    "a head instead of the value": (reply(b"HD s100000 t-1 c1 O?\r\n"), "EIO"),
    "no head, but that something has changed": (reply(b"NS s1 t-1 c1 O?\r\n"), "EIO"),
    "no answer to any question": (reply(b"VA 1 s1 t-1 c1\r\nv\r\n"), "EIO"),
    "a value that is cut": (lambda line: None, "EIO"),
    "a line without an end": (reply(b"VA 1 " + b"x" * 9000), "EIO"),
    "no memory": (reply(b"SERVER_ERROR out of memory writing get response\r\n"), "EAGAIN"),
    "an error": (reply(b"SERVER_ERROR something else\r\n"), "EIO"),
    "an unknown command": (reply(b"ERROR\r\n"), "EIO"),
    "no login": (reply(b"CLIENT_ERROR unauthenticated\r\n"), "EACCES"),
    "a miss": (reply(b"EN\r\n"), "ENOENT"),
}


@pytest.mark.parametrize("case", REPLIES)
def test_a_reply_that_makes_no_sense(scripted, mount, case):
    answer, number = REPLIES[case]
    s = scripted({"mg": answer})
    m = mount(s.source, "timeout=3")
    assert failure(m / "k") == number
    s.answers["mg"] = value_of(b"good")
    assert until(lambda: failure(m / "k") is None) and read(m / "k") == b"good"


def test_a_size_that_is_claimed_takes_no_memory_before_it_comes(scripted, mount):
    s = scripted({"mg": reply(b"VA 900000000000 s900000000000 t-1 c1 O?\r\n", b"x" * 1000)})
    m = mount(s.source, "timeout=1", "cache_size=64M")
    before = m.rss_anon()
    assert failure(m / "k") in ("ETIMEDOUT", "ENOSPC", "EIO")
    assert m.rss_anon() - before < 32 * MIB


def test_replies_in_small_pieces_are_whole(between, server, mount):
    values = {f"k{n}": noise(n * 997) for n in range(20)}
    for key, value in values.items():
        server.client().set(key, value, noreply=False)
    between.replies = lambda data: [data[i : i + 501] for i in range(0, len(data), 501)]
    m = mount(between.source)
    assert {key: read(m / key) for key in values} == values


def test_a_server_without_room_for_connections_is_eagain(scripted, mount, ckfs, tmp):
    s = scripted({})
    m = mount(s.source, "timeout=2")
    s.answers["stats"] = b"ERROR Too many open connections\r\n"
    assert failure(m / "k") == "EAGAIN"


def test_the_same_process_behind_a_new_connection_has_the_same_versions(server, between, mount):
    server.client().set("k", b"v", noreply=False)
    m = mount(between.source, "listed_ttl=0")
    inode = os.stat(m / "k").st_ino
    for _ in range(5):
        between.cut()
        assert os.stat(m / "k").st_ino == inode


def test_a_process_that_was_replaced_within_a_second_has_other_versions(scripted, mount):
    """In a container its number is 1 again; its count of connections begins anew."""
    s = scripted({"mg": value_of(b"old")})
    s.count = 5
    m = mount(s.source, "listed_ttl=0")
    assert read(m / "k") == b"old"
    s.cut()
    s.count = 0
    s.answers["mg"] = value_of(b"new")
    assert read(m / "k") == b"new"


def test_many_readers_of_servers_that_come_and_go_see_no_other_value(servers, mount):
    two = servers(2)
    spread(two, 40)
    m = mount(source_of(two), "timeout=30", "listed_ttl=0")
    stop, seen = threading.Event(), set()

    def reader(number: int) -> None:
        while not stop.is_set():
            for n in range(number, 40, 4):
                try:
                    seen.add(read(m / f"k{n}") == f"value of k{n}".encode())
                except OSError as e:
                    seen.add(errno.errorcode[e.errno])

    threads = [threading.Thread(target=reader, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        time.sleep(0.3)
        two[1].kill()
        time.sleep(0.1)
        two[1].start()
    stop.set()
    for thread in threads:
        thread.join()
    assert seen <= {True, "ECONNREFUSED", "ENOENT", "EIO"} and True in seen


def test_many_fetches_from_a_server_that_stops_do_not_hold_up_the_others(scripted, mount):
    """It tells of large values, and then stops. Lookups there go on."""
    value = value_of(b"v" * 300_000)
    asked, go = set(), threading.Event()

    def settings(line: bytes) -> bytes:
        """Values may be so large that a lookup does not read them."""
        return SETTINGS.replace(b"1048576", b"134217728") if b"settings" in line else STATS % 1

    def stops(line: bytes) -> bytes:
        words = line.split()
        asked.add(words[1].decode())
        if b"v" in words:
            go.wait()
        return value(line)

    one, other = scripted({"stats": settings, "mg": value}), scripted({"stats": settings, "mg": stops})
    m = mount(f"{one.source},127.0.0.1:{other.port}", "timeout=60")
    readers = {f"k{i}": subprocess.Popen(["cat", m / f"k{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(100)}

    def waiting() -> set[str]:
        return {key for key, reader in readers.items() if reader.poll() is None}

    try:
        assert until(lambda: waiting() == asked, 2 * SOON)
        assert len(asked) > 16
        new = {f"new{i}" for i in range(20)}
        with taking():
            assert {os.stat(m / "frame" / key).st_size for key in new} == {300_000}
        assert new & asked
    finally:
        go.set()
        assert {reader.wait(PATIENCE) for reader in readers.values()} == {0}
