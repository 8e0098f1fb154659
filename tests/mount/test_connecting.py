"""Connecting to servers, of whatever kind: it ends when the mount does, and goes on to the next address of a host."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

import memcached_server
from ports import free_port
from redis_server import running
from tls_server import pki, running_tls  # noqa: F401 - a fixture
from unanswering import nobody_accepts, nobody_speaks
from waiting import all_wait, taking

# unshare needs root.
HOSTS = ["unshare", "-m", "sh", "-ec", 'mount --bind "$0" /etc/hosts; exec "$@"']


@contextlib.contextmanager
def redis_one(request):
    with running() as s:
        s.client().set("k", b"v")
        yield s, s.tcp, [], s.port


@contextlib.contextmanager
def redis_by_tls(request):
    p = request.getfixturevalue("pki")
    with running_tls(p.local, p.ca.pem, "--tls-auth-clients", "no") as s:
        s.client().set("k", b"v")
        yield s, s.rediss, [f"tls_ca={p.ca.pem}"], s.tls_port


@contextlib.contextmanager
def memcached(request):
    with memcached_server.running() as s:
        s.client().set("k", b"v")
        yield s, s.source, [], s.port


@pytest.mark.parametrize(
    "kind, silent",
    [(redis_one, nobody_accepts), (memcached, nobody_accepts), (redis_by_tls, nobody_accepts), (redis_by_tls, nobody_speaks)],
)
def test_a_mount_ends_while_it_connects_to_a_host_that_does_not_answer(request, mount, kind, silent):
    with kind(request) as (s, source, options, port):
        m = mount(source, "timeout=60", *options)
        assert (m / "k").read_bytes() == b"v"
        s.kill()
        with silent(port):
            waiting = subprocess.Popen(["cat", m / "k"], stderr=subprocess.PIPE)
            assert all_wait(waiting)
            with taking():
                assert m.end()
            waiting.communicate()


def read_from(ckfs, tmp, addresses: list[str], port: int, timeout: int) -> subprocess.CompletedProcess:
    """What a command finds on a host that has these addresses."""
    hosts = tmp / "hosts"
    hosts.write_text("".join(f"{address} several.test\n" for address in addresses))
    command = [ckfs, "cat", "-o", f"timeout={timeout}", f"redis://several.test:{port}", "k"]
    return subprocess.run([*HOSTS, hosts, *command], capture_output=True)


# The resolver has 127.0.0.1 first, wherever it stands.
OTHER = "127.0.0.2"


@pytest.mark.parametrize("addresses", [["127.0.0.1", OTHER], [OTHER, "127.0.0.1"], ["127.0.0.1", "127.0.0.3", OTHER], ["::1", "127.0.0.1", OTHER]])
def test_the_next_address_of_a_host_is_tried_when_one_refuses(ckfs, tmp, addresses):
    with running("--bind", OTHER) as s:
        s.client().set("k", b"v")
        found = read_from(ckfs, tmp, addresses, s.port, timeout=30)
    assert (found.returncode, found.stdout) == (0, b"v"), found.stderr


def test_the_next_address_of_a_host_is_tried_when_one_does_not_answer(ckfs, tmp):
    """Each has its part of the timeout."""
    with running("--bind", OTHER) as s, nobody_accepts(s.port):
        s.client().set("k", b"v")
        found = read_from(ckfs, tmp, ["127.0.0.1", OTHER], s.port, timeout=4)
    assert (found.returncode, found.stdout) == (0, b"v"), found.stderr


def test_a_host_none_of_whose_addresses_answers_is_what_the_last_one_says(ckfs, tmp):
    port = free_port()
    with nobody_accepts(port, OTHER):
        for addresses, words in {("127.0.0.1", "127.0.0.3"): b"Connection refused", (OTHER,): b"timed out", (): b"not known"}.items():
            found = read_from(ckfs, tmp, list(addresses), port, timeout=2)
            assert found.returncode == 1 and words in found.stderr, found.stderr
