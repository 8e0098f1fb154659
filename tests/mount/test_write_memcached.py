"""§8 of the contract: what Memcached adds. Its commands, the SDK's rules of expiry, sizes, servers and keys, and its errors."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest

from caches import MemcachedCache
from helpers import read
from memcached_server import Between, Memcached, between, running, scripted, sdk_backend, server, servers, source_of  # noqa: F401 - fixtures
from names import name_of
from waiting import taking, until
from writing import frame, outcome, seen_while_it_is_written, write

DAY = 86400
CHANGES = {
    "store": lambda m, key: write(m / f"frame/{key}", frame("new")),
    "remove": lambda m, key: os.unlink(m / key),
    "expire": lambda m, key: os.setxattr(m / key, "user.ckfs.ttl", b"60"),
}


def told(server: Memcached, key: str) -> dict[str, str]:  # noqa: F811
    """What the server tells of an item: flags, CAS, seconds that are left."""
    words = server.say(f"mg {key} t c f".encode()).split()
    return {word[:1].decode(): word[1:].decode() for word in words[1:]}


class TestExpiry:
    @pytest.mark.parametrize("option, ttl", [("ttl=100", 100), ("ttl=never", -1), (f"ttl={90 * DAY}", 30 * DAY)])
    def test_a_new_item_is_as_the_sdk_makes_it(self, server, mount, option, ttl):  # noqa: F811
        m = mount(server.source, "write", option)
        write(m / "frame/k", frame())
        sdk_backend([server]).set("sdk", frame(), {"ttl=100": 100, "ttl=never": None}.get(option, 90 * DAY))
        mine, sdks = told(server, "k"), told(server, "sdk")
        assert (mine["f"], abs(int(mine["t"]) - ttl) <= 5, abs(int(mine["t"]) - int(sdks["t"])) <= 5) == (sdks["f"], True, True)

    @pytest.mark.parametrize("days", [0, 29, 30, 300])
    def test_what_is_written_over_keeps_its_expiry_whoever_set_it(self, server, mount, days):  # noqa: F811
        expires = int(time.time()) + days * DAY if days else 0
        server.client().set("k", b"old", expire=expires if days >= 30 else days * DAY, noreply=False)
        write(mount(server.source, "write", "ttl=9") / "frame/k", frame("new"))
        left = int(told(server, "k")["t"])
        assert (server.client().get("k"), left if not days else abs(left - days * DAY) <= 5) == (frame("new"), True if days else -1)

    def test_an_expiry_that_is_asked_for_is_cut_at_30_days_as_the_sdk_does(self, server, mount):  # noqa: F811
        server.client().set("k", frame(), noreply=False)
        m = mount(server.source, "write")
        os.setxattr(m / "k", "user.ckfs.ttl", str(90 * DAY).encode())
        assert abs(int(told(server, "k")["t"]) - 30 * DAY) <= 5

    def test_a_changed_expiry_keeps_the_number_of_the_item(self, server, mount):  # noqa: F811
        server.client().set("k", frame(), noreply=False)
        m = mount(server.source, "write")
        before = told(server, "k")["c"], os.stat(m / "k").st_ino
        os.setxattr(m / "k", "user.ckfs.ttl", b"60")
        assert (told(server, "k")["c"], os.stat(m / "k").st_ino) == before

    def test_an_expiry_that_changes_meanwhile_is_the_one_that_is_kept(self, server, between, mount):  # noqa: F811
        """Between the question how long it lives and the store: the item is another one by then."""
        server.client().set("k", b"old", expire=5000, noreply=False)
        m = mount(between.source, "write")
        stores = []

        def requests(data: bytes) -> bytes:
            if data.startswith(b"ms "):
                stores.append(data)
                if len(stores) == 1:
                    server.client().set("k", b"theirs", expire=70, noreply=False)
            return data

        between.requests = requests
        write(m / "frame/k", frame("new"))
        assert (server.client().get("k"), 50 < int(told(server, "k")["t"]) <= 70, len(stores)) == (frame("new"), True, 2)

    def test_a_key_that_changes_all_the_time_is_stored_all_the_same(self, server, between, mount):  # noqa: F811
        m = mount(between.source, "write")
        turn = []

        def requests(data: bytes) -> bytes:
            if data.startswith(b"ms "):
                turn.append(data)
                server.client().delete("k", noreply=False) if len(turn) % 2 else server.client().set("k", b"theirs", noreply=False)
            return data

        between.requests = requests
        server.client().set("k", b"theirs", noreply=False)
        write(m / "frame/k", frame("new"))
        assert server.client().get("k") == frame("new")

    def test_where_items_have_no_numbers_an_expiry_is_kept_too(self, mount):
        with running("-C") as s:
            s.client().set("k", b"old", expire=5000, noreply=False)
            m = mount(s.source, "write", "ttl=9")
            write(m / "frame/k", frame("new"))
            write(m / "frame/l", frame("first"))
            assert (s.client().get("k"), read(m / "frame/k"), 4900 < int(told(s, "k")["t"]) <= 5000, int(told(s, "l")["t"]) <= 9) == (frame("new"), frame("new"), True, True)


class TestKeys:
    def test_each_key_is_changed_on_the_server_that_the_sdk_asks(self, servers, mount):  # noqa: F811
        three = servers(3)
        m = mount(source_of(three), "write", "prefix=app:")
        sdk = sdk_backend(three, "app:")
        for i in range(40):
            write(m / f"frame/k{i}", frame(str(i)))
        assert [sdk.get(f"k{i}") for i in range(40)] == [frame(str(i)) for i in range(40)]
        assert all(s.items() for s in three) and sum(len(s.items()) for s in three) == 40
        for i in range(40):
            os.unlink(m / f"k{i}")
        assert [s.items() for s in three] == [{}] * 3

    @pytest.mark.parametrize("key", ["a b", "ü", "tab\there", "~" * 240, "a\x7fb"])
    def test_keys_that_the_sdk_refuses_are_changed_all_the_same(self, server, mount, key):  # noqa: F811
        m = mount(server.source, "write")
        name = name_of(key)
        write(m / f"frame/{name}", frame("one"))
        write(m / f"frame/{name}", frame("two"))
        os.setxattr(m / name, "user.ckfs.ttl", b"60")
        left = int(os.getxattr(m / name, "user.ckfs.ttl"))
        assert (read(m / f"frame/{name}"), len(server.items()), 50 < left <= 60 + MemcachedCache.EXPIRY_WITHIN) == (frame("two"), 1, True)
        os.unlink(m / name)
        assert server.items() == {}

    def test_a_key_that_no_server_takes_is_enametoolong_without_a_question(self, server, between, mount):  # noqa: F811
        m = mount(between.source, "write", "prefix=" + "p" * 100)
        seen = []
        between.requests = lambda data: seen.append(data) or data
        assert (outcome(write, m / f"frame/{'k' * 151}", frame()), seen) == ("ENAMETOOLONG", [])


class TestErrors:
    def test_what_is_larger_than_an_item_is_efbig_and_the_old_value_stays(self, server, mount):  # noqa: F811
        m = mount(server.source, "write", env={"CACHEKIT_MEMCACHED_MAX_ITEM_SIZE_BYTES": "0"})
        most = 1048576 - 59 - len("k")
        around = len(frame())
        write(m / "frame/k", frame("v", most - around))
        largest = frame("v", most - around)
        assert (len(largest), server.client().get("k") == largest) == (most, True)
        assert outcome(write, m / "frame/k", frame("w", most - around + 1)) == "EFBIG"
        assert server.client().get("k") == largest

    @pytest.mark.parametrize("value, size", [(None, 1 << 20), ("5000", 5000)])
    def test_the_sdks_limit_counts(self, mount, value, size):
        with running("-I", "8m") as s:
            m = mount(s.source, "write", "unchecked", env={} if value is None else {"CACHEKIT_MEMCACHED_MAX_ITEM_SIZE_BYTES": value})
            write(m / "frame/k", b"x" * size)
            assert outcome(write, m / "frame/k", b"y" * (size + 1)) == "EFBIG"
            assert s.client().get("k") == b"x" * size

    def test_a_large_value_is_stored_whole(self, mount):
        with running("-m", "512", "-I", "128m") as s:
            m = mount(s.source, "write", "unchecked", env={"CACHEKIT_MEMCACHED_MAX_ITEM_SIZE_BYTES": "0"})
            value = os.urandom(40 << 20)
            write(m / "frame/k", value)
            assert s.client().get("k") == value

    def test_a_limit_that_the_sdk_does_not_take_is_one_line(self, server, ckfs, tmp):  # noqa: F811
        (tmp / "mnt").mkdir()
        done = subprocess.run([ckfs, "-o", "write", server.source, tmp / "mnt"], capture_output=True, text=True, env={**os.environ, "CACHEKIT_MEMCACHED_MAX_ITEM_SIZE_BYTES": "much"})
        assert (done.returncode, "CACHEKIT_MEMCACHED_MAX_ITEM_SIZE_BYTES" in done.stderr, done.stderr.count("\n")) == (1, True, 1)

    ANSWERS = [("SERVER_ERROR out of memory storing object", "ENOSPC"), ("SERVER_ERROR Out of memory during read", "ENOSPC"), ("SERVER_ERROR object too large for cache", "EFBIG"),
               ("CLIENT_ERROR unauthenticated", "EACCES"), ("CLIENT_ERROR bad data chunk", "EIO"), ("ERROR", "EIO"), ("HD O77", "ETIMEDOUT"), ("VA 1 O4", "ETIMEDOUT"), ("what", "ETIMEDOUT")]  # fmt: skip

    @pytest.mark.parametrize("answer, expected", ANSWERS)
    def test_what_a_server_says_is_the_errno_of_close(self, scripted, mount, answer, expected):  # noqa: F811
        """An answer that makes no sense tells nobody whether it was stored."""
        said = []
        s = scripted({"mg": lambda line: b"EN\r\n", "ms": lambda line: said.append(line) or answer.encode() + b"\r\n", "CK\x03": lambda line: b""})
        m = mount(s.source, "write", "unchecked")
        s.answers["value"] = b""
        assert (outcome(write, m / "frame/k", b"value"), len(said)) == (expected, 1)

    @pytest.mark.parametrize("version, expected", [(b"1.6.9", "EROFS"), (b"1.6.0", "EROFS")])
    def test_a_server_whose_command_has_another_form_is_sent_no_value(self, scripted, mount, version, expected):  # noqa: F811
        """It would take the value for commands."""
        seen = []
        stats = b"STAT pid 7\r\nSTAT uptime 9\r\nSTAT time 1800000000\r\nSTAT version " + version + b"\r\nSTAT total_connections 1\r\nEND\r\n"
        s = scripted({"stats": lambda line: b"STAT item_size_max 1048576\r\nEND\r\n" if line.endswith(b"settings") else stats, "ms": lambda line: seen.append(line) or b"HD\r\n"})
        m = mount(s.source, "write", "unchecked")
        assert (outcome(write, m / "frame/k", b"flush_all\r\n"), seen) == (expected, [])

    @pytest.mark.parametrize("change", CHANGES)
    def test_a_connection_lost_before_the_answer_is_etimedout_and_nothing_is_sent_again(self, server, between, mount, change):  # noqa: F811
        """Stored or not: the next open tells."""
        server.client().set("k", frame("old"), expire=100, noreply=False)
        m = mount(between.source, "write", "timeout=2")
        read(m / "frame/k")
        word = {"store": b"ms ", "remove": b"md ", "expire": b" T60"}[change]
        seen = []

        def cut(_: bytes) -> list:
            between.replies = None
            return [None]

        def requests(data: bytes) -> bytes:
            if word in data:
                seen.append(data)
                between.replies = cut
            return data

        between.requests = requests
        assert outcome(CHANGES[change], m, "k") == "ETIMEDOUT"
        between.replies = between.requests = None
        assert len(seen) == 1
        if change == "store":
            assert (server.client().get("k"), read(m / "frame/k")) == (frame("new"), frame("new"))
        elif change == "remove":
            assert (server.client().get("k"), outcome(os.stat, m / "k")) == (None, "ENOENT")
        else:
            assert int(told(server, "k")["t"]) <= 60

    def test_a_connection_that_was_closed_while_it_was_idle_is_replaced(self, server, mount):  # noqa: F811
        m = mount(server.source, "write")
        for i in range(3):
            write(m / "frame/k", frame(str(i)))
            server.kill()
            server.start()
            write(m / "frame/k", frame(f"{i} again"))
            assert server.client().get("k") == frame(f"{i} again")
            with open(m / "frame/k", "rb") as file:
                server.kill()
                server.start()
                server.client().set("k", frame(), noreply=False)
                os.setxattr(file.fileno(), "user.ckfs.ttl", b"60")
            assert 50 < int(told(server, "k")["t"]) <= 60

    def test_many_who_store_on_a_server_that_hangs_do_not_hold_up_the_others(self, servers, mount):  # noqa: F811
        new = frame("new", 200_000)
        one, other = servers(2)
        backend = sdk_backend([one, other])
        keys = [f"k{i}" for i in range(60)]
        for key in keys:
            backend.set(key, frame())
        hung = [key for key in keys if other.client().get(key) is not None]
        assert len(hung) > 12
        m = mount(source_of([one, other]), "write", "timeout=60")
        files = [open(m / "frame" / key, "wb") for key in keys]
        for file in files:
            file.write(new)
        other.stop()
        threads = {key: threading.Thread(target=lambda file=file: outcome(file.close)) for key, file in zip(keys, files, strict=True)}
        try:
            for key in hung:
                threads[key].start()
            with taking():
                for key in set(keys) - set(hung):
                    threads[key].start()
                    threads[key].join()
        finally:
            other.go_on()
        for thread in threads.values():
            thread.join()
        assert {backend.get(key) for key in keys} == {new}

    def test_a_server_that_hangs_is_etimedout(self, server, mount):  # noqa: F811
        m = mount(server.source, "write", "timeout=1")
        file = open(m / "frame/k", "wb", buffering=0)
        file.write(frame())
        server.stop()
        try:
            assert outcome(file.close) == "ETIMEDOUT"
        finally:
            server.go_on()

    def test_a_dead_server_is_an_error_of_its_keys_alone(self, servers, mount):  # noqa: F811
        two = servers(2)
        m = mount(source_of(two), "write", "timeout=2")
        for i in range(20):
            write(m / f"frame/k{i}", frame("old"))
        left = {key.decode() for key in two[1].items()}
        two[0].kill()
        found = {f"k{i}": outcome(write, m / f"frame/k{i}", frame("new")) for i in range(20)}
        assert {key for key in found if found[key] is None} == left
        assert {found[key] for key in found if key not in left} <= {"ECONNREFUSED", "EIO", "ETIMEDOUT"}


class TestCoherence:
    @pytest.mark.parametrize("options", [(), ("-C",)], ids=["numbers", "none"])
    def test_every_open_after_close_sees_the_new_value(self, mount, options):
        with running(*options) as s:
            m, other = mount(s.source, "write"), mount(s.source)
            for i in range(150):
                value = frame(str(i), i * 700)
                write(m / "frame/k", value)
                assert (read(m / "frame/k"), read(other / "frame/k"), os.stat(m / "frame/k").st_size) == (value, value, len(value))

    def test_writers_and_readers_see_whole_values(self, server, mount):  # noqa: F811
        m = mount(server.source, "write")
        assert seen_while_it_is_written(m, 100) == []

    def test_what_was_removed_is_gone_from_listings(self, server, mount):  # noqa: F811
        m = mount(server.source, "write")
        write(m / "frame/k", frame())
        assert "k" in os.listdir(m)
        os.unlink(m / "k")
        assert until(lambda: "k" not in os.listdir(m))
