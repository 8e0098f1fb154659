"""§1, §5, §6: rediss-sentinel://, a service behind sentinels by TLS: the sentinels, the master and its replicas."""

import pathlib
import subprocess

import pytest

from caches import RedisCache
from commands import REFUSED, complaint
from helpers import failure, read
from redis_cluster import Service, wait_for, wait_for_replicas
from test_redis_sentinel import (  # noqa: F401 - run here with TLS
    promoted,
    test_a_master_that_is_killed_is_replaced,
    test_an_old_master_is_not_believed,
    test_errors_end_with_the_failover,
    test_replicas_are_read_when_that_is_wanted,
    test_the_master_is_found_read_and_listed,
    test_who_waits_for_a_failover_can_be_interrupted,
)
from test_redis_tls import refusal
from tls_server import TlsPeers, pki  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def calm(pki):
    """A service that tests share which leave it as it was."""
    with Service(replicas=1, sentinels=2, tls=TlsPeers(pki, pki.good)) as s:
        yield s


@pytest.fixture
def service(pki):
    with Service(replicas=2, sentinels=3, tls=TlsPeers(pki, pki.good)) as s:
        yield s


def source(s, host: str = "127.0.0.1") -> str:
    """The source, with nothing about certificates."""
    return f"rediss-sentinel://{host}:{s.sentinel_ports[0]}/{s.name}"


def test_what_the_package_stores_is_read(calm, mount, tmp):
    cache = RedisCache(calm.master, 5, tmp)
    keys = {cache.put(None, {"n": i}, serializer="orjson"): i for i in range(3)}
    m = mount(calm.url_of(calm.sentinel_ports, db="/5"))
    for key, i in keys.items():
        assert read(m / "frame" / cache.listed(key)) == cache.value(key)
        assert read(m / "raw" / cache.listed(key)) == cache.payload(key)
        assert read(m / "json" / f"{cache.listed(key)}.json").strip() == b'{"n":%d}' % i


def ports_of(client) -> set[int]:
    """Where ckfs has connected to."""
    return {int(c["laddr"].rsplit(":", 1)[1]) for c in client.client_list() if c["name"].startswith("ckfs")}


def test_every_connection_has_tls(calm, mount):
    calm.master.client().set("k", b"v")
    m = mount(calm.url)
    assert read(m / "k") == b"v"
    assert ports_of(calm.master.client()) == {calm.master.tls_port}, "those that read, and the one that listens"
    for i, port in enumerate(calm.sentinel_ports):
        wait_for(lambda: read(m / "k") == b"v" and ports_of(calm.sentinel(i)) == {port}, "each sentinel is asked")


def test_a_wrong_ca_is_told(pki, calm, ckfs, tmp):
    assert complaint(refusal(ckfs, tmp, source(calm)), "127.0.0.1 port", "not trusted", "tls_ca=") == REFUSED
    for args in (["-o", f"tls_ca={pki.foreign.pem}", source(calm)], [f"{source(calm)}?ssl_ca_certs={pki.foreign.pem}"]):
        assert complaint(refusal(ckfs, tmp, *args), f"127.0.0.1 port {calm.sentinel_ports[0]}", "not trusted") == REFUSED


def test_certificates_for_other_names_than_the_sentinels_announce(pki, ckfs, tmp, mount):
    """The sentinel's own is good for the host of SOURCE; it names the master 127.0.0.1."""
    with Service(0, 1, tls=TlsPeers(pki, pki.local)) as s:
        s.master.client().set("k", b"v")
        ca = f"tls_ca={pki.ca.pem}"
        for host, port in (("localhost", s.master.tls_port), ("127.0.0.1", s.sentinel_ports[0])):
            result = refusal(ckfs, tmp, "-o", ca, source(s, host))
            assert complaint(result, f"127.0.0.1 port {port}", "not for 127.0.0.1", "tls_server_name=") == REFUSED
        assert read(mount(source(s), f"{ca},tls_server_name=localhost") / "k") == b"v"
        assert read(mount(f"{source(s)}?ssl_check_hostname=no", ca) / "k") == b"v"


def test_sentinels_that_announce_names(pki, mount):
    names = ("sentinel resolve-hostnames yes", "sentinel announce-hostnames yes")
    with Service(0, 1, sentinel_options=names, tls=TlsPeers(pki, pki.local), host="localhost") as s:
        s.master.client().set("k", b"v")
        assert read(mount(source(s, "localhost"), f"tls_ca={pki.ca.pem}") / "k") == b"v"


def test_clients_need_a_certificate_where_servers_ask_for_one(pki, ckfs, tmp, mount):
    with Service(1, 2, tls=TlsPeers(pki, pki.good, auth="yes")) as s:
        s.master.client().set("k", b"v")
        wait_for_replicas(s.master)
        ours = f"tls_ca={pki.ca.pem},tls_cert={pki.client.cert},tls_key={pki.client.key}"
        assert read(mount(s.url) / "k") == b"v"
        m = mount(source(s), ours, "timeout=20")
        assert read(m / "k") == b"v"
        assert complaint(refusal(ckfs, tmp, "-o", f"tls_ca={pki.ca.pem}", source(s)), "asks for a certificate", "tls_cert=") == REFUSED
        strange = f"tls_ca={pki.ca.pem},tls_cert={pki.strange_client.cert},tls_key={pki.strange_client.key}"
        assert complaint(refusal(ckfs, tmp, "-o", strange, source(s)), "unknown ca") == REFUSED
        s.master.kill()
        promoted(s, s.master)
        wait_for(lambda: failure(m / "k") is None, "its replica asks for one as well")


# TLS with one side only


def test_a_sentinel_without_tls_is_told(calm, ckfs, tmp):
    result = refusal(ckfs, tmp, f"rediss-sentinel://127.0.0.1:{calm.plain_ports[0]}/{calm.name}")
    assert complaint(result, "127.0.0.1 port", "TLS", "redis-sentinel://") == REFUSED


def test_a_sentinel_that_has_tls_is_told(calm, ckfs, tmp):
    result = refusal(ckfs, tmp, f"redis-sentinel://127.0.0.1:{calm.sentinel_ports[0]}/{calm.name}")
    assert complaint(result, "127.0.0.1", "closed", "TLS", "rediss-sentinel://") == REFUSED


def test_a_master_without_tls_is_told(pki, ckfs, tmp):
    """Sentinels that have TLS for clients, and none to the server they watch."""
    with Service(0, 1, sentinel_options=("tls-replication no",), tls=TlsPeers(pki, pki.good), watched="port") as s:
        assert complaint(refusal(ckfs, tmp, s.url), f"127.0.0.1 port {s.master.port}", "TLS", "redis-sentinel://") == REFUSED


def test_a_server_is_no_sentinel(calm, ckfs, tmp):
    result = refusal(ckfs, tmp, f"rediss-sentinel://127.0.0.1:{calm.master.tls_port}/{calm.name}{calm.tls.query}")
    assert complaint(result, "no sentinel", "rediss://HOST") == REFUSED


# What is shown


def test_a_password_shows_nowhere(pki, mount):
    options = ("--requirepass", "s3cret", "--masterauth", "s3cret")
    with Service(0, 1, options, ("requirepass s3cret",), tls=TlsPeers(pki, pki.good)) as s:
        s.master.client(password="s3cret", db=3).set("k", b"v")
        m = mount(s.url_of(s.sentinel_ports, ":s3cret@", "/3"))
        assert read(m / "k") == b"v"
        shown = [pathlib.Path(f"/proc/{m.pid}/cmdline").read_text(), pathlib.Path("/proc/self/mounts").read_text(), m.log()]
        shown += [subprocess.check_output(["df", m], text=True), read(m / ".ckfs/stats").decode()]
        assert not any("s3cret" in text for text in shown)
        assert f"{source(s)}/3 " in shown[1] and f"{source(s)}/3" in shown[3]
