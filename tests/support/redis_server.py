"""Private Redis servers, a proxy in front of them, and servers that misbehave on purpose."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable

import pytest
import redis

from ports import free_port
from waiting import PATIENCE

# What is started: another one by --redis-server.
PROGRAM = "redis-server"


class Server:
    """One redis-server, on a unix socket and a port of its own, which forgets all when it ends."""

    def __init__(self, directory: pathlib.Path, *options: str):
        self.directory, self.options = directory, options
        self.socket = directory / "s"
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self, wait: bool = True) -> None:
        args = [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        args += ["--dir", str(self.directory), "--save", "", "--appendonly", "no", *self.options]
        with open(self.directory / "server.log", "ab") as log:
            self.process = subprocess.Popen(args, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while wait:
            try:
                redis.Redis(unix_socket_path=str(self.socket), protocol=2).ping()
                return
            except redis.AuthenticationError:
                return
            except redis.RedisError:
                assert time.monotonic() < deadline, (self.directory / "server.log").read_text()
                time.sleep(0.01)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def peer_port(self) -> int:
        """The port at which clusters and sentinels know it."""
        return self.port

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def tcp(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options) -> redis.Redis:
        """Without HELLO, which a server need not have."""
        return redis.Redis(unix_socket_path=str(self.socket), **{"protocol": 2, **options})

    def listeners(self) -> dict[str, str]:
        """Connections that hear of changes: number -> version of the protocol."""
        ours = [c for c in self.client().client_list() if c["name"].startswith("ckfs")]
        return {c["id"]: c["resp"] for c in ours if c["resp"] == "3" or c["sub"] == "1"}

    def kill_listeners(self) -> None:
        for number in self.listeners():
            self.client().client_kill_filter(_id=number)

    def kill_readers(self) -> None:
        """All of ckfs's connections but those that listen."""
        listeners = self.listeners()
        for client in self.client().client_list():
            if client["name"].startswith("ckfs") and client["id"] not in listeners:
                self.client().client_kill_filter(_id=client["id"])

    def calls(self) -> dict[str, int]:
        """How often each command was called."""
        stats = self.client().info("commandstats")
        return {name.removeprefix("cmdstat_"): line["calls"] for name, line in stats.items()}


@contextlib.contextmanager
def running(*options: str):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-redis-"))
    server = Server(directory, *options)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def server():
    with running() as s:
        yield s


@pytest.fixture
def db(server) -> redis.Redis:
    return server.client()


class Listening:
    """Accepts connections on a port of its own, and has each served by a thread."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self.serve(client)
        # close() alone does not end it while another thread reads.
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        client.close()

    def serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def cut(self) -> None:
        """Ends all connections there are, and none that is made meanwhile."""
        for client in list(self.connections):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        # shutdown() ends an accept() that waits; close() alone does not.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


class Scripted(Listening):
    """A server that answers each command by a table: word -> bytes, or a function of its words. "WORD subscribed": after SUBSCRIBE."""

    def __init__(self, answers: dict):
        self.answers = answers
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        stream = client.makefile("rb")
        subscribed = False
        while head := stream.readline():
            words = []
            for _ in range(int(head[1:])):
                words.append(stream.read(int(stream.readline()[1:])))
                stream.readline()
            word = words[0].upper().decode()
            subscribed = subscribed or word == "SUBSCRIBE"
            answer = self.answers.get(word, b"+OK\r\n")
            if subscribed:
                answer = self.answers.get(f"{word} subscribed", answer)
            answer = answer(words) if callable(answer) else answer
            if answer is None:
                return
            client.sendall(answer)


class Relay(Listening):
    """
    Between ckfs and a server. `replies` may be set to change what comes back: bytes -> list of pieces, None: cut; None: all at once;
    `requests` to change what is asked: bytes -> bytes.
    """

    def __init__(self):
        self.replies = None
        self.requests = None
        super().__init__()

    def connect(self) -> socket.socket:
        """To the server."""
        raise NotImplementedError

    def serve(self, client: socket.socket) -> None:
        with self.connect() as upstream:
            threading.Thread(target=self._requests, args=(client, upstream), daemon=True).start()
            while data := upstream.recv(1 << 16):
                for piece in [data] if self.replies is None else self.replies(data):
                    if piece is None:
                        client.shutdown(socket.SHUT_RDWR)
                        return
                    client.sendall(piece)

    def _requests(self, client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                upstream.sendall(self.requests(data) if self.requests else data)
            upstream.shutdown(socket.SHUT_RDWR)


class Proxy(Relay):
    def __init__(self, server: Server):
        self.server = server
        super().__init__()

    def connect(self) -> socket.socket:
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(str(self.server.socket))
        return upstream


class Balancer(Relay):
    """One address for several servers: each connection goes to the next one of `servers`, which may be replaced."""

    def __init__(self, servers: Iterable[Server]):
        self.servers = iter(servers)
        super().__init__()

    def connect(self) -> socket.socket:
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(str(next(self.servers).socket))
        return upstream


@pytest.fixture
def balancer():
    """balancer(servers) -> an address for them."""
    made = []

    def make(servers: Iterable[Server]) -> Balancer:
        made.append(Balancer(servers))
        return made[-1]

    yield make
    for b in made:
        b.close()


def in_front_of_the_server(kind: type):
    """A fixture: a proxy of this kind before the test's server."""

    @pytest.fixture
    def made(server):
        with contextlib.closing(kind(server)) as relay:
            yield relay

    return made


proxy = in_front_of_the_server(Proxy)


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
