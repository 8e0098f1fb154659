"""§1–§6 on a Redis server: what cachekit's own RedisBackend and others store, as files."""

import contextlib
import datetime
import hashlib
import json
import os
import subprocess
import time

import numpy
import pyarrow
import pytest

from announcing import reader_of
from caches import noise
from documents import handler, seal
from helpers import failure, meta, read, v3
from redis_server import Proxy, db, running, server  # noqa: F401 - fixtures
from waiting import PATIENCE, sleep_until, taking

MIB = 1 << 20


@pytest.fixture
def sdk(server):
    """put(key, object, **options): stores as an application does, by cachekit's decorator and its RedisBackend. Returns the key."""
    from cachekit import cache
    from cachekit.backends.redis import RedisBackend

    class Backend(RedisBackend):
        forced = last = None

        def set(self, key, value, ttl=None):
            self.last = self.forced or key
            super().set(self.last, value, ttl)

    backend = Backend(server.url)

    def put(key, obj, **options):
        backend.forced, backend.last = key, None

        @cache(backend=backend, **{"serializer": "auto", "ttl": None, **options})
        def produce(nonce):
            return obj

        produce(os.urandom(8))
        assert backend.last
        return backend.last

    return put


def test_what_the_sdk_has_stored_is_there_in_each_view(server, sdk, mount):
    document, array = {"name": "Ada", "n": [1, 2]}, numpy.arange(12.0).reshape(3, 4)
    table = pyarrow.table({"x": range(1000)})
    sdk("doc", document)
    sdk("array", array)
    sdk("table", table.to_pandas())
    key = sdk(None, "made by the decorator")
    m = mount(server.url)
    assert json.loads(read(m / "json/doc.json")) == document
    assert (numpy.load(m / "npy/array.npy") == array).all()
    assert pyarrow.ipc.open_file(read(m / "arrow/table.arrow")).read_all().column("x").to_pylist() == list(range(1000))
    assert sorted(set(os.listdir(m)) - set("arrow frame json meta msgpack npy raw".split())) == sorted(["doc", "array", "table", key])
    assert read(m / "frame" / key) == server.client().get(key)
    assert json.loads(read(m / "meta/doc.json"))["backend"] == "redis"


SIZES = [0, 1, 511, 512, 513, 4096, 65535, 65536, 65537, 1 * MIB + 1]


@pytest.mark.parametrize("order", ["listed first", "opened first"])
def test_values_of_any_size_are_exact(server, db, mount, order):
    values = {f"v{n}": noise(n) for n in SIZES}
    for key, value in values.items():
        db.set(key, value)
    m = mount(server.url)
    if order == "listed first":
        assert {k: os.stat(m / k).st_size for k in os.listdir(m) if k in values} == {k: len(v) for k, v in values.items()}
    assert {k: read(m / k) for k in values} == values
    assert {k: os.stat(m / k).st_size for k in values} == {k: len(v) for k, v in values.items()}


def test_a_value_of_64_mib_is_exact_and_takes_its_size_once(server, db, mount):
    value = noise(MIB) * 64
    db.set("big", value)
    m = mount(server.url)
    assert hashlib.sha256(read(m / "big")).digest() == hashlib.sha256(value).digest()
    assert server.calls()["get"] == 1
    with open(m / "big", "rb") as file:
        file.seek(63 * MIB + 17)
        assert file.read(100) == value[63 * MIB + 17 :][:100]


def test_by_port_with_a_database(mount, server):
    server.client(db=3).set("here", b"3")
    server.client(db=0).set("there", b"0")
    m = mount(f"{server.tcp}/3")
    assert read(m / "here") == b"3" and not (m / "there").exists()


def test_what_is_no_string_is_not_there(server, db, mount):
    db.rpush("list", 1)
    db.hset("hash", "a", 1)
    db.set("string", b"x")
    m = mount(server.url)
    assert "list" not in os.listdir(m) and "hash" not in os.listdir(m) and "string" in os.listdir(m)
    assert failure(m / "list") == "ENOENT" == failure(m / "hash")


def test_a_key_that_is_missing_is_enoent_until_it_appears(server, db, mount):
    m = mount(server.url)
    assert failure(m / "k") == "ENOENT"
    db.set("k", b"now")
    assert read(m / "k") == b"now"
    db.delete("k")
    assert failure(m / "k") == "ENOENT"


def test_keys_of_any_bytes_open_and_list(server, db, mount):
    keys = [b"a/b", b"%", b".", b"..", b"raw", b"\xff\xfe", b"\x01\n", "schlüssel".encode(), b"a" * 32, b"x" * 500, b"k:lock"]
    for key in keys:
        db.set(key, b"value of " + key)
    db.set(b"", b"of no name")
    m = mount(server.url)
    names = [n for n in os.listdir(os.fsencode(m)) if n not in b"arrow frame json meta msgpack npy raw".split()]
    assert len(names) == len(keys)
    assert {os.getxattr(os.path.join(os.fsencode(m), n), "user.ckfs.key") for n in names} == set(keys)
    assert {read(os.path.join(os.fsencode(m), n)) for n in names} == {b"value of " + k for k in keys}


def test_a_cut_name_that_was_never_listed_is_found(server, db, mount):
    key = b"long" * 200
    db.set(key, b"v")
    name = (b"long" * 200)[:206].decode() + "%~" + hashlib.blake2b(key, digest_size=16).hexdigest()
    m = mount(server.url)
    assert read(m / name) == b"v"
    assert os.getxattr(m / name, "user.ckfs.key") == key
    assert failure(m / (name[:-1] + ("0" if name[-1] != "0" else "1"))) == "ENOENT"


def test_a_key_of_32_hex_digits_is_a_key(server, db, mount):
    name = hashlib.md5(b"page").hexdigest()
    db.set(name, b"v")
    m = mount(server.url)
    assert name in os.listdir(m) and read(m / name) == b"v"
    assert server.calls()["scan"] <= 2  # the listing's: no lookup goes through all keys


# Expiry


def test_an_expired_key_is_gone_within_a_second(server, db, mount):
    m = mount(server.url)
    start = time.time()
    db.set("k", b"v", px=1500)
    expired = time.time() + 1.5
    while time.time() < start + 1.2:
        assert failure(m / "k") is None or time.time() > start + 1.5
    sleep_until(expired + 1)
    assert failure(m / "k") == "ENOENT" and "k" not in os.listdir(m)


def test_expiry_shows_in_attributes_and_follows_a_refresh(server, db, mount):
    db.set("k", b"v" * 1000, ex=100)
    db.set("forever", b"v")
    m = mount(server.url)
    assert 98 <= int(os.getxattr(m / "k", "user.ckfs.ttl")) <= 100
    inode = os.stat(m / "k").st_ino
    db.expire("k", 5000)
    assert 4998 <= int(os.getxattr(m / "k", "user.ckfs.ttl")) <= 5000
    assert os.stat(m / "k").st_ino == inode, "a TTL refresh is no new version"
    db.persist("k")
    assert os.getxattr(m / "k", "user.ckfs.expires") == b"never" == os.getxattr(m / "forever", "user.ckfs.expires")


@pytest.mark.parametrize("options", [(), ("--rename-command", "PEXPIRETIME", "")], ids=["exact", "what is left"])
def test_an_expiry_is_no_later_for_the_time_that_its_value_took(mount, options):
    """The reply about it comes behind a value of 3 MB, at 1 MB/s."""
    with running(*options) as server, contextlib.closing(Proxy(server)) as proxy:
        server.client().set("big", noise(3_000_000), ex=1000)
        expires = server.client().pexpiretime("big") // 1000 if not options else int(time.time()) + 1000
        reader_of(server, "resetchannels +@read +@connection -client|tracking")
        m = mount(f"redis://reader:pw@127.0.0.1:{proxy.port}")

        def slowly(data):
            time.sleep(len(data) / 1e6)
            return [data]

        proxy.replies = slowly
        with taking(2.5, PATIENCE):
            shown = datetime.datetime.fromisoformat(meta(m, "big")["expires"]).timestamp()
        assert expires <= shown <= expires + (1 if options else 0)


# Prefix and tenant


def test_a_prefix_hides_itself_and_all_else(server, db, mount):
    for key in ["app*:a", "app*:b/c", "appX:d", "app*:", "other"]:
        db.set(key, key.encode())
    m = mount(server.url, "prefix=app*:")
    assert sorted(set(os.listdir(m / "raw"))) == ["a", "b%2Fc"]
    assert read(m / "a") == b"app*:a" and failure(m / "other") == "ENOENT"
    assert os.getxattr(m / "b%2Fc", "user.ckfs.key") == b"app*:b/c"
    assert json.loads(read(m / "meta/a.json"))["key"] == "app*:a"


def test_a_tenant_is_what_the_sdk_makes_of_it(server, mount):
    from cachekit.backends.redis.provider import PerRequestRedisBackend

    PerRequestRedisBackend(server.client(), "org:1/ü~x").set("k", b"mine")
    PerRequestRedisBackend(server.client(), "org").set("k", b"other")
    m = mount(server.url, "tenant=org:1/ü~x")
    assert os.listdir(m / "raw") == ["k"] and read(m / "k") == b"mine"
    assert os.getxattr(m / "k", "user.ckfs.key") == "t:org%3A1%2F%C3%BC~x:k".encode()


def test_a_sealed_entry_binds_the_key_with_its_prefix(server, mount):
    from cachekit import cache
    from cachekit.backends.redis.provider import PerRequestRedisBackend

    key = "ab" * 32

    @cache.secure(master_key=key, backend=PerRequestRedisBackend(server.client(), "acme"), ttl=100, tenant_extractor=None, deployment_uuid=None)
    def f():
        return {"secret": 1}

    f()
    m = mount(server.url, "tenant=acme", env={"CACHEKIT_MASTER_KEY": key})
    (name,) = os.listdir(m / "raw")
    assert json.loads(read(m / "json" / name)) == {"secret": 1}


TENANTS = {"acme": None, "default": None, "12345678-1234-5678-9234-567812345678": None, "other": "EBADMSG", "acme2": "EBADMSG"}


@pytest.mark.parametrize("sealed_for", TENANTS)
def test_a_sealed_entry_of_another_tenant_is_ebadmsg(server, mount, sealed_for):
    """It must be sealed for tenant=, or for the deployment, or (as by most who serve one tenant) for nobody in particular."""
    master = "ab" * 32
    value = handler("default", seal(master, tenant=sealed_for)).serialize_data({"a": 1}, (), {}, cache_key="t:acme:k")
    server.client().set("t:acme:k", value)
    env = {"CACHEKIT_MASTER_KEY": master, "CACHEKIT_DEPLOYMENT_UUID": "12345678-1234-5678-9234-567812345678"}
    m = mount(server.url, "tenant=acme", env=env)
    assert (failure(m / "json/k.json"), os.listdir(m / "json")) == (TENANTS[sealed_for], [] if TENANTS[sealed_for] else ["k.json"])
    assert failure(mount(server.url, "prefix=t:acme:", env=env) / "json/k.json") is None


# Statistics and small print


def test_df_shows_the_servers_memory(mount):
    with running("--maxmemory", "100mb") as server:
        server.client().set("k", b"x" * (10 * MIB))
        m = mount(server.url)
        st = os.statvfs(m)
        used = (st.f_blocks - st.f_bfree) * st.f_frsize
        assert st.f_blocks * st.f_frsize == 100 * MIB // st.f_frsize * st.f_frsize
        assert 10 * MIB < used < 20 * MIB


def test_reading_leaves_no_trace_on_the_server(server, db, mount):
    for i in range(50):
        db.set(f"k{i}", v3(b"x" * i), ex=1000)
    before = {k: (db.dump(k), db.expiretime(k)) for k in db.scan_iter()}
    m = mount(server.url)
    subprocess.run(["cp", "-a", m / "raw", m.path.with_name("copy")], check=True)
    assert {k: (db.dump(k), db.expiretime(k)) for k in db.scan_iter()} == before
    writing = {"set", "setex", "del", "expire", "pexpire", "touch", "getex", "unlink", "persist", "keys"}
    assert not writing & (set(server.calls()) - {"set"})


def test_tools_copy_a_cache(server, db, mount):
    values = {f"k{i}": noise(i * 37) for i in range(200)}
    db.mset(values)
    m = mount(server.url)
    for tool in (["cp", "-a"], ["rsync", "-a"]):
        copy = m.path.with_name(tool[0])
        run = subprocess.run([*tool, f"{m}/raw/", copy], capture_output=True, text=True)
        assert run.stderr == "" and {p.name: p.read_bytes() for p in copy.iterdir()} == values
    tar = subprocess.run(["tar", "-C", m, "-cf", "/dev/null", "raw"], capture_output=True, text=True)
    assert (tar.returncode, tar.stderr) == (0, "")
