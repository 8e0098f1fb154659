"""A Redis server with TLS, and certificates for it. Tests that need them are skipped where ckfs was built without TLS."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
from types import SimpleNamespace

import pytest

from certificates import Authority, openssl
from redis_server import Listening, Server, free_port

NO_TLS = "hiredis had no TLS when this ckfs was built (ckfs -V: TLS: no)"


def has_tls(ckfs: str) -> bool:
    return "TLS: yes" in subprocess.check_output([ckfs, "-V"], text=True)


@pytest.fixture
def tls(ckfs) -> None:
    if not has_tls(ckfs):
        pytest.skip(NO_TLS)


class TlsServer(Server):
    """A redis-server that has a port with TLS as well. `certificate` may be changed before a start."""

    def __init__(self, directory: pathlib.Path, certificate, ca: pathlib.Path, *options: str):
        self.certificate, self.ca, self.more, self.tls_port = certificate, ca, options, free_port()
        super().__init__(directory)

    def start(self, wait: bool = True) -> None:
        self.options = ("--tls-port", str(self.tls_port), "--tls-cert-file", str(self.certificate.cert), "--tls-key-file")
        self.options += (str(self.certificate.key), "--tls-ca-cert-file", str(self.ca), *self.more)
        super().start(wait)

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


class Relay(Listening):
    """Between ckfs and the port with TLS. `pass_on` may be set to change what comes back: bytes -> list of pieces, None: cut."""

    def __init__(self, port: int):
        self.upstream, self.pass_on = port, lambda data: [data]
        super().__init__()
        self.url = f"rediss://localhost:{self.port}"

    def serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with socket.create_connection(("127.0.0.1", self.upstream)) as upstream:
            threading.Thread(target=self._requests, args=(client, upstream), daemon=True).start()
            while data := upstream.recv(1 << 16):
                for piece in self.pass_on(data):
                    if piece is None:
                        client.shutdown(socket.SHUT_RDWR)
                        return
                    client.sendall(piece)

    def _requests(self, client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay(live):
    made = Relay(live.tls_port)
    yield made
    made.close()
