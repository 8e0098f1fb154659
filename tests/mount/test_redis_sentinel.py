"""§1, §5, §6 on a Redis service behind sentinels: the master is found, and found again after a failover."""

import errno
import os
import threading
import time

import pytest
import redis

from announcing import number_of, stamped
from caches import noise
from helpers import failure, read
from redis_cluster import Service, go_on, stop, wait_for, wait_for_replicas
from redis_server import running, scripted  # noqa: F401 - a fixture
from test_redis_source import complaint
from waiting import PATIENCE, taking
from while_lost import interrupt_a_reader

FAILOVER = {"ECONNREFUSED", "ETIMEDOUT", "EAGAIN", "EIO"}


@pytest.fixture(scope="module")
def calm():
    """A service that tests share which leave it as it was."""
    with Service(replicas=1, sentinels=2) as s:
        yield s


@pytest.fixture
def service():
    with Service(replicas=2, sentinels=3) as s:
        yield s


def promoted(service, old):
    """Waits until another server is the master, for every sentinel."""
    ports = lambda: {service.sentinel(i).sentinel_master(service.name)["port"] for i in range(len(service.sentinels))}  # noqa: E731
    (port,) = wait_for(lambda: len(p := ports()) == 1 and p != {old.peer_port} and p, "a failover")
    server = next(s for s in service.servers if s.peer_port == port)
    wait_for(lambda: server.client().role()[0] == b"master", "it is a master")
    return server


def failovers(service) -> int:
    """How many there were, as far as any sentinel knows."""
    return max(int(service.sentinel(i).sentinel_master(service.name)["config-epoch"]) for i in range(len(service.sentinels)))


def test_the_master_is_found_read_and_listed(calm, mount):
    calm.master.client(db=2).mset({"a": b"1", "b": b"2" * 200_000})
    m = mount(calm.url_of(calm.sentinel_ports, db="/2"))
    assert read(m / "a") == b"1" and read(m / "b") == b"2" * 200_000
    assert sorted(os.listdir(m / "raw")) == ["a", "b"] and failure(m / "c") == "ENOENT"
    for i in range(20):
        calm.master.client(db=2).set("a", stamped(i, 5008))
        assert number_of(read(m / "a"), 5008) == i


def test_one_sentinel_that_lives_is_enough(calm, mount):
    calm.master.client().set("k", b"v")
    url = f"redis-sentinel://127.0.0.1:1,no-such-host.invalid,127.0.0.1:{calm.sentinel_ports[1]}/{calm.name}"
    m = mount(url)
    assert read(m / "k") == b"v"
    assert f"{url} " in open("/proc/self/mounts").read()


def test_a_master_that_is_killed_is_replaced(service, mount):
    values = {f"k{i}": stamped(i, 5008) for i in range(50)}
    client = service.master.client()
    client.mset(values)
    wait_for_replicas(service.master)
    m = mount(service.url, "timeout=60")
    assert all(read(m / key) == value for key, value in values.items())
    large = noise(300_000)
    client.set("large", large)
    wait_for_replicas(service.master)
    with open(m / "large", "rb") as held:
        held.read(1000)
        old = service.master
        old.kill()
        # Who asks now waits until there is a master again.
        assert read(m / "k1") == values["k1"]
        new = promoted(service, old)
        assert all(read(m / key) == value for key, value in values.items())
        assert sorted(os.listdir(m / "raw")) == sorted([*values, "large"])
        for i in range(20):
            before = failovers(service)
            new.client().set("k1", stamped(100 + i, 5008))
            seen = number_of(read(m / "k1"), 5008)
            if failovers(service) != before:  # a busy machine may make the new one look lost, too
                new = promoted(service, old)
            else:
                assert seen == 100 + i
        held.seek(0)
        assert held.read() == large, "open files go on"


def test_errors_end_with_the_failover(service, mount):
    """Readers with less patience than the failover takes."""
    client = service.master.client()
    client.set("k", b"1" * 1000)
    wait_for_replicas(service.master)
    m = mount(service.url, "timeout=0.3")
    assert read(m / "k") == b"1" * 1000
    service.master.kill()
    errors, deadline = set(), time.monotonic() + 2 * PATIENCE
    while True:
        with taking():
            error = failure(m / "k")
        errors |= {error} - {None}
        if error is None:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert errors and errors <= FAILOVER
    promoted(service, service.master)
    assert all(failure(m / "k") is None for _ in range(50))


@pytest.mark.parametrize("how", ["stopped", "asked to"])
def test_an_old_master_is_not_believed(service, mount, how):
    """It still runs, still thinks that it is the master, and has announced no change."""
    client = service.master.client()
    client.set("k", stamped(0, 5008))
    wait_for_replicas(service.master)
    m = mount(service.url, "timeout=60")
    assert number_of(read(m / "k"), 5008) == 0
    if how == "stopped":
        stop(service.master)
    else:
        service.sentinel().execute_command("SENTINEL FAILOVER", service.name)
    try:
        new = promoted(service, service.master)
        new.client().set("k", stamped(1, 5008))
        if how == "asked to":
            time.sleep(3)  # it is asked once a second who the master is
    finally:
        go_on(service.master)
    for i in range(2, 30):
        number = number_of(read(m / "k"), 5008)
        assert number == i - 1
        new.client().set("k", stamped(i, 5008))
        time.sleep(0.02)


def test_replicas_are_read_when_that_is_wanted(service, mount):
    client = service.master.client()
    client.mset({f"k{i}": stamped(i, 5008) for i in range(20)})
    wait_for_replicas(service.master)
    # Sentinels look at replicas every ten seconds.
    states = lambda i: [r["master-link-status"] for r in service.sentinel(i).sentinel_slaves(service.name)]  # noqa: E731
    wait_for(lambda: all(states(i) == ["ok", "ok"] for i in range(3)), "sentinels see the replicas")
    before = service.master.calls()
    m = mount(service.url, "read_from=replica", "timeout=60")
    assert all(number_of(read(m / f"k{i}"), 5008) == i for i in range(20))
    assert len(os.listdir(m / "raw")) == 20
    after = service.master.calls()
    assert all(after.get(word, 0) == before.get(word, 0) for word in ("get", "getrange", "scan"))
    # What a replica has not got yet is there all the same.
    for replica in service.replicas:
        replica.client().execute_command("REPLICAOF", "127.0.0.1", 1)
    client.set("new", b"v")
    assert read(m / "new") == b"v"
    for replica in service.replicas:
        replica.kill()
    assert read(m / "k3") == stamped(3, 5008), "without replicas the master is read"


def test_servers_and_sentinels_with_a_password(mount):
    options = ("--requirepass", "pw", "--masterauth", "pw")
    for sentinel_options in ((), ("requirepass pw",)):
        with Service(0, 1, options, sentinel_options) as s:
            s.master.client(password="pw").set("k", b"v")
            assert read(mount(s.url_of(s.sentinel_ports, ":pw@")) / "k") == b"v"


@pytest.mark.parametrize(
    "url, words",
    {
        "redis-sentinel://127.0.0.1:{sentinel}/other": ["no service", "other"],
        "redis-sentinel://127.0.0.1:{sentinel},127.0.0.1:1/other": ["no service", "other"],
        "redis-sentinel://127.0.0.1:{server}/main-1.x": ["no sentinel"],
        "redis-sentinel://:secret@127.0.0.1:{sentinel}/main-1.x": ["AUTH", "without any password"],
    }.items(),
)
def test_what_cannot_be_mounted_says_why(calm, ckfs, tmp, url, words):
    text = complaint(ckfs, tmp, url.format(sentinel=calm.sentinel_ports[0], server=calm.master.port))
    assert all(word in text for word in words) and "secret" not in text


def test_a_service_that_its_sentinels_no_longer_know_is_no_empty_cache(mount):
    with Service(0, 1) as service:
        service.master.client().set("k", b"v")
        m = mount(service.url, "timeout=1")
        assert read(m / "k") == b"v"
        for port in service.sentinel_ports:
            redis.Redis(port=port).execute_command("SENTINEL", "REMOVE", "main-1.x")
        service.master.kill()
        assert failure(m / "k") not in (None, "ENOENT")
        with pytest.raises(OSError) as caught:
            os.listdir(m / "raw")
        assert caught.value.errno != errno.ENOENT


def array(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


@pytest.mark.parametrize(
    "reply",
    [
        b"*-1\r\n",
        b"+OK\r\n",
        b"*0\r\n",
        b"*4000000000\r\n",
        b"*2\r\n$2\r\nip\r\n",
        b"*2\r\n*2\r\n*1\r\n*1\r\n:1\r\n$1\r\nx\r\n:7\r\n",
        array(b"ip", b"", b"port", b"1"),
        array(b"ip", b"1.2.3.4", b"port", b"99999"),
        array(b"ip", b"x" * 5000, b"port", b"1"),
        array(b"ip", b"a\0b", b"port", b"1"),
        array(b"ip", b"1.2.3.4", b"port"),
        b"$-5\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*2\r\n" * 3000,
        b"",
    ],
)
def test_a_sentinel_that_talks_nonsense_is_one_clear_line(scripted, ckfs, tmp, reply):
    s = scripted({"SENTINEL": reply, "PING": b"+PONG\r\n"})
    with taking():
        text = complaint(ckfs, tmp, "-o", "timeout=0.5", f"redis-sentinel://127.0.0.1:{s.port}/main")
    assert "sentinel" in text


def test_a_sentinel_that_may_not_be_asked_says_which_right_is_missing(scripted, ckfs, tmp):
    s = scripted({"SENTINEL": b"-NOPERM this user has no permissions\r\n", "PING": b"+PONG\r\n"})
    assert "this user may not use SENTINEL MASTER" in complaint(ckfs, tmp, "-o", "timeout=0.5", f"redis-sentinel://127.0.0.1:{s.port}/main")


def test_a_sentinel_that_closes_the_connection_says_so(scripted, ckfs, tmp):
    s = scripted({"CLIENT": None})
    assert "127.0.0.1: the server has closed the connection" in complaint(ckfs, tmp, f"redis-sentinel://127.0.0.1:{s.port}/main")


def test_sentinels_that_hang_are_passed_over(scripted, calm, mount):
    calm.master.client().set("k", b"v")
    hanging = scripted(dict.fromkeys(["PING", "CLIENT", "SENTINEL"], b""))
    m = mount(calm.url_of([hanging.port, *calm.sentinel_ports]), "timeout=60")
    end = time.monotonic() + 4
    while time.monotonic() < end:
        with taking():
            assert read(m / "k") == b"v"


def says(server, epoch: int):
    """A sentinel's answer: this server is the master since that failover."""
    words = [b"name", b"main", b"ip", b"127.0.0.1", b"port", b"%d" % server.port, b"flags", b"master", b"config-epoch", b"%d" % epoch]
    return {"SENTINEL": array(*words)}


HANGING = dict.fromkeys(["PING", "CLIENT", "SENTINEL"], b"")


@pytest.fixture
def two_masters(scripted, mount):
    """Two sentinels of which only the first knows of a failover, and a mount that has heard of it: old, new, the sentinels, the mount."""
    with running() as old, running() as new:
        old.client().set("k", b"old")
        new.client().set("k", b"new")
        first, second = scripted(says(new, 2)), scripted(says(old, 1))
        m = mount(f"redis-sentinel://127.0.0.1:{first.port},127.0.0.1:{second.port}/main", "timeout=5")
        yield old, new, first, second, m


def values_seen(m, seconds: float) -> set[bytes]:
    seen, end = set(), time.monotonic() + seconds
    while time.monotonic() < end:
        seen.add(read(m / "k"))
        time.sleep(0.02)
    return seen


@pytest.mark.parametrize("how, read_before", [("hangs", True), ("refuses", False)])
def test_a_failover_is_not_unheard_when_the_sentinel_that_told_is_gone(two_masters, how, read_before):
    old, new, first, second, m = two_masters
    if read_before:
        assert read(m / "k") == b"new"
    first.close() if how == "refuses" else first.answers.update(HANGING)
    first.cut()
    assert values_seen(m, 4) == {b"new"}, "the other sentinel is not believed"
    # But it is as soon as it knows of a later one.
    second.answers = says(old, 3)
    wait_for(lambda: read(m / "k") == b"old", "the next failover")
    assert values_seen(m, 1.5) == {b"old"}


def test_sentinels_that_were_set_up_anew_are_believed(two_masters):
    old, new, first, second, m = two_masters
    assert read(m / "k") == b"new"
    first.answers = says(old, 0)
    wait_for(lambda: read(m / "k") == b"old", "it takes back what it told")
    # The other one has told of no later failover than this.
    second.close()
    second.cut()
    first.answers = says(new, 1)
    wait_for(lambda: read(m / "k") == b"new", "the next failover")


def test_who_waits_for_a_failover_can_be_interrupted(calm, mount):
    calm.master.client().set("k", b"v")
    m = mount(calm.url_of(calm.sentinel_ports[:1]), "timeout=60")
    read(m / "k")
    stop(calm.master)
    try:
        interrupt_a_reader(m / "k")
    finally:
        go_on(calm.master)


def test_readers_during_a_failover_see_whole_values(service, mount):
    size = 50_000
    service.master.client().set("k", stamped(0, size))
    wait_for_replicas(service.master)
    m = mount(service.url, "timeout=60")
    stop_all, wrong, seen = threading.Event(), [], []

    def look():
        while not stop_all.is_set():
            try:
                seen.append(number_of(read(m / "k"), size))
            except OSError:
                pass
            except AssertionError as e:
                wrong.append(e)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        service.master.kill()
        new = promoted(service, service.master)
        for i in range(1, 20):
            new.client().set("k", stamped(i, size))
            time.sleep(0.02)
    finally:
        stop_all.set()
        for thread in threads:
            thread.join()
    assert seen and not wrong
    assert number_of(read(m / "k"), size) == 19
