"""§5, §6 on a Redis Cluster: masters that are lost, replaced or stopped, and replicas."""

import contextlib
import errno
import os
import pathlib
import subprocess
import threading
import time

import pytest
import redis

from announcing import number_of, stamped
from helpers import failure, read
from ports import free_port
from redis_cluster import NODE_TIMEOUT, Cluster, cluster, fresh, go_on, key_slot, stop, wait_for, wait_for_replicas  # noqa: F401 - fixtures
from redis_server import running
from test_redis_cluster import names
from test_redis_source import complaint
from waiting import PATIENCE, all_wait, taking, until
from while_lost import interrupt_a_reader

FAILOVER = {"ECONNREFUSED", "ETIMEDOUT", "EAGAIN", "EIO"}


@pytest.fixture
def replicated():
    """Masters with a replica each; slots of a master that is lost do not stop the others."""
    with Cluster(replicas=1, options=("--cluster-require-full-coverage", "no")) as c:
        yield c


def keys_of(c, server, count: int = 20) -> list[str]:
    """Keys that a server has, or would have."""
    found, i = [], 0
    ranges = [(first, last) for first, last, master, *_ in c.cluster(server, "SLOTS") if c.server_at(master[1]) is server]
    while len(found) < count:
        i += 1
        if any(first <= key_slot(b"key%d" % i) <= last for first, last in ranges):
            found.append(f"key{i}")
    return found


def replaced(c, old, slot: int):
    """Waits until a slot has another master, for every server that lives."""

    def owners() -> set:
        return {
            c.server_at(master[1])
            for s in c.servers
            if s.process and s is not old
            for first, last, master, *_ in c.cluster(s, "SLOTS")
            if first <= slot <= last
        }

    (new,) = wait_for(lambda: len(found := owners()) == 1 and found != {old} and found, "a failover")
    return new


def masters_of(c, server) -> set[tuple[str, str]]:
    """Each server and its master, by their ids, as one of them knows it."""
    return {(node["node_id"], node["master_id"]) for node in c.cluster(server, "NODES").values()}


# Seconds from one election of a server to the next it may stand for. Asked sooner, it counts the votes of the last one again and takes itself for a
# master that no other server believes; what is written to it is lost.
BETWEEN_ELECTIONS = 4 * NODE_TIMEOUT / 1000 + 0.2


def take_over(c, old, new) -> None:
    """Makes a replica the master in place of its own. The servers give up an attempt that takes too long: then again."""
    wait_for(lambda: new.client().info("replication").get("master_link_status") == "up", "it follows")
    wait_for(lambda: (c.id(new), c.id(old)) in masters_of(c, old), "the master knows its replica")
    for _ in range(6):
        c.cluster(new, "FAILOVER")
        deadline = time.monotonic() + 5.5
        while time.monotonic() < deadline:
            if new.client().role()[0] == b"master":
                return
            time.sleep(0.02)
    raise AssertionError("no failover")


def test_a_master_that_is_killed_is_replaced(replicated, mount):
    c, old = replicated, replicated.masters[0]
    mine, others = keys_of(c, old), keys_of(c, c.masters[1])
    for server, keys in ((old, mine), (c.masters[1], others)):
        for key in keys:
            server.client().set(key, stamped(7, 300_000))
        wait_for_replicas(server)
    m = mount(c.url, "timeout=60")
    assert number_of(read(m / mine[0]), 300_000) == 7
    with open(m / mine[1], "rb") as held:
        held.read(1000)
        old.kill()
        assert number_of(read(m / others[0]), 300_000) == 7, "of other masters keys are read at once"
        assert number_of(read(m / mine[0]), 300_000) == 7, "who asks now waits until there is a master again"
        new = replaced(c, old, key_slot(mine[0].encode()))
        assert all(number_of(read(m / key), 300_000) == 7 for key in mine + others)
        assert sorted(names(m)) == sorted(mine + others)
        for i in range(20):
            new.client().set(mine[2], stamped(i, 5008))
            assert number_of(read(m / mine[2]), 5008) == i
        held.seek(0)
        assert number_of(held.read(), 300_000) == 7, "open files go on"


def test_errors_end_with_the_failover(replicated, mount):
    """Readers with less patience than the failover takes."""
    c, old = replicated, replicated.masters[0]
    key = keys_of(c, old, 1)[0]
    old.client().set(key, b"1" * 1000)
    wait_for_replicas(old)
    m = mount(c.url, "timeout=0.3")
    assert read(m / key) == b"1" * 1000
    old.kill()
    errors, deadline = set(), time.monotonic() + 2 * PATIENCE
    while True:
        with taking():
            error = failure(m / key)
        errors |= {error} - {None}
        if error is None:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert errors and errors <= FAILOVER
    replaced(c, old, key_slot(key.encode()))
    assert all(failure(m / key) is None for _ in range(50))


def test_masters_that_change_places_are_never_stale(replicated, mount):
    """Planned failovers to and fro, under a writer and readers: the old master goes on to run, and to answer."""
    c = replicated
    key = keys_of(c, c.masters[0], 1)[0]
    db = c.db()
    m = mount(c.url, "timeout=60")
    db.set(key, stamped(0, 5008))
    done, stop_all, wrong, seen = [0], threading.Event(), [], []

    def write():
        i = 0
        while not stop_all.is_set():
            i += 1
            db.set(key, stamped(i, 5008))
            done[0] = i

    def look():
        while not stop_all.is_set():
            before = done[0]
            try:
                number = number_of(read(m / key), 5008)
            except Exception as e:  # noqa: BLE001 - shown by the test
                wrong.append(repr(e))
                return
            seen.append(number)
            if number < before:
                wrong.append((number, before))

    threads = [threading.Thread(target=write), *(threading.Thread(target=look) for _ in range(3))]
    for thread in threads:
        thread.start()
    try:
        pair = (c.masters[0], c.replicas[0])
        for i in range(4):
            here, there = pair[i % 2], pair[1 - i % 2]
            take_over(c, here, there)
            replaced(c, here, key_slot(key.encode()))
            time.sleep(BETWEEN_ELECTIONS / 2)
    finally:
        stop_all.set()
        for thread in threads:
            thread.join()
    assert not wrong and len(seen) > 50


def test_a_master_that_was_replaced_is_not_believed(replicated, mount):
    """It still answers fences, and hears nothing of its successor that it could announce."""
    c, old, new = replicated, replicated.masters[0], replicated.replicas[0]
    key = keys_of(c, old, 1)[0]
    old.client().set(key, stamped(0, 5008))
    wait_for_replicas(old)
    m = mount(c.url, "timeout=60")
    stop_reading = threading.Event()

    def look():
        while not stop_reading.is_set():
            read(m / key)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        old.client().config_set("masteruser", "nobody")
        old.client().config_set("masterauth", "wrong")
        take_over(c, old, new)
        wait_for(lambda: old.client().role()[0] == b"slave", "it knows")
        for i in range(1, 20):
            new.client().set(key, stamped(i, 5008))
            assert number_of(read(m / key), 5008) == i
        assert old.client().info("replication")["master_link_status"] == "down"
    finally:
        stop_reading.set()
        reader.join()


def test_a_master_that_was_stopped_and_replaced_is_not_believed(replicated, mount):
    c, old = replicated, replicated.masters[0]
    key = keys_of(c, old, 1)[0]
    old.client().set(key, stamped(0, 5008))
    wait_for_replicas(old)
    m = mount(c.url, "timeout=60")
    assert number_of(read(m / key), 5008) == 0
    found = []
    stop(old)
    try:
        # Asks while the master is stopped, and may get its answer when it goes on.
        reader = threading.Thread(target=lambda: found.append(number_of(read(m / key), 5008)))
        new = replaced(c, old, key_slot(key.encode()))
        new.client().set(key, stamped(1, 5008))
        reader.start()
        time.sleep(0.7)
    finally:
        go_on(old)
    reader.join()
    assert found == [1]
    for i in range(2, 20):
        new.client().set(key, stamped(i, 5008))
        assert number_of(read(m / key), 5008) == i


@pytest.mark.times
def test_a_lost_master_without_a_replica_fails_in_time_and_comes_back(mount):
    with Cluster() as c:
        old = c.masters[0]
        mine, other = keys_of(c, old, 1)[0], keys_of(c, c.masters[1], 1)[0]
        old.client().set(mine, b"v")
        c.masters[1].client().set(other, b"v")
        m = mount(c.url_of(*c.masters), "timeout=1")
        assert read(m / mine) == b"v"
        old.kill()
        wait_for(lambda: c.info(c.masters[1])["cluster_state"] == "fail", "the others have noticed")
        for key in (mine, other, mine, other, "missing"):
            with taking():
                assert failure(m / key) in FAILOVER, "the cluster is down: not ENOENT"
        with pytest.raises(OSError):
            os.listdir(m)
        with taking(most=0.9):  # what has been gone for long is not waited for
            assert failure(m / mine) in FAILOVER
        old.start()
        wait_for(lambda: all(c.info(s)["cluster_state"] == "ok" for s in c.masters), "the cluster is up")
        old.client().set(mine, b"w")
        wait_for(lambda: failure(m / mine) is None, "it is served again")
        assert read(m / mine) == b"w" and read(m / other) == b"v" and sorted(names(m)) == sorted([mine, other])


def test_servers_that_stop_time_out(fresh, mount):
    fresh.db().set("k", b"v")
    m = mount(fresh.url, "timeout=2")
    assert read(m / "k") == b"v"
    for server in fresh.masters:
        stop(server)
    try:
        for _ in range(3):
            with taking():
                assert failure(m / "k") == "ETIMEDOUT"
    finally:
        for server in fresh.masters:
            go_on(server)
    wait_for(lambda: failure(m / "k") is None, "it goes on")
    wait_for(lambda: all(fresh.info(s)["cluster_state"] == "ok" for s in fresh.masters), "the cluster is up")


def test_who_waits_can_be_interrupted(fresh, mount):
    fresh.db().set("k", b"v" * 200_000)
    owner = fresh.owner("k")
    m = mount(fresh.url, "timeout=60")
    os.stat(m / "k")
    stop(owner)
    try:
        interrupt_a_reader(m / "k")
    finally:
        go_on(owner)
    wait_for(lambda: all(fresh.info(s)["cluster_state"] == "ok" for s in fresh.masters), "the cluster is up")


@pytest.mark.times  # a replica that is slow to answer gives way to its master
def test_replicas_are_read_when_that_is_wanted(replicated, mount):
    c = replicated
    db = c.db()
    for i in range(100):
        db.set(f"k{i}", stamped(i, 5008))
    for server in c.masters:
        wait_for_replicas(server)
    # A server lists no replica of which it has not heard yet that it has anything.
    wait_for(lambda: all(len(slots) > 3 for server in c.servers for slots in c.cluster(server, "SLOTS")), "all list the replicas")
    before = [server.calls() for server in c.masters]
    m = mount(c.url, "read_from=replica", "timeout=60")
    assert all(number_of(read(m / f"k{i}"), 5008) == i for i in range(100))
    assert sorted(names(m)) == sorted(f"k{i}" for i in range(100))
    after = [server.calls() for server in c.masters]
    assert all(b.get(w, 0) == a.get(w, 0) for a, b in zip(before, after) for w in ("get", "getrange", "scan"))
    for i in range(100, 150):
        db.set(f"k{i % 10}", stamped(i, 5008))
        wait_for(lambda: number_of(read(m / f"k{i % 10}"), 5008) == i, "what a replica has seen is shown")
    assert failure(m / "missing") == "ENOENT"
    for server in c.replicas:
        server.kill()
    assert all(failure(m / f"k{i}") is None for i in range(100)), "without replicas the masters are read"


# Before the mount serves


def test_a_user_with_few_rights_reads_and_lists(fresh, mount):
    fresh.everywhere("ACL", "SETUSER", "few", "on", ">pw", "~*", "resetchannels", "-@all", "+@read", "+@connection", "+cluster|slots")
    db = fresh.db()
    for i in range(300):
        db.set(f"k{i}", b"v" * 1000)
    m = mount(fresh.url_of(fresh.masters[0], login="few:pw@"))
    assert read(m / "k1") == b"v" * 1000 and sorted(names(m)) == sorted(f"k{i}" for i in range(300))
    assert os.statvfs(m).f_blocks == 0


def test_what_cannot_be_mounted_says_why(fresh, ckfs, tmp):
    fresh.everywhere("ACL", "SETUSER", "none", "on", ">pw", "~*", "allchannels", "-@all", "+@read", "+@connection")
    assert "+cluster|slots" in complaint(ckfs, tmp, fresh.url_of(fresh.masters[0], login="none:pw@"))
    text = complaint(ckfs, tmp, fresh.url_of(fresh.masters[0], login=":secret@"))
    assert "AUTH" in text and "secret" not in text
    # What one server says tells more than that another one is silent.
    assert "AUTH" in complaint(ckfs, tmp, fresh.url_of(fresh.masters[0], login=":secret@") + ",127.0.0.1:1")
    with running() as server:
        assert "no server of a cluster" in complaint(ckfs, tmp, f"redis-cluster://127.0.0.1:{server.port}")
    with running("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        assert "no slots" in complaint(ckfs, tmp, f"redis-cluster://127.0.0.1:{server.port}")


def test_a_cluster_with_a_password(mount, ckfs, tmp):
    with Cluster(options=("--requirepass", "s3cret", "--masterauth", "s3cret"), password="s3cret") as c:
        c.db().set("k", b"v")
        m = mount(c.url_of(*c.masters, login=":s3cret@"))
        assert read(m / "k") == b"v"
        shown = [pathlib.Path(f"/proc/{m.pid}/cmdline").read_text(), pathlib.Path("/proc/self/mounts").read_text(), m.log()]
        assert not any("s3cret" in text for text in shown) and c.url_of(*c.masters) in shown[1]
        assert "WRONGPASS" in complaint(ckfs, tmp, c.url_of(*c.masters, login=":no@"))


def test_a_listing_of_a_cluster_with_slots_that_nobody_serves_ends_in_an_error(mount):
    """Their keys may be somewhere: a copy with --delete must not take them for gone."""
    with Cluster(options=("--cluster-require-full-coverage", "no")) as c:
        for i in range(30):
            c.db().set(f"key{i}", b"v")
        m = mount(c.url, "timeout=60")
        assert len(names(m)) == 30
        m.unmount()
        lost = c.owner("key1")
        id, ranges = c.id(lost), [str(slot) for first, last, *_ in c.cluster(lost, "SLOTS") if c.server_of_slot(first) is lost for slot in (first, last)]
        lost.kill()
        left = [server for server in c.servers if server is not lost]
        for server in left:
            c.cluster(server, "DELSLOTSRANGE", *ranges)
        for server in left:
            # Servers tell each other whom to forget.
            with contextlib.suppress(redis.ResponseError):
                c.cluster(server, "FORGET", id)
        wait_for(lambda: all(c.info(server)["cluster_known_nodes"] == str(len(left)) for server in left), "it is forgotten")
        m = mount(c.url_of(*left), "timeout=1")
        assert failure(m / "key1") == "EAGAIN"
        shown = []
        with pytest.raises(OSError) as caught:
            for entry in os.scandir(m / "raw"):
                shown.append(entry.name)
        assert caught.value.errno == errno.EAGAIN
        assert 0 < len(shown) < 30


def test_many_who_wait_for_a_stopped_master_do_not_hold_up_the_others(mount):
    """Before anybody knows that it has stopped."""
    with Cluster(options=("--cluster-require-full-coverage", "no")) as c:
        old = c.masters[0]
        mine, others = keys_of(c, old, 60), keys_of(c, c.masters[1]) + keys_of(c, c.masters[2])
        for key in mine + others:
            c.owner(key).client().set(key, b"v")
        m = mount(c.url_of(*c.masters), "timeout=60", "listed_ttl=0")
        stop(old)
        waiting = [subprocess.Popen(["cat", m / key], stderr=subprocess.DEVNULL) for key in mine]
        try:
            assert all_wait(*waiting)
            with taking():
                assert {read(m / key) for key in others} == {b"v"}
            assert all(process.poll() is None for process in waiting)
        finally:
            for process in waiting:
                process.kill()
                process.wait()
            go_on(old)
        assert until(lambda: not any(failure(m / key) for key in mine))
