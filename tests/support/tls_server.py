"""A Redis server with TLS, and certificates for it. Tests that need them are skipped where ckfs was built without TLS."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile
import urllib.parse
from types import SimpleNamespace

import pytest

from certificates import Authority, openssl
from ports import free_port
from redis_server import Relay, Server

NO_TLS = "hiredis had no TLS when this ckfs was built (ckfs -V: TLS: no)"


def has_tls(ckfs: str) -> bool:
    return "TLS: yes" in subprocess.check_output([ckfs, "-V"], text=True)


@pytest.fixture
def tls(ckfs) -> None:
    if not has_tls(ckfs):
        pytest.skip(NO_TLS)


def settings(certificate, ca: pathlib.Path) -> dict[str, str]:
    """What a redis-server or a sentinel needs for TLS, by the names of its configuration."""
    return {"tls-cert-file": str(certificate.cert), "tls-key-file": str(certificate.key), "tls-ca-cert-file": str(ca)}


class TlsServer(Server):
    """A redis-server that has a port with TLS as well. `certificate` may be changed before a start."""

    def __init__(self, directory: pathlib.Path, certificate, ca: pathlib.Path, *options: str):
        self.certificate, self.ca, self.more, self.tls_port = certificate, ca, options, free_port()
        super().__init__(directory)

    def start(self, wait: bool = True) -> None:
        made = {"tls-port": str(self.tls_port), **settings(self.certificate, self.ca)}
        self.options = (*(word for name, value in made.items() for word in (f"--{name}", value)), *self.more)
        super().start(wait)

    @property
    def peer_port(self) -> int:
        return self.tls_port

    @property
    def rediss(self) -> str:
        return f"rediss://localhost:{self.tls_port}"


@contextlib.contextmanager
def running_tls(certificate, ca, *options: str):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-redis-"))
    server = TlsServer(directory, certificate, ca, *options)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


class TlsPeers:
    """Servers of a cluster, or of a service behind sentinels, that speak TLS among themselves. `auth`: of clients they want a certificate."""

    def __init__(self, pki, certificate, auth: str = "no"):
        self.pki, self.certificate, self.auth = pki, certificate, auth

    def server(self, directory: pathlib.Path, *options: str) -> TlsServer:
        among = ("--tls-cluster", "yes", "--tls-replication", "yes", "--tls-auth-clients", self.auth)
        return TlsServer(directory, self.certificate, self.pki.ca.pem, *among, *options)

    def sentinel_lines(self, port: int) -> list[str]:
        made = {"tls-port": str(port), "tls-replication": "yes", "tls-auth-clients": self.auth, **settings(self.certificate, self.pki.ca.pem)}
        return [f"{name} {value}" for name, value in made.items()]

    @property
    def client(self) -> dict[str, str]:
        """What redis-py has to be told, and a URL of ckfs."""
        client = self.pki.client
        shown = {} if self.auth == "no" else {"ssl_certfile": str(client.cert), "ssl_keyfile": str(client.key)}
        return {"ssl_ca_certs": str(self.pki.ca.pem), **shown}

    @property
    def query(self) -> str:
        return "?" + urllib.parse.urlencode(self.client)


@pytest.fixture(scope="module")
def pki(ckfs):
    """`ca` signs what is good; nobody trusts `foreign`."""
    if not has_tls(ckfs):
        pytest.skip(NO_TLS)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-pki-"))
    ca, foreign = Authority(directory, "ca"), Authority(directory, "foreign")
    made = SimpleNamespace(
        directory=directory,
        ca=ca,
        foreign=foreign,
        good=ca.issue("good"),
        named=ca.issue("named", "DNS:cache.example.org"),
        local=ca.issue("local", "DNS:localhost"),
        numbered=ca.issue("numbered", "IP:127.0.0.1"),
        starred=ca.issue("starred", "DNS:*.example.org"),
        expired=ca.issue("expired", days=-1),
        client=ca.issue("client", "DNS:client"),
        strange_client=foreign.issue("client", "DNS:client"),
    )
    openssl("rehash", shutil.copytree(directory, directory / "hashed", ignore=shutil.ignore_patterns("foreign*", "ca-*")))
    yield made
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def live(pki):
    """A server that a test may fill and stop."""
    with running_tls(pki.good, pki.ca.pem, "--tls-auth-clients", "no") as s:
        yield s


class TlsRelay(Relay):
    """To the port with TLS, in pieces as small as they are sent."""

    def __init__(self, port: int):
        self.upstream_port = port
        super().__init__()
        self.url = f"rediss://localhost:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.upstream_port))

    def serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().serve(client)


@pytest.fixture
def relay(live):
    made = TlsRelay(live.tls_port)
    yield made
    made.close()
