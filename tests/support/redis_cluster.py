"""Private Redis clusters and services behind sentinels, on loopback."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.crc import key_slot
from redis.retry import Retry

import redis_server
from ports import free_port
from redis_server import Server
from tls_server import TlsPeers
from waiting import stop_process, until

SLOTS = 16384

# Milliseconds until a server that does not answer counts as failing.
NODE_TIMEOUT = 1000


def wait_for(condition, what: str):
    """Waits until condition() is true, though servers may not answer yet, and returns what it is."""

    def holds():
        with contextlib.suppress(redis.RedisError):
            return condition()

    value = until(holds)
    assert value, what
    return value


class Servers:
    """Servers that are ended, with all they left, at the end of a `with`."""

    def __init__(self, tls: TlsPeers | None = None):
        self.tls = tls
        self.directories: list[pathlib.Path] = []
        self.servers: list[Server] = []

    def add(self, *options: str) -> Server:
        directory = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-redis-"))
        self.directories.append(directory)
        server = self.tls.server(directory, *options) if self.tls else Server(directory, *options)
        self.servers.append(server)
        return server

    def url_with(self, kind: str, ports: list[int], login: str = "", path: str = "") -> str:
        """The SOURCE for ckfs, with the files that TLS needs."""
        scheme, query = (f"rediss-{kind}", self.tls.query) if self.tls else (f"redis-{kind}", "")
        return f"{scheme}://{login}" + ",".join(f"127.0.0.1:{port}" for port in ports) + path + query

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.kill()
        for directory in self.directories:
            shutil.rmtree(directory, ignore_errors=True)


def wait_for_replicas(server: Server, **login) -> None:
    """Waits until all of them have all that was written."""

    def have_all() -> bool:
        state = server.client(**login).info("replication")
        slaves = [value for name, value in state.items() if re.fullmatch(r"slave\d+", name)]
        return bool(slaves) and all(s["state"] == "online" and s["offset"] == state["master_repl_offset"] for s in slaves)

    wait_for(have_all, "replicas have all")


def stop(server: Server) -> None:
    stop_process(server.process)


def go_on(server: Server) -> None:
    server.process.send_signal(signal.SIGCONT)


class Cluster(Servers):
    """`masters` masters, each with `replicas` replicas. `spare`: masters more, which have no slots."""

    def __init__(
        self,
        masters: int = 3,
        replicas: int = 0,
        spare: int = 0,
        options: tuple[str, ...] = (),
        password: str | None = None,
        tls: TlsPeers | None = None,
    ):
        super().__init__(tls)
        self.password = password
        try:
            self._make(masters, replicas, spare, options)
        except BaseException:
            self.__exit__()
            raise

    def _make(self, masters: int, replicas: int, spare: int, options: tuple[str, ...]) -> None:
        for _ in range(masters * (1 + replicas) + spare):
            self.add("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", str(NODE_TIMEOUT), *options)
        self.masters = self.servers[:masters]
        self.spare = self.servers[masters : masters + spare]
        self.replicas = self.servers[masters + spare :]
        bounds = [SLOTS * i // masters for i in range(masters + 1)]
        for i, server in enumerate(self.servers):
            self.cluster(server, "SET-CONFIG-EPOCH", i + 1)
        for i, server in enumerate(self.masters):
            self.cluster(server, "ADDSLOTSRANGE", bounds[i], bounds[i + 1] - 1)
        first = self.servers[0]
        for server in self.servers[1:]:
            self.cluster(server, "MEET", "127.0.0.1", first.peer_port, self.bus_port(first))
        wait_for(lambda: all(self.info(s)["cluster_known_nodes"] == str(len(self.servers)) for s in self.servers), "all have met")
        for i, server in enumerate(self.replicas):
            master = self.masters[i % masters]
            wait_for(lambda: self.cluster(server, "REPLICATE", self.id(master)), "it knows its master")
        wait_for(lambda: all(self.info(s)["cluster_state"] == "ok" for s in self.servers), "the cluster is up")
        wait_for(lambda: all(self.client(s).info("replication")["master_link_status"] == "up" for s in self.replicas), "replicas follow")
        wait_for(lambda: all(str(self.cluster(s, "NODES")).count("slave") >= len(self.replicas) for s in self.servers), "all know them")

    @staticmethod
    def bus_port(server: Server) -> str:
        return server.options[server.options.index("--cluster-port") + 1]

    def client(self, server: Server) -> redis.Redis:
        return server.client(password=self.password)

    def cluster(self, server: Server, *words):
        return self.client(server).execute_command("CLUSTER " + str(words[0]), *words[1:])

    def info(self, server: Server) -> dict[str, str]:
        return self.cluster(server, "INFO")

    def id(self, server: Server) -> str:
        return self.cluster(server, "MYID").decode()

    def everywhere(self, *words) -> None:
        for server in self.servers:
            self.client(server).execute_command(*words)

    @property
    def url(self) -> str:
        return self.url_of(self.masters[0])

    def url_of(self, *servers: Server, login: str = "") -> str:
        return self.url_with("cluster", [s.peer_port for s in servers], login)

    def db(self) -> redis.RedisCluster:
        alive = [s for s in self.servers if s.process]
        nodes = [redis.cluster.ClusterNode("127.0.0.1", s.peer_port) for s in alive]
        tls = {"ssl": True, **self.tls.client} if self.tls else {}
        return redis.RedisCluster(startup_nodes=nodes, password=self.password, retry=Retry(ConstantBackoff(0.1), 100), **tls)

    def owner(self, key: bytes | str) -> Server:
        """The master whose key it is, by what the first server that lives says."""
        return self.server_of_slot(key_slot(key.encode() if isinstance(key, str) else key))

    def server_of_slot(self, slot: int) -> Server:
        alive = next(s for s in self.servers if s.process)
        for first, last, master, *_ in self.cluster(alive, "SLOTS"):
            if first <= slot <= last:
                # Redis 8 names the port of the kind that it was asked by, which may be none.
                id = master[2].decode() if isinstance(master[2], bytes) else master[2]
                return next(s for s in self.servers if s.process and self.id(s) == id)
        raise AssertionError(f"nobody has slot {slot}")

    def server_at(self, port: int) -> Server:
        """By the port that a server names: with TLS or without, as it was asked."""
        return next(s for s in self.servers if port in (s.port, s.peer_port))

    def begin_move(self, slot: int, source: Server, target: Server) -> None:
        self.cluster(target, "SETSLOT", slot, "IMPORTING", self.id(source))
        self.cluster(source, "SETSLOT", slot, "MIGRATING", self.id(target))

    def move_keys(self, slot: int, source: Server, target: Server, limit: int | None = None) -> int:
        """Moves the keys of a slot, or some of them."""
        moved = 0
        while limit is None or moved < limit:
            keys = self.cluster(source, "GETKEYSINSLOT", slot, 100 if limit is None else min(100, limit - moved))
            if not keys:
                break
            auth = ["AUTH", self.password] if self.password else []
            self.client(source).execute_command("MIGRATE", "127.0.0.1", target.peer_port, "", 0, 20000, "REPLACE", *auth, "KEYS", *keys)
            moved += len(keys)
        return moved

    def end_move(self, slot: int, source: Server, target: Server) -> None:
        for server in (target, source, *(s for s in self.masters if s not in (source, target))):
            self.cluster(server, "SETSLOT", slot, "NODE", self.id(target))

    def settle(self) -> None:
        """
        Waits until all masters have heard of the same epoch. One that moves a slot again before that may take an older claim to it for newer
        than its own, and drops the keys.
        """

        def epochs() -> set[str]:
            return {self.info(server)["cluster_current_epoch"] for server in self.masters}

        wait_for(lambda: len(epochs()) == 1, "the masters agree on the epoch")

    def move_slot(self, slot: int, source: Server, target: Server) -> None:
        self.begin_move(slot, source, target)
        self.move_keys(slot, source, target)
        self.end_move(slot, source, target)


class Service(Servers):
    """A master, its replicas, and sentinels that watch them: the master by this host, and by the port that this attribute names."""

    name = "main-1.x"

    def __init__(
        self,
        replicas: int = 1,
        sentinels: int = 3,
        options: tuple[str, ...] = (),
        sentinel_options: tuple[str, ...] = (),
        tls: TlsPeers | None = None,
        host: str = "127.0.0.1",
        watched: str = "peer_port",
    ):
        super().__init__(tls)
        self.host, self.watched = host, watched
        self.sentinels: list[subprocess.Popen] = []
        self.sentinel_ports: list[int] = []  # of ckfs
        self.plain_ports: list[int] = []  # of the tests; the same ones, where there is no TLS
        self.options = options
        try:
            self.master = self.add(*options)
            self.replicas = [self.add("--replicaof", "127.0.0.1", str(self.master.peer_port), *options) for _ in range(replicas)]
            for _ in range(sentinels):
                self._add_sentinel(1 if sentinels < 2 else 2, sentinel_options)
            self._wait(sentinels)
        except BaseException:
            self.__exit__()
            raise

    @property
    def password(self) -> str | None:
        return self.options[self.options.index("--requirepass") + 1] if "--requirepass" in self.options else None

    def _add_sentinel(self, quorum: int, options: tuple[str, ...]) -> None:
        directory = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-redis-"))
        self.directories.append(directory)
        plain = free_port()
        port = free_port() if self.tls else plain
        lines = [f"port {plain}", "bind 127.0.0.1", f"dir {directory}", *(self.tls.sentinel_lines(port) if self.tls else []), *options]
        lines += [f"sentinel monitor {self.name} {self.host} {getattr(self.master, self.watched)} {quorum}"]
        lines += [f"sentinel down-after-milliseconds {self.name} {NODE_TIMEOUT}", f"sentinel failover-timeout {self.name} 5000"]
        lines += [f"sentinel auth-pass {self.name} {self.password}"] if self.password else []
        (directory / "sentinel.conf").write_text("\n".join(lines) + "\n")
        with open(directory / "sentinel.log", "wb") as log:
            args = [redis_server.PROGRAM, directory / "sentinel.conf", "--sentinel"]
            self.sentinels.append(subprocess.Popen(args, stdout=log, stderr=log))
        self.sentinel_ports.append(port)
        self.plain_ports.append(plain)

    def sentinel(self, i: int = 0) -> redis.Redis:
        return redis.Redis(port=self.plain_ports[i], password=getattr(self, "sentinel_password", None))

    def _wait(self, sentinels: int) -> None:
        def is_ready(i: int) -> bool:
            try:
                state = self.sentinel(i).sentinel_master(self.name)
            except redis.AuthenticationError:
                return True
            return state["num-other-sentinels"] == sentinels - 1 and state["num-slaves"] == len(self.replicas)

        wait_for(lambda: all(is_ready(i) for i in range(sentinels)), "sentinels know each other")
        states = lambda: {r.client(password=self.password).info("replication")["master_link_status"] for r in self.replicas}  # noqa: E731
        wait_for(lambda: states() <= {"up"}, "replicas follow")

    def current(self) -> Server:
        """The master, as the first sentinel says."""
        port = self.sentinel().sentinel_master(self.name)["port"]
        return next(s for s in self.servers if s.peer_port == port)

    @property
    def url(self) -> str:
        return self.url_of(self.sentinel_ports)

    def url_of(self, ports: list[int], login: str = "", db: str = "") -> str:
        return self.url_with("sentinel", ports, login, f"/{self.name}{db}")

    def __exit__(self, *_):
        for process in self.sentinels:
            process.kill()
            process.wait()
        super().__exit__()


@pytest.fixture(scope="module")
def cluster():
    """A cluster that the tests of a module share, and leave as it was."""
    with Cluster() as c:
        yield c


@pytest.fixture
def fresh(cluster):
    """The shared cluster, empty."""
    for server in cluster.masters:
        server.client().flushall()
    return cluster
