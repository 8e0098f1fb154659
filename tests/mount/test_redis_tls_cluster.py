"""§1, §5, §6: rediss-cluster://, a Redis Cluster by TLS. What holds of a cluster without it holds of this one."""

import pathlib
import subprocess

import pytest
import redis

from commands import REFUSED, complaint
from helpers import failure, read
from redis_cluster import Cluster, fresh, key_slot, wait_for  # noqa: F401 - a fixture
from test_redis_cluster import (  # noqa: F401 - run here with TLS
    names,
    others,
    test_a_key_that_was_looked_up_costs_no_value_again,
    test_a_slot_that_was_moved_is_followed,
    test_keys_under_way_open_and_are_listed,
    test_readers_see_whole_new_values_while_a_slot_moves,
    test_the_keys_of_all_masters_are_listed_once_and_open,
    test_values_of_any_size_are_exact,
)
from test_redis_cluster_faults import (  # noqa: F401 - run here with TLS
    test_a_master_that_is_killed_is_replaced,
    test_masters_that_change_places_are_never_stale,
    test_replicas_are_read_when_that_is_wanted,
    test_servers_that_stop_time_out,
    test_who_waits_can_be_interrupted,
)
from test_redis_tls import refusal
from tls_server import TlsPeers, pki  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def cluster(pki):
    with Cluster(tls=TlsPeers(pki, pki.good)) as c:
        yield c


@pytest.fixture
def replicated(pki):
    with Cluster(replicas=1, options=("--cluster-require-full-coverage", "no"), tls=TlsPeers(pki, pki.good)) as c:
        yield c


def seed(c, host: str = "127.0.0.1") -> str:
    """The source, with nothing about certificates."""
    return f"rediss-cluster://{host}:{c.masters[0].tls_port}"


def fill(c, count: int = 30) -> dict[str, bytes]:
    """Some keys on each master, written by redis-py over TLS."""
    values = {f"k{i}": b"value %d" % i for i in range(count)}
    db = c.db()
    for key, value in values.items():
        db.set(key, value)
    return values


def fill_by_name(c) -> dict[str, bytes]:
    """The same without TLS: redis-py would look for 127.0.0.1 in the certificates."""
    values = {f"k{i}": b"value %d" % i for i in range(30)}
    for key, value in values.items():
        c.owner(key).client().set(key, value)
    return values


def all_is_read(m, values: dict[str, bytes]) -> bool:
    return sorted(names(m)) == sorted(values) and all(read(m / key) == value for key, value in values.items())


def connections(server) -> list[dict]:
    return [c for c in server.client().client_list() if c["name"].startswith("ckfs")]


def test_every_connection_has_tls(fresh, mount):
    """Also those that listen, and those to nodes that the cluster names."""
    values = fill(fresh)
    m = mount(fresh.url)
    assert all_is_read(m, values)
    for server in fresh.masters:
        made = connections(server)
        assert len(made) >= 2 and {int(c["laddr"].rsplit(":", 1)[1]) for c in made} == {server.tls_port}
        # The one that listens is one to which the others send what they hear.
        assert any(int(c["redir"]) > 0 for c in made)


def test_servers_that_have_no_port_without_tls(pki, mount):
    with Cluster(options=("--port", "0"), tls=TlsPeers(pki, pki.good)) as c:
        values = fill(c)
        m = mount(c.url)
        assert all_is_read(m, values)
        c.move_slot(key_slot(b"k0"), c.owner("k0"), others(c, c.owner("k0"))[0])
        assert all_is_read(m, values)


# Names in certificates

BY_NAME = ("--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname")


@pytest.mark.parametrize("spare", [0, 1])
def test_certificates_are_for_the_names_that_the_cluster_announces(pki, mount, spare):
    """Also where one server tells by CLUSTER NODES, which has addresses first, of another one that keys are under way to."""
    with Cluster(spare=spare, options=BY_NAME, tls=TlsPeers(pki, pki.local)) as c:
        values = fill_by_name(c)
        m = mount(seed(c, "localhost"), f"tls_ca={pki.ca.pem}")
        assert all_is_read(m, values)
        source = c.owner("k0")
        target = c.spare[0] if spare else others(c, source)[0]
        slot = key_slot(b"k0")
        c.begin_move(slot, source, target)
        c.move_keys(slot, source, target)
        assert all_is_read(m, values)
        c.end_move(slot, source, target)
        assert all_is_read(m, values)


def test_certificates_for_other_names_than_the_cluster_announces(pki, ckfs, tmp, mount):
    """The server that SOURCE names is good; those that it names, 127.0.0.1, are not."""
    with Cluster(tls=TlsPeers(pki, pki.local)) as c:
        values = fill_by_name(c)
        ca = f"tls_ca={pki.ca.pem}"
        for host in ("localhost", "127.0.0.1"):
            result = refusal(ckfs, tmp, "-o", ca, seed(c, host))
            assert complaint(result, "127.0.0.1 port", "not for 127.0.0.1", "tls_server_name=") == REFUSED
        assert all_is_read(mount(seed(c), f"{ca},tls_server_name=localhost"), values)
        assert all_is_read(mount(f"{seed(c)}?ssl_check_hostname=no", ca), values)
        assert complaint(refusal(ckfs, tmp, "-o", f"{ca},tls_server_name=other", seed(c)), "not for other") == REFUSED


# Whom it trusts, and what it shows


def test_a_wrong_ca_is_told(pki, fresh, ckfs, tmp):
    assert complaint(refusal(ckfs, tmp, seed(fresh)), "127.0.0.1 port", "not trusted", "tls_ca=") == REFUSED
    for args in (["-o", f"tls_ca={pki.foreign.pem}", seed(fresh)], [f"{seed(fresh)}?ssl_ca_certs={pki.foreign.pem}"]):
        assert complaint(refusal(ckfs, tmp, *args), "127.0.0.1 port", "not trusted") == REFUSED


def test_clients_need_a_certificate_where_servers_ask_for_one(pki, ckfs, tmp, mount):
    with Cluster(replicas=1, tls=TlsPeers(pki, pki.good, auth="yes")) as c:
        values = fill(c)
        assert all_is_read(mount(c.url), values)
        ours = f"tls_ca={pki.ca.pem},tls_cert={pki.client.cert},tls_key={pki.client.key}"
        m = mount(seed(c), ours, "timeout=20")
        assert all_is_read(m, values)
        assert complaint(refusal(ckfs, tmp, "-o", f"tls_ca={pki.ca.pem}", seed(c)), "asks for a certificate", "tls_cert=") == REFUSED
        strange = f"tls_ca={pki.ca.pem},tls_cert={pki.strange_client.cert},tls_key={pki.strange_client.key}"
        assert complaint(refusal(ckfs, tmp, "-o", strange, seed(c)), "unknown ca") == REFUSED
        old = c.owner("k0")
        old.kill()
        assert read(m / "k0") == values["k0"], "its replica asks for one as well"


def test_a_certificate_that_is_no_good_any_more_is_eacces(pki, mount):
    with Cluster(masters=1, tls=TlsPeers(pki, pki.good)) as c:
        server = c.masters[0]
        server.client().set("k", b"v")
        m = mount(c.url, "timeout=2")
        assert read(m / "k") == b"v"
        for name, value in {"cert": pki.expired.cert, "key": pki.expired.key}.items():
            server.more += (f"--tls-{name}-file", str(value))
        server.kill()
        server.start()
        wait_for(lambda: failure(m / "k") == "EACCES", "it has expired")


# TLS with one side only


def test_a_server_without_tls_is_told(fresh, ckfs, tmp):
    result = refusal(ckfs, tmp, f"rediss-cluster://127.0.0.1:{fresh.masters[0].port}")
    assert complaint(result, "127.0.0.1 port", "TLS", "redis-cluster://") == REFUSED


def test_a_server_that_has_tls_is_told(fresh, ckfs, tmp):
    result = refusal(ckfs, tmp, f"redis-cluster://127.0.0.1:{fresh.masters[0].tls_port}")
    assert complaint(result, "127.0.0.1", "closed", "TLS", "rediss-cluster://") == REFUSED


def test_a_cluster_that_announces_ports_without_tls_is_told(pki, ckfs, mount, tmp):
    """Redis 8 announces ports by how it is asked, whatever that setting is: nothing is to be told there."""
    with Cluster(options=("--tls-cluster", "no"), tls=TlsPeers(pki, pki.good)) as c:
        asked = redis.Redis(port=c.masters[0].tls_port, protocol=2, ssl=True, **c.tls.client)
        if asked.execute_command("CLUSTER", "SLOTS")[0][2][1] in {s.tls_port for s in c.servers}:
            values = fill(c)
            assert all_is_read(mount(c.url), values)
            return
        result = refusal(ckfs, tmp, c.url)
        assert complaint(result, f"127.0.0.1 port {c.masters[0].port}", "TLS", "redis-cluster://") == REFUSED


def test_both_ports_can_be_mounted(fresh, mount):
    values = fill(fresh)
    plain = mount(f"redis-cluster://127.0.0.1:{fresh.masters[0].port}")
    assert all_is_read(plain, values) and all_is_read(mount(fresh.url), values)


# What is shown


def test_a_password_shows_nowhere(pki, mount, ckfs, tmp):
    with Cluster(options=("--requirepass", "s3cret", "--masterauth", "s3cret"), password="s3cret", tls=TlsPeers(pki, pki.good)) as c:
        c.db().set("k", b"v")
        m = mount(c.url_of(*c.masters, login=":s3cret@"))
        assert read(m / "k") == b"v"
        shown = [pathlib.Path(f"/proc/{m.pid}/cmdline").read_text(), pathlib.Path("/proc/self/mounts").read_text(), m.log()]
        shown += [subprocess.check_output(["df", m], text=True), read(m / ".ckfs/stats").decode()]
        assert not any("s3cret" in text for text in shown)
        source = "rediss-cluster://" + ",".join(f"127.0.0.1:{s.tls_port}" for s in c.masters)
        assert f"{source} " in shown[1] and source in shown[3]
        (tmp / "pw").write_text("no")
        (tmp / "pw").chmod(0o600)
        result = refusal(ckfs, tmp, "-o", f"password_file={tmp}/pw", c.url)
        assert complaint(result, "WRONGPASS") == REFUSED
