"""§1, §6, §7: the command: its operands, options, environment, errors, start and end."""

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
from urllib.parse import quote

import numpy as np
import pytest

from commands import ENVIRONMENT, REFUSED, command, complaint, mounted, mounts  # noqa: F401 - a fixture
from helpers import escaped, read
from waiting import PATIENCE, until

# Help and version


@pytest.mark.file_only
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_goes_to_standard_output_and_names_the_operands(command, flag):
    result = command(flag)
    assert (result.returncode, result.stderr, "[SOURCE] MOUNTPOINT" in result.stdout) == (0, "", True)


@pytest.mark.file_only
@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version_goes_to_standard_output(command, flag):
    result = command(flag)
    assert (result.returncode, result.stderr, bool(re.match(r"ckfs \d+\.\d+", result.stdout))) == (0, "", True)


# Start


def test_the_command_returns_0_when_the_mount_serves(command):
    assert (command(command.source, command.point).returncode, read(command.point / "key")) == (0, b"value")


def test_a_start_that_succeeds_prints_nothing(command):
    result = command(command.source, command.point)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.file_only
def test_relative_paths_are_those_of_the_callers_directory(command):
    assert (command("cache", "mnt").returncode, read(command.point / "key")) == (0, b"value")


def test_options_may_follow_the_operands(command):
    command(command.source, command.point, "-o", "umask=022")
    assert os.stat(command.point / "key").st_mode & 0o777 == 0o644


@pytest.mark.file_only
def test_two_dashes_end_the_options(command):
    point = command.tmp / "-mnt"
    point.mkdir()
    assert command("-o", "umask=022", "--", command.source, "-mnt").returncode == 0
    try:
        assert read(point / "key") == b"value"
    finally:
        subprocess.run(["fusermount3", "-u", point], check=True)


def test_several_options_stand_in_one_word(command):
    command("-oumask=022,uid=12,gid=34", command.source, command.point)
    shown = os.stat(command.point / "key")
    assert (shown.st_mode & 0o777, shown.st_uid, shown.st_gid) == (0o644, 12, 34)


def test_foreground_serves_until_it_is_ended(command):
    process = command.start(command.source, command.point)
    assert (read(command.point / "key"), process.poll()) == (b"value", None)


def test_debug_stays_in_the_foreground_and_tells_of_requests(command):
    with open(command.tmp / "log", "wb") as log:
        process = subprocess.Popen([command.ckfs, "-d", command.source, command.point], stderr=log, env=ENVIRONMENT)
    try:
        assert until(lambda: os.path.ismount(command.point))
        read(command.point / "key")
        assert (process.poll(), "LOOKUP" in (command.tmp / "log").read_text()) == (None, True)
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.parametrize("key, told", [("key", "ok"), ("no\tkey\n", "No such file or directory")])
def test_debug_tells_what_is_asked_of_the_source(command, key, told):
    process = command.start("-d", command.source, command.point)
    with contextlib.suppress(FileNotFoundError):
        read(command.point / os.fsdecode(escaped(key)))
    process.terminate()
    lines = process.communicate(timeout=PATIENCE)[1].decode().splitlines()
    shown = key.replace("\t", r"\x09").replace("\n", r"\x0a")
    assert [line for line in lines if re.fullmatch(rf"ckfs: (file|redis): find {re.escape(shown)}: {told}, \d+ us", line)]
    assert not [line for line in lines if re.match("ckfs: (file|redis): .*value", line)], "values are nobody's business"


def test_one_directory_can_be_mounted_twice(command):
    (command.tmp / "two").mkdir()
    command(command.source, command.point)
    command(command.source, command.tmp / "two")
    assert (read(command.point / "key"), read(command.tmp / "two" / "key")) == (b"value", b"value")


def test_a_mountpoint_that_holds_files_is_covered(command):
    (command.point / "below").write_text("x")
    command(command.source, command.point)
    assert not (command.point / "below").exists()


# Sources


@pytest.mark.file_only
def test_a_file_url_is_a_directory(command):
    command(f"file://{command.source}", command.point)
    assert read(command.point / "key") == b"value"


@pytest.mark.file_only
@pytest.mark.parametrize("name", ["a b", "100%", "é", "a#b?c", "a,b", "a\\b", "%41"])
def test_a_file_url_is_percent_decoded(command, name):
    shutil.move(command.source, command.tmp / name)
    command(f"file://{quote(str(command.tmp / name))}", command.point)
    assert read(command.point / "key") == b"value"


@pytest.mark.file_only
@pytest.mark.parametrize("name", ["a b", "100%", "é", "a#b", "a,b", "a\\b", "%41", "a:b"])
def test_a_directory_is_taken_as_it_is(command, name):
    shutil.move(command.source, command.tmp / name)
    command(command.tmp / name, command.point)
    assert read(command.point / "key") == b"value"


@pytest.mark.file_only
def test_the_source_comes_from_the_sdks_variable(command):
    command(command.point, env={"CACHEKIT_FILE_CACHE_DIR": str(command.source)})
    assert read(command.point / "key") == b"value"


@pytest.mark.file_only
def test_the_source_is_else_the_sdks_default_directory(command):
    shutil.move(command.source, command.tmp / "cachekit")
    command(command.point, env={"TMPDIR": str(command.tmp)})
    assert read(command.point / "key") == b"value"


def test_a_source_that_is_given_wins_over_the_environment(command):
    command(command.source, command.point, env={"CACHEKIT_FILE_CACHE_DIR": "/nonexistent", "CACHEKIT_REDIS_URL": "redis://x"})
    assert read(command.point / "key") == b"value"


# A mountpoint that is in use


@pytest.mark.parametrize("spelling", ["mnt", "mnt/", "./mnt", "link"])
def test_a_mountpoint_that_serves_a_ckfs_is_busy(command, spelling):
    (command.tmp / "link").symlink_to("mnt")
    command(command.source, command.point)
    assert complaint(command(command.source, spelling), str(command.point), "already") == REFUSED


def test_a_busy_mountpoint_goes_on_serving(command):
    command(command.source, command.point)
    command(command.source, command.point)
    assert read(command.point / "key") == b"value"


# /proc/mounts and mount(8)


def test_the_type_is_fuse_ckfs(command):
    command(command.source, command.point)
    assert mounted(command.point).split()[2] == "fuse.ckfs"


def test_the_source_is_shown(command):
    command(command.source, command.point)
    assert mounted(command.point).split()[0] == str(command.source)


@pytest.mark.file_only
def test_a_source_with_a_comma_is_shown_whole(command):
    shutil.move(command.source, command.tmp / "a,b")
    command(command.tmp / "a,b", command.point)
    assert mounted(command.point).split()[0] == str(command.tmp / "a,b")


@pytest.mark.parametrize("options", ["ro", "rw", "rw,dev,suid", "rw,nosuid,nodev,noexec,noatime"])
def test_the_mount_is_read_only_whatever_mount_adds(command, options):
    result = command(command.source, command.point, "-o", options)
    assert (result.returncode, mounted(command.point).split()[3].split(",")[0]) == (0, "ro")


@pytest.mark.parametrize("options", ["write,ro", "ro,write"])
def test_ro_wins_over_write(command, options):
    command(command.source, command.point, "-o", options)
    with pytest.raises(OSError) as caught:
        os.unlink(command.point / "key")
    assert (caught.value.errno, mounted(command.point).split()[3].split(",")[0]) == (errno.EROFS, "ro")


def test_default_permissions_are_always_on(command):
    command(command.source, command.point, "-o", "allow_other")
    assert {"default_permissions", "allow_other"} <= set(mounted(command.point).split()[3].split(","))


@pytest.mark.parametrize("options, shown", [("allow_other", ""), ("allow_other,umask=022", "value")])
def test_another_user_reads_what_the_modes_allow(command, options, shown):
    command.tmp.chmod(0o755)
    command(command.source, command.point, "-o", options)
    result = command("--reuid=65534", "--clear-groups", "cat", command.point / "key", program=["setpriv"])
    assert (result.stdout, result.stderr.endswith("Permission denied\n")) == (shown, not shown)


# What mount(8) and fstab(5) have for any filesystem, of util-linux 2.38 and 2.41.
OF_MOUNT = (
    "rw ro defaults dev nodev suid nosuid exec noexec sync async dirsync atime noatime diratime nodiratime relatime norelatime strictatime"
    " nostrictatime lazytime nolazytime iversion noiversion mand nomand silent loud symfollow nosymfollow auto noauto user user=joe nouser"
    " users nousers owner noowner group nogroup _netdev nofail comment=of.mine uhelper=us helper=us x-systemd.automount X-mount.mkdir x-gvfs-show"
).split()


@pytest.mark.parametrize("option", OF_MOUNT)
def test_options_that_any_filesystem_takes_are_taken(command, option):
    result = command("-o", option, command.source, command.point)
    assert (result.returncode, result.stderr, read(command.point / "key")) == (0, "", b"value")
    assert mounted(command.point).split()[3].split(",")[0] == "ro"


@pytest.mark.parametrize("option", ["relatimes", "Rw", "user-", "x", "rwx"])
def test_other_options_are_an_error_that_names_them(command, option):
    result = command("-o", option, command.source, command.point)
    assert (result.returncode, option in result.stderr, mounted(command.point)) == (1, True, None)


def as_from_fstab(command, script: str, *args) -> subprocess.CompletedProcess:
    """mount(8) looks for ckfs in its own path: a private namespace has it in /usr/local/bin."""
    bin = command.tmp / "bin"
    bin.mkdir()
    (bin / "ckfs").symlink_to(command.ckfs)
    script = 'mount --bind "$1" /usr/local/bin; shift; ' + script
    return command("-m", "sh", "-euc", script, "sh", bin, *args, program=["unshare"])


@pytest.mark.file_only
def test_mount_passes_on_what_any_filesystem_takes(command):
    """Those for SELinux are left out by mount(8) where there is none."""
    script = """
        source=$1 point=$2; shift 2
        for option; do
            mount -t fuse.ckfs "$source" "$point" -o "$option" && cat "$point/key" && grep -q " $point fuse.ckfs ro" /proc/mounts && umount "$point" || echo " $option"
        done"""
    contexts = [f"{name}=system_u:object_r:tmp_t:s0" for name in ("context", "fscontext", "defcontext", "rootcontext")]
    options = [*OF_MOUNT, *contexts, "ro,relatime,rshared", "X-mount.mode=0700"]
    result = as_from_fstab(command, script, command.source, command.point, *options)
    assert (result.returncode, result.stdout, result.stderr) == (0, "value" * len(options), "")


def test_mount_all_works_twice(command):
    (command.tmp / "fstab").write_text(f"{command.source} {command.point} fuse.ckfs _netdev,nofail,relatime,x-systemd.automount,umask=022 0 0\n")
    script = """
        mount --bind "$1" /etc/fstab
        mount -a; mount -a
        cat "$2/key"; stat -c %a "$2/key" "$2/raw"; grep -c " $2 fuse.ckfs ro" /proc/mounts; umount "$2"
        mount "$2"; cat "$2/key"; umount "$2" """
    result = as_from_fstab(command, script, command.tmp / "fstab", command.point)
    assert (result.returncode, result.stdout, result.stderr) == (0, "value644\n755\n1\nvalue", "")


@pytest.mark.file_only
@pytest.mark.parametrize("size, shown", [(4096, 4096), (65536, 65536), (1, 4096), (0, None)])
def test_the_size_of_a_read_is_limited_as_mount_fuse_has_it(command, size, shown):
    result = command("-o", f"max_read={size}", command.source, command.point)
    assert (result.returncode, result.stderr, read(command.point / "key")) == (0, "", b"value")
    told = [option for option in mounted(command.point).split()[3].split(",") if option.startswith("max_read=")]
    assert told == ([f"max_read={shown}"] if shown else [])


@pytest.mark.file_only
def test_a_mount_that_others_have_made_is_refused(command):
    script = '! mount -t fuse.ckfs "$1" "$2" -o drop_privileges'
    result = as_from_fstab(command, script, command.source, command.point)
    assert complaint(result, "drop_privileges", "default_permissions", "setuid=") == (0, "", 1, [])


@pytest.mark.parametrize(
    "options",
    [
        "rw,dev,suid",
        "umask=022,_netdev,noauto,nofail",
        "ro,noatime,nosuid,nodev,user",
        "relatime,nodiratime,x-systemd.automount",
        "strictatime,lazytime,exec,users,comment=mine",
        "defaults,owner,group,silent,iversion",
    ],
)
def test_mount_with_the_type_works_as_from_fstab(command, options):
    script = 'mount -t fuse.ckfs "$1" "$2" -o "$3"; cat "$2/key"; grep " $2 " /proc/mounts; umount "$2"'
    result = as_from_fstab(command, script, command.source, command.point, options)
    assert (result.returncode, result.stderr, result.stdout.startswith(f"value{command.source} {command.point} fuse.ckfs ro")) == (
        0,
        "",
        True,
    )


def test_umount_ends_the_daemon(command):
    command(command.source, command.point)
    subprocess.run(["umount", command.point], check=True)
    assert until(lambda: not command.daemons())


# End


def test_fusermount_ends_the_daemon(command):
    command(command.source, command.point)
    subprocess.run(["fusermount3", "-u", command.point], check=True)
    assert (until(lambda: not command.daemons()), mounted(command.point)) == (True, None)


def test_fusermount_ends_the_foreground_with_0(command):
    process = command.start(command.source, command.point)
    subprocess.run(["fusermount3", "-u", command.point], check=True)
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_and_ends_the_foreground_with_0(command, number):
    process = command.start(command.source, command.point)
    process.send_signal(number)
    assert (process.wait(PATIENCE), mounted(command.point)) == (0, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_and_ends_the_daemon(command, number):
    command(command.source, command.point)
    command.signal(number)
    assert (until(lambda: not command.daemons()), mounted(command.point)) == (True, None)


def test_sigterm_ends_it_though_a_file_is_open(command):
    process = command.start(command.source, command.point)
    held = os.open(command.point / "key", os.O_RDONLY)
    process.terminate()
    ended = (process.wait(PATIENCE), mounted(command.point))
    with contextlib.suppress(OSError):
        os.close(held)
    assert ended == (0, None)


def test_a_clean_end_prints_nothing(command):
    process = command.start(command.source, command.point)
    process.terminate()
    assert process.communicate(timeout=PATIENCE)[1] == b""


def test_sighup_does_not_end_it(command):
    process = command.start(command.source, command.point)
    for _ in range(3):
        process.send_signal(signal.SIGHUP)
        read(command.point / "key")
    assert (process.poll(), read(command.point / "key")) == (None, b"value")


def checks(m) -> int:
    read(m / "npy/array.npy")
    return int(re.search(r"^ckfs_checks_total (\d+)$", (m / ".ckfs/stats").read_text(), re.MULTILINE)[1])


def test_sighup_drops_what_was_learnt_of_checksums(cache, mount):
    cache.put("array", np.arange(10), "auto")
    m = mount(cache)
    assert (checks(m), checks(m)) == (1, 1)
    m.process.send_signal(signal.SIGHUP)
    assert until(lambda: checks(m) == 2)


def test_sighup_drops_it_though_the_file_is_open(cache, mount):
    cache.put("array", np.arange(10), "auto")
    m = mount(cache)
    with open(m / "npy/array.npy", "rb") as held:
        assert checks(m) == 1
        m.process.send_signal(signal.SIGHUP)
        assert until(lambda: checks(m) == 2)
        assert np.array_equal(np.load(held), np.arange(10))


def test_a_mountpoint_left_by_a_dead_ckfs_is_cleared(command):
    process = command.start(command.source, command.point)
    process.kill()
    process.wait()
    assert (command(command.source, command.point).returncode, read(command.point / "key")) == (0, b"value")


def test_a_dead_mount_is_cleared_though_a_file_is_open_there(command):
    process = command.start(command.source, command.point)
    held = os.open(command.point / "key", os.O_RDONLY)
    process.kill()
    process.wait()
    result = command(command.source, command.point)
    with contextlib.suppress(OSError):
        os.close(held)
    assert (result.returncode, read(command.point / "key")) == (0, b"value")


@pytest.mark.parametrize("spelling", ["mnt", "mnt/", "./mnt", "link"])
def test_a_dead_mount_is_cleared_by_any_spelling_of_its_path(command, spelling):
    (command.tmp / "link").symlink_to("mnt")
    process = command.start(command.source, command.point)
    process.kill()
    process.wait()
    assert (command(command.source, spelling).returncode, read(command.point / "key")) == (0, b"value")


def test_a_dead_mount_that_was_cleared_leaves_nothing_below(command):
    process = command.start(command.source, command.point)
    process.kill()
    process.wait()
    command(command.source, command.point)
    assert sum(line.split()[1] == str(command.point) for line in mounts()) == 1
