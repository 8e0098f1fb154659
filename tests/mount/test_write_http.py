"""§8 of the contract: what the CacheKit service adds. Each request costs money, so they are counted; its rules of expiry, its limits, its errors."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest

from helpers import metadata, prefixed, read, v3
from http_mounts import held, service, trusting  # noqa: F401 - fixtures
from http_service import TOKEN, Stored, writer
from waiting import PATIENCE
from writing import frame, outcome, write

KEY = "ns:users:func:app.load:args:00ff:1s"
DAY = 86400
CHANGES = {
    "store": lambda m: write(m / f"frame/{KEY}", frame("new")),
    "remove": lambda m: os.unlink(m / KEY),
    "expire": lambda m: os.setxattr(m / KEY, "user.ckfs.ttl", b"60"),
}
METHOD = {"store": "PUT", "remove": "DELETE", "expire": "PATCH"}


@pytest.fixture
def m(service, mount):  # noqa: F811
    service.data[KEY] = Stored(frame("old"), time.time() + 5000)
    return mount(service.url, trusting(service), "write", "timeout=3", env={"CACHEKIT_API_KEY": TOKEN})


def cost(service, *command) -> list[str]:  # noqa: F811
    service.requests.clear()
    subprocess.run([str(word) for word in command], check=True, timeout=PATIENCE)
    return service.asked()


def changes(service) -> list[str]:  # noqa: F811
    return [asked for asked in service.asked() if not asked.startswith("GET")]


def answering(service, method: str, act) -> list:  # noqa: F811
    """`act` answers what is asked by a method. Returns the list of those."""
    met = []

    def on_any(handler) -> bool:
        if handler.command != method:
            return False
        met.append(dict(handler.headers))
        return act(handler)

    service.on_any = on_any
    return met


class TestCost:
    @pytest.mark.times  # an answer is good for a second
    def test_what_changes_cost(self, service, m, tmp):  # noqa: F811
        (tmp / "in").write_bytes(frame("new"))
        # cp looks twice for what is not there, which nobody may remember.
        assert cost(service, "cp", tmp / "in", m / "frame/new") == ["GET", "GET", "GET ttl", "PUT"]
        time.sleep(1.1)
        assert cost(service, "cp", tmp / "in", m / f"frame/{KEY}") == ["GET", "GET ttl", "PUT"]
        time.sleep(1.1)
        assert cost(service, "setfattr", "-n", "user.ckfs.ttl", "-v", "60", m / KEY) == ["GET", "GET ttl", "PATCH ttl"]
        time.sleep(1.1)
        assert cost(service, "rm", m / KEY) == ["GET", "DELETE"]

    def test_what_is_refused_costs_no_change(self, service, m):  # noqa: F811
        assert outcome(write, m / f"frame/{KEY}", b"hello") == "EINVAL"
        assert outcome(os.unlink, m / "frame/absent") == "ENOENT"
        assert (changes(service), service.data[KEY].value) == ([], frame("old"))

    def test_a_key_that_the_service_cannot_hold_is_einval_without_a_request(self, service, m):  # noqa: F811
        service.requests.clear()
        assert ([outcome(write, m / f"frame/{key}", frame()) for key in ("a b", "health", "ns:x", "a..b")], service.requests) == (["EINVAL"] * 4, [])
        assert m.log_lines("takes no such key")

    def test_what_a_change_says(self, service, m):  # noqa: F811
        service.seen.clear(), service.requests.clear()
        for change in CHANGES.values():
            change(m)
            service.data[KEY] = Stored(frame("old"), time.time() + 5000)
            time.sleep(1.1)
        said = {method: headers for (method, _), headers in zip(service.requests, service.seen)}
        common = {"Host", "User-Agent", "Accept", "Authorization", "X-CacheKit-L1-Status", "Accept-Encoding"}
        put, delete, patch = said["PUT"], said["DELETE"], said["PATCH"]
        assert set(put) - common == {"Content-Type", "Content-Length", "X-CacheKit-TTL"} and set(patch) - common == {"Content-Type", "Content-Length"} and set(delete) == common
        assert (put["Content-Type"], patch["Content-Type"], put["X-CacheKit-L1-Status"], 4990 < int(put["X-CacheKit-TTL"]) <= 5001) == ("application/octet-stream", "application/json", "disabled", True)


class TestExpiry:
    @pytest.mark.parametrize("option, ttl", [("ttl=100", "100"), ("ttl=never", None)])
    def test_a_new_entry_is_as_the_package_makes_it(self, service, mount, option, ttl):  # noqa: F811
        m = mount(service.url, trusting(service), "write", option, env={"CACHEKIT_API_KEY": TOKEN})
        write(m / "frame/new", frame())
        writer(service).set("theirs", frame(), ttl=None if ttl is None else int(ttl))
        sent = [headers.get("X-CacheKit-TTL") for (method, _), headers in zip(service.requests, service.seen) if method == "PUT"]
        assert sent == [ttl, ttl]

    def test_for_ever_stays_for_ever(self, service, m):  # noqa: F811
        service.data[KEY].expires = None
        write(m / f"frame/{KEY}", frame("new"))
        assert (service.data[KEY].value, service.data[KEY].expires) == (frame("new"), None)

    def test_an_expiry_that_is_refused_with_its_value_can_be_mended(self, service, m):  # noqa: F811
        with open(m / "frame/new", "wb", buffering=0) as file:
            file.write(frame())
            os.setxattr(file.fileno(), "user.ckfs.ttl", b"31536000")
            assert outcome(os.fsync, file.fileno()) == "EINVAL" and "new" not in service.data
            os.setxattr(file.fileno(), "user.ckfs.ttl", b"60")
            os.fsync(file.fileno())
        assert service.data["new"].value == frame()

    @pytest.mark.parametrize("value", [b"never", b"2592060", b"99999999"])
    def test_what_the_service_cannot_do_is_einval(self, service, m, value):  # noqa: F811
        before = service.data[KEY].expires
        assert outcome(os.setxattr, m / KEY, "user.ckfs.ttl", value) == "EINVAL"
        assert (service.data[KEY].expires, changes(service)) == (before, [])

    def test_never_is_nothing_to_do_where_it_is_so(self, service, m):  # noqa: F811
        service.data[KEY].expires = None
        os.setxattr(m / KEY, "user.ckfs.ttl", b"never")
        assert changes(service) == []

    def test_a_mount_whose_ttl_the_service_does_not_take_is_one_line(self, service, ckfs, tmp):  # noqa: F811
        (tmp / "mnt").mkdir()
        done = subprocess.run([ckfs, "-o", f"write,ttl={31 * DAY},{trusting(service)}", service.url, tmp / "mnt"], capture_output=True, text=True, env={**os.environ, "CACHEKIT_API_KEY": TOKEN})
        assert (done.returncode, "ttl=" in done.stderr, done.stderr.count("\n")) == (1, True, 1)

    def test_the_expiry_of_what_is_gone_is_enoent(self, service, m):  # noqa: F811
        """The service answers as if there were something."""
        with open(m / KEY, "rb") as file:
            del service.data[KEY]
            assert outcome(os.setxattr, file.fileno(), "user.ckfs.ttl", b"60") == "ENOENT"

    def test_a_stale_entry_is_ebusy(self, service, m):  # noqa: F811
        service.data[KEY].freshness = "stale"
        assert outcome(os.setxattr, m / KEY, "user.ckfs.ttl", b"60") == "EBUSY"


class TestErrors:
    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("status, expected", [(401, "EACCES"), (403, "EACCES"), (413, "EFBIG"), (405, "EROFS"), (507, "ENOSPC"), (500, "EIO"), (400, "EIO"), (301, "EIO")])
    def test_a_status_is_the_errno_of_the_change(self, service, m, change, status, expected):  # noqa: F811
        met = answering(service, METHOD[change], lambda handler: handler.reply(status) or True)
        assert (outcome(CHANGES[change], m), len(met), service.data[KEY].value) == (expected, 1, frame("old"))

    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_service_is_asked_again_when_it_says(self, service, m, change, status):  # noqa: F811
        times = []
        met = answering(service, METHOD[change], lambda handler: times.append(time.monotonic()) or len(times) == 1 and (handler.reply(status, Retry_After="1") or True))
        assert (outcome(CHANGES[change], m), len(met), times[1] - times[0] > 0.7) == (None, 2, True)

    @pytest.mark.parametrize("change, expected", [("store", "EAGAIN"), ("remove", "EAGAIN"), ("expire", "EBUSY")])
    def test_one_that_has_no_time_soon_is_an_error_at_once(self, service, m, change, expected):  # noqa: F811
        met = answering(service, METHOD[change], lambda handler: handler.reply(429, Retry_After="60") or True)
        assert (outcome(CHANGES[change], m), len(met)) == (expected, 1)

    def test_what_is_too_large_is_efbig_before_it_is_sent(self, service, mount):  # noqa: F811
        service.data["k"] = Stored(b"old")
        m = mount(service.url, trusting(service), "write", "unchecked", env={"CACHEKIT_API_KEY": TOKEN})
        assert outcome(write, m / "frame/k", bytes((25 << 20) + 1)) == "EFBIG"
        assert (changes(service), service.data["k"].value) == ([], b"old")
        write(m / "frame/k", bytes(25_000_000))
        assert service.data["k"].value == bytes(25_000_000)
        assert outcome(write, m / "frame/k", bytes(25_000_001)) == "EFBIG"

    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("does", [True, False], ids=["made", "not made"])
    def test_a_connection_lost_before_the_answer_is_etimedout_and_nothing_is_sent_again(self, service, m, change, does):  # noqa: F811
        """Stored or not: the next open tells. The connection has served before, so that libcurl would send it again."""
        read(m / f"frame/{KEY}")

        def hang_up(handler) -> bool:
            """Does it, or not, and closes the connection with no answer."""
            handler.close_connection = True
            if does:
                service.data[KEY] = Stored(frame("new"), time.time() + 60)
            if does and change == "remove":
                del service.data[KEY]
            return True

        met = answering(service, METHOD[change], hang_up)
        assert (outcome(CHANGES[change], m), len(met)) == ("ETIMEDOUT", 1)
        service.on_any = None
        if change == "store":
            assert read(m / f"frame/{KEY}") == frame("new" if does else "old")
        elif change == "remove":
            assert outcome(os.stat, m / KEY) == ("ENOENT" if does else None)
        else:
            assert (int(os.getxattr(m / KEY, "user.ckfs.ttl")) <= 61) == does

    def test_a_silent_service_is_etimedout(self, service, m):  # noqa: F811
        go = threading.Event()
        answering(service, "PUT", lambda handler: go.wait(PATIENCE) and False)
        assert outcome(CHANGES["store"], m) == "ETIMEDOUT"
        go.set()

    def test_a_connection_that_was_closed_while_it_was_idle_is_replaced(self, service, m):  # noqa: F811
        for i in range(3):
            write(m / f"frame/{KEY}", frame(str(i)))
            service.kill()
            service.start()
            os.unlink(m / KEY)
            write(m / f"frame/{KEY}", frame(f"{i} again"))
            assert service.data[KEY].value == frame(f"{i} again")


class TestCoherence:
    def test_every_open_and_stat_after_close_sees_the_new_value(self, service, m):  # noqa: F811
        for i in range(40):
            value = frame(str(i), i * 700)
            os.stat(m / f"frame/{KEY}"), os.stat(m / KEY)
            write(m / f"frame/{KEY}", value)
            assert (os.stat(m / f"frame/{KEY}").st_size, read(m / f"frame/{KEY}")) == (len(value), value)

    def test_who_asks_after_a_close_does_not_get_the_answer_of_before(self, service, m):  # noqa: F811
        """A lookup is under way, and has the old value, while a new one is stored."""
        gone, answered = threading.Event(), []

        def late(handler) -> bool:
            if handler.command != "GET" or answered:
                return False
            answered.append(handler)
            old = service.data[KEY].value
            gone.wait(PATIENCE)
            handler.reply(200, old)
            return True

        draft = open(m / f"frame/{KEY}", "wb", buffering=0)
        draft.write(frame("new", 900))
        time.sleep(1.1)
        service.on_key[KEY] = late
        early = threading.Thread(target=outcome, args=(read, m / f"raw/{KEY}"))  # a process would close what is written when it starts
        early.start()
        while not answered:
            time.sleep(0.01)
        draft.close()
        try:
            assert (read(m / f"frame/{KEY}"), os.stat(m / f"frame/{KEY}").st_size) == (frame("new", 900), len(frame("new", 900)))
        finally:
            gone.set()
        early.join()
        assert (os.stat(m / f"frame/{KEY}").st_size, read(m / f"frame/{KEY}")) == (len(frame("new", 900)), frame("new", 900))

    def test_what_others_store_after_a_write_here_is_seen_by_the_next_open(self, service, m):  # noqa: F811
        for i in range(10):
            write(m / f"frame/{KEY}", frame(str(i)))
            os.stat(m / f"frame/{KEY}")
            service.data[KEY] = Stored(frame(f"theirs {i}", i))
            assert (read(m / f"frame/{KEY}"), read(m / f"json/{KEY}.json")) == (service.data[KEY].value, service.data[KEY].value[service.data[KEY].value.index(b'{"text"') :])

    def test_what_was_removed_is_gone_from_lookups_and_listings(self, service, m):  # noqa: F811
        read(m / KEY)
        assert KEY in os.listdir(m)
        os.stat(m / f"raw/{KEY}")
        os.unlink(m / KEY)
        assert (outcome(os.stat, m / f"raw/{KEY}"), outcome(os.stat, m / f"frame/{KEY}"), KEY in os.listdir(m)) == ("ENOENT", "ENOENT", False)

    def test_a_changed_expiry_shows_at_once(self, service, m):  # noqa: F811
        assert int(os.getxattr(m / KEY, "user.ckfs.ttl")) > 4000
        os.setxattr(m / KEY, "user.ckfs.ttl", b"60")
        assert int(os.getxattr(m / KEY, "user.ckfs.ttl")) <= 61
        write(m / f"frame/{KEY}", frame("new"))
        assert 50 < int(os.getxattr(m / KEY, "user.ckfs.ttl")) <= 62


def test_the_package_reads_what_was_stored(service, m):  # noqa: F811
    value = v3(prefixed(b'{"a": 1}'), metadata("orjson"), "orjson")
    write(m / "frame/ns:users:k", value)
    assert writer(service).get("ns:users:k") == value
    os.unlink(m / "ns:users:k")
    assert writer(service).get("ns:users:k") is None
