"""https://, the CacheKit service: what is shown of it, and what each look costs. A real service over TLS, which the package itself writes to."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time

import pytest

from helpers import failure, listing, lookup_failure, meta, metadata, prefixed, read, v3, xattrs
from http_mounts import held, m, patient, service, trusting  # noqa: F401 - fixtures
from http_service import TOKEN, Stored, writer
from names import name_of
from waiting import PATIENCE, all_wait, until
from while_lost import ends_on_a_signal

KEY = "ns:users:func:app.load:args:00ff:1s"
DOCUMENT = v3(prefixed(b'{"a": 1}'), metadata("orjson"), "orjson")


@pytest.fixture
def stored(service):  # noqa: F811
    service.data[KEY] = Stored(DOCUMENT)
    return service


def cost(service, *command) -> list[str]:  # noqa: F811
    """What a command asks of the service."""
    service.requests.clear()
    subprocess.run([str(word) for word in command], check=False, capture_output=True, timeout=PATIENCE)
    return service.asked()


def test_what_the_package_stores_is_read(service, m):  # noqa: F811
    writer(service).set(KEY, DOCUMENT, ttl=60)
    assert (read(m / f"frame/{KEY}"), read(m / f"json/{KEY}.json"), read(m / KEY)) == (DOCUMENT, b'{"a": 1}', prefixed(b'{"a": 1}'))
    assert (meta(m, KEY)["backend"], os.stat(m / f"frame/{KEY}").st_size) == ("http", len(DOCUMENT))


@pytest.mark.times  # an answer is good for a second
@pytest.mark.parametrize(
    "command",
    [("cat", KEY), ("cat", f"raw/{KEY}"), ("cat", f"json/{KEY}"), ("cat", f"json/{KEY}.json"), ("head", "-c1", KEY), ("stat", KEY), ("ls", "-l", KEY), ("ls", "-l", f"json/{KEY}.json"),
     ("wc", "-c", KEY), ("jq", ".", f"json/{KEY}.json"), ("getfattr", "-n", "user.ckfs.serializer", KEY)],
    ids=" ".join,
)
def test_a_command_on_a_file_makes_one_request(stored, m, command):  # noqa: F811
    *words, name = command
    assert cost(stored, *words, m / name) == ["GET"]


def test_an_open_that_follows_its_lookup_late_costs_no_more(stored, m):  # noqa: F811
    with open(m / KEY, "rb") as file:
        os.stat(m / f"raw/{KEY}")
        stored.requests.clear()
        assert (file.read(), os.fstat(file.fileno()).st_size, stored.asked()) == (prefixed(b'{"a": 1}'), 8 + 8, [])


def test_a_large_value_is_asked_for_once_and_read_whole(service, mount):  # noqa: F811
    value = os.urandom(5 << 20)
    service.data["large"] = Stored(value)
    m = mount(service.url, trusting(service), "cache_size=1M", env={"CACHEKIT_API_KEY": TOKEN})  # noqa: F811
    service.requests.clear()
    assert (read(m / "large"), service.asked()) == (value, ["GET"])


@pytest.mark.parametrize("key", ["health", "ttl", "lock", "a b", "ü", "a%2Fb", "a%25", "a..b", "ns:", "ns:x", "ns:a.b:c", "a~", "ns:" + "n" * 65 + ":x"])
def test_a_key_that_the_service_cannot_hold_is_enoent_without_a_request(service, m, key):  # noqa: F811
    service.requests.clear()
    assert (lookup_failure(m / key), lookup_failure(m / f"raw/{key}"), failure(m / key), service.requests) == ("ENOENT", "ENOENT", "ENOENT", [])


def test_what_is_not_there_is_enoent_and_found_when_it_appears(stored, m):  # noqa: F811
    assert (failure(m / "new"), stored.asked("new")) == ("ENOENT", ["GET"])
    stored.data["new"] = Stored(b"v")
    assert read(m / "new") == b"v"
    del stored.data["new"]
    assert failure(m / "new") == "ENOENT"


def test_what_a_request_says(stored, m):  # noqa: F811
    stored.requests.clear(), stored.seen.clear()
    read(m / KEY)
    headers = stored.seen[0]
    assert stored.requests == [("GET", "/v1/cache/ns%3Ausers%3Afunc%3Aapp.load%3Aargs%3A00ff%3A1s")]
    assert (headers["Authorization"], headers["X-CacheKit-L1-Status"], headers["Accept-Encoding"]) == (f"Bearer {TOKEN}", "disabled", "identity")
    assert set(headers) == {"Host", "User-Agent", "Accept", "Authorization", "X-CacheKit-L1-Status", "Accept-Encoding"}


def test_a_path_and_a_prefix_stand_before_keys(http_pki, mount):
    from http_service import HttpService

    service = HttpService(http_pki, "/private/a%20b")  # noqa: F811
    try:
        service.data = {"app:one": Stored(b"1"), "one": Stored(b"2")}
        m = mount(service.url + "/?ignored#too", trusting(service), "prefix=app:", env={"CACHEKIT_API_KEY": TOKEN})  # noqa: F811
        assert (read(m / "one"), os.getxattr(m / "one", "user.ckfs.key"), failure(m / "app:one")) == (b"1", b"app:one", "ENOENT")
        assert f"{service.url} " in open("/proc/mounts").read()
    finally:
        service.kill()


# Versions


def test_new_bytes_are_a_new_version_and_the_same_bytes_are_not(stored, m):  # noqa: F811
    before = os.stat(m / KEY).st_ino
    with open(m / f"frame/{KEY}", "rb") as file:
        writer(stored).set(KEY, DOCUMENT, ttl=60)
        assert (read(m / f"frame/{KEY}"), os.stat(m / KEY).st_ino) == (DOCUMENT, before)
        writer(stored).set(KEY, b"other")
        assert (read(m / KEY), os.stat(m / KEY).st_ino != before, file.read()) == (b"other", True, DOCUMENT)


def test_who_asks_while_a_request_is_under_way_gets_its_answer(stored, mount):
    """In several directories, since the kernel asks for one name once at a time."""
    m = patient(stored, mount)
    stored.requests.clear()
    with held(stored, KEY) as waiting:
        readers = [subprocess.Popen(["cat", m / f"{directory}{KEY}"], stdout=subprocess.PIPE) for directory in ("", "frame/", "raw/", "json/")]
        assert until(waiting) and all_wait(*readers)
    payload = prefixed(b'{"a": 1}')
    assert ([reader.communicate(timeout=PATIENCE)[0] for reader in readers], stored.asked(KEY)) == ([payload, DOCUMENT, payload, b'{"a": 1}'], ["GET"])


@pytest.mark.parametrize("who", [0, 1, 2])
def test_who_gives_up_harms_nobody_who_waits_for_the_same(stored, mount, who):
    m = patient(stored, mount)
    with held(stored, KEY) as waiting:
        readers = []
        for directory in ("raw/", "frame/", ""):
            readers.append(subprocess.Popen(["cat", m / f"{directory}{KEY}"], stdout=subprocess.PIPE))
            assert until(waiting) and all_wait(readers[-1])
        stored.requests.clear()
        readers[who].send_signal(signal.SIGINT)
        assert readers[who].wait(PATIENCE) == -signal.SIGINT
        time.sleep(0.5)
    payload = prefixed(b'{"a": 1}')
    expected = [payload, DOCUMENT, payload]
    assert [reader.communicate(timeout=PATIENCE)[0] for reader in readers[:who] + readers[who + 1 :]] == expected[:who] + expected[who + 1 :]
    assert len(stored.asked(KEY)) <= 1, "one of them asks again where the one who asked has gone"


def test_many_who_ask_for_a_key_that_changes_see_whole_values(stored, m):  # noqa: F811
    """In several directories at once, so that some begin a request, others join it, and others come as it ends."""
    done, wrong, right = threading.Event(), [], [0]

    def look(directory: str) -> None:
        while not done.is_set():
            value = read(m / f"{directory}{KEY}")
            right[0] += 1
            if value != bytes([value[0]]) * (value[0] * 100):
                wrong.append(value[:10])

    stored.data[KEY] = Stored(b"\1" * 100)
    threads = [threading.Thread(target=look, args=(directory,)) for directory in ("", "frame/", "raw/", "", "frame/", "raw/")]
    for thread in threads:
        thread.start()
    for n in range(600):
        stored.data[KEY] = Stored(bytes([n % 90 + 1]) * ((n % 90 + 1) * 100))
        time.sleep(0.002)
    done.set()
    for thread in threads:
        thread.join()
    assert (wrong, right[0] > 100, m.process.poll()) == ([], True, None)


def test_a_request_that_nobody_waits_for_ends(stored, mount):
    m = patient(stored, mount)
    with held(stored, KEY) as waiting:
        ends_on_a_signal("cat", m / KEY)
        time.sleep(0.5)
        ends_on_a_signal("stat", m / f"frame/{KEY}")
        assert until(lambda: waiting() == 2)
    assert read(m / f"frame/{KEY}") == DOCUMENT


def test_an_open_asks_though_a_lookup_was_just_answered(stored, m):  # noqa: F811
    for _ in range(5):
        os.stat(m / KEY), os.stat(m / KEY)
        stored.data[KEY] = Stored(os.urandom(100))
        assert read(m / KEY) == stored.data[KEY].value


def test_a_stat_may_be_as_old_as_listed_ttl_and_no_older(stored, mount):
    m = mount(stored.url, trusting(stored), "listed_ttl=0", env={"CACHEKIT_API_KEY": TOKEN})  # noqa: F811
    for n in (3, 5, 2):
        stored.data[KEY] = Stored(b"x" * n)
        assert os.stat(m / KEY).st_size == n
    m = mount(stored.url, trusting(stored), env={"CACHEKIT_API_KEY": TOKEN})  # noqa: F811
    os.stat(m / KEY)
    stored.data[KEY] = Stored(b"x" * 9)
    time.sleep(1.1)
    assert os.stat(m / KEY).st_size == 9


# Expiry


@pytest.mark.times  # an answer is good for a second
def test_expiry_is_asked_for_only_by_who_wants_it(stored, m):  # noqa: F811
    stored.data[KEY].expires = time.time() + 100
    assert cost(stored, "getfattr", "-n", "user.ckfs.ttl", m / KEY) == ["GET", "GET ttl"]
    time.sleep(1.2)
    assert cost(stored, "getfattr", "-d", m / KEY) == ["GET", "GET ttl"]
    time.sleep(1.2)
    assert cost(stored, "cat", m / f"meta/{KEY}.json") == ["GET", "GET ttl"]
    stored.requests.clear()
    names = os.listxattr(m / KEY)
    assert ("user.ckfs.expires" in names, "GET ttl" in stored.asked()) == (True, False)


def test_expiry_is_what_the_service_tells(stored, m):  # noqa: F811
    assert (xattrs(m / KEY)["expires"], meta(m, KEY)["expires"]) == (b"never", "never")
    stored.data[KEY].expires = time.time() + 100
    time.sleep(1.1)
    assert 60 <= int(os.getxattr(m / KEY, "user.ckfs.ttl")) <= 101
    assert (meta(m, KEY)["expires"], os.getxattr(m / KEY, "user.ckfs.expires").decode()[:4]) == (os.getxattr(m / KEY, "user.ckfs.expires").decode(), time.strftime("%Y"))
    stored.data[KEY].expires = time.time() - 1
    assert failure(m / KEY) == "ENOENT"


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"ttl": "soon"}', b'{"ttl": 1' + b"0" * 40 + b"}", b"x" * 100_000])
def test_an_expiry_that_makes_no_sense_is_an_error_of_that_alone(stored, m, answer):  # noqa: F811
    def on_any(handler) -> bool:
        if handler.path.endswith("/ttl"):
            handler.reply(200, answer)
        return handler.path.endswith("/ttl")

    stored.on_any = on_any
    with pytest.raises(OSError) as raised:
        os.getxattr(m / KEY, "user.ckfs.expires")
    assert (raised.value.errno, read(m / f"frame/{KEY}")) == (errno.EIO, DOCUMENT)


# Older than it should be


@pytest.mark.parametrize("freshness, stale", [("fresh", False), (None, False), ("stale", True), ("Fresh", True), ("new-word", True)])
def test_what_the_service_calls_old_is_shown_and_marked(stored, m, freshness, stale):  # noqa: F811
    stored.data[KEY].freshness = freshness
    assert (read(m / f"frame/{KEY}"), meta(m, KEY).get("stale", False)) == (DOCUMENT, stale)


def test_the_mark_goes_when_the_service_has_none(stored, m):  # noqa: F811
    stored.data[KEY].freshness = "stale"
    with open(m / KEY, "rb"):
        assert meta(m, KEY)["stale"]
        stored.data[KEY].freshness = "fresh"
        assert "stale" not in meta(m, KEY)


# Listings


def test_the_service_cannot_be_listed_which_is_told_once(stored, m):  # noqa: F811
    stored.requests.clear()
    directories = {"arrow", "frame", "json", "meta", "msgpack", "npy", "raw"}
    assert (listing(m), listing(m / "raw"), listing(m / "json"), stored.requests) == (directories, set(), set(), [])
    assert len(m.log_lines("CacheKit service: its keys cannot be listed")) == 1
    read(m / KEY)
    assert (listing(m), listing(m / "json")) == (directories | {name_of(KEY)}, {f"{KEY}.json"})


def test_given_keys_are_listed_without_a_request(stored, mount, tmp):
    (tmp / "keys").write_text(f"{KEY}\nother\n")
    m = mount(stored.url, trusting(stored), f"keys={tmp}/keys", env={"CACHEKIT_API_KEY": TOKEN})  # noqa: F811
    assert cost(stored, "ls", m / "raw") == []
    assert (listing(m / "raw"), listing(m / "json")) == ({KEY, "other"}, {f"{KEY}.json"})


# Connections


def test_connections_are_kept_and_bounded(stored, m):  # noqa: F811
    before = stored.connections
    for _ in range(30):
        read(m / KEY)
    assert stored.connections - before <= 2
    for i in range(40):
        stored.data[f"k{i}"] = Stored(b"v")
        stored.on_key[f"k{i}"] = lambda handler: time.sleep(0.3)
    stored.most_at_once = 0
    readers = [subprocess.Popen(["cat", m / f"k{i}"], stdout=subprocess.PIPE) for i in range(40)]
    assert [reader.communicate(timeout=PATIENCE)[0] for reader in readers] == [b"v"] * 40
    assert 2 <= stored.most_at_once <= 16
