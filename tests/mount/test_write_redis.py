"""§8 of the contract: what a Redis server adds. One command for each change, its errors, and the applications that are told."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import redis

from helpers import read
from redis_cluster import Cluster, Service, go_on, stop, wait_for
from redis_server import db, proxy, running, server  # noqa: F401 - fixtures
from tls_server import pki, running_tls  # noqa: F401 - a fixture
from waiting import PATIENCE, all_wait, taking, until
from writing import frame, outcome, seen_while_it_is_written, write

CHANGES = {
    "store": lambda m, key: write(m / f"frame/{key}", frame("new")),
    "remove": lambda m, key: os.unlink(m / key),
    "expire": lambda m, key: os.setxattr(m / key, "user.ckfs.ttl", b"60"),
    "never": lambda m, key: os.setxattr(m / key, "user.ckfs.ttl", b"never"),
}


def commands_since(server, before: dict) -> dict:
    after = server.calls()
    return {name: after[name] - before.get(name, 0) for name in after if after[name] > before.get(name, 0)}


class TestCommands:
    def test_an_expiry_stays_to_the_millisecond(self, server, db, mount):
        db.set("k", frame("old"), px=500_000)
        before = db.pexpiretime("k")
        write(mount(server.url, "write", "ttl=9") / "frame/k", frame("new"))
        assert (db.get("k"), db.pexpiretime("k")) == (frame("new"), before)

    def test_one_command_each(self, server, db, mount):
        m = mount(server.url, "write")
        for name, change in CHANGES.items():
            db.set("k", frame("old"), ex=100)
            read(m / "frame/k")
            before = server.calls()
            change(m, "k")
            made = {command for command in commands_since(server, before) if command in ("set", "setex", "unlink", "del", "pexpire", "persist", "expire")}
            assert made == {{"store": "set", "remove": "unlink", "expire": "pexpire", "never": "persist"}[name]}

    def test_what_is_no_value_is_not_written_over(self, server, db, mount):
        db.rpush("list", 1)
        m = mount(server.url, "write")
        assert (outcome(write, m / "frame/list", frame()), outcome(os.unlink, m / "list"), db.lrange("list", 0, -1)) == ("EPERM", "ENOENT", [b"1"])

    def test_a_tenants_keys_are_written_under_its_prefix(self, server, db, mount):
        m = mount(server.url, "write", "tenant=default")
        write(m / "frame/k", frame())
        assert db.get("t:default:k") == frame()
        os.unlink(m / "k")
        assert db.keys() == []

    def test_a_key_that_comes_and_goes_is_stored_all_the_same(self, server, db, mount):
        m = mount(server.url, "write", "ttl=1000")
        over = threading.Event()

        def restless() -> None:
            client = server.client()
            while not over.is_set():
                client.set("k", frame("theirs"))
                client.delete("k")

        thread = threading.Thread(target=restless)
        thread.start()
        results = {outcome(write, m / "frame/k", frame(str(i))) for i in range(200)}
        over.set()
        thread.join()
        assert results <= {None, "EAGAIN"} and None in results

    def test_a_server_that_cannot_keep_an_expiry_is_told_it(self, scripted_old, mount):
        m, said = scripted_old
        write(m / "frame/k", frame())
        sets = [words for words in said if words[0] == b"SET"]
        assert [words[3:] for words in sets] == [[b"XX", b"KEEPTTL"], [b"XX", b"PX", b"5000"]]


@pytest.fixture
def scripted_old(mount):
    """A server before 6.0."""
    from redis_server import Scripted

    said = []

    def set_(words):
        said.append(words)
        return b"-ERR syntax error\r\n" if b"KEEPTTL" in words else b"+OK\r\n"

    unknown = b"-ERR unknown command\r\n"
    s = Scripted({
        "STRLEN": b":1\r\n", "GET": b"$1\r\nx\r\n", "GETRANGE": b"$1\r\nx\r\n", "PTTL": b":5000\r\n", "PEXPIRETIME": unknown, "SET": set_, "HELLO": unknown,
        "CLIENT": unknown, "PUBLISH": b":0\r\n", "SUBSCRIBE": unknown, "PING": b"+PONG\r\n",
    })  # fmt: skip
    yield mount(s.url, "write"), said
    s.close()


class TestErrors:
    @pytest.mark.parametrize("change", CHANGES)
    def test_no_permission_is_eacces(self, server, db, mount, change):
        db.set("k", frame("old"), ex=100)
        db.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "allchannels", "+@read", "+@connection", "+subscribe")
        m = mount(f"redis://reader:pw@127.0.0.1:{server.port}", "write")
        assert (outcome(CHANGES[change], m, "k"), db.get("k")) == ("EACCES", frame("old"))

    def test_these_rights_are_enough(self, server, db, mount):
        rights = "+@read +@connection +set +unlink +pexpire +persist +publish &cachekit:py:invalidate:v1 &__redis__:invalidate +subscribe"
        db.execute_command("ACL", "SETUSER", "writer", "on", ">pw", "~*", "resetchannels", *rights.split())
        m = mount(f"redis://writer:pw@127.0.0.1:{server.port}", "write")
        for change in CHANGES.values():
            write(m / "frame/k", frame("old"))
            change(m, "k")

    def test_who_may_not_announce_stores_all_the_same(self, server, db, mount):
        db.execute_command("ACL", "SETUSER", "quiet", "on", ">pw", "~*", "resetchannels", "+@read", "+@connection", "+set", "+unlink")
        m = mount(f"redis://quiet:pw@127.0.0.1:{server.port}", "write")
        key = "func:a.b:args:" + "0" * 64 + ":1s"
        write(m / f"frame/{key}", frame())
        assert db.get(key) == frame()
        os.unlink(m / key)
        assert db.get(key) is None

    @pytest.mark.parametrize("change", CHANGES)
    def test_a_replica_that_takes_no_changes_is_erofs(self, server, db, mount, change):
        db.set("k", frame("old"), ex=100)
        with running("--replicaof", "127.0.0.1", str(server.port)) as replica:
            wait_for(lambda: replica.client().get("k") == frame("old"), "it has all")
            m = mount(replica.url, "write")
            assert (outcome(CHANGES[change], m, "k"), db.get("k")) == ("EROFS", frame("old"))

    def test_a_server_without_memory_is_enospc(self, server, db, mount):
        db.set("k", frame("old"))
        m = mount(server.url, "write")
        db.config_set("maxmemory", "1")
        assert outcome(write, m / "frame/k", frame("new")) == "ENOSPC"
        os.unlink(m / "k")
        assert db.get("k") is None

    def test_a_value_over_512_mib_is_efbig(self, server, mount):
        m = mount(server.url, "write", "unchecked")
        fd = os.open(m / "frame/k", os.O_WRONLY | os.O_CREAT)
        assert outcome(os.pwrite, fd, b"x", 512 << 20) == "EFBIG"
        assert outcome(os.close, fd) == "EFBIG"

    @pytest.mark.parametrize("change", ["store", "remove", "expire"])
    def test_a_connection_lost_before_the_answer_is_etimedout_and_nothing_is_sent_again(self, server, db, proxy, mount, change):
        """Stored or not: the next open tells."""
        db.set("k", frame("old"), ex=100)
        m = mount(proxy.url, "write", "timeout=2")
        read(m / "frame/k")
        word = {"store": b"\r\nSET\r\n", "remove": b"\r\nUNLINK\r\n", "expire": b"\r\nPEXPIRE\r\n"}[change]
        seen = []

        def requests(data: bytes) -> bytes:
            if word in data:
                seen.append(data)
                proxy.replies = lambda _: [None]
            return data

        proxy.requests = requests
        assert outcome(CHANGES[change], m, "k") == "ETIMEDOUT"
        assert len(seen) == 1
        proxy.replies = proxy.requests = None
        assert {"store": db.get("k") == frame("new"), "remove": db.get("k") is None, "expire": db.ttl("k") <= 60}[change]
        assert {"store": lambda: read(m / "frame/k") == frame("new"), "remove": lambda: outcome(os.stat, m / "k") == "ENOENT", "expire": lambda: True}[change]()

    def test_a_connection_that_was_closed_while_it_was_idle_is_replaced(self, server, db, mount):
        m = mount(server.url, "write")
        for i in range(5):
            write(m / "frame/k", frame(str(i)))
            server.kill_readers()
            write(m / "frame/k", frame(f"{i} again"))
            assert db.get("k") == frame(f"{i} again")

    def test_a_connection_that_died_while_a_value_was_written_is_replaced_before_it_is_sent(self, server, db, proxy, mount):
        """As by a router that forgot it: the first that is sent over it is its end."""
        m = mount(proxy.url, "write")
        with open(m / "frame/k", "wb", buffering=0) as file:
            file.write(frame("new"))
            time.sleep(1.5)
            dead, sent, one = set(proxy.connections), [], threading.Lock()

            def requests(data: bytes) -> bytes:
                with one:
                    sent.append(data)
                    if dead:
                        dead.clear()
                        proxy.cut()
                return data

            proxy.requests = requests
        proxy.requests = None
        assert (db.get("k"), sum(b"\r\nSET\r\n" in data for data in sent)) == (frame("new"), 1)

    def test_a_server_that_hangs_times_out_and_ctrl_c_ends_the_wait(self, server, db, mount):
        m = mount(server.url, "write", "timeout=60")
        file = open(m / "frame/k", "wb", buffering=0)
        file.write(frame())
        stop(server)
        try:
            program = "import os, sys; file = int(sys.argv[1]); os.pwrite(file, b'C', 0); os.close(file)"
            closing = subprocess.Popen([sys.executable, "-c", program, str(file.fileno())], pass_fds=[file.fileno()], stderr=subprocess.PIPE)
            assert all_wait(closing)
            with taking():
                closing.send_signal(2)
                assert closing.wait(PATIENCE) != 0
        finally:
            go_on(server)
        file.close()

    CALLS = {
        "read": "os.pread(file, 1, 0)",
        "write": "os.pwrite(file, b'x', 0)",
        "truncate": "os.ftruncate(file, 5)",
        "expire": "os.setxattr(file, 'user.ckfs.ttl', b'60')",
    }

    @pytest.mark.parametrize("call", CALLS)
    def test_who_waits_for_what_is_being_stored_hears_signals_and_holds_up_nobody(self, server, db, mount, call):
        """One descriptor of several processes, one of which has closed it: the server hangs."""
        db.set("other", frame("other"))
        m = mount(server.url, "write", "timeout=60", "max_threads=2")

        def run(what: str, file) -> subprocess.Popen:
            program = f"import os, sys; file = int(sys.argv[1]); {what}"
            return subprocess.Popen([sys.executable, "-c", program, str(file.fileno())], pass_fds=[file.fileno()], stderr=subprocess.DEVNULL)

        with open(m / "frame/other", "rb") as other, open(m / "frame/k", "w+b", buffering=0) as file:
            file.write(frame())
            stop(server)
            try:
                closing = run("os.pwrite(file, b'C', 0); os.close(file)", file)
                assert all_wait(closing)
                waiting = [run(self.CALLS[call], file) for _ in range(3 if call == "read" else 1)]
                assert all_wait(*waiting)
                with taking():
                    assert other.read() == frame("other") and read(m / ".ckfs/stats")
                    for process in (*waiting, closing):
                        process.send_signal(9 if process == waiting[0] else 2)
                        assert process.wait(PATIENCE) != 0
            finally:
                go_on(server)

    def test_a_write_far_behind_that_is_interrupted_has_written_nothing(self, server, db, mount):
        m = mount(server.url, "write", "unchecked", "cache_size=64M")
        program = """
import os, signal, sys
def stop(*_): raise InterruptedError
signal.signal(signal.SIGALRM, stop)
file = int(sys.argv[1])
signal.setitimer(signal.ITIMER_REAL, 0.03)
try:
    os.pwrite(file, b"x", 500 << 20)
except InterruptedError:
    sys.exit(7)
"""
        with open(m / "frame/k", "wb", buffering=0) as file:
            file.write(b"hello")

            def is_interrupted() -> bool:
                ended = subprocess.run([sys.executable, "-c", program, str(file.fileno())], pass_fds=[file.fileno()], check=False)
                if ended.returncode == 0:
                    file.truncate(5)
                return ended.returncode == 7 and os.fstat(file.fileno()).st_size == 5

            assert until(is_interrupted)
        assert db.get("k") == b"hello"

    def test_a_dead_server_is_an_error_of_close(self, server, mount):
        m = mount(server.url, "write", "timeout=2")
        file = open(m / "frame/k", "wb", buffering=0)
        file.write(frame())
        server.kill()
        assert outcome(file.close) in ("ECONNREFUSED", "EIO", "ETIMEDOUT")

    def test_replicas_that_are_read_are_no_place_to_write(self, ckfs, tmp):
        (tmp / "mnt").mkdir()
        done = subprocess.run([ckfs, "-o", "write,read_from=replica", "redis-cluster://127.0.0.1:1", tmp / "mnt"], capture_output=True, text=True)
        assert (done.returncode, "write" in done.stderr, done.stderr.count("\n")) == (1, True, 1)


class TestCoherence:
    def test_every_open_after_close_sees_the_new_value(self, server, mount):
        m = mount(server.url, "write")
        other = mount(server.url)
        for i in range(300):
            value = frame(str(i), i * 700)
            write(m / "frame/k", value)
            assert (read(m / "frame/k"), read(other / "frame/k"), os.stat(m / "frame/k").st_size) == (value, value, len(value))

    def test_writers_and_readers_see_whole_values(self, server, mount):
        m = mount(server.url, "write")
        assert seen_while_it_is_written(m, 150) == []


APPLICATION = textwrap.dedent("""
    import sys, time
    from cachekit import cache

    calls = []

    {definition}

    def call(*args):
        before = len(calls)
        value = f(*args)
        return (value, len(calls) > before)

    for line in sys.stdin:
        print(call(7), flush=True)
""")

DEFINITIONS = {
    "a function": "@cache(ttl=600{more})\ndef f(x):\n    calls.append(x)\n    return f'value {{len(calls)}}'",
    "a function with a namespace": "@cache(ttl=600, namespace='shop'{more})\ndef f(x):\n    calls.append(x)\n    return f'value {{len(calls)}}'",
    "a local function": "def outer():\n    @cache(ttl=600{more})\n    def f(x):\n        calls.append(x)\n        return f'value {{len(calls)}}'\n    return f\nf = outer()",
    "a function with keys of its own": "@cache(ttl=600, key=lambda x: f'x{{x}}'{more})\ndef f(x):\n    calls.append(x)\n    return f'value {{len(calls)}}'",
}


class Application:
    """A process that caches, and keeps what it has cached in memory."""

    def __init__(self, url: str, definition: str, path):
        path.write_text(APPLICATION.format(definition=DEFINITIONS[definition].format(more="")))
        env = {**os.environ, "CACHEKIT_REDIS_URL": url, "CACHEKIT_INVALIDATION_LISTENER_ENABLED": "true"}
        self.process = subprocess.Popen([sys.executable, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def call(self) -> tuple[str, bool]:
        """What it returns, and whether it was computed for that."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return eval(self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_an_application_that_keeps_values_in_memory_is_told(server, mount, tmp, definition):
    app = Application(server.tcp, definition, tmp / "app.py")
    try:
        assert [app.call(), app.call()] == [("value 1", True), ("value 1", False)]
        wait_for(lambda: server.client().pubsub_numsub("cachekit:py:invalidate:v1")[0][1] == 1, "it listens")
        m = mount(f"{server.url}", "write", "tenant=default")
        name = next(name for name in os.listdir(m / "frame") if name.count(":") and not name.startswith("ck"))
        assert app.call() == ("value 1", False)
        first = read(m / f"frame/{name}")
        os.unlink(m / f"frame/{name}")
        assert until(lambda: app.call()[0] == "value 2")
        write(m / f"frame/{name}", first)
        assert until(lambda: app.call() == ("value 1", False))
    finally:
        app.end()


@pytest.mark.parametrize("size", [0, 3 << 20])
def test_values_are_stored_by_tls(pki, mount, size):
    with running_tls(pki.good, pki.ca.pem, "--tls-auth-clients", "no") as server:
        m = mount(server.rediss, "write", f"tls_ca={pki.ca.pem}")
        write(m / "frame/k", frame("x", size))
        assert server.client().get("k") == frame("x", size)
        os.unlink(m / "k")
        assert server.client().get("k") is None


class TestCluster:
    def test_values_are_stored_by_whoever_has_the_slot(self, mount):
        with Cluster(3) as cluster:
            m = mount(cluster.url, "write")
            values = {f"k{i}": frame(str(i), 300 * i) for i in range(60)}
            for key, value in values.items():
                write(m / f"frame/{key}", value)
            found = cluster.db()
            assert {key: found.get(key) for key in values} == values
            slot = redis.crc.key_slot(b"k7")
            source = cluster.server_of_slot(slot)
            target = next(s for s in cluster.masters if s is not source)
            cluster.begin_move(slot, source, target)
            write(m / "frame/k7", frame("while it moves"))
            cluster.move_keys(slot, source, target)
            cluster.end_move(slot, source, target)
            write(m / "frame/k7", frame("moved"))
            assert (found.get("k7"), read(m / "frame/k7")) == (frame("moved"), frame("moved"))
            for key in values:
                os.unlink(m / key)
            assert sum(len(cluster.client(s).keys()) for s in cluster.masters) == 0

    def test_a_service_is_written_at_its_master_also_after_a_failover(self, mount):
        with Service() as service:
            m = mount(service.url, "write", "timeout=30")
            write(m / "frame/k", frame("one"))
            assert service.master.client().get("k") == frame("one")
            service.master.kill()
            write(m / "frame/k", frame("two"))
            assert read(m / "frame/k") == frame("two")
