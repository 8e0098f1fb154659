"""§5: a file handle (name_to_handle_at), as NFS and caches of handles keep, is of one version in one mount, and never of anything else."""

import ctypes
import errno
import os
import re

import pytest

from helpers import read
from waiting import until

LIBC = ctypes.CDLL(None, use_errno=True)


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def handle_of(path) -> Handle:
    handle, mount_id = Handle(bytes=128), ctypes.c_int()
    if LIBC.name_to_handle_at(-100, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount_id), 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fspath(path))
    return handle


def opened(mount, handle: Handle):
    """What a handle opens: bytes, names of a directory, or the errno."""
    top = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    fd = LIBC.open_by_handle_at(top, ctypes.byref(handle), os.O_RDONLY)
    number = ctypes.get_errno()
    os.close(top)
    if fd < 0:
        return errno.errorcode[number]
    try:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            return sorted(os.listdir(fd))
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def test_a_handle_opens_its_version_while_the_kernel_knows_it(cache, mnt):
    cache.set("bob", b"of bob")
    with open(mnt / "raw/bob", "rb"):
        assert opened(mnt, handle_of(mnt / "raw/bob")) == b"of bob"


@pytest.mark.parametrize("name", ["raw/bob", "bob", "frame/bob", "meta/bob.json", "raw", "meta", ".ckfs", ".ckfs/stats"])
def test_a_handle_of_an_earlier_mount_is_stale(cache, mount, tmp, name):
    cache.set("bob", b"of bob")
    cache.set("alice", b"of alice")
    before = mount(cache)
    handle = handle_of(before / name)
    before.unmount()
    m = mount(cache)
    # These take the numbers that the nodes of the earlier mount had.
    kept = [open(m / view / who, "rb") for view in ("raw", "", "frame") for who in ("alice", "bob")]
    kept += [open(m / "meta/alice.json", "rb"), open(m / ".ckfs/stats", "rb")]
    assert read(m / "raw/alice") == b"of alice"
    assert os.listdir(m / "raw") and os.listdir(m / "meta")
    assert opened(m, handle) == "ESTALE"
    for file in kept:
        file.close()


def test_the_root_has_one_handle_in_all_mounts(cache, mount):
    """The kernel makes it: it is the root of whatever is mounted there."""
    cache.set("bob", b"of bob")
    before = mount(cache)
    handle = handle_of(before)
    before.unmount()
    m = mount(cache)
    assert opened(m, handle) == sorted(os.listdir(m))


@pytest.mark.parametrize("held", [False, True])
def test_a_handle_of_a_version_never_opens_another_one(cache, mnt, held):
    kept, handles = [], []
    for i in range(20):
        cache.set("bob", b"version %d" % i)
        assert read(mnt / "raw/bob") == b"version %d" % i
        handles.append(handle_of(mnt / "raw/bob"))
        if held:
            kept.append(open(mnt / "raw/bob", "rb"))
    for i, handle in enumerate(handles):
        assert opened(mnt, handle) in (b"version %d" % i, "ESTALE")
    for i, file in enumerate(kept):
        assert file.read() == b"version %d" % i
        file.close()


def inodes(mount) -> int:
    return int(re.search(rb"^ckfs_inodes (\d+)$", read(mount / ".ckfs/stats"), re.M)[1])


def forget_all(mount) -> None:
    """Has the kernel forget the nodes of one mount that nobody uses, as it does when memory is short."""
    remount, read_only = 32, 1
    assert LIBC.mount(None, os.fsencode(mount), None, remount | read_only, None) == 0, os.strerror(ctypes.get_errno())


def test_a_handle_of_what_the_kernel_forgot_is_stale(cache, mnt):
    """It asks no more for it, and the number is never another node's."""
    names = {view: [f"{view}/{key}" for key in ("bob", "carol")] for view in ("raw", "frame")}
    for key in ("alice", "bob", "carol"):
        cache.set(key, f"of {key}".encode())
    handles = {name: handle_of(mnt / name) for name in [*names, *sum(names.values(), [])]}
    forget_all(mnt)
    assert until(lambda: inodes(mnt) == 0)
    kept = [open(mnt / view / "alice", "rb") for view in names for _ in range(3)]
    assert {name: opened(mnt, handle) for name, handle in handles.items() if name not in names} == dict.fromkeys(sum(names.values(), []), "ESTALE")
    for view in names:
        assert opened(mnt, handles[view]) in (sorted(os.listdir(mnt / view)), "ESTALE")
    for file in kept:
        assert file.read().endswith(b"of alice")
        file.close()


def test_a_handle_that_was_made_again_opens_the_same(cache, mnt):
    cache.set("bob", b"of bob")
    before = handle_of(mnt / "raw/bob")
    forget_all(mnt)
    with open(mnt / "raw/bob", "rb"):
        again = handle_of(mnt / "raw/bob")
        assert opened(mnt, again) == b"of bob"
        assert opened(mnt, before) in (b"of bob", "ESTALE")


def test_a_number_is_of_no_other_version_in_a_later_mount(cache, mount):
    """Backups and rsync know a file by st_dev, which a later mount may have again, and st_ino."""
    cache.set("bob", b"of bob")
    cache.set("alice", b"of alice")
    fixed = ["", "raw", "frame", "meta", ".ckfs", ".ckfs/stats"]
    names = [*fixed, "bob", "raw/bob", "frame/bob", "meta/bob.json", "raw/alice", "frame/alice"]
    before = mount(cache)
    numbers = {os.stat(before / name).st_ino: name for name in names}
    before.unmount()
    m = mount(cache)
    # In another order: numbers are not given in turn.
    later = {os.stat(m / name).st_ino: name for name in reversed(names)}
    assert len(numbers) == len(later) == len(names)
    assert all(numbers[number] == later[number] for number in numbers.keys() & later.keys())
    assert {numbers[number] for number in numbers.keys() & later.keys()} >= set(fixed)
    cache.set("bob", b"another bob")
    assert os.stat(m / "raw/bob").st_ino not in numbers
