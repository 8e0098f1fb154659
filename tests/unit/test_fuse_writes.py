"""What fs/fuse decides of writing, without a kernel: whose inode is written to, when a value is stored, and one answer for each request. By fuse_mounts.py."""

from __future__ import annotations

import pytest

from fuse_mounts import EINTR, ELSEWHERE, FRAME, JSON, LOCAL, OK, RAW, ROOT, content, start  # noqa: F401 - a fixture
from waiting import until


@pytest.fixture(params=[LOCAL, ELSEWHERE], ids=["local", "elsewhere"])
def mount(request, start):  # noqa: F811
    return start(request.param)


def created(m, name: str = "k"):
    """A request whose file is open for writing."""
    file = m.start("create", FRAME, name)
    assert file.reply()["open"]
    return file


def stored(m, name: str = "k") -> bytes | None:
    """What a new lookup and open read."""
    found = m.do("lookup", FRAME, name)
    return m.opened(found["ino"]) if "ino" in found else None


def written(m, text: str, name: str = "k") -> None:
    file = created(m, name)
    assert m.do("write", file.number, text) == {"written": len(text)}
    assert m.do("flush", file.number) == OK
    assert m.do("release", file.number) == OK


def test_what_is_created_is_seen_by_nobody_before_it_is_stored(mount):
    file = created(mount)
    ino = file.reply()["ino"]
    assert mount.do("write", file.number, "text") == {"written": 4}
    assert (mount.do("lookup", FRAME, "k"), mount.do("getattr", ino)["size"]) == ({"error": "ENOENT"}, 4)
    assert mount.do("flush", file.number) == OK
    assert stored(mount) == b"text"
    assert mount.do("release", file.number) == OK


def test_an_inode_that_others_may_have_is_stale_for_writers_and_then_each_lookup_has_its_own(mount):
    mount.put("k", 1)
    shared = mount.lookup()
    assert mount.do("openw", shared) == {"error": "ESTALE"}
    own = [mount.lookup() for _ in range(3)]
    assert len({shared, *own}) == 4
    file = mount.start("openw", own[0])
    assert file.reply() == {"open": True}
    mount.do("write", file.number, "new")
    assert (mount.opened(own[1]), mount.opened(shared), mount.do("getattr", own[1])["size"]) == (content(1), content(1), 600)
    assert mount.do("flush", file.number) == OK
    assert (stored(mount), mount.opened(own[2])) == (b"new", content(1)), "a lookup before it was stored is of the version before"
    assert mount.do("release", file.number) == OK


def test_who_writes_over_one_value_may_go_on_to_the_next(mount):
    for key in "kl":
        mount.put(key, 1)
    assert mount.do("openw", mount.lookup("k")) == {"error": "ESTALE"}
    assert mount.do("openw", mount.lookup("l")) == {"open": True}


def test_what_is_written_over_in_part_begins_as_the_newest_and_the_kernel_asks_for_its_size(mount):
    """It may keep what a lookup has told it of an inode that nobody else has; but that was another version."""
    mount.put("k", 1)
    mount.do("openp", mount.lookup())
    own = mount.lookup()
    mount.put("k", 2, content(2)[:300])
    file = mount.start("openp", own)
    assert (file.reply(), mount.ask("outdated"), mount.do("getattr", own)["size"]) == ({"open": True}, own, 300)
    mount.do("write", file.number, "new")
    assert mount.do("flush", file.number) == OK
    assert stored(mount) == b"new" + content(2)[3:300]
    assert mount.do("release", file.number) == OK


def test_only_frame_is_written(mount):
    mount.put("k", 1)
    mount.log = "frame/"
    results = [mount.do("create", parent, "new") for parent in (ROOT, RAW, JSON)] + [mount.do("openw", mount.lookup(parent=parent)) for parent in (ROOT, RAW)]
    assert results == [{"error": "EROFS"}] * 5
    said = "the root cannot be written to: values are stored in frame/ (told once)\n", "raw cannot be written to: values are stored in frame/ (told once)\n", "json cannot be written to: values are stored in frame/ (told once)\n"
    mount.log = "".join(f"ckfs: {line}" for line in said)


def test_a_value_is_stored_once_however_often_it_is_closed(mount):
    file = created(mount)
    mount.do("write", file.number, "text")
    assert [mount.do("flush", file.number) for _ in range(3)] == [OK] * 3
    assert mount.ask("calls put") == 1
    assert mount.do("release", file.number) == OK
    assert mount.ask("calls put") == 1


def test_what_is_written_after_it_was_stored_is_stored_again(mount):
    file = created(mount)
    mount.do("write", file.number, "first-and-long")
    assert mount.do("fsync", file.number) == OK
    mount.do("write", file.number, "second")
    assert stored(mount) == b"first-and-long"
    assert mount.do("flush", file.number) == OK
    assert stored(mount) == b"secondand-long"
    mount.do("release", file.number)


def test_an_error_of_the_store_is_told_by_close_and_the_next_close_tries_again(mount):
    file = created(mount)
    mount.do("write", file.number, "text")
    mount.ask("fail put 110")
    assert mount.do("flush", file.number) == {"error": "ETIMEDOUT"}
    mount.ask("fail put 0")
    assert mount.do("flush", file.number) == OK
    assert stored(mount) == b"text"
    mount.do("release", file.number)


def test_what_nobody_has_closed_is_stored_with_the_last_handle(mount):
    file = created(mount)
    mount.do("write", file.number, "text")
    assert mount.do("release", file.number) == OK
    assert stored(mount) == b"text"


def test_who_is_interrupted_while_it_is_stored_is_told(mount):
    file = created(mount)
    mount.do("write", file.number, "text")
    before = mount.hold("put")
    closing = mount.held("put", before, "flush", file.number).interrupt()
    assert closing.reply() == EINTR
    mount.ask("go put")
    mount.do("release", file.number)


@pytest.mark.parametrize("how", ["early", "poor"])
def test_an_open_that_fails_while_another_one_stores_leaves_no_handle(mount, how):
    file = created(mount)
    ino = file.reply()["ino"]
    mount.do("write", file.number, "text")
    before = mount.hold("put")
    closing = mount.held("put", before, "flush", file.number)
    mount.log = "" if how == "early" else "ckfs: no memory is left\n"
    assert mount.start(f"{how} openw", ino).reply() == (EINTR if how == "early" else {"error": "ENOMEM"})
    mount.ask("go put")
    assert (closing.reply(), mount.do("release", file.number)) == (OK, OK)
    assert until(lambda: mount.do("truncate", ino, 3) == {"error": "ESTALE"}), "nobody has it open"
    assert stored(mount) == b"text"


def test_two_who_close_a_file_at_the_same_time_get_the_same_answer(mount):
    file = created(mount)
    mount.do("write", file.number, "text")
    before = mount.hold("put")
    first = mount.held("put", before, "flush", file.number)
    second = mount.start("flush", file.number)
    mount.ask("go put")
    assert (first.reply(), second.reply(), mount.ask("calls put")) == (OK, OK, before + 1)
    mount.do("release", file.number)


def test_who_sets_a_length_without_a_handle_while_the_last_one_goes_sets_it_or_is_told(mount):
    """As with /proc/PID/fd. It would be zeros that are stored, or what lies in a descriptor that is another one's by then."""
    for _ in range(50):
        file = created(mount)
        mount.do("write", file.number, "text")
        assert mount.do("flush", file.number) == OK
        setting, closing = mount.start("paired truncate", file.reply()["ino"], 3), mount.start("paired release", file.number)
        was_set = "size" in setting.reply()
        assert was_set or setting.reply() == {"error": "ESTALE"}
        assert closing.reply() == OK
        assert stored(mount) == (b"tex" if was_set else b"text")


def test_a_handle_that_nobody_takes_leaves_nothing(mount):
    assert mount.start("gone create", FRAME, "k").reply()
    mount.put("j", 1)
    mount.do("openw", mount.lookup("j"))
    ino = mount.lookup("j")
    mount.start("gone openw", ino).reply()
    assert until(lambda: mount.counts()[1] == 0)


def test_the_entry_that_a_name_means_is_removed(mount):
    mount.put("k", 1)
    assert (mount.do("unlink", JSON, "k"), mount.do("unlink", RAW, "k"), mount.do("unlink", RAW, "k")) == ({"error": "EPERM"}, OK, {"error": "ENOENT"})
    assert mount.do("lookup", FRAME, "k") == {"error": "ENOENT"}


def test_an_error_of_removing_is_told(mount):
    mount.put("k", 1)
    mount.ask("fail remove 13")
    assert mount.do("unlink", ROOT, "k") == {"error": "EACCES"}
    mount.ask("fail remove 0")


def test_an_expiry_that_others_are_about_is_busy(mount):
    """The kernel takes EAGAIN for an attribute that there is not."""
    mount.put("k", 1)
    ino = mount.lookup()
    mount.ask("fail expire 11")
    assert mount.do("setxattr", ino, "2030-01-01T00:00:00Z") == {"error": "EBUSY"}
    mount.ask("fail expire 0")
    assert mount.do("setxattr", ino, "2030-01-01T00:00:00Z") == OK


def test_all_that_is_being_stored_is_answered_when_the_mount_ends(mount):
    file = created(mount)
    mount.do("write", file.number, "text")
    before = mount.hold("put")
    closing = mount.held("put", before, "flush", file.number)
    mount.ask("stop")
    assert closing.reply() is not None
