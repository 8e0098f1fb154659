"""Private Memcached servers, and what the tests of several of them share."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest
from pymemcache.client.base import Client

from ports import free_port
from redis_server import Listening, Relay
from waiting import PATIENCE, stop_process

PROGRAM = "memcached"


class Memcached:
    """One memcached, on a port of its own or a unix socket, which forgets all when it ends."""

    def __init__(self, *options: str, unix: bool = False, login: tuple[str, str] | None = None, host: str = "127.0.0.1"):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-memcached-"))
        self.options, self.host, self.login = options, host, login
        self.socket = self.directory / "s" if unix else None
        self.port = 0 if unix else free_port()
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        place = ["-s", str(self.socket), "-a", "0777"] if self.socket else ["-l", self.host, "-p", str(self.port), "-U", "0"]
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "-u", "root", *place, *self.options], stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.connection() as s:
                    s.sendall(b"version\r\n")
                    if s.recv(100):
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline and self.process.poll() is None, (self.directory / "log").read_text()
            time.sleep(0.01)

    def connection(self, little: bool = False) -> socket.socket:
        """`little`: it takes little that nobody has read yet."""
        if self.socket:
            s = socket.socket(socket.AF_UNIX)
        else:
            s = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
            s.settimeout(PATIENCE)
        if little:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(str(self.socket) if self.socket else (self.host, self.port))
        return s

    def stop(self) -> None:
        stop_process(self.process)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def place(self) -> str:
        """As a SOURCE has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return str(self.socket) if self.socket else f"{host}:{self.port}"

    @property
    def node(self) -> str:
        """As the SDK has it."""
        return f"{self.host}:{self.port}"

    @property
    def source(self) -> str:
        return f"memcached://{self.place}"

    def client(self, **options) -> Client:
        return Client(str(self.socket) if self.socket else (self.host, self.port), **options)

    def say(self, line: bytes, *ends: bytes) -> bytes:
        """Sends a line, and returns what comes until one of the ends (a line's)."""
        with self.connection() as s:
            s.sendall(line + b"\r\n")
            got = b""
            while not got.endswith(ends or (b"\r\n",)):
                piece = s.recv(1 << 16)
                assert piece, got
                got += piece
            return got

    def items(self) -> dict[bytes, dict[str, str]]:
        """All that it has, as it lists it itself: key as it is encoded -> what is told of it."""
        while (text := self.say(b"lru_crawler metadump hash", b"END\r\n", b"request\r\n")).startswith(b"BUSY"):
            time.sleep(0.01)
        lines = [dict(word.split("=", 1) for word in line.decode().split()) for line in text.splitlines() if line.startswith(b"key=")]
        return {line["key"].encode(): line for line in lines}


@contextlib.contextmanager
def running(*options: str, **more) -> Iterator[Memcached]:
    server = Memcached(*options, **more)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def server():
    with running() as s:
        yield s


@pytest.fixture
def servers():
    """servers(n, *options) -> so many."""
    with contextlib.ExitStack() as stack:
        yield lambda n, *options: [stack.enter_context(running(*options)) for _ in range(n)]


def source_of(several: list[Memcached]) -> str:
    return "memcached://" + ",".join(server.place for server in several)


def sdk_backend(several: list[Memcached], prefix: str = ""):
    """The package's own backend over these servers."""
    from cachekit.backends.memcached import MemcachedBackend, MemcachedBackendConfig

    return MemcachedBackend(MemcachedBackendConfig(servers=[server.node for server in several], key_prefix=prefix, max_item_size_bytes=0))


def has_key(server: Memcached, key: str) -> bool:
    return server.client().get(key) is not None


class Between(Relay):
    """A relay before a server: see Relay."""

    def __init__(self, server: Memcached):
        self.server = server
        super().__init__()
        self.source = f"memcached://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return self.server.connection()


@pytest.fixture
def between(server):
    relay = Between(server)
    yield relay
    relay.close()


STATS = b"STAT pid 7\r\nSTAT uptime 9\r\nSTAT time 1800000000\r\nSTAT version 1.6.99\r\nSTAT total_connections %d\r\nEND\r\n"
SETTINGS = b"STAT item_size_max 1048576\r\nSTAT cas_enabled yes\r\nEND\r\n"


class Scripted(Listening):
    """A server that answers lines by a table: first word -> bytes, a function of the line, or None: it hangs up."""

    def __init__(self, answers: dict):
        self.answers = answers
        self.count = 0
        super().__init__()
        self.source = f"memcached://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        self.count += 1
        for line in client.makefile("rb"):
            words = line.split()
            answer = self.answers.get(words[0].decode(), self.usual(words))
            answer = answer(line.rstrip(b"\r\n")) if callable(answer) else answer
            if answer is None:
                return
            client.sendall(answer)

    def usual(self, words: list[bytes]) -> bytes:
        if words[0] == b"stats":
            return SETTINGS if len(words) > 1 else STATS % self.count
        return b"EN\r\n" if words[0] == b"mg" else b"END\r\n"


def value_of(value: bytes, cas: int = 1):
    """The answer to each `mg`: an item with this value."""

    def answer(line: bytes) -> bytes:
        words = line.split()
        flags = b"s%d t-1 c%d f0 %s\r\n" % (len(value), cas, next(word for word in words if word.startswith(b"O")))
        return b"VA %d %s%s\r\n" % (len(value), flags, value) if b"v" in words else b"HD " + flags

    return answer


@pytest.fixture
def scripted():
    """scripted({word: answer}) -> a server that answers so."""
    made = []

    def make(answers: dict) -> Scripted:
        made.append(Scripted(answers))
        return made[-1]

    yield make
    for s in made:
        s.close()
