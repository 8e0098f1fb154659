"""What fs/fuse decides, without a kernel: each request gets one answer, whatever fails, is interrupted, forgotten or overwritten meanwhile.

`fuse-probe` (tests/unit/fuse_probe.c, built with -Dfuzz=enabled beside the binary under test) calls the operations, over a backend that does what it is
told. It exits with an error when a request was not answered exactly once, or was touched after its answer: each test ends with that.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess
import time

import pytest

from waiting import PATIENCE, taking, until

ROOT, RAW, FRAME, JSON = 1, 2, 3, 7  # directories, by their inode numbers

# How a mount asks its backend: on the spot; on the request's thread; on a thread that waits.
LOCAL, HERE, ELSEWHERE = ("local", "4"), ("remote", "4"), ("remote", "1")


class Request:
    def __init__(self, mount, command: str):
        self.mount = mount
        self.number = mount.ask(command)

    def reply(self) -> dict | None:
        """None: there is none within two seconds."""
        return self.mount.ask(f"reply {self.number}")

    def interrupt(self) -> Request:
        self.mount.ask(f"interrupt {self.number}")
        return self

    def returns(self) -> bool:
        """Whether the thread that took it comes back within two seconds."""
        return self.mount.ask(f"returned {self.number}")


class Mount:
    def __init__(self, path: pathlib.Path, kind: tuple[str, str]):
        self.log = ""  # what it is to log
        self.process = subprocess.Popen([path, *kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ask(self, line: str):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, *words) -> Request:
        return Request(self, " ".join(map(str, words)))

    def do(self, *words) -> dict | None:
        return self.start(*words).reply()

    def put(self, key: str, version: int, value: bytes | None = None, expires: int = 0) -> None:
        self.ask(f"put {key} {version} {expires} {(value if value is not None else content(version)).hex()}")

    def lookup(self, name: str = "k", parent: int = FRAME) -> int:
        return self.do("lookup", parent, name)["ino"]

    def listed(self, name: str = "k", parent: int = FRAME) -> int:
        """The inode that a listing gives."""
        directory = self.start("opendir", parent)
        assert directory.reply() == {"open": True}
        lines = self.do("readdirplus", directory.number, 0)["lines"]
        assert self.do("releasedir", directory.number) == OK
        return lines[name]

    def opened(self, ino: int) -> bytes:
        """What is read from it."""
        file = self.start("open", ino)
        assert file.reply() == {"open": True}
        read = bytes.fromhex(self.do("read", file.number)["hex"])
        assert self.do("release", file.number) == OK
        return read

    def counts(self) -> tuple[int, int, int]:
        """Inodes, open files, promises, once all work is done that nobody waits for."""
        return tuple(self.ask("counts").values())

    def counts_become(self, *wanted: int) -> bool:
        return until(lambda: self.counts() == wanted)

    def hold(self, point: str, deaf: bool = False) -> int:
        """The calls that were made before."""
        self.ask(f"{'deafen' if deaf else 'hold'} {point}")
        return self.ask(f"calls {point}")

    def held(self, point: str, before: int, *words) -> Request:
        """A request that has come to a point where it is held."""
        request = self.start(*words)
        assert until(lambda: self.ask(f"calls {point}") > before)
        return request


OK = {"error": "0"}
EINTR = {"error": "EINTR"}


def content(version: int, size: int = 600) -> bytes:
    """More than is found of a value by its head."""
    return bytes([version]) * size


# What it is, is told at its end: a lookup has all of it fetched.
LEGACY = json.dumps({"data": base64.b64encode(bytes(900)).decode(), "metadata": {}, "serializer": "default", "version": "2.0"}).encode()


@pytest.fixture
def start(request):
    """Mounts of a kind, which end well."""
    directory = pathlib.Path(request.config.getoption("--ckfs")).resolve().parent
    path = directory / "tests" / "fuzz" / "fuse-probe"
    assert os.access(path, os.X_OK), f"{path}: build it first (meson configure {directory} -Dfuzz=enabled && ninja -C {directory})"
    mounts = []

    def start_one(kind):
        mounts.append(Mount(path, kind))
        return mounts[-1]

    yield start_one
    for m in mounts:
        said = m.process.communicate("end\n", timeout=PATIENCE)[1]
        assert (m.process.returncode, said) == (0, m.log)


@pytest.fixture(params=[LOCAL, HERE, ELSEWHERE], ids=["local", "here", "elsewhere"])
def mount(request, start):
    return start(request.param)


@pytest.fixture(params=[HERE, ELSEWHERE], ids=["here", "elsewhere"])
def remote(request, start):
    return start(request.param)


@pytest.fixture
def local(start):
    return start(LOCAL)


# --- which version ---


def stale(mount, size: int = 600) -> None:
    """An open of an inode from a listing, whose entry has changed: of version 2 by now."""
    mount.put("k", 1, content(1, size))
    ino = mount.listed()
    mount.put("k", 2, content(2, size))
    assert mount.do("open", ino) == {"error": "ESTALE"}


@pytest.mark.parametrize("size", [5, 600])
def test_what_is_looked_up_after_a_stale_open_can_be_opened_though_it_changes_again(mount, size):
    stale(mount, size)
    ino = mount.lookup()
    mount.put("k", 3, content(3, size))
    assert mount.opened(ino) == content(2, size)
    assert mount.counts()[2] == 0, "a promise is for one open"


def test_what_is_promised_is_no_inode_that_a_listing_gives(mount):
    stale(mount)
    listed = mount.listed()
    promised = mount.lookup()
    assert mount.listed() == listed != promised
    assert mount.do("getattr", promised) == mount.do("getattr", listed)


def test_each_lookup_after_a_stale_open_is_good_for_an_open(mount):
    """Who comes back cannot be told."""
    stale(mount)
    ino = mount.lookup()
    assert mount.lookup() == ino
    mount.put("k", 3)
    assert [mount.opened(ino), mount.opened(ino)] == [content(2)] * 2
    assert mount.counts()[2] == 0


def test_a_lookup_promises_nothing_before_an_open_was_stale(mount):
    mount.put("k", 1)
    assert mount.lookup() == mount.listed()
    assert mount.counts()[2] == 0


def test_what_a_lookup_has_just_found_is_opened_though_it_has_changed(mount):
    mount.put("k", 1, content(1, 400))
    ino = mount.lookup()
    mount.put("k", 2, content(2, 400))
    assert mount.opened(ino) == content(1, 400)


def test_a_value_that_changes_between_its_head_and_its_rest_is_stale(remote):
    remote.put("k", 1)
    ino = remote.lookup()
    remote.put("k", 2)
    assert remote.do("open", ino) == {"error": "ESTALE"}
    ino = remote.lookup()
    remote.put("k", 3)
    assert remote.opened(ino) == content(2)


def test_an_inode_of_a_listing_whose_entry_is_gone_is_stale_and_its_name_is_not_there(mount):
    mount.put("k", 1)
    ino = mount.listed()
    mount.ask("remove k")
    assert mount.do("open", ino) == {"error": "ESTALE"}
    assert mount.do("lookup", FRAME, "k") == {"error": "ENOENT"}


def test_an_inode_of_a_listing_is_stale_though_somebody_has_that_version_open(mount):
    mount.put("k", 1)
    ino = mount.lookup()
    assert mount.do("open", ino) == {"open": True}
    assert mount.listed() == ino
    mount.put("k", 2)
    assert mount.do("open", ino) == {"error": "ESTALE"}


def test_what_has_expired_is_not_there(mount):
    mount.put("k", 1, expires=int(time.time()) - 10)
    assert mount.do("lookup", FRAME, "k") == {"error": "ENOENT"}
    assert mount.counts() == (0, 0, 0)


def test_an_expiry_is_asked_for_again_and_an_entry_without_one_has_no_such_attribute(mount):
    mount.put("k", 1)
    ino = mount.lookup()
    assert mount.do("getxattr", ino, "user.ckfs.ttl") == {"error": "ENODATA"}
    mount.put("k", 1, expires=int(time.time()) + 100)
    assert 98 <= int(bytes.fromhex(mount.do("getxattr", ino, "user.ckfs.ttl")["hex"])) <= 100


def test_a_view_that_does_not_apply_has_no_such_name(mount):
    mount.put("k", 1)
    assert mount.do("lookup", JSON, "k.json") == {"error": "ENOENT"}
    assert mount.counts() == (0, 0, 0)


# --- forgetting ---


def test_an_inode_lives_until_it_is_forgotten_as_often_as_it_was_given(mount):
    mount.put("k", 1)
    ino = mount.lookup()
    assert [mount.lookup(), mount.listed()] == [ino] * 2
    mount.do("forget", ino, 2)
    assert mount.do("getattr", ino)["size"] == 600
    mount.do("forget", ino, 1)
    assert mount.do("getattr", ino) == {"error": "ENOENT"}
    assert mount.counts() == (0, 0, 0)
    assert mount.lookup() > ino, "no number is used again"


def test_forgetting_more_than_was_given_forgets_once(mount):
    mount.put("k", 1)
    ino = mount.lookup()
    mount.do("forget", ino, 5)
    mount.do("forget", ino, 5)
    assert mount.counts() == (0, 0, 0)


def test_an_inode_that_is_forgotten_while_it_is_opened_is_opened(local):
    local.put("k", 1)
    ino = local.lookup()
    opening = local.held("find", local.hold("find"), "open", ino)
    local.do("forget", ino, 1)
    assert local.counts() == (1, 0, 0)
    local.ask("go find")
    assert opening.reply() == {"open": True}
    assert local.counts_become(0, 1, 0)
    assert bytes.fromhex(local.do("read", opening.number)["hex"]) == content(1)


def test_an_inode_that_is_forgotten_while_its_value_is_fetched_is_opened(remote):
    remote.put("k", 1)
    ino = remote.lookup()
    opening = remote.held("fetch", remote.hold("fetch"), "open", ino)
    remote.do("forget", ino, 1)
    assert remote.counts() == (1, 0, 0)
    remote.ask("go fetch")
    assert opening.reply() == {"open": True}
    assert remote.counts_become(0, 1, 0)


def test_a_promise_goes_with_its_inode(mount):
    stale(mount, 5)
    ino = mount.lookup()
    assert mount.counts()[2] == 1
    mount.do("forget", ino, 1)
    assert mount.counts()[2] == 0


def test_a_promise_goes_with_the_last_request_of_its_inode(mount):
    stale(mount, 5)
    ino = mount.lookup()
    asking = mount.held("expires", mount.hold("expires"), "getxattr", ino, "user.ckfs.ttl")
    mount.do("forget", ino, 1)
    assert mount.counts()[2] == 1
    mount.ask("go expires")
    assert asking.reply() == {"error": "ENODATA"}
    assert until(lambda: mount.counts()[2] == 0)


@pytest.mark.parametrize("promised", [False, True])
def test_an_inode_whose_lookup_nobody_waits_for_any_more_is_forgotten(mount, promised):
    if promised:
        stale(mount)
    else:
        mount.put("k", 1)
    before = mount.counts()
    mount.do("gone lookup", FRAME, "k")
    assert mount.counts_become(*before)


def test_a_file_whose_open_nobody_waits_for_any_more_is_closed(mount):
    mount.put("k", 1)
    ino = mount.lookup()
    mount.do("gone open", ino)
    assert mount.counts_become(1, 0, 0)


def test_inodes_of_lines_that_nobody_waits_for_any_more_are_forgotten(mount):
    mount.put("a", 1)
    mount.put("b", 2)
    directory = mount.start("opendir", FRAME)
    assert directory.reply() == {"open": True}
    mount.do("gone readdirplus", directory.number, 0)
    assert mount.counts_become(0, 0, 0)
    mount.do("releasedir", directory.number)


# --- interrupts ---


@pytest.fixture
def known(remote):
    """A remote mount, and the inode of a lookup; nobody holds its entry."""
    remote.put("k", 1, b"short")
    remote.number = remote.lookup()
    return remote


@pytest.mark.parametrize("operation", ["lookup 3 other", "open {}", "getxattr {} user.ckfs.ttl", "listxattr {}", "statfs"])
def test_who_was_interrupted_before_it_began_asks_nothing(known, operation):
    listed = known.listed()
    calls = [known.ask(f"calls {point}") for point in ("find", "expires", "statfs")]
    assert known.do("early", operation.format(listed)) == EINTR
    assert [known.ask(f"calls {point}") for point in ("find", "expires", "statfs")] == calls


def test_who_was_interrupted_before_it_waited_for_a_value_has_it_not_fetched(remote):
    remote.put("k", 1)
    ino = remote.lookup()
    assert remote.do("early open", ino) == EINTR
    assert remote.ask("calls fetch") == 0
    assert remote.counts_become(1, 0, 0)
    assert remote.opened(ino) == content(1)


def test_a_listing_that_was_interrupted_before_it_began_lists_nothing(mount):
    mount.put("k", 1)
    directory = mount.start("opendir", FRAME)
    assert directory.reply() == {"open": True}
    assert mount.do("early readdirplus", directory.number, 0) == EINTR
    assert mount.counts() == (0, 0, 0)
    assert list(mount.do("readdirplus", directory.number, 0)["lines"]) == [".", "..", "k"]


def test_who_is_interrupted_but_has_to_wait_for_nothing_is_answered(local):
    local.put("k", 1)
    assert "ino" in local.do("early lookup", FRAME, "k")


@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.parametrize("operation", ["lookup 3 k", "lookup 3 none", "getxattr {} user.ckfs.size.frame", "open {}"])
def test_who_is_interrupted_while_it_asks_is_told_at_once(remote, operation, deaf):
    remote.put("k", 1)
    listed = remote.listed()
    before = remote.counts()
    asking = remote.held("find", remote.hold("find", deaf), *operation.format(listed).split())
    assert asking.interrupt().reply() == EINTR
    if not deaf:
        assert asking.returns(), "what it asks is cancelled"
    remote.ask("go find")
    assert asking.returns()
    assert remote.counts_become(*before)


def test_what_is_found_after_an_interrupt_is_let_go(remote):
    """Also where it would have to be peeled."""
    remote.put("k", 1, LEGACY)
    asking = remote.held("find", remote.hold("find", deaf=True), "lookup", ROOT, "k")
    assert asking.interrupt().reply() == EINTR
    remote.ask("go find")
    assert asking.returns() and remote.counts_become(0, 0, 0)
    assert remote.ask("calls fetch") == 0


@pytest.mark.parametrize("deaf", [False, True])
def test_who_is_interrupted_while_a_value_is_fetched_is_told_at_once(remote, deaf):
    remote.put("k", 1)
    ino = remote.lookup()
    opening = remote.held("fetch", remote.hold("fetch", deaf), "open", ino)
    assert opening.interrupt().reply() == EINTR
    assert deaf or until(lambda: remote.ask("waiting fetch") == 0), "what it waits for is cancelled"
    remote.ask("go fetch")
    assert remote.counts_become(1, 0, 0)
    assert remote.opened(ino) == content(1)


def test_a_lookup_that_is_interrupted_while_its_value_is_fetched_leaves_nothing(remote):
    remote.put("k", 1, LEGACY)
    looking = remote.held("fetch", remote.hold("fetch"), "lookup", ROOT, "k")
    assert looking.interrupt().reply() == EINTR
    remote.ask("go fetch")
    assert remote.counts_become(0, 0, 0)
    assert remote.lookup(parent=ROOT)


def test_who_waits_for_the_same_value_waits_on_when_another_is_interrupted(remote):
    remote.put("k", 1)
    ino = remote.lookup()
    first = remote.held("fetch", remote.hold("fetch"), "open", ino)
    second = remote.start("open", ino)
    assert second.returns()
    assert first.interrupt().reply() == EINTR
    assert remote.ask("waiting fetch") == 1
    remote.ask("go fetch")
    assert second.reply() == {"open": True}
    assert remote.counts_become(1, 1, 0)


def test_an_interrupt_after_the_answer_changes_nothing(mount):
    mount.put("k", 1)
    looking = mount.start("lookup", FRAME, "k")
    found = looking.reply()
    assert looking.interrupt().reply() == found
    assert mount.counts() == (1, 0, 0)


@pytest.mark.parametrize("name, parent, value", [("k", FRAME, content(1)), ("k", ROOT, LEGACY)])
def test_interrupts_at_any_time_lead_to_one_answer(mount, name, parent, value):
    """To one of the two, and nothing is lost or left."""
    mount.put("k", 1, value)
    looking = [mount.start("lookup", parent, name).interrupt() for _ in range(100)]
    answers = [one.reply() for one in looking]
    found = [answer["ino"] for answer in answers if "ino" in answer]
    assert len(found) + answers.count(EINTR) == 100
    for ino in found:
        mount.do("forget", ino, 1)
    assert mount.counts_become(0, 0, 0)


def lines(reply: dict) -> list[bytes]:
    """The names of a READDIR's reply."""
    read, at, names = bytes.fromhex(reply["hex"]), 0, []
    while at < len(read):
        n = int.from_bytes(read[at + 16 : at + 20], "little")
        names.append(read[at + 24 : at + 24 + n])
        at += (24 + n + 7) // 8 * 8
    return names


def test_a_local_listing_that_is_interrupted_answers_with_the_lines_it_has(local):
    local.put("k", 1)
    directory = local.start("opendir", FRAME)
    assert directory.reply() == {"open": True}
    before = local.hold("next")
    listing = local.held("next", before, "readdir", directory.number, 0)
    assert lines(listing.interrupt().reply()) == [b".", b".."]
    nothing = local.held("next", before + 1, "readdir", directory.number, 2)
    assert nothing.interrupt().reply() == EINTR
    local.ask("go next")
    assert lines(local.do("readdir", directory.number, 2)) == [b"k"], "and goes on from there"


def test_a_remote_listing_that_is_interrupted_is_told_at_once(remote):
    remote.put("k", 1)
    directory = remote.start("opendir", FRAME)
    assert directory.reply() == {"open": True}
    listing = remote.held("next", remote.hold("next", deaf=True), "readdirplus", directory.number, 0)
    assert listing.interrupt().reply() == EINTR
    remote.ask("go next")
    assert list(remote.do("readdirplus", directory.number, 0)["lines"]) == [".", "..", "k"]
    assert remote.counts() == (1, 0, 0)


# --- errors ---


@pytest.mark.parametrize("number, told", [(5, "EIO"), (111, "ECONNREFUSED"), (61, "EIO")], ids=["EIO", "ECONNREFUSED", "one that means something else"])
@pytest.mark.parametrize(
    "point, operation",
    [
        ("find", "lookup 3 k"),
        ("find", "open {listed}"),
        ("find", "getxattr {listed} user.ckfs.size.frame"),
        ("expires", "getxattr {open} user.ckfs.ttl"),
        ("expires", "listxattr {open}"),
        ("list", "opendir 3"),
        ("statfs", "statfs"),
    ],
)
def test_an_error_of_the_backend_is_the_answer(mount, point, operation, number, told):
    mount.put("k", 1)
    mount.put("open", 2)
    inodes = {"listed": mount.listed(), "open": mount.lookup("open")}
    assert mount.do("open", inodes["open"]) == {"open": True}
    before = mount.counts()
    mount.ask(f"fail {point} {number}")
    assert mount.do(*operation.format(**inodes).split()) == {"error": told}
    assert mount.counts_become(*before)
    mount.ask(f"go {point}")
    assert mount.do(*operation.format(**inodes).split()) != {"error": told}


@pytest.mark.parametrize("operation", ["open {}", f"lookup {ROOT} legacy"])
def test_an_error_of_a_fetch_is_the_answer(remote, operation):
    remote.put("legacy", 1, LEGACY)
    remote.put("k", 2)
    ino = remote.lookup()
    remote.ask("fail fetch 111")
    assert remote.do(*operation.format(ino).split()) == {"error": "ECONNREFUSED"}
    assert remote.counts_become(1, 0, 0)
    remote.ask("go fetch")
    assert "error" not in remote.do(*operation.format(ino).split())


def test_an_error_of_a_listing_ends_it_after_the_lines_before(mount):
    mount.put("k", 1)
    directory = mount.start("opendir", FRAME)
    assert directory.reply() == {"open": True}
    mount.ask("fail next 5")
    assert list(mount.do("readdirplus", directory.number, 0)["lines"]) == [".", ".."]
    assert mount.do("readdirplus", directory.number, 2) == {"error": "EIO"}
    mount.ask("go next")
    assert list(mount.do("readdirplus", directory.number, 2)["lines"]) == ["k"]


def test_a_lookup_that_timed_out_is_told_so_a_second_time_without_asking(remote):
    """If that comes within 50 ms: the kernel's does."""
    remote.ask("fail find 110")
    asked = []
    for attempt in range(20):
        before = remote.ask("calls find")
        start = time.monotonic()
        assert [remote.do("lookup", FRAME, f"k{attempt}") for _ in range(2)] == [{"error": "ETIMEDOUT"}] * 2
        if time.monotonic() - start < 0.05:
            asked.append(remote.ask("calls find") - before)
    assert set(asked) == {1}
    remote.put("k0", 1)
    remote.ask("go find")
    assert remote.lookup("k0")


@pytest.mark.parametrize("operation", ["lookup 3 other", "open {looked_up}", "open {listed}", "getxattr {listed} user.ckfs.ttl", "statfs"])
def test_who_cannot_wait_for_want_of_memory_is_told(remote, operation):
    remote.put("k", 1)
    remote.put("listed", 2)
    inodes = {"looked_up": remote.lookup(), "listed": remote.listed("listed")}
    before = remote.counts()
    calls = [remote.ask(f"calls {point}") for point in ("find", "fetch", "statfs")]
    assert remote.do("poor", operation.format(**inodes)) == {"error": "ENOMEM"}
    remote.log = "ckfs: no memory is left\n"
    assert remote.counts_become(*before)
    assert [remote.ask(f"calls {point}") for point in ("find", "fetch", "statfs")] == calls


# --- the end ---


def test_all_that_wait_are_answered_when_the_mount_ends(remote):
    remote.put("k", 1)
    ino, listed = remote.lookup(), remote.listed("k", RAW)
    waiting = [
        remote.held("find", remote.hold("find", deaf=True), "lookup", FRAME, "other"),
        remote.held("fetch", remote.hold("fetch", deaf=True), "open", ino),
        remote.held("statfs", remote.hold("statfs", deaf=True), "statfs"),
        *[remote.start("open", listed) for _ in range(20)],
    ]
    with taking():
        remote.ask("stop")
        assert [request.reply() for request in waiting] == [EINTR] * len(waiting)


def test_a_listing_ends_with_the_mount(local):
    directory = local.start("opendir", FRAME)
    assert directory.reply() == {"open": True}
    listing = local.held("next", local.hold("next"), "readdir", directory.number, 2)
    local.ask("stop")
    assert listing.reply() == EINTR


def test_who_comes_when_the_mount_has_ended_asks_nothing(remote):
    remote.put("k", 1)
    remote.ask("stop")
    assert [remote.do("lookup", FRAME, "k"), remote.do("statfs")] == [EINTR] * 2
    assert [remote.ask("calls find"), remote.ask("calls statfs")] == [0, 0]


# The process with privileges


def test_an_answer_that_comes_too_late_is_not_taken_for_that_of_the_next_order(local):
    """It would be the number of another file."""
    late, outcome, number = local.ask("late")
    assert (late, outcome) == ("ETIMEDOUT", number)


# Threads


def test_a_pool_that_is_ended_when_it_is_about_to_grow_starts_no_thread(local):
    """An address sanitizer hears of one that comes when the pool is gone."""
    assert local.ask("pools") is None
