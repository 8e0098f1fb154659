"""§6 on a Redis server: trouble with the server is an errno, in bounded time, and passes."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from caches import noise
from entries import stats
from helpers import failure, lookup_failure, read
from redis_server import Proxy, db, proxy, running, scripted, server  # noqa: F401 - fixtures
from waiting import PATIENCE, stop_process, taking, until
from while_lost import interrupt_a_reader, restart_under_load

NOT_LOADED = b"-LOADING Redis is loading the dataset in memory\r\n"


def test_a_server_that_is_killed_refuses_and_comes_back(mount):
    with running() as server:
        server.client().set("k", b"1" * 100_000)
        m = mount(server.tcp, "timeout=60")
        with open(m / "k", "rb") as held:
            server.kill()
            with taking():
                assert failure(m / "k") in ("ECONNREFUSED", "EIO")
                assert failure(m / "k") == "ECONNREFUSED" == failure(m / "other")
            with pytest.raises(OSError):
                os.listdir(m)
            assert held.read() == b"1" * 100_000, "open files go on"
        server.start()
        server.client().set("k", b"2")
        assert until(lambda: failure(m / "k") is None)
        assert read(m / "k") == b"2"


def test_calls_of_a_server_that_is_lost_are_counted(mount):
    with running() as server:
        m = mount(server.tcp, "timeout=2")
        failure(m / "k")
        server.kill()
        for _ in range(2):
            failure(m / "k")
    counted = stats(m)
    assert counted['ckfs_backend_calls_total{operation="find",result="absent"}'] >= 1
    assert counted['ckfs_backend_calls_total{operation="find",result="unreachable"}'] >= 1


def test_a_connection_in_place_of_a_lost_one_is_counted(mount):
    with running() as server:
        server.client().set("k", b"1")
        m = mount(server.url)
        assert read(m / "k") == b"1"
        before = stats(m)
        server.kill()
        server.start()
        server.client().set("k", b"2")
        assert read(m / "k") == b"2"
        after = stats(m)
    assert before["ckfs_connections_total"] > 0
    assert after["ckfs_reconnects_total"] > before["ckfs_reconnects_total"]
    assert after["ckfs_connections_total"] > before["ckfs_connections_total"]


def test_a_restart_between_two_requests_goes_unnoticed(mount):
    with running() as server:
        server.client().set("k", b"1")
        m = mount(server.url)
        assert read(m / "k") == b"1"
        server.kill()
        server.start()
        server.client().set("k", b"2")
        assert read(m / "k") == b"2"


def test_killed_connections_are_replaced(server, db, mount):
    db.set("k", b"v")
    m = mount(server.url)
    for _ in range(20):
        db.client_kill_filter(_type="normal", skipme=True)
        assert read(m / "k") == b"v"


def test_a_key_that_may_not_be_read_is_eacces(server, db, mount):
    db.mset({"open": b"v", "closed": b"v"})
    db.execute_command("ACL", "SETUSER", "half", "on", ">pw", "~open", "allchannels", "+@all")
    m = mount(f"unix://half:pw@{server.socket}")
    assert failure(m / "closed") == "EACCES" and read(m / "open") == b"v"
    assert failure(m / "closed") == "EACCES"


def test_a_user_who_may_only_read_can_mount(server, db, mount):
    db.set("k", b"v" * 100_000)
    db.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "resetchannels", "+@read", "+@connection")
    m = mount(f"unix://reader:pw@{server.socket}")
    assert read(m / "k") == b"v" * 100_000 and os.listdir(m / "raw") == ["k"]
    assert os.statvfs(m).f_blocks == 0, "no right to ask for memory: no size"


@pytest.mark.parametrize(
    "reply, expect",
    {
        NOT_LOADED: "EAGAIN",
        b"-BUSY Redis is busy running a script\r\n": "EAGAIN",
        b"-MASTERDOWN Link with MASTER is down\r\n": "EAGAIN",
        b"-OOM command not allowed when used memory > 'maxmemory'\r\n": "EAGAIN",
        b"-NOPERM no\r\n": "EACCES",
        b"-ERR something\r\n": "EIO",
        b"!garbage\r\n": "EIO",
        b"$-2\r\n": "EIO",
        b"$99999999999999999999\r\n": "EIO",
        b"$2\r\nok, ": "EIO",
        b":1x\r\n": "EIO",
        b"*1\r\n:1\r\n": "EIO",
    }.items(),
)
def test_what_a_server_says_instead_of_a_value_has_its_errno(scripted, mount, reply, expect):
    # Of an untracked server: one GET.
    s = scripted({"GET": reply, "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n", "CLIENT": b"-ERR unknown command\r\n"})
    m = mount(s.url)
    assert failure(m / "k") == expect
    s.answers["GET"] = b"$2\r\nok\r\n"
    assert read(m / "k") == b"ok"


# A server that would announce changes, and of which no key expires.
ANNOUNCING = {
    "CLIENT": lambda words: b":7\r\n" if words[1] == b"ID" else b"+OK\r\n",
    "SUBSCRIBE": lambda words: b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n" % (len(words[1]), words[1]),
    "PING": b"+PONG\r\n",
    "PING subscribed": b"*2\r\n$4\r\npong\r\n$0\r\n\r\n",
    "PTTL": b":-1\r\n",
    "PEXPIRETIME": b":-1\r\n",
}


def test_a_key_that_grows_between_two_commands_is_read_whole(scripted, mount):
    """As on a server that serves others in between: STRLEN is of the value before."""
    value = bytes(range(256)) * 4096
    s = scripted({**ANNOUNCING, "GET": b"$%d\r\n%s\r\n" % (len(value), value)})
    s.answers |= {"STRLEN": b":100\r\n", "GETRANGE": lambda words: (lambda n: b"$%d\r\n%s\r\n" % (n, value[:n]))(int(words[3]) + 1)}
    assert read(mount(s.url) / "k") == value


def test_a_key_that_comes_to_be_between_two_commands_is_no_empty_file(scripted, mount):
    s = scripted({**ANNOUNCING, "GET": b"$2\r\nok\r\n"})
    s.answers |= {"STRLEN": b":0\r\n", "GETRANGE": b"$0\r\n\r\n"}
    assert read(mount(s.url) / "k") == b"ok"


def test_a_server_that_is_loading_is_not_mounted(scripted, ckfs, tmp):
    s = scripted({"PING": NOT_LOADED, "CLIENT": NOT_LOADED})
    run = subprocess.run([ckfs, "-f", s.url, tmp], capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode == 1 and run.stderr.count("\n") == 1 and "LOADING" in run.stderr


def test_a_server_that_takes_no_more_clients_is_eagain(server, db, mount):
    db.set("k", b"v")
    m = mount(server.url)
    db.config_set("maxclients", 1)
    assert failure(m / "k") == "EAGAIN"
    db.config_set("maxclients", 100)
    time.sleep(1.1)  # nobody tries again for a moment
    assert read(m / "k") == b"v"


@pytest.mark.parametrize("by", ["socket", "port", "name"])
def test_a_lack_of_descriptors_is_emfile_and_passes(server, db, mount, by):
    db.set("k", b"v")
    m = mount({"socket": server.url, "port": server.tcp, "name": f"redis://localhost:{server.port}"}[by])
    limits = resource.prlimit(m.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(m.pid, resource.RLIMIT_NOFILE, (4, limits[1]))  # it has more, and gets none
    db.client_kill_filter(_type="normal", skipme=True)
    db.client_kill_filter(_type="pubsub", skipme=True)
    assert lookup_failure(m / "k") == "EMFILE" == failure(m / "k")
    resource.prlimit(m.pid, resource.RLIMIT_NOFILE, limits)
    time.sleep(1.1)  # nobody tries again for a moment
    assert read(m / "k") == b"v"


def test_a_server_that_is_lost_is_logged_once_and_so_is_its_return(mount):
    with running() as server:
        server.client().set("k", b"v")
        m = mount(server.tcp, "timeout=2")
        assert read(m / "k") == b"v" and m.log() == ""
        server.kill()
        for _ in range(3):
            time.sleep(0.2)
            assert failure(m / "k")
        assert m.log().splitlines() == [f"ckfs: 127.0.0.1 port {server.port}: Connection refused; is the server running?"]
        server.start()
        server.client().set("k", b"v")
        assert until(lambda: failure(m / "k") is None)
        assert m.log().splitlines()[1:] == ["ckfs: 127.0.0.1: the server answers again"]


def test_a_server_that_wants_a_login_all_of_a_sudden_is_logged_by_its_words(server, db, mount):
    db.set("k", b"v")
    m = mount(server.url)
    assert read(m / "k") == b"v"
    db.config_set("requirepass", "secret")
    db.client_kill_filter(skipme=True)
    assert failure(m / "k") == "EACCES"
    (line,) = m.log().splitlines()
    assert "NOAUTH Authentication required." in line and "password_file=" in line


@pytest.mark.parametrize("at", [1, 5, 20, 1000, 70_000, 150_000])
def test_a_cut_reply_is_eio_and_the_next_one_whole(server, db, proxy, mount, at):
    db.set("k", b"v" * 200_000)
    m = mount(proxy.url)
    passed = 0

    def cut(data):
        nonlocal passed
        if passed + len(data) < at:
            passed += len(data)
            return [data]
        return [data[: at - passed], None]

    assert read(m / "k") == b"v" * 200_000
    db.set("k", b"w" * 200_000)
    proxy.replies = cut
    assert failure(m / "k") == "EIO"
    proxy.replies = None
    assert until(lambda: failure(m / "k") is None)
    assert read(m / "k") == b"w" * 200_000


def test_replies_that_trickle_are_read(server, db, proxy, mount):
    db.set("k", bytes(range(256)) * 20)
    m = mount(proxy.url)
    proxy.replies = lambda data: [data[i : i + 7] for i in range(0, len(data), 7)]
    assert read(m / "k") == bytes(range(256)) * 20
    assert "k" in os.listdir(m)


def test_a_server_that_stops_to_answer_times_out(server, db, mount):
    db.set("k", b"v")
    m = mount(server.url, "timeout=2")
    assert read(m / "k") == b"v"
    stop_process(server.process)
    try:
        with taking(1.8):
            assert failure(m / "k") == "ETIMEDOUT"
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    time.sleep(1.1)  # nobody tries again for a moment
    assert read(m / "k") == b"v"


def test_who_waits_for_an_attribute_keeps_no_thread_from_others(server, db, mount):
    db.set("k", b"v" * 1000)
    m = mount(server.url, "timeout=60", "max_threads=4")
    with open(m / "k", "rb") as file:

        def ask():
            with contextlib.suppress(OSError):
                os.getxattr(file.fileno(), "user.ckfs.ttl")

        crowd = [threading.Thread(target=ask) for _ in range(8)]
        stop_process(server.process)
        try:
            for thread in crowd:
                thread.start()
            time.sleep(0.3)
            with taking():
                assert read(m / ".ckfs" / "stats")
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
            for thread in crowd:
                thread.join()


def test_who_waits_can_be_interrupted(server, db, mount):
    db.set("k", b"v" * 200_000)
    m = mount(server.url, "timeout=60")
    os.stat(m / "k")
    stop_process(server.process)
    try:
        interrupt_a_reader(m / "k")
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert read(m / "k") == b"v" * 200_000


def test_signals_that_come_all_the_time_harm_no_request(server, db, mount):
    """A profiler's timer interrupts calls as they begin, while they wait, and as they end."""
    db.mset({f"k{i}": b"v" * 1000 for i in range(20)})
    m = mount(server.url)
    program = """
import os, random, signal, sys, time
signal.signal(signal.SIGALRM, lambda *_: None)
end = time.monotonic() + 3
while time.monotonic() < end:
    for i in range(20):
        path = f"{sys.argv[1]}/k{i}"
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
        try:
            assert os.stat(path).st_size == 1000
        except InterruptedError:
            pass
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
        with open(path, "rb") as f:
            assert f.read() == b"v" * 1000
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    running = [subprocess.Popen([sys.executable, "-c", program, str(m)], stderr=subprocess.PIPE) for _ in range(4)]
    for r in running:
        assert r.communicate()[1] == b"" and r.returncode == 0
    assert read(m / "k1") == b"v" * 1000


def test_nothing_leaks_when_connections_break(server, db, proxy, mount):
    db.set("k", b"v" * 1000)
    m = mount(proxy.url)
    descriptors = lambda: len(os.listdir(f"/proc/{m.pid}/fd"))  # noqa: E731
    read(m / "k")
    before = descriptors()
    for _ in range(30):
        proxy.cut()
        failure(m / "k")
    time.sleep(1.2)
    assert read(m / "k") == b"v" * 1000
    assert descriptors() <= before + 8


def test_restarts_under_load_give_errors_or_whole_values(mount):
    with running() as server:
        value = noise(300_000)
        server.client().set("k", value)
        m = mount(server.url, "timeout=2")
        restart_under_load(server, m / "k", "k", value)
