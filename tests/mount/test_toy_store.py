"""
What any store over a network has for nothing (backend/remote, and the defaults of include/ckfs/backend.h): shown by a toy that exists for tests alone
(tests/toy), which is one folder and a line in a table.
"""

from __future__ import annotations

import errno
import json
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

from commands import ENVIRONMENT
from helpers import meta, metadata, prefixed, read, v3
from toy_server import ToyServer
from waiting import PATIENCE, all_wait, taking, until
from while_lost import ends_on_a_signal, interrupt_a_reader

LARGE = random.Random(17).randbytes(7 << 20)


@pytest.fixture(scope="session")
def ckfs(request) -> str:
    """The build of ckfs with the toy store, beside the one under test."""
    path = pathlib.Path(request.config.getoption("--ckfs")).resolve().parent / "tests/toy/ckfs-toy"
    assert os.access(path, os.X_OK), f"{path}: build it first (-Dfuzz=enabled)"
    return str(path)


@pytest.fixture
def toy():
    server = ToyServer()
    server.data = {b"small": b"value", b"a/b %": b"escaped", b"large": LARGE, b"empty": b""}
    yield server
    server.answers.set()
    server.kill()


@pytest.fixture
def m(toy, mount):
    return mount(toy.url, "timeout=2", "listed_ttl=0")


def failure(action, *args) -> int | None:
    try:
        action(*args)
    except OSError as e:
        return e.errno
    return None


def test_it_is_listed_by_name(m):
    assert set(os.listdir(m)) >= {"small", "a%2Fb %25", "large", "empty"}


@pytest.mark.parametrize("name, value", [("small", b"value"), ("a%2Fb %25", b"escaped"), ("large", LARGE), ("empty", b"")])
def test_a_value_is_read_whole(m, name, value):
    told = json.loads(read(m / f"meta/{name}.json"))
    assert (read(m / name), os.stat(m / name).st_size, told["backend"]) == (value, len(value), "toy")


def test_a_new_value_and_a_new_key_are_seen_at_once(toy, m):
    assert read(m / "small") == b"value"
    toy.data[b"small"] = b"other"
    toy.data[b"new"] = b"one more"
    assert (read(m / "small"), read(m / "new"), "new" in os.listdir(m)) == (b"other", b"one more", True)


def test_a_key_that_vanishes_is_gone_and_what_is_open_stays(toy, m):
    with open(m / "large", "rb") as held:
        del toy.data[b"large"]
        assert (failure(os.stat, m / "large"), "large" in os.listdir(m)) == (errno.ENOENT, False)
        assert held.read() == LARGE


def test_a_prefix_is_cut_off_and_put_before(toy, mount):
    toy.data = {b"t:x*:small": b"ours", b"t:xy:small": b"theirs", b"small": b"nobody's", b"t:x*:": b"no name"}
    m = mount(toy.url, "prefix=t:x*:")
    names = [entry.name for entry in os.scandir(m) if entry.is_file()]
    assert (names, read(m / "small"), os.getxattr(m / "small", "user.ckfs.key")) == (["small"], b"ours", b"t:x*:small")


def test_ctrl_c_ends_a_reader_while_the_server_hangs(toy, mount):
    m = mount(toy.url, "timeout=60")
    toy.answers.clear()
    interrupt_a_reader(m / "small")
    ends_on_a_signal("ls", m)
    toy.answers.set()
    assert read(m / "small") == b"value"


def test_who_was_interrupted_holds_no_connection(toy, mount):
    m = mount(toy.url, "timeout=60")
    toy.stuck = {b"%d" % i for i in range(40)}
    waiting = [subprocess.Popen(["cat", m / str(i)], stderr=subprocess.DEVNULL) for i in range(40)]
    assert all_wait(*waiting)
    with taking():
        for process in waiting:
            process.send_signal(signal.SIGINT)
        assert ([process.wait(PATIENCE) for process in waiting], read(m / "large")) == ([-signal.SIGINT] * 40, LARGE)


def test_a_server_that_hangs_times_out(toy, m):
    toy.answers.clear()
    with taking(1.9):
        assert failure(read, m / "small") == errno.ETIMEDOUT
    toy.answers.set()
    assert until(lambda: failure(read, m / "small") is None), "it is asked again"
    assert read(m / "small") == b"value"


def test_sigterm_ends_the_mount_while_somebody_waits(toy, mount):
    m = mount(toy.url, "timeout=60")
    toy.answers.clear()
    reader = subprocess.Popen(["cat", m / "small"], stderr=subprocess.DEVNULL)
    assert all_wait(reader)
    with taking():
        m.process.send_signal(signal.SIGTERM)
        assert (m.process.wait(PATIENCE), reader.wait(PATIENCE) != 0) == (0, True)


def test_a_server_that_is_restarted_is_reconnected_to(toy, m):
    assert read(m / "small") == b"value"
    toy.kill()
    toy.start()
    assert read(m / "large") == LARGE, "the connection that is kept is dead, which nobody is told"


def test_a_dead_server_is_an_error_and_no_absence(toy, m):
    assert read(m / "small") == b"value"
    toy.kill()
    failures = {failure(read, m / name) for name in ("small", "large", "never-there")} | {failure(os.listdir, m)}
    assert failures == {errno.ECONNREFUSED}
    toy.start()
    assert until(lambda: failure(read, m / "small") is None)
    assert (read(m / "small"), failure(os.stat, m / "never-there")) == (b"value", errno.ENOENT)
    assert (len(m.log_lines("refused")), len(m.log_lines("answers again"))) == (1, 1), "told when it begins and when it is over"


def test_connections_are_kept_and_bounded(toy, mount):
    m = mount(toy.url, "timeout=60")
    before = toy.connections
    for _ in range(20):
        read(m / "small")
    assert toy.connections - before <= 2
    readers = [subprocess.Popen(["cat", m / "large"], stdout=subprocess.DEVNULL) for _ in range(40)]
    assert ([r.wait(PATIENCE) for r in readers], toy.connections - before <= 16) == ([0] * 40, True)


def test_a_garbled_answer_is_an_error_and_costs_only_its_connection(toy, m, monkeypatch):
    monkeypatch.setattr(toy, "answer", lambda question: b"?\n")
    assert failure(read, m / "small") == errno.EIO
    monkeypatch.undo()
    assert read(m / "small") == b"value"


# Writing


def frame(text: bytes) -> bytes:
    return b'CK\x03' + (43).to_bytes(4, "big") + b'{"s":"orjson","m":{"format":"orjson"}}'.ljust(43) + b'"' + text + b'"'


def test_it_is_written(toy, mount):
    m = mount(toy.url, "write", "timeout=2")
    for text in (b"one", b"x" * 300_000):
        (m / "frame/new").write_bytes(frame(text))
        assert (toy.data[b"new"], read(m / "frame/new")) == (frame(text), frame(text))
    os.setxattr(m / "new", "user.ckfs.expires", b"2030-01-01T00:00:00Z")
    os.unlink(m / "new")
    assert (toy.expiries[b"new"], b"new" in toy.data, failure(os.stat, m / "new")) == (1893456000, False, errno.ENOENT)


def test_a_server_that_hangs_while_it_stores_is_etimedout(toy, mount):
    m = mount(toy.url, "write", "timeout=2")
    file = open(m / "frame/new", "wb", buffering=0)
    file.write(frame(b"one"))
    toy.answers.clear()
    assert failure(file.close) == errno.ETIMEDOUT
    toy.answers.set()


def test_what_cannot_be_written_is_said_at_the_start_and_is_eopnotsupp(toy, mount):
    m = mount(toy.url.replace("toy://", "toy-unlisted://"), "write", "timeout=2")
    assert [line for line in m.log_lines("-o write") if all(word in line for word in ("stored", "removed", "expiry"))]
    assert failure((m / "frame/new").write_bytes, frame(b"one")) == errno.EOPNOTSUPP
    assert (failure(os.unlink, m / "small"), failure(os.setxattr, m / "small", "user.ckfs.ttl", b"60")) == (errno.EOPNOTSUPP, errno.EOPNOTSUPP)
    assert read(m / "small") == b"value"


# What it leaves out


def test_without_expiries_nothing_expires(m):
    assert (os.getxattr(m / "small", "user.ckfs.expires"), meta(m, "small")["expires"]) == (b"never", "never")


def test_without_a_size_the_filesystem_has_none(m):
    shown = os.statvfs(m)
    assert (shown.f_blocks, shown.f_bfree, shown.f_namemax) == (0, 0, 255)


def test_without_knowledge_of_changes_the_root_is_as_old_as_the_mount(toy, m):
    before = os.stat(m).st_mtime
    toy.data[b"new"] = b""
    assert (failure(os.stat, m / "new"), os.stat(m).st_mtime, abs(time.time() - before) < 60) == (None, before, True)


def test_without_resolving_a_long_name_is_found_by_the_listing(toy, m):
    key = b"k" * 300
    toy.data[key] = b"long"
    shown = next(name for name in os.listdir(m) if "%~" in name)
    assert (read(m / shown), os.getxattr(m / shown, "user.ckfs.key")) == (b"long", key)


def test_without_anything_to_forget_sighup_does_no_harm(m):
    m.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert read(m / "small") == b"value"


@pytest.fixture
def unlisted(toy, mount):
    return mount(toy.url.replace("toy://", "toy-unlisted://"), "timeout=2")


TOLD = "toy store without listings: its keys cannot be listed"


def names(path) -> set[str]:
    """Of the entries that a directory shows."""
    return {entry.name for entry in os.scandir(path) if entry.is_file()}


def test_what_nobody_can_list_shows_nothing_and_the_log_says_why_once(unlisted):
    for directory in (unlisted, unlisted / "raw", unlisted / "json", unlisted):
        assert names(directory) == set()
    assert len(unlisted.log_lines(TOLD)) == 1


def test_where_nobody_can_list_what_was_opened_is_listed_by_all_views(toy, unlisted):
    toy.data[b"framed"] = v3(prefixed(b"[1]"), metadata("orjson"), "orjson")
    assert (read(unlisted / "small"), read(unlisted / "json/framed.json")) == (b"value", b"[1]")
    assert (names(unlisted), names(unlisted / "meta"), names(unlisted / "json")) == ({"small", "framed"}, {"small.json", "framed.json"}, {"framed.json"})


def test_where_nobody_can_list_given_keys_are_listed(toy, mount, tmp):
    (tmp / "keys").write_text("small\na%2Fb %25\nnot-there\n")
    m = mount(toy.url.replace("toy://", "toy-unlisted://"), f"keys={tmp}/keys")
    assert (names(m), names(m / "frame")) == ({"small", "a%2Fb %25", "not-there"},) * 2
    assert (names(m / "json"), failure(os.stat, m / "not-there")) == (set(), errno.ENOENT)
    assert (read(m / "a%2Fb %25"), names(m)) == (b"escaped", {"small", "a%2Fb %25", "not-there"})


def test_where_nobody_can_list_a_listing_asks_for_nothing_that_it_need_not(toy, unlisted):
    read(unlisted / "small"), read(unlisted / "large")
    toy.questions.clear()
    assert (names(unlisted), subprocess.check_output(["ls", unlisted / "raw"])) == ({"small", "large"}, b"large\nsmall\n")
    assert toy.questions == []


def test_where_nobody_can_list_what_was_opened_and_is_gone_is_not_listed(toy, unlisted):
    toy.data[b"framed"] = v3(prefixed(b"[1]"), metadata("orjson"), "orjson")
    read(unlisted / "small"), read(unlisted / "framed")
    del toy.data[b"small"], toy.data[b"framed"]
    assert (failure(os.stat, unlisted / "small"), names(unlisted / "json"), names(unlisted)) == (errno.ENOENT, set(), set())
    toy.data[b"small"] = b"again"
    assert (read(unlisted / "small"), names(unlisted)) == (b"again", {"small"})


def test_where_nobody_can_list_a_dead_server_ends_a_listing_that_asks(toy, unlisted):
    read(unlisted / "small")
    toy.kill()
    assert (failure(os.listdir, unlisted / "json"), names(unlisted)) == (errno.ECONNREFUSED, {"small"})


def test_a_server_that_refuses_to_be_listed_is_an_error_until_a_key_is_known(toy, m):
    toy.listable = False
    assert (failure(os.listdir, m), read(m / "small")) == (errno.EOPNOTSUPP, b"value")
    assert (names(m), names(m / "raw")) == ({"small"}, {"small"})
    toy.listable = True
    assert names(m) == {"small", "a%2Fb %25", "large", "empty"}


def test_what_nobody_can_list_is_read_by_name(unlisted):
    assert (read(unlisted / "small"), read(unlisted / "raw/large"), failure(os.stat, unlisted / "none")) == (b"value", LARGE, errno.ENOENT)


def test_whether_there_is_a_long_name_cannot_be_told_without_a_listing(unlisted):
    assert failure(os.stat, unlisted / ("k" * 206 + "%~" + "0" * 32)) == errno.EOPNOTSUPP


# SOURCE


def command(ckfs, tmp, *args, **env) -> tuple[int, str]:
    result = subprocess.run([ckfs, *args, tmp], stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **env}, timeout=PATIENCE)
    return result.returncode, result.stderr


def test_its_variable_selects_it(ckfs, tmp, toy, mount):
    assert read(mount(None, env={"CACHEKIT_TOY": f"127.0.0.1:{toy.port}"}) / "small") == b"value"
    status, said = command(ckfs, tmp, CACHEKIT_TOY="127.0.0.1:1", CACHEKIT_REDIS_URL="redis://localhost:1")
    assert (status, "CACHEKIT_TOY" in said and "CACHEKIT_REDIS_URL" in said) == (1, True), said


@pytest.mark.parametrize("source, parts", [
    ("toy://127.0.0.1:1", ["127.0.0.1 port 1", "refused"]),
    ("toy://127.0.0.1:x", ["toy://", "port"]),
    ("nothing://x", ["unknown kind of source", "toy://HOST", "DIR"]),
])
def test_a_source_that_cannot_be_mounted_is_told(ckfs, tmp, source, parts):
    status, said = command(ckfs, tmp, source)
    assert (status, [part for part in parts if part not in said]) == (1, []), said


def test_the_build_for_users_does_not_know_it(request, tmp):
    status, said = command(os.path.abspath(request.config.getoption("--ckfs")), tmp, "toy://127.0.0.1:1")
    assert (status, "unknown kind of source" in said, "toy://HOST" in said) == (1, True, False), said
