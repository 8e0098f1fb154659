"""§5 where one address leads to several servers: what is believed of an announcement is believed only of the very server that made it."""

import concurrent.futures
import contextlib
import itertools
import os
import re
import socket
from collections.abc import Iterable, Iterator

import pytest

from announcing import MODES, WITHOUT_RESP3, number_of, stamped
from helpers import read
from redis_cluster import wait_for
from redis_server import Server, balancer, running  # noqa: F401 - fixtures

# Connections that nobody uses, of a server that is listened to, and of another one: whatever number a listener gets there, a client here has it.
FEW, MANY = 100, 300

ANNOUNCED = "resetchannels +@read +@connection +subscribe &__redis__:invalidate"


def allow(server: Server, rights: str) -> None:
    server.client().execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", *rights.split())


def source_of(balanced) -> str:
    return balanced.url.replace("//", "//reader:pw@")


def in_order(who_listens: Server, others: Iterable[Server]) -> Iterator[Server]:
    """A mount tries once whether it can connect; its next connection is the one that listens, and the others read."""
    return itertools.chain([who_listens, who_listens], others)


def set_everywhere(master: Server, key: str, value: bytes) -> None:
    """Sets a key, and waits until the replica has it."""
    client = master.client()
    client.set(key, value)
    wait_for(lambda: client.wait(1, 1000) == 1, "the replica has it")


def readers(server: Server) -> list[dict]:
    return [c for c in server.client().client_list() if c["name"] == "ckfs"]


def lists_of_clients(server: Server) -> int:
    """How often anybody has asked for one."""
    return server.calls().get("client|list", 0)


@contextlib.contextmanager
def crowd(server: Server, clients: int):
    with contextlib.ExitStack() as stack:
        for _ in range(clients):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(server.socket))
        yield


@pytest.fixture(params=["", "without RESP3"])
def options(request):
    return WITHOUT_RESP3 if request.param else ()


@pytest.fixture
def two(options):
    """A server, and one where a client has each number that the first one gives. Neither knows the other."""
    with running(*options) as quiet, running(*options) as crowded, crowd(quiet, FEW), crowd(crowded, MANY):
        for server in (quiet, crowded):
            allow(server, ANNOUNCED)
        yield quiet, crowded


@pytest.fixture
def pair(options):
    """A master and its replica."""
    with running(*options) as master, running(*options, "--replicaof", "127.0.0.1", str(master.port)) as replica:
        client = replica.client()
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "the replica is one")
        for server in (master, replica):
            allow(server, ANNOUNCED)
        yield master, replica


@pytest.mark.parametrize("size", [4096, 200_000])
@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize("listens_to", ["master", "replica"])
def test_each_open_sees_the_newest_value_of_a_master_and_its_replica(pair, balancer, mount, listens_to, in_turn, size):
    master, replica = pair
    first, second = pair if listens_to == "master" else (replica, master)
    with crowd(first, FEW), crowd(second, MANY):
        set_everywhere(master, "k", stamped(0, size))
        m = mount(source_of(balancer(in_order(first, itertools.cycle((second, first) if in_turn else (second,))))))
        for i in range(5):
            set_everywhere(master, "k", stamped(i, size))
            assert [number_of(read(m / "k"), size) for _ in range(3)] == [i] * 3


def test_what_one_server_announces_says_nothing_of_another(two, balancer, mount):
    quiet, crowded = two
    m = mount(source_of(balancer(in_order(quiet, itertools.repeat(crowded)))))
    for i in range(5):
        crowded.client().set("k", stamped(i, 4096))
        assert [number_of(read(m / "k"), 4096) for _ in range(3)] == [i] * 3
    assert len(m.log_lines("more than one server")) == 1


def test_no_client_of_another_server_is_told_what_is_read(two, balancer, mount):
    """It may speak RESP3, and hear of keys that it has nothing to do with."""
    quiet, crowded = two
    m = mount(source_of(balancer(in_order(quiet, itertools.repeat(crowded)))))
    crowded.client().set("k", stamped(1, 4096))
    read(m / "k")
    assert readers(crowded) and {c["redir"] for c in readers(crowded)} == {"-1"}


def test_an_address_that_leads_elsewhere_by_now_shows_what_is_there(two, balancer, mount):
    """The first connections are alive still, and their server announces what it always did."""
    quiet, crowded = two
    names = [f"k{n}" for n in range(64)]
    for number, server in enumerate(two):
        server.client().mset({name: stamped(number, 100_000) for name in names})
    balanced = balancer(itertools.repeat(quiet))
    m = mount(source_of(balanced))
    assert [number_of(read(m / "k0"), 100_000) for _ in range(2)] == [0, 0]
    balanced.servers = itertools.repeat(crowded)

    def another_connects():
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: read(m / name), names))
        return readers(crowded)

    wait_for(another_connects, "somebody has connected anew")
    for i in range(1, 4):
        crowded.client().set("k0", stamped(i, 100_000))
        assert number_of(read(m / "k0"), 100_000) == i


def test_who_listens_again_elsewhere_is_believed_of_that_server_alone(two, balancer, mount):
    quiet, crowded = two
    balanced = balancer(itertools.repeat(crowded))
    m = mount(source_of(balanced))
    crowded.client().set("k", stamped(0, 4096))
    assert [number_of(read(m / "k"), 4096) for _ in range(2)] == [0, 0]
    balanced.servers = itertools.chain([quiet], itertools.repeat(crowded))
    crowded.kill_listeners()
    wait_for(quiet.listeners, "it listens again")
    for i in range(1, 5):
        crowded.client().set("k", stamped(i, 4096))
        assert [number_of(read(m / "k"), 4096) for _ in range(3)] == [i] * 3


@pytest.mark.parametrize("rights", [ANNOUNCED, ANNOUNCED + " -client|list", ANNOUNCED + " -client|tracking"])
def test_a_listing_goes_on_at_the_server_where_it_began(pair, balancer, mount, rights):
    """Cursors mean something to one server only. Those who read meanwhile leave its next page to another connection."""
    master, replica = pair
    for server in pair:
        allow(server, rights)
    names = {f"k{n}" for n in range(8000)}
    master.client().mset(dict.fromkeys(names, b"v"))
    set_everywhere(master, "last", b"v")
    m = mount(source_of(balancer(itertools.cycle(pair))))
    listed = []
    with os.scandir(m / "raw") as entries, concurrent.futures.ThreadPoolExecutor(4) as pool:
        for entry in entries:
            if len(listed) % 100 == 0:
                list(pool.map(read, [m / "last"] * 4))
            listed.append(entry.name)
    assert sorted(listed) == sorted(names | {"last"})


# What the proof costs


@pytest.mark.parametrize("rights", [ANNOUNCED, MODES["announced"][1]])
def test_a_connection_is_asked_once_which_server_it_has_reached(mount, rights):
    with running() as server:
        allow(server, rights)
        server.client().mset({f"k{n}": stamped(n, 4096) for n in range(100)})
        m = mount(f"unix://reader:pw@{server.socket}")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda n: number_of(read(m / f"k{n % 100}"), 4096) == n % 100, range(1000)))
        asked = lists_of_clients(server)
        assert 1 <= asked <= server.client().info("stats")["total_connections_received"] and asked <= 16
        assert {c["redir"] for c in readers(server)} == set(server.listeners())


def test_a_server_that_lists_all_of_its_clients_or_none_can_tell_too(mount, balancer):
    """One before 6.2."""
    with running() as server, crowd(server, MANY):
        server.client().set("k", stamped(1, 4096))
        old = balancer(itertools.repeat(server))
        old.requests = lambda data: re.sub(rb"LIST\r\n\$2\r\nID\r\n", b"LIST\r\n$2\r\nNO\r\n", data)
        m = mount(old.url)
        read(m / "k")
        before = server.calls()
        assert number_of(read(m / "k"), 4096) == 1
        assert server.calls().get("strlen") == before.get("strlen"), "announced"
        server.client().set("k", stamped(2, 4096))
        assert number_of(read(m / "k"), 4096) == 2


def test_where_the_server_does_not_tell_each_open_asks(mount):
    with running() as server:
        allow(server, ANNOUNCED + " -client|list")
        m = mount(f"unix://reader:pw@{server.socket}")
        for i in range(5):
            server.client().set("k", stamped(i, 4096))
            assert [number_of(read(m / "k"), 4096) for _ in range(3)] == [i] * 3
        assert {c["redir"] for c in readers(server)} == {"-1"} and server.calls()["get"] >= 15
