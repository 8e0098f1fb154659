"""§5: a file handle (name_to_handle_at), as NFS and caches of handles keep, is of one version in one mount, and never of anything else."""

import ctypes
import errno
import os

import pytest

from helpers import read

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
