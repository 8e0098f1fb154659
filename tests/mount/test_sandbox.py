"""§7: the daemon keeps itself to what a mount needs (-o sandbox=), as far as the kernel can."""

import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from caches import FileCache
from commands import ENVIRONMENT, REFUSED, command, complaint, mounted, nobody  # noqa: F401 - fixtures
from helpers import read
from mounts import Mount
from redis_server import db, running, server  # noqa: F401 - fixtures
from test_lacks import namespace
from waiting import PATIENCE, until
from writing import frame, write

SUPPORT = pathlib.Path(__file__).resolve().parent.parent / "support"

# Numbers of capabilities.
CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, IPC_LOCK = 0, 1, 2, 3, 14


def kernel_has_landlock() -> bool:
    return ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1


def kernel_has_seccomp() -> bool:
    return os.path.exists("/proc/sys/kernel/seccomp")


landlock = pytest.mark.skipif(not kernel_has_landlock(), reason="this kernel has no Landlock")
seccomp = pytest.mark.skipif(not kernel_has_seccomp(), reason="this kernel has no seccomp")


def status(pid: int | str) -> tuple[int, int, set[int]]:
    """(no_new_privs, mode of seccomp, effective capabilities) of a process."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    privileges, mode = (int(re.search(rf"^{name}:\s+(\d+)$", text, re.M)[1]) for name in ("NoNewPrivs", "Seccomp"))
    bits = int(re.search(r"^CapEff:\s+(\w+)$", text, re.M)[1], 16)
    return privileges, mode, {n for n in range(64) if bits >> n & 1}


def threads(pid: int) -> list[str]:
    return os.listdir(f"/proc/{pid}/task")


def helpers_of(pid: int) -> list[int]:
    return [int(n) for n in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# What is given up


def kept_by_root(cache) -> set[int]:
    """A cache directory is read without a trace in the times of its files."""
    return {DAC_READ_SEARCH, IPC_LOCK} | (set() if cache.FETCHES else {FOWNER})


@seccomp
@pytest.mark.parametrize("options", [(), ("sandbox=on",)], ids=str)
def test_every_thread_of_the_daemon_has_given_up_what_it_does_not_need(cache, mount, options):
    cache.write("k", b"v")
    m = mount(cache, *options)
    assert read(m / "k") == b"v"
    had = status("self")[2]
    assert [status(f"{m.pid}/task/{thread}") for thread in threads(m.pid)] == [(1, 2, kept_by_root(cache) & had)] * len(threads(m.pid))


def test_without_a_sandbox_it_keeps_what_it_was_given(cache, mount):
    m = mount(cache, "sandbox=off")
    assert (status(m.pid), helpers_of(m.pid)) == (status("self"), [])


@seccomp
def test_another_user_has_nothing_to_give_up_but_privileges_to_come(command, nobody):  # noqa: F811
    assert command(command.source, command.point, program=[*nobody, command.ckfs]).returncode == 0
    assert status(command.daemon()) == (1, 2, set())
    assert command(command.point / "key", program=[*nobody, "cat"]).stdout == "value"


def test_root_may_still_write_to_a_spool_of_another_user(cache, mount, tmp):
    spool = tmp / "spool"
    spool.mkdir(0o700)
    os.chown(spool, 65534, 65534)
    assert status(mount(cache, f"spool_dir={spool}").pid)[2] == (kept_by_root(cache) | {DAC_OVERRIDE}) & status("self")[2]


@pytest.mark.file_only
def test_a_value_that_is_neither_on_nor_off_is_refused(command):
    assert complaint(command("-o", "sandbox=maybe", command.source, command.point), "sandbox=maybe", "on|off") == REFUSED


# Somebody else's code in the daemon


def compiled(directory: pathlib.Path, name: str, *flags: str) -> pathlib.Path:
    path = directory / name
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-o", path, SUPPORT / f"{name}.c", *flags], check=True)
    return path


@pytest.fixture(scope="module")
def intruder(tmp_path_factory) -> pathlib.Path:
    return compiled(tmp_path_factory.mktemp("intruder"), "intruder", "-shared", "-fPIC")


class Intruded:
    """Mounts with an intruder."""

    def __init__(self, mount, tmp: pathlib.Path, library: pathlib.Path):
        self.mount, self.link, self.library = mount, tmp / "act", library

    def __call__(self, source, *options: str) -> Mount:
        self.m = self.mount(source, *options, env={"LD_PRELOAD": str(self.library), "ACT": str(self.link)})
        return self.m

    def tries(self, act: str) -> str:
        """What becomes of it."""
        self.link.symlink_to(act)
        try:
            assert until(lambda: os.path.lexists(self.m / "k") in (True, False) and self.m.log_lines(f"act {act}: "))
        finally:
            self.link.unlink()
        return self.m.log_lines(f"act {act}: ")[0].rsplit(" ", 1)[1]


@pytest.fixture
def intruded(mount, tmp, intruder) -> Intruded:
    return Intruded(mount, tmp, intruder)


@landlock
def test_files_are_closed_but_those_that_the_mount_needs(cache, intruded, tmp):
    outside, spool = tmp.with_name(tmp.name + "-outside"), tmp / "spools" / "spool"
    spool.mkdir(parents=True)
    (tmp / "beside").write_text("")
    i = intruded
    i(cache, f"spool_dir={spool}")
    assert {act: i.tries(act) for act in ("open /etc/shadow", "open /etc/passwd", "open /", f"make {outside}", "open /dev/zero")} == {
        "open /etc/shadow": "EACCES",
        "open /etc/passwd": "EACCES",
        "open /": "EACCES",
        f"make {outside}": "EACCES",
        "open /dev/zero": "EACCES",
    }
    assert (i.tries(f"make {tmp}/made"), i.tries(f"remove {tmp}/beside")) == ("EACCES", "EACCES")
    assert (i.tries(f"unnamed {spool}"), i.tries("open /proc/self/mountinfo")) == ("done", "done")


@pytest.mark.file_only
@landlock
def test_the_usual_spool_is_open_and_its_neighbours_are_not(cache, intruded):
    intruded(cache)
    assert (intruded.tries("unnamed /var/tmp"), intruded.tries("unnamed /tmp"), intruded.tries("make /var/ckfs")) == ("done", "EACCES", "EACCES")


@landlock
def test_for_a_server_elsewhere_the_resolvers_files_are_open(server, db, intruded):  # noqa: F811
    db.set("k", b"v")
    intruded(server.tcp)
    acts = ("open /etc/hosts", "make /etc/ckfs", "open /root", "open /usr/bin/env")
    assert [intruded.tries(act) for act in acts] == ["done", "EACCES", "EACCES", "EACCES"]


# A sanitizer's own reports need the last of them.
CALLS = {"internet": "ENOSYS", "packet": "ENOSYS", "chmod /tmp/ckfs-none": "ENOSYS"}
OF_PLAIN_BUILDS = {"signal": "ENOSYS", "dumpable": "ENOSYS", "code": "ENOSYS", "process": "ENOSYS"}


@seccomp
@pytest.mark.parametrize("calls", [CALLS, pytest.param(OF_PLAIN_BUILDS, marks=pytest.mark.memory)], ids=["", "plain builds"])
def test_system_calls_that_a_mount_does_not_need_do_not_exist(cache, intruded, calls):
    intruded(cache)
    assert {act: intruded.tries(act) for act in calls} == calls


@seccomp
def test_a_server_elsewhere_is_reached_by_the_internet_alone(server, db, intruded):  # noqa: F811
    db.set("k", b"v")
    intruded(server.tcp)
    assert (intruded.tries("internet"), intruded.tries("packet")) == ("done", "ENOSYS")
    assert intruded.tries("interface") == "done"  # fe80::1%eth0, also of the resolver's server


@pytest.mark.parametrize("act", ["open /etc/shadow", "make {tmp}/made", "internet", "chmod {tmp}", "process", "signal", "dumpable", "code"])
def test_without_a_sandbox_they_are_all_there(cache, intruded, tmp, act):
    intruded(cache, "sandbox=off")
    assert intruded.tries(act.format(tmp=tmp)) == "done"


def start_intruded(command, intruder, *options: str) -> subprocess.Popen:  # noqa: F811
    environment = [f"LD_PRELOAD={intruder}", f"ACT={command.tmp}/act"]
    return command.start(*options, command.source, command.point, program=["env", *environment, command.ckfs])


@seccomp
@pytest.mark.parametrize("act", ["run {tmp}/program", "unmount {tmp}/mnt", "unshare", pytest.param("trace", marks=pytest.mark.memory)])
def test_a_program_or_a_mount_is_the_end_of_the_daemon(command, intruder, act):  # noqa: F811
    (command.tmp / "program").write_text(f"#!/bin/sh\necho >{command.tmp}/ran\n")
    (command.tmp / "program").chmod(0o755)
    process = start_intruded(command, intruder)
    (command.tmp / "act").symlink_to(act.format(tmp=command.tmp))
    os.path.exists(command.point / "key")
    assert process.wait(PATIENCE) == -signal.SIGSYS
    assert (mounted(command.point) is not None, (command.tmp / "ran").exists()) == (True, False)


@pytest.mark.file_only
def test_without_a_sandbox_a_program_runs(command, intruder):  # noqa: F811
    (command.tmp / "program").write_text(f"#!/bin/sh\necho >{command.tmp}/ran\n")
    (command.tmp / "program").chmod(0o755)
    process = start_intruded(command, intruder, "-o", "sandbox=off")
    (command.tmp / "act").symlink_to(f"run {command.tmp}/program")
    os.path.exists(command.point / "key")
    assert (process.wait(PATIENCE), (command.tmp / "ran").exists()) == (0, True)


# With -o write


@landlock
def test_a_mount_that_writes_may_change_its_cache_and_what_lies_beside_it(cache, intruded, tmp):
    outside, beside = tmp.with_name(tmp.name + "-outside"), tmp / "beside"
    beside.write_text("")
    intruded(cache, "write")
    acts = ("open /etc/shadow", "open /", f"make {outside}", "make /etc/ckfs")
    assert {intruded.tries(act) for act in acts} == {"EACCES"}
    may = "EACCES" if cache.FETCHES else "done"
    assert (intruded.tries(f"remove {beside}"), intruded.tries(f"make {beside}")) == (may, may)


@seccomp
def test_a_mount_that_writes_has_no_other_calls_that_a_reader_lacks(cache, intruded):
    intruded(cache, "write")
    assert {act: intruded.tries(act) for act in CALLS} == CALLS


@pytest.mark.file_only
def test_root_may_give_files_to_the_owner_of_the_cache_and_no_more(cache, mount):
    privileged = status("self")[2]
    assert status(mount(cache, "write").pid)[2] == kept_by_root(cache) & privileged
    os.chown(cache.dir, 65534, 65534)
    assert status(mount(cache, "write").pid)[2] == (kept_by_root(cache) | {CHOWN, DAC_OVERRIDE}) & privileged


@seccomp
def test_a_mount_in_its_sandbox_stores_expires_and_removes(cache, mount):
    """With what the kernel has of it, all of which must be there."""
    m = mount(cache, "write", "sandbox=on")
    write(m / "frame/k", frame())
    assert cache.value("k") == frame()
    os.setxattr(m / "k", "user.ckfs.ttl", b"60")
    os.unlink(m / "k")
    assert not os.path.exists(m / "k")


# The process that unmounts


def unmounter(pid: int) -> int:
    assert until(lambda: [cmdline(n) for n in helpers_of(pid)] == ["ckfs-unmount"])
    return helpers_of(pid)[0]


def cmdline(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().strip(b"\0").decode()


def descriptors(pid: int) -> set[str]:
    at = pathlib.Path(f"/proc/{pid}/fd")
    return {re.sub(r"\d+", "", os.readlink(at / name)) for name in os.listdir(at)}


@pytest.mark.file_only
def test_the_unmounter_holds_nothing_and_outlives_no_daemon(command):  # noqa: F811
    process = command.start(command.source, command.point)
    pid = unmounter(process.pid)
    assert until(lambda: descriptors(pid) == {"/dev/null", "socket:[]"})
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    assert (read(command.point / "key"), unmounter(process.pid)) == (b"value", pid)
    process.kill()
    process.wait()
    assert until(lambda: not os.path.exists(f"/proc/{pid}") or pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z")
    assert mounted(command.point) is not None  # dead, as a dead daemon leaves it


@pytest.mark.file_only
@pytest.mark.parametrize("files_in_use", [False, True])
def test_another_users_mount_is_gone_when_its_daemon_has_ended(command, nobody, files_in_use):  # noqa: F811
    args = [*nobody, command.ckfs, "-f", command.source, command.point]
    process = subprocess.Popen(args, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert until(lambda: command(command.point / "key", program=[*nobody, "cat"]).stdout == "value")
    pid = command.daemon()
    program = [*nobody, "sh", "-c", 'exec <"$1"; echo; exec sleep 60', "sh", command.point / "key"] if files_in_use else ["sleep", "60"]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as user:
        if files_in_use:
            assert user.stdout.readline() == b"\n"
        os.kill(pid, signal.SIGTERM)
        assert (process.communicate(timeout=PATIENCE)[1], process.returncode) == (b"", 0)
        user.kill()
    assert command("-q", command.point, program=[*nobody, "mountpoint"]).returncode != 0


@pytest.mark.file_only
def test_a_mount_that_has_taken_its_place_stays(command):  # noqa: F811
    """The daemon of one that was unmounted leaves the mountpoint alone."""
    first = command.start(command.source, command.point)
    with open(command.point / "key", "rb"):
        subprocess.run(["umount", "-l", command.point], check=True)
        second = command.start(command.source, command.point)
    assert first.wait(PATIENCE) == 0
    assert (read(command.point / "key"), second.poll()) == (b"value", None)


@pytest.mark.file_only
@pytest.mark.parametrize("options", [(), ("-o", "sandbox=off")])
def test_a_mount_that_has_taken_its_place_stays_while_files_of_the_first_are_open(command, options):  # noqa: F811
    first = command.start(*options, command.source, command.point)
    with open(command.point / "key", "rb") as file:
        subprocess.run(["umount", "-l", command.point], check=True)
        second = command.start(command.source, command.point)
        assert file.read() == b"value"
        first.terminate()
        assert first.wait(PATIENCE) == 0
        assert (read(command.point / "key"), second.poll()) == (b"value", None)


@pytest.mark.file_only
def test_a_mount_that_nobody_could_unmount_is_told(command):  # noqa: F811
    process = command.start(command.source, command.point)
    os.kill(unmounter(process.pid), signal.SIGKILL)
    process.terminate()
    assert f"{command.point}: could not be unmounted".encode() in process.communicate(timeout=PATIENCE)[1]
    subprocess.run(["umount", "-l", command.point], check=True)


# What has to go on working


@pytest.mark.file_only
def test_a_cache_below_directories_that_are_made_again_is_found_again(mount, tmp):
    cache = FileCache(tmp / "deep" / "app" / "data" / "cache")
    cache.set("k", b"old")
    m = mount(cache)
    assert read(m / "k") == b"old"
    shutil.rmtree(tmp / "deep" / "app")
    cache = FileCache(tmp / "deep" / "app" / "data" / "cache")
    cache.set("k", b"new")
    assert (read(m / "k"), m.log()) == (b"new", "")


@pytest.mark.file_only
def test_a_password_behind_links_is_read_again(tmp, mount):
    """Two directories, and a link in the middle of the path."""
    with running("--requirepass", "first") as s:
        s.client(password="first").set("k", b"v")
        for path in ("keys/1", "keys/2", "conf"):
            (tmp / "x" / path).mkdir(parents=True)
        for number, password in enumerate(("first", "second"), 1):
            (tmp / f"x/keys/{number}/pw").write_text(password)
            (tmp / f"x/keys/{number}/pw").chmod(0o600)
        (tmp / "x/keys/current").symlink_to("1")
        (tmp / "x/conf/pw").symlink_to("../keys/current/pw")
        m = mount(s.url, f"password_file={tmp}/x/conf/pw")
        assert read(m / "k") == b"v"
        client = s.client(password="first")
        client.config_set("requirepass", "second")
        (tmp / "x/keys/next").symlink_to("2")
        (tmp / "x/keys/next").rename(tmp / "x/keys/current")
        client.client_kill_filter(skipme=True)
        assert read(m / "k") == b"v"


@pytest.mark.file_only
def test_a_server_is_found_by_a_name_whose_file_was_replaced(command, server, db):  # noqa: F811
    db.set("k", b"v")
    etc = command.tmp / "etc"
    etc.mkdir()
    (etc / "nsswitch.conf").write_text("hosts: files\n")
    (etc / "hosts").write_text("127.0.0.1 cache.test\n")
    url = re.sub("//[^:]*:", "//cache.test:", server.tcp)
    with namespace(f"mount --bind {etc} /etc") as inside:
        assert command(url, command.point, program=[*inside, command.ckfs]).returncode == 0
        value = lambda: command(command.point / "k", program=[*inside, "cat"]).stdout  # noqa: E731
        assert value() == "v"
        (etc / "new").write_text("127.0.0.1 other.test cache.test\n")
        (etc / "new").rename(etc / "hosts")
        db.client_kill_filter(_type="normal", skipme=True)
        db.client_kill_filter(_type="pubsub", skipme=True)
        db.set("k", b"w")
        assert value() == "w"
        command.signal(signal.SIGTERM)


# A kernel that lacks something


@pytest.fixture(scope="module")
def lacking(tmp_path_factory) -> pathlib.Path:
    return compiled(tmp_path_factory.mktemp("lacking"), "lacking", "-lseccomp")


LACKS = {"landlock": "Landlock (Function not implemented)", "seccomp": "seccomp ("}


@seccomp
@pytest.mark.file_only
@pytest.mark.parametrize("part", LACKS)
@pytest.mark.parametrize("options, told", [((), 0), (("-d",), 1), (("-o", "sandbox=on"), 1), (("-o", "sandbox=off,debug"), 0)], ids=str)
def test_what_a_kernel_does_not_have_is_left_out(command, lacking, part, options, told):  # noqa: F811
    process = command.start(*options, command.source, command.point, program=[lacking, part, command.ckfs])
    assert read(command.point / "key") == b"value"
    process.terminate()
    lines = [line for line in process.communicate(timeout=PATIENCE)[1].decode().splitlines() if "sandbox: " in line]
    assert (process.returncode, len(lines), [line for line in lines if f"sandbox: without {LACKS[part]}" not in line]) == (0, told, [])


@seccomp
@pytest.mark.file_only
def test_a_sandbox_of_which_there_is_hardly_anything_is_none_that_was_asked_for(command, lacking):  # noqa: F811
    program = [lacking, "landlock", "seccomp", command.ckfs]
    result = command("-o", "sandbox=on", command.source, command.point, program=program)
    assert complaint(result, "sandbox=on", "Landlock", "seccomp", "without the option") == REFUSED
    assert mounted(command.point) is None
    assert command(command.source, command.point, program=program).returncode == 0
    assert read(command.point / "key") == b"value"
