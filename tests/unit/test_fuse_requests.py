"""What fs/fuse decides, without a kernel: which version a request is about, what lives until it is forgotten, and what an error becomes. By fuse_mounts.py."""

from __future__ import annotations

import time

import pytest

from fuse_mounts import FRAME, JSON, LEGACY, ROOT, content, local, mount, remote, start  # noqa: F401 - fixtures
from waiting import until

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


# The process with privileges


def test_an_answer_that_comes_too_late_is_not_taken_for_that_of_the_next_order(local):
    """It would be the number of another file."""
    late, outcome, number = local.ask("late")
    assert (late, outcome) == ("ETIMEDOUT", number)


# Threads


def test_a_pool_that_is_ended_when_it_is_about_to_grow_starts_no_thread(local):
    """An address sanitizer hears of one that comes when the pool is gone."""
    assert local.ask("pools") is None
