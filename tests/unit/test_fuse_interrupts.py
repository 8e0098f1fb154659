"""What fs/fuse decides when a caller, or the end of the mount, interrupts a request: who waits is told at once, and nothing is lost or left. By fuse_mounts.py."""

from __future__ import annotations

import pytest

from fuse_mounts import EINTR, FRAME, LEGACY, RAW, ROOT, content, local, mount, remote, start  # noqa: F401 - fixtures
from waiting import taking, until


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
