"""What a server is asked: the commands that the manual names, and no other. Each was looked at: none blocks or changes anything."""

import contextlib
import errno
import os
import re
import signal

import pytest

from caches import noise
from conftest import ROOT
from helpers import failure, list_xattrs, read
from redis_cluster import Cluster, Service
from redis_server import running
from writing import frame

EXPIRY = {"pttl", "pexpiretime"}


def manual() -> set[str]:
    """The commands that the manual names, as a server counts them."""
    text = (ROOT / "doc" / "ckfs.1").read_text().replace("\\-", "-")
    paragraph = text[text.index("A server is only read from") : text.index("It has up to")]
    words = re.findall(r"[A-Z]{2}[A-Z-]*(?: [A-Z-]+)?", re.sub(r"^\.[A-Z]+ ", "", paragraph, flags=re.MULTILINE))
    return {word.lower().replace(" ", "|") for word in words}


def use(m, keys: list[str]) -> None:
    """All that a mount is good for."""
    for _ in range(2):
        assert set(os.listdir(m / "raw")) == set(keys)
        assert all(read(m / key) for key in keys) and failure(m / "none") == "ENOENT"
        assert all(os.stat(m / "meta" / f"{key}.json").st_size for key in keys)
        os.statvfs(m)
        os.kill(m.pid, signal.SIGHUP)


def asked(server) -> set[str]:
    """Without what the client of the tests sends by itself."""
    return set(server.calls()) - {"config|resetstat", "client|setinfo"}


def values(count: int) -> dict[str, bytes]:
    return {f"k{i}": noise(200_000 if i % 3 == 0 else 100) for i in range(count)}


def test_a_server_is_asked_what_the_manual_says(mount):
    with running() as server:
        client = server.client()
        client.mset(values(9))
        client.expire("k1", 1000)
        client.rpush("list", "x")
        client.config_resetstat()
        use(mount(server.url), list(values(9)))
        assert {"get", "scan", "client|tracking"} <= asked(server) <= manual()


@pytest.mark.parametrize("replicas", [0, 1])
def test_a_cluster_is_asked_what_the_manual_says(mount, replicas):
    with Cluster(replicas=replicas) as c:
        for key, value in values(12).items():
            c.db().set(key, value)
        own = {"cluster|info", "replconf", "psync"}
        c.everywhere("CONFIG RESETSTAT")
        use(mount(c.url, f"read_from={'replica' if replicas else 'master'}"), list(values(12)))
        found = set().union(*(asked(s) for s in c.servers))
        assert {"get", "cluster|slots"} <= found and found - own <= manual()


def test_servers_behind_sentinels_are_asked_what_the_manual_says(mount):
    with Service(0, 1) as s:
        s.master.client().mset(values(6))
        s.master.client().config_resetstat()
        use(mount(s.url), list(values(6)))
        own = {"publish", "client|kill"}
        assert {"get", "role"} <= asked(s.master) and asked(s.master) - own <= manual()


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "opened"])
def test_a_list_of_attributes_for_which_there_is_no_room_costs_no_question(mount, listed):
    """`ls -l` of Debian 13 asks three times a file: with room for 152 bytes, how long the list is, and for it; once where they fit, as without a header."""
    with running() as server:
        for key, value in {"framed": frame(), "bare": b"v" * 100}.items():
            server.client().set(key, value, ex=1000)
        m = mount(server.url)
        with contextlib.nullcontext() if listed else open(m / "framed", "rb"):
            os.listdir(m)
            server.client().config_resetstat()
            assert list_xattrs(m / "framed", 152) == -errno.ERANGE
            room = list_xattrs(m / "framed", 0)
            assert not EXPIRY & set(server.calls())
            assert list_xattrs(m / "framed", room) > 152
            assert EXPIRY & set(server.calls())
        assert 0 < list_xattrs(m / "bare", 152) <= 152
