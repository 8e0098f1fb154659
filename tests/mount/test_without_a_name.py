"""§5, §8: opens of what is open already, by no name of the mount: /dev/stdin, /dev/fd/N, a file that is a mountpoint itself."""

from __future__ import annotations

import os
import subprocess

import pytest

from helpers import failure, read
from mounts import mounted_fs
from writing import frame, outcome

pytestmark = [pytest.mark.own_mount, pytest.mark.not_on_http("listings")]


def listed(directory) -> None:
    """The kernel has the inodes that it shows."""
    subprocess.run(["ls", "-l", directory], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("change", ["overwritten", "removed"])
@pytest.mark.parametrize("view", ["", "raw", "frame"])
def test_an_open_file_can_be_opened_again_and_is_the_same_version(cache, mount, view, change):
    m = mount(cache, "listed_ttl=60")
    cache.set(cache.key, b"old")
    path = m / view / cache.key
    read(path)
    listed(m / view)
    with open(path, "rb") as file:
        cache.set(cache.key, b"newer") if change == "overwritten" else cache.delete(cache.key)
        for _ in range(3):
            assert read(f"/dev/fd/{file.fileno()}") == b"old"
            assert subprocess.run(["cat", "/dev/stdin"], stdin=file, capture_output=True, check=True).stdout == b"old"
            assert (read(path) if change == "overwritten" else failure(path)) == (b"newer" if change == "overwritten" else "ENOENT")
    assert m.log_lines("Stale") == []


def test_to_be_written_a_file_is_opened_by_its_name(cache, mount):
    m = mount(cache, "write")
    cache.set(cache.key, frame("old"))
    path = m / "frame" / cache.key
    with open(path, "rb") as file:
        for flags in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            assert outcome(os.open, f"/proc/self/fd/{file.fileno()}", flags) == "EPERM"
        assert len(m.log_lines("opened by its name")) == 1
        path.write_bytes(frame("new"))
        assert file.read() == frame("old")
    assert cache.value(cache.key) == read(path) == frame("new")


def test_a_file_that_is_mounted_by_itself_is_not_written(cache, mount, tmp):
    m = mount(cache, "write")
    cache.set(cache.key, frame("old"))
    (tmp / "alone").touch()
    with mounted_fs("--bind", m / "frame" / cache.key, tmp / "alone"):
        assert read(tmp / "alone") == frame("old")
        assert outcome((tmp / "alone").write_bytes, frame("new")) == "EPERM"
    assert cache.value(cache.key) == frame("old")
