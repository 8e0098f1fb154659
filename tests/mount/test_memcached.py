"""§1–§6 on Memcached: what the package's own MemcachedBackend and other clients store, as files."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

import numpy
import pyarrow
import pytest

from caches import MemcachedCache, noise
from helpers import failure, listing, meta, read, xattrs
from memcached_server import STATS, Memcached, has_key, running, scripted, sdk_backend, server, servers, source_of  # noqa: F401 - fixtures
from names import name_of
from test_redis_source import complaint
from waiting import sleep_until, until

MIB = 1 << 20
VIEWS = set("arrow frame json meta msgpack npy raw".split())


@pytest.fixture(scope="module")
def plain():
    """A server as it comes: no item of more than 1 MiB."""
    with running() as s:
        yield s


@pytest.fixture(scope="module")
def uncounted():
    """One that counts no versions."""
    with running("-C") as s:
        yield s


def names(directory) -> set[str]:
    return listing(directory) - VIEWS


# What is stored


def test_what_the_sdk_has_stored_is_there_in_each_view(server, mount, tmp):
    cache = MemcachedCache(server, tmp)
    document, array = {"name": "Ada", "n": [1, 2]}, numpy.arange(12.0).reshape(3, 4)
    table = pyarrow.table({"x": range(1000)})
    cache.put("doc", document)
    cache.put("array", array)
    cache.put("table", table.to_pandas())
    key = cache.put(None, "made by the decorator")
    m = mount(server.source)
    assert json.loads(read(m / "json/doc.json")) == document
    assert (numpy.load(m / "npy/array.npy") == array).all()
    assert pyarrow.ipc.open_file(read(m / "arrow/table.arrow")).read_all().column("x").to_pylist() == list(range(1000))
    assert names(m) == {"doc", "array", "table", key}
    assert (names(m / "arrow"), names(m / "npy")) == ({"table.arrow"}, {"array.npy"})
    assert read(m / "frame" / key) == cache.value(key)
    assert meta(m, "doc")["backend"] == "memcached"


SIZES = [0, 1, 4096, 65535, 65536, 65537, MIB - 300]


@pytest.mark.parametrize("order", ["listed first", "opened first"])
@pytest.mark.parametrize("options", [(), ("-C",), ("-I", "64m", "-m", "256")], ids=["as it comes", "without versions", "with large items"])
def test_values_of_any_size_are_exact(mount, order, options):
    with running(*options) as s:
        values = {f"v{n}": noise(n) for n in [*SIZES, *([3 * MIB, 40 * MIB] if "-I" in options else [])]}
        for key, value in values.items():
            sdk_backend([s]).set(key, value)
        m = mount(s.source)
        if order == "listed first":
            assert {k: os.stat(m / k).st_size for k in os.listdir(m) if k in values} == {k: len(v) for k, v in values.items()}
        assert {k: read(m / k) for k in values} == values
        assert {k: os.stat(m / k).st_size for k in values} == {k: len(v) for k, v in values.items()}


def test_a_key_that_is_missing_is_enoent_until_it_appears(plain, mount):
    m = mount(plain.source)
    assert failure(m / "late") == "ENOENT"
    plain.client().set("late", b"now", noreply=False)
    assert read(m / "late") == b"now"
    plain.client().delete("late", noreply=False)
    assert failure(m / "late") == "ENOENT"


# Keys


def asked(server: Memcached) -> int:
    return sum(int(line.split()[2]) for line in server.say(b"stats", b"END\r\n").splitlines() if line.split()[1:2] == [b"cmd_get"] or b"cmd_meta" in line)


def test_a_key_over_250_bytes_is_enoent_without_a_question(plain, mount):
    plain.client().set("k" * 250, b"longest", noreply=False)
    m, prefixed = mount(plain.source), mount(plain.source, "prefix=app:")
    before = asked(plain)
    # By their full names: one that is cut is looked for among those that are listed.
    assert [failure(m / key) for key in ("k" * 251, "k" * 255, "é" * 126)] == ["ENOENT"] * 3
    assert [failure(prefixed / key) for key in ("k" * 247, "k" * 250)] == ["ENOENT"] * 2
    assert asked(plain) == before
    assert read(m / name_of("k" * 250)) == b"longest"
    assert asked(plain) > before


ODD = [b"a b", b"\tx", b"line\n", b"\r", b"nul\0", b"\x7f", b"\xff\xfe", "schlüssel".encode(), b"a/b", b"%", b".", b"raw", b"\x01" * 186, b"x" * 185 + b" ", b"\xc3" * 250]


def stored_by_other_clients(server: Memcached, key: bytes, value: bytes) -> None:
    """By the binary protocol, which takes all bytes."""
    extras = bytes(8)
    head = b"\x80\x01" + len(key).to_bytes(2, "big") + b"\x08\0\0\0" + (len(extras) + len(key) + len(value)).to_bytes(4, "big") + bytes(12)
    with server.connection() as s:
        s.sendall(head + extras + key + value)
        assert s.recv(24)[6:8] == b"\0\0"


@pytest.mark.parametrize("how", ["binary protocol", "base64"])
def test_keys_that_the_sdk_refuses_open_and_list(server, mount, tmp, how):
    cache = MemcachedCache(server, tmp)
    for key in ODD:
        (stored_by_other_clients if how == "binary protocol" else lambda _, k, v: cache.write(k, v))(server, key, b"value of " + key)
    m = mount(server.source)
    files = [n for n in os.listdir(os.fsencode(m)) if os.fsdecode(n) not in VIEWS]
    assert {os.getxattr(os.path.join(os.fsencode(m), n), "user.ckfs.key") for n in files} == set(ODD) and len(files) == len(ODD)
    assert {read(os.path.join(os.fsencode(m), n)) for n in files} == {b"value of " + key for key in ODD}


def test_a_key_that_the_protocol_cannot_ask_for_is_listed_and_enametoolong(server, mount):
    key = b"x" * 200 + b" "
    stored_by_other_clients(server, key, b"v")
    m = mount(server.source)
    name = name_of(key)
    assert (names(m), failure(m / name)) == ({name}, "ENAMETOOLONG")
    assert subprocess.run(["ls", "-l", m], capture_output=True).returncode != 0
    assert os.listdir(m / "raw") == [name]


def test_a_prefix_is_the_key_prefix_of_the_sdk(servers, mount):
    three = servers(3)
    backend = sdk_backend(three, "app:")
    for n in range(60):
        backend.set(f"k{n}", b"%d" % n)
    sdk_backend(three).set("other", b"x")
    m = mount(source_of(three), "prefix=app:")
    assert names(m) == {f"k{n}" for n in range(60)}
    assert [read(m / f"k{n}") for n in range(60)] == [b"%d" % n for n in range(60)]
    assert xattrs(m / "k7")["key"] == b"app:k7"


# Versions


@pytest.mark.parametrize("kind", ["plain", "uncounted"])
def test_what_was_set_is_seen_by_the_next_open_and_stat(kind, mount, request):
    server = request.getfixturevalue(kind)
    client = server.client()
    client.set("v", b"one", noreply=False)
    m = mount(server.source, "listed_ttl=0")
    assert read(m / "v") == b"one"
    before = os.stat(m / "v")
    client.set("v", b"other", noreply=False)
    assert (os.stat(m / "v").st_size, read(m / "v")) == (5, b"other")
    assert os.stat(m / "v").st_ino != before.st_ino
    assert os.stat(m / "v").st_mtime >= before.st_mtime


@pytest.mark.parametrize("kind", ["plain", "uncounted"])
def test_a_changed_ttl_keeps_inode_mtime_and_content(kind, mount, request):
    server = request.getfixturevalue(kind)
    client = server.client()
    client.set("t", b"value", expire=1000, noreply=False)
    m = mount(server.source, "listed_ttl=0")
    before, ttl = os.stat(m / "t"), int(xattrs(m / "t")["ttl"])
    client.touch("t", 5000, noreply=False)
    after = os.stat(m / "t")
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (990 < ttl <= 1001, 4990 < int(xattrs(m / "t")["ttl"]) <= 5001) == (True, True)
    client.touch("t", 0, noreply=False)
    assert xattrs(m / "t")["expires"] == b"never"


def test_the_same_bytes_are_the_same_version_where_none_is_counted(uncounted, mount):
    client = uncounted.client()
    client.set("same", b"bytes", noreply=False)
    m = mount(uncounted.source, "listed_ttl=0")
    before = os.stat(m / "same").st_ino
    client.set("same", b"bytes", noreply=False)
    assert os.stat(m / "same").st_ino == before
    client.set("same", b"other", noreply=False)
    assert (os.stat(m / "same").st_ino != before, read(m / "same")) == (True, b"other")


def bytes_sent(server: Memcached) -> int:
    return next(int(line.split()[2]) for line in server.say(b"stats", b"END\r\n").splitlines() if b"bytes_written" in line)


@pytest.mark.parametrize("size, again", [(4096, read), (60_000, read), (900_000, os.stat)])
def test_a_value_that_is_known_is_not_sent_again(plain, mount, size, again):
    plain.client().set("known", noise(size), noreply=False)
    m = mount(plain.source, "listed_ttl=0")
    assert len(read(m / "known")) == size
    before = bytes_sent(plain)
    time.sleep(1.2)  # nobody holds it any more
    for _ in range(3):
        again(m / "known")
    assert bytes_sent(plain) - before < 8000


def test_many_who_open_a_value_fetch_it_once(mount):
    with running("-I", "64m", "-m", "256") as s:
        value = noise(MIB) * 30
        s.client().set("big", value, noreply=False)
        m = mount(s.source)
        before = bytes_sent(s)
        readers = [subprocess.Popen(["cmp", m / "big", "-"], stdin=subprocess.PIPE) for _ in range(4)]
        threads = [threading.Thread(target=reader.communicate, args=(value,)) for reader in readers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [reader.returncode for reader in readers] == [0] * 4
        assert bytes_sent(s) - before < 31 * MIB


@pytest.mark.parametrize("size", [100, 300_000])
def test_readers_of_a_key_that_is_overwritten_see_whole_new_values(plain, mount, size):
    client, m = plain.client(), mount(plain.source)
    written = [0]

    def value(n: int) -> bytes:
        return b"%08d" % n * (size // 8)

    client.set("hot", value(0), noreply=False)
    seen, stop = [], threading.Event()

    def reader() -> None:
        while not stop.is_set():
            least = written[0]
            content = read(m / "hot")
            n = int(content[:8])
            seen.append((n >= least, content == value(n)))

    threads = [threading.Thread(target=reader) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(1, 400):
        client.set("hot", value(n), noreply=False)
        written[0] = n
        time.sleep(0.002)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(seen) > 50 and set(seen) == {(True, True)}


def test_an_open_file_stays_what_it_was(plain, mount):
    client, m = plain.client(), mount(plain.source)
    client.set("held", b"first", noreply=False)
    with open(m / "held", "rb") as file:
        client.set("held", b"later and longer", noreply=False)
        assert (os.fstat(file.fileno()).st_size, file.read()) == (5, b"first")
        client.delete("held", noreply=False)
        file.seek(0)
        assert file.read() == b"first"
    assert failure(m / "held") == "ENOENT"


def test_a_restarted_server_whose_numbers_are_the_same_has_other_versions(mount):
    """CAS begins at 1 again: the same key, number and size stand for other bytes."""
    with running() as s:
        s.client().set("k", b"before", noreply=False)
        m = mount(s.source, "listed_ttl=0")
        assert read(m / "k") == b"before"
        inode = os.stat(m / "k").st_ino
        with open(m / "k", "rb") as held:
            s.kill()
            s.start()
            s.client().set("k", b"after!", noreply=False)
            assert (read(m / "k"), held.read()) == (b"after!", b"before")
        assert os.stat(m / "k").st_ino != inode


def test_an_expired_key_is_gone_within_a_second(plain, mount):
    m = mount(plain.source)
    for life in (2, 8, 60):  # more for who is too slow
        before = time.time()
        plain.client().set("short", b"x", expire=life, noreply=False)
        stored = time.time()
        found = failure(m / "short")
        if time.time() < before + life - 1:
            break
    assert found is None
    assert until(lambda: failure(m / "short") == "ENOENT")
    sleep_until(stored + life + MemcachedCache.GONE_WITHIN)
    assert (failure(m / "short"), "short" in names(m)) == ("ENOENT", False)
    assert not has_key(plain, "short")


def test_reading_leaves_the_servers_order_of_eviction(server, mount, tmp):
    cache = MemcachedCache(server, tmp)
    cache.fill([f"k{n}" for n in range(50)], b"value")
    time.sleep(1.1)  # the server's clock goes in steps of one second
    before = cache.contents()
    m = mount(server.source)
    for name in names(m):
        read(m / name)
    subprocess.run(["ls", "-l", m / "frame"], check=True, capture_output=True)
    assert cache.contents() == before and {line[3] for line in before.values()} == {"no"}


# How it is named


def test_by_a_unix_socket(mount):
    with running(unix=True) as s:
        s.client().set("k", b"by a socket", noreply=False)
        m = mount(s.source)
        assert (read(m / "k"), names(m)) == (b"by a socket", {"k"})


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_by_an_ipv6_address(mount):
    with running(host="::1") as s:
        s.client().set("k", b"v", noreply=False)
        assert read(mount(s.source) / "k") == b"v"


def test_the_environment_names_servers_and_prefix_as_for_the_sdk(servers, mount):
    two = servers(2)
    backend = sdk_backend(two, "app:")
    for n in range(20):
        backend.set(f"k{n}", b"v")
    env = {"CACHEKIT_MEMCACHED_SERVERS": json.dumps([s.node for s in two]), "CACHEKIT_MEMCACHED_KEY_PREFIX": "app:"}
    assert names(mount(None, env=env)) == {f"k{n}" for n in range(20)}
    assert names(mount(None, "prefix=app:k1", env=env)) == set("0123456789")


def test_df_shows_the_sums_of_all_servers(mount):
    with running("-m", "100") as a, running("-m", "200") as b:
        m = mount(source_of([a, b]))
        f = os.statvfs(m)
        assert f.f_blocks * f.f_frsize == 300 * MIB and f.f_bavail > 0
        b.kill()
        time.sleep(1.1)
        f = os.statvfs(m)
        assert f.f_blocks * f.f_frsize == 100 * MIB


# Logins


@pytest.fixture
def locked(tmp):
    accounts = tmp / "accounts"
    accounts.write_text("me:first\n")
    accounts.chmod(0o644)
    tmp.chmod(0o755)
    with running("-Y", str(accounts)) as s:
        s.accounts = accounts
        with s.connection() as c:
            c.sendall(b"set x 0 0 8\r\nme first\r\nset k 0 0 1\r\nv\r\n")
            time.sleep(0.2)
            assert c.recv(100).count(b"STORED") == 2
        yield s


def password_file(tmp: pathlib.Path, text: str) -> pathlib.Path:
    path = tmp / "pw"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_login_is_made_with_the_password_of_a_file(locked, mount, tmp):
    m = mount(f"memcached://me@{locked.place}", f"password_file={password_file(tmp, 'first')}")
    assert (read(m / "k"), names(m)) == (b"v", {"k"})


def test_a_password_in_the_url_shows_nowhere(locked, mount):
    m = mount(f"memcached://me:first@{locked.place}")
    assert read(m / "k") == b"v"
    shown = [pathlib.Path("/proc/self/mounts").read_text(), pathlib.Path(f"/proc/{m.pid}/cmdline").read_bytes().decode(), m.log(), subprocess.check_output(["df", m], text=True)]
    assert all("first" not in text.replace("first@", "first") or str(m) not in text for text in shown) and "me@" in shown[3]


@pytest.mark.parametrize("user, password, why", [("me@", "wrong", "refuses the login of user me"), ("", None, "wants a login")])
def test_a_login_that_is_refused_is_told(locked, ckfs, tmp, user, password, why):
    options = ["-o", f"password_file={password_file(tmp, password)}"] if password else []
    text = complaint(ckfs, tmp, *options, f"memcached://{user}{locked.place}")
    assert why in text and (password is None or password not in text)


def test_a_rotated_password_is_taken_at_the_next_login(locked, mount, tmp):
    path = password_file(tmp, "first")
    m = mount(f"memcached://me@{locked.place}", f"password_file={path}")
    assert read(m / "k") == b"v"
    locked.kill()
    locked.accounts.write_text("me:second\n")
    locked.start()
    assert failure(m / "k") == "EACCES"
    path.write_text("second")
    assert failure(m / "k") == "ENOENT"


# What is refused at the start


@pytest.mark.parametrize(
    "source, options, why",
    [
        ("memcached://127.0.0.1:1", (), "is the server running?"),
        ("memcached:///nowhere/mc.sock", (), "is the server running?"),
        ("memcached://a/0", (), "nothing may follow the servers"),
        ("memcached://127.0.0.1:1", ("password_file=/etc/hostname",), "whose password is it?"),
        ("memcached://127.0.0.1:1", ("tls_ca=/etc/hostname",), "memcached:// has no TLS"),
        ("memcached://127.0.0.1:1", ("read_from=replica",), "Memcached has no replicas"),
    ],
)
def test_a_source_that_cannot_work_is_one_line(ckfs, tmp, source, options, why):
    assert why in complaint(ckfs, tmp, *[word for option in options for word in ("-o", option)], source)


@pytest.mark.parametrize("version, old", [("1.4.39", True), ("1.5.22", True), ("1.6.0", False), ("1.6.18", False), ("2.0", False)])
def test_memcached_before_1_6_is_one_line(ckfs, tmp, scripted, mount, version, old):
    s = scripted({"stats": lambda line: (STATS % 1).replace(b"1.6.99", version.encode()) if line == b"stats" else b"END\r\n"})
    if old:
        assert f"this is Memcached {version}, which is too old: ckfs needs 1.6 or newer" in complaint(ckfs, tmp, s.source)
    else:
        assert failure(mount(s.source) / "k") == "ENOENT"


@pytest.mark.parametrize("answer", [b"-ERR unknown command\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x" * 5000, b"END\r\n", b"STAT version 1.6.18\r\n" * 3000, None])
def test_what_is_no_memcached_is_one_line(ckfs, tmp, scripted, answer):
    text = complaint(ckfs, tmp, scripted({"stats": answer}).source)
    assert ("this is no Memcached server" in text) or (answer is None and "the server has closed the connection" in text)
