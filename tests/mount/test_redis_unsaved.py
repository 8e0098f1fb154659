"""A server that takes no changes, since it cannot save them or has no replica for them, serves readers: so does a mount. It refuses a PING like a change."""

from __future__ import annotations

import os

import pytest
import redis

from announcing import WITHOUT_RESP3
from helpers import read, xattrs
from redis_cluster import wait_for
from redis_server import db, running, scripted, server  # noqa: F401 - fixtures
from test_redis_faults import ANNOUNCING
from test_write_redis import CHANGES
from writing import frame, outcome

MISCONF = "MISCONF Redis is configured to save RDB snapshots"
NOREPLICAS = "NOREPLICAS Not enough good replicas to write."


class Unsaved:
    """A server, which may lose the directory that it saves into."""

    def __init__(self, server, directory):  # noqa: F811
        self.server, self.directory = server, directory

    def lose(self) -> None:
        self.directory.rmdir()
        client = self.server.client()
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "it could not be saved")
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            client.ping()


@pytest.fixture(params=[(), WITHOUT_RESP3], ids=["announced", "announced by channel"])
def unsaved(request, tmp):
    directory = tmp / "saved"
    directory.mkdir()
    with running("--dir", str(directory), *request.param) as s:
        yield Unsaved(s, directory)


def is_served(m) -> None:
    assert read(m / "frame/k") == frame("a")
    assert set(os.listdir(m / "raw")) == {"k", "large"} == {entry.name for entry in os.scandir(m / "raw") if entry.stat().st_size}
    assert read(m / "large") == b"v" * 200_000
    assert xattrs(m / "k")["expires"]


def test_what_cannot_be_saved_is_read_also_by_new_mounts_and_connections(unsaved, mount):
    s = unsaved.server
    s.client().mset({"k": frame("a"), "large": b"v" * 200_000})
    before = mount(s.url, "timeout=3")
    is_served(before)
    unsaved.lose()
    for m in (before, mount(s.url, "timeout=3")):
        is_served(m)
        s.kill_readers()
        s.kill_listeners()
        is_served(m)
        assert m.log() == ""


def test_a_fence_is_answered_all_the_same(unsaved, mount):
    """What was looked up once costs no command but a PING, and a change that is made after all is seen."""
    s = unsaved.server
    s.client().set("k", frame("a"))
    m = mount(s.url, "timeout=3")
    unsaved.lose()
    read(m / "frame/k")
    before = s.calls()
    for _ in range(20):
        assert read(m / "frame/k") == frame("a")
    after = s.calls()
    assert {name for name in after if after[name] != before.get(name)} <= {"ping", "info", "client|setinfo"}
    s.client().config_set("stop-writes-on-bgsave-error", "no")
    s.client().set("k", frame("b"))
    assert read(m / "frame/k") == frame("b")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_cannot_be_saved_is_erofs_and_the_log_has_the_servers_words(unsaved, mount, change):
    s = unsaved.server
    s.client().set("k", frame("old"), ex=100)
    m = mount(s.url, "write", "timeout=3")
    unsaved.lose()
    assert [outcome(CHANGES[change], m, "k") for _ in range(3)] == ["EROFS"] * 3
    assert (len(m.log_lines(MISCONF)), read(m / "frame/k")) == (1, frame("old"))
    s.client().config_set("stop-writes-on-bgsave-error", "no")
    assert outcome(CHANGES[change], m, "k") is None


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_for_which_there_is_no_replica_is_erofs_and_the_log_has_the_servers_words(server, db, mount, change):  # noqa: F811
    db.set("k", frame("old"), ex=100)
    m = mount(server.url, "write", "timeout=3")
    db.config_set("min-replicas-to-write", 1)
    assert [outcome(CHANGES[change], m, "k") for _ in range(3)] == ["EROFS"] * 3
    assert (len(m.log_lines(NOREPLICAS)), read(m / "frame/k")) == (1, frame("old"))
    db.config_set("min-replicas-to-write", 0)
    assert outcome(CHANGES[change], m, "k") is None


@pytest.mark.parametrize("words", [b"ERR no writer is there", b"OOM command not allowed"])
def test_what_else_a_server_says_to_a_change_is_in_the_log_once_until_it_takes_one(scripted, mount, words):  # noqa: F811
    s = scripted({**ANNOUNCING, "UNLINK": b"-" + words + b"\r\n", "STRLEN": b":1\r\n", "GETRANGE": b"$1\r\nv\r\n", "GET": b"$1\r\nv\r\n"})
    m = mount(s.url, "write", "timeout=3")
    refused = s.answers["UNLINK"]
    for told in (1, 2):
        s.answers["UNLINK"] = refused
        assert {outcome(os.unlink, m / "k") for _ in range(2)} <= {"EIO", "ENOSPC"}
        assert len(m.log_lines(words.decode())) == told
        s.answers["UNLINK"] = b":1\r\n"
        assert outcome(os.unlink, m / "k") is None
