"""§2: whoever copies a mount gets a copy that is theirs: it can be copied over, changed and removed."""

import ctypes
import errno
import os
import pathlib
import subprocess

import pytest


COPY = {
    "cp -r": ["cp", "-r", "{from}/.", "{to}"],
    "cp -a": ["cp", "-a", "{from}/.", "{to}"],
    "rsync -a": ["rsync", "-a", "{from}/", "{to}/"],
    "tar": ["sh", "-c", 'mkdir -p "$1" && tar -C "$0" -cf - . | tar -C "$1" -xf -', "{from}", "{to}"],
}


@pytest.mark.parametrize("how", COPY)
@pytest.mark.parametrize("view", ["raw", "frame", "meta"])
def test_a_copy_can_be_copied_over_changed_and_removed(cache, mount, tmp, how, view):
    """By somebody who is not root: root may do anything."""
    for i in range(3):
        cache.set(f"key{i}", b"value")
    tmp.chmod(0o755)
    m = mount(cache, "allow_other,uid=65534,gid=65534")
    home = tmp / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    copy = [word.format(**{"from": m / view, "to": home / "copy"}) for word in COPY[how]]

    def as_nobody(*args) -> None:
        run = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *map(str, args)], capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")

    as_nobody(*copy)
    as_nobody(*copy)
    name = sorted(os.listdir(home / "copy"))[0]
    as_nobody("sh", "-c", 'echo more >>"$0"', home / "copy" / name)
    as_nobody("touch", home / "copy" / "new")
    as_nobody("rm", "-r", home / "copy")
    assert os.listdir(home) == []


@pytest.mark.parametrize("name", ["", "raw", "key", "raw/key", "meta/key.json", ".ckfs", ".ckfs/stats"])
def test_the_mount_itself_says_that_it_is_read_only(cache, mnt, name):
    cache.set("key", b"value")
    path = pathlib.Path(mnt / name)
    libc = ctypes.CDLL(None, use_errno=True)
    assert (libc.access(os.fsencode(path), os.W_OK), ctypes.get_errno()) == (-1, errno.EROFS)
    run = subprocess.run(["touch", path], capture_output=True, text=True)
    assert run.stderr.endswith("Read-only file system\n")
