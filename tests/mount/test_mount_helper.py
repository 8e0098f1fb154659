"""§7: called as mount(8) does it for `ckfs` and `fuse.ckfs`; and -o setuid=."""

import os
import pathlib
import pwd
import re
import stat

import pytest

from commands import command, complaint, mounted, nobody  # noqa: F401 - fixtures
from helpers import read

pytestmark = pytest.mark.file_only

NAMES = ["mount.ckfs", "mount.fuse.ckfs"]


@pytest.fixture(params=NAMES)
def helper(command, request):
    """Calls ckfs by the name of a type."""
    link = command.tmp / request.param
    link.symlink_to(command.ckfs)
    return lambda *args: command(*args, program=[str(link)])


@pytest.mark.parametrize(
    "flags",
    [
        ["-o", "rw,umask=022"],
        ["-n", "-o", "rw,umask=022"],
        ["-s", "-v", "-n", "-o", "rw,umask=022", "-t", "fuse.ckfs"],
        ["-svn", "-t", "ckfs", "-o", "rw,umask=022"],
        ["-o", "rw", "-o", "umask=022"],
    ],
    ids=" ".join,
)
def test_what_mount_says_mounts(command, helper, flags):
    result = helper(command.source, command.point, *flags)
    assert (result.returncode, result.stdout, result.stderr, read(command.point / "key")) == (0, "", "", b"value")
    assert stat.S_IMODE(os.stat(command.point / "key").st_mode) == 0o644


@pytest.mark.parametrize("flags", [["-f"], ["-fv", "-o", "rw"], ["-o", "rw,umask=022", "-n", "-f"]], ids=" ".join)
def test_a_trial_mounts_nothing(command, helper, flags):
    result = helper(command.source, command.point, *flags)
    assert (result.returncode, result.stdout, result.stderr, mounted(command.point)) == (0, "", "", None)
    assert not command.daemons()


@pytest.mark.parametrize("flags, word", [(["-o", "umask=9"], "umask"), (["-f", "-o", "umask=9"], "umask"), (["-N", "/proc/1/ns/mnt"], "-N"), (["-x"], "-x"), (["-fx"], "-fx")])
def test_what_is_wrong_is_said_in_one_line(command, helper, flags, word):
    assert complaint(helper(command.source, command.point, *flags), word) == (1, "", 1, [])
    assert mounted(command.point) is None


def test_mount_finds_it_by_both_types(command):
    """In a namespace where /usr/sbin, in which mount(8) looks, has the two names as well."""
    script = """
        for name in mount.ckfs mount.fuse.ckfs; do ln -s "$3" "$4/$name"; done
        mount -t overlay -o lowerdir="$4":/usr/sbin overlay /usr/sbin
        for type in ckfs fuse.ckfs; do
            mount -t $type "$1" "$2" -o noatime,umask=022
            cat "$2/key"; grep -c " $2 fuse.ckfs ro" /proc/mounts; umount "$2"
            mount -f -t $type "$1" "$2"; ! grep " $2 " /proc/mounts
        done"""
    layer = command.tmp / "sbin"
    layer.mkdir()
    result = command("-m", "sh", "-euc", script, "sh", command.source, command.point, command.ckfs, layer, program=["unshare"])
    assert (result.returncode, result.stdout, result.stderr) == (0, "value1\n" * 2, "")


# Another user


@pytest.fixture
def of_nobody(command, cache, nobody):
    """The test's files belong to nobody. Runs ckfs as root, where /dev/fuse is open to all; /etc/fuse.conf, too."""
    return lambda *args: command(command.ckfs, *args, program=nobody[:2])


def ids_of(pid: int, field: str) -> list[str]:
    return re.search(rf"^{field}:\s+(.*)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1].split()


def serving(command) -> int:
    return next(pid for pid in command.daemons() if pathlib.Path(f"/proc/{pid}/comm").read_text() == "ckfs\n")


def test_setuid_serves_as_that_user_with_that_ones_groups(command, of_nobody):
    result = of_nobody("-o", "setuid=nobody", command.source, command.point)
    assert (result.returncode, result.stderr) == (0, "")
    pid, nogroup = serving(command), str(pwd.getpwnam("nobody").pw_gid)
    assert (ids_of(pid, "Uid"), ids_of(pid, "Gid"), ids_of(pid, "Groups")) == (["65534"] * 4, [nogroup] * 4, [nogroup])
    assert (ids_of(pid, "CapPrm"), ids_of(pid, "NoNewPrivs")) == (["0000000000000000"], ["1"])


def test_setuid_gives_the_files_to_that_user(command, of_nobody, nobody):
    assert of_nobody("-o", "setuid=nobody", command.source, command.point).returncode == 0
    assert command("cat", command.point / "key", program=nobody).stdout == "value"
    assert command("stat", "-c", "%U %a", command.point / "key", program=nobody).stdout == "nobody 600\n"


def test_setuid_leaves_no_core_dump(command, of_nobody):
    assert of_nobody("-o", "setuid=nobody", command.source, command.point).returncode == 0
    assert os.stat(f"/proc/{serving(command)}/status").st_uid == 0, "what the kernel lets dump belongs to its user there"


def test_an_owner_who_is_given_wins_wherever_setuid_stands(command, of_nobody, nobody):
    assert of_nobody("-o", "setuid=nobody,gid=0,uid=0,umask=0", command.source, command.point).returncode == 0
    assert command("stat", "-c", "%u:%g", command.point / "key", program=nobody).stdout == "0:0\n"


@pytest.mark.parametrize("user, why", [("no-such-user", "no such user"), ("", "USER")])
def test_a_user_who_is_not_there_is_an_error(command, user, why):
    assert complaint(command("-o", f"setuid={user}", command.source, command.point), "setuid=", why) == (1, "", 1, [])


def test_who_is_not_root_cannot_become_another(command, nobody):
    result = command(command.ckfs, "-o", "setuid=root", command.source, command.point, program=nobody)
    assert complaint(result, "setuid=root", "not permitted") == (1, "", 1, [])
