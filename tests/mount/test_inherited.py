"""§7: what ckfs inherits from whoever starts it does no harm: descriptors, signals, limits, directory, environment."""

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time

import pytest

from commands import ENVIRONMENT, REFUSED, command, complaint, mounted, nobody  # noqa: F401 - fixtures
from helpers import read
from waiting import PATIENCE, until

# A document that is larger than the file size that is allowed, and small where it is stored.
ALLOWED = 50 << 10
DOCUMENT = {"text": "ckfs " * 100_000}


def shell(command, script: str) -> list[str]:
    """ckfs, started by a shell: "$@" is the command."""
    return ["bash", "-c", script, "bash", command.ckfs]


def start(command, *options, program: list[str], env: dict | None = None) -> None:
    result = command(*options, command.source, command.point, program=program, env=env)
    assert (result.returncode, result.stderr) == (0, "")


def serves(command) -> bool:
    """Reads what asks the kernel's page cache for nothing."""
    command.daemon()
    return (read(command.point / "key"), "key" in json.loads(read(command.point / "meta/key.json")), b"ckfs_" in read(command.point / ".ckfs/stats")) == (
        b"value",
        True,
        True,
    )


def ends(command, number: int = signal.SIGTERM) -> bool:
    """Whether the signal ends the daemon as it should."""
    os.kill(command.daemon(), number)
    return until(lambda: not command.daemons()) and mounted(command.point) is None


# Descriptors

CLOSED = [c for n in (1, 2, 3) for c in itertools.combinations((0, 1, 2), n)]


def closing(command, closed: tuple[int, ...]) -> list[str]:
    return shell(command, 'exec "$@" ' + " ".join(f"{fd}>&-" for fd in closed))


@pytest.mark.parametrize("closed", CLOSED, ids=str)
def test_a_daemon_serves_whose_standard_streams_were_closed(command, closed):
    start(command, program=closing(command, closed))
    assert serves(command) and ends(command)


@pytest.mark.parametrize("closed", CLOSED, ids=str)
def test_the_foreground_serves_when_standard_streams_are_closed(command, closed):
    process = command.start(command.source, command.point, program=closing(command, closed))
    assert serves(command) and ends(command) and process.wait(PATIENCE) == 0


@pytest.mark.parametrize("closed", [(0,), (0, 1, 2)], ids=str)
def test_another_user_mounts_with_standard_streams_closed(command, nobody, closed):  # noqa: F811
    start(command, program=[*nobody, *closing(command, closed)])
    assert command(command.point / "key", program=[*nobody, "cat"]).stdout == "value"
    assert command("-u", command.point, program=[*nobody, "fusermount3"]).returncode == 0


@pytest.mark.file_only
def test_a_failure_is_told_when_other_streams_are_closed(command):
    result = command(command.source, command.tmp / "none", program=closing(command, (0, 1)))
    assert complaint(result, "none", "No such") == REFUSED


@pytest.mark.parametrize("flags", [(), ("-f",)], ids=["daemon", "foreground"])
def test_it_keeps_no_pipe_of_its_starter_open(command, flags):
    """As `x=$(ckfs cache mnt 3>&1)`, ssh and test runners wait for."""
    ours, theirs = os.pipe()
    try:
        process = subprocess.Popen([command.ckfs, *flags, command.source, command.point], pass_fds=[theirs], env=ENVIRONMENT, cwd=command.tmp)
        os.close(theirs)
        assert until(lambda: os.path.ismount(command.point))
        assert select.select([ours], [], [], 20)[0] == [ours] and os.read(ours, 1) == b""
        assert serves(command) and ends(command) and process.wait(PATIENCE) == 0
    finally:
        os.close(ours)


NAMESPACES = {
    "no device but fuse": 'mount -t tmpfs none /dev; mknod -m 666 /dev/fuse c 10 229',
    "no proc": "umount -l /proc",
    "neither": "mount -t tmpfs none /dev; mknod -m 666 /dev/fuse c 10 229; umount -l /proc",
}


def plain_builds_only(cases, others: set[str]) -> list:
    """The cases, some of which no sanitizer can do: it reads /proc, and reserves terabytes."""
    return [pytest.param(case, marks=pytest.mark.memory) if case in others else case for case in cases]


@pytest.mark.file_only
@pytest.mark.parametrize("case", plain_builds_only(NAMESPACES, {"no proc", "neither"}))
def test_a_bare_chroot_is_enough(command, case):
    """The shell waits for the end of the daemon's standard output. umount of util-linux 2.41 wants /proc, which is not ckfs's."""
    again = "[ -e /proc/mounts ] || mount -t proc none /proc"
    script = f'{NAMESPACES[case]}; said=$("$@"); cat "$3/key"; {again}; fusermount3 -u "$3"; echo "$said"'
    result = command(command.source, command.point, program=["unshare", "-m", "sh", "-euc", script, "sh", command.ckfs])
    assert (result.returncode, result.stdout, result.stderr) == (0, "value\n", "")


# Signals

HANDED_ON = {
    "all blocked": ["env", "--block-signal"],
    "all ignored": ["env", "--ignore-signal"],
    "all blocked and ignored": ["env", "--block-signal", "--ignore-signal"],
    "nohup": ["nohup"],
}


@pytest.mark.parametrize("case", HANDED_ON)
def test_signals_work_however_they_were_handed_on(command, case):
    start(command, program=[*HANDED_ON[case], command.ckfs])
    assert serves(command)
    os.kill(command.daemon(), signal.SIGHUP)
    assert serves(command) and ends(command)


@pytest.mark.parametrize("number", [signal.SIGXFSZ, signal.SIGXCPU, signal.SIGPIPE], ids=lambda n: n.name)
def test_a_limit_that_is_reached_does_not_end_it(command, number):
    start(command, program=[command.ckfs])
    os.kill(command.daemon(), number)
    assert serves(command) and ends(command)


@pytest.mark.file_only
@pytest.mark.parametrize("how, ended", [("--default-signal=INT", True), ("--ignore-signal=INT", False)])
def test_a_background_job_of_a_script_stays_when_the_terminal_is_interrupted(command, how, ended):
    process = command.start(command.source, command.point, program=["env", how, command.ckfs])
    process.send_signal(signal.SIGINT)
    assert until(lambda: process.poll() is not None, PATIENCE if ended else 1) == ended
    assert ended or (serves(command) and ends(command))


def test_the_first_process_of_a_container_ends_by_signals(command):
    process = command.start(command.source, command.point, program=["unshare", "--pid", "--fork", command.ckfs])
    pid = int(subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True))
    assert read(command.point / "key") == b"value"
    os.kill(pid, signal.SIGTERM)
    assert process.wait(PATIENCE) == 0 and mounted(command.point) is None


@pytest.mark.parametrize("how", [["--ignore-signal=CHLD"], ["--block-signal=CHLD"], ["PATH=/nowhere"], ["PATH="], ["-u", "PATH"]], ids="".join)
def test_another_user_clears_a_dead_mount(command, nobody, how):  # noqa: F811
    start(command, program=[*nobody, command.ckfs])
    os.kill(command.daemon(), signal.SIGKILL)
    assert until(lambda: not command.daemons())
    start(command, program=[*nobody, "env", *how, command.ckfs])
    assert command(command.point / "key", program=[*nobody, "cat"]).stdout == "value"


# Limits

LIMITS = {
    "file size": f"--fsize={ALLOWED}:{ALLOWED}",
    "file size, soft": f"--fsize={ALLOWED}:",
    "no file size": "--fsize=0:0",
    "tiny stack": "--stack=65536:",
    "huge stack, little memory": "--stack=3000000000: --as=8000000000:8000000000",
    "few descriptors, soft": "--nofile=12:",
    "no memory, soft": "--data=60000000:",
    "no locked memory": "--memlock=0:0",
    "no core": "--core=0:0",
}


@pytest.mark.parametrize("case", plain_builds_only(LIMITS, {"huge stack, little memory", "no memory, soft"}))
def test_values_are_decoded_within_inherited_limits(command, cache, case):
    cache.put("document", DOCUMENT)
    result = command(command.source, command.point, program=["prlimit", *LIMITS[case].split(), command.ckfs])
    # Without any room in files there is no spool, which is said.
    told = "spool_dir /var/tmp: File too large" if case == "no file size" else ""
    assert (result.returncode, told in result.stderr, result.stderr.count("\n")) == (0, True, 1 if told else 0)
    text = json.loads(read(command.point / "json/document.json"))
    assert (text == DOCUMENT, len(read(command.point / "msgpack/document.msgpack")) > ALLOWED) == (True, True)
    assert serves(command) and ends(command)


@pytest.mark.file_only
def test_more_files_are_open_than_the_soft_limit_allows(command, cache):
    for i in range(60):
        cache.set(f"key{i}", b"%d" % i)
    start(command, program=["prlimit", "--nofile=20:", command.ckfs])
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(command.point / f"key{i}", "rb")) for i in range(60)]
        assert [file.read() for file in files] == [b"%d" % i for i in range(60)]


# Directory, environment, umask

SURROUNDINGS = {
    "a directory that is gone": 'mkdir gone; cd gone; rmdir "$PWD"; exec "$@"',
    "no environment": 'exec env -i "$@"',
    "a strange environment": 'exec env LC_ALL=xx_YY.Z LANG=/ LANGUAGE=:: TZ=/nowhere TMPDIR=/nowhere HOME= PATH= MALLOC_ARENA_MAX=1 "$@"',
    "umask 777": 'umask 777; exec "$@"',
    "umask 0": 'umask 0; exec "$@"',
    "no name": 'exec -a "" "$@"',
    "no terminal": 'exec setsid "$@"',
    "one CPU": 'exec taskset -c 0 "$@"',
    "idle": 'exec nice -n 19 "$@"',
}


@pytest.mark.parametrize("case", SURROUNDINGS)
def test_it_serves_whatever_surrounds_it(command, cache, case):
    cache.put("document", DOCUMENT)
    start(command, "-o", "cache_size=0", program=shell(command, SURROUNDINGS[case]))
    assert json.loads(read(command.point / "json/document.json")) == DOCUMENT
    assert serves(command) and ends(command)


@pytest.mark.file_only
@pytest.mark.parametrize("words", [("cache", "{point}"), ("{source}", "mnt"), ("-o", "keys=keys", "{source}", "{point}")], ids=["source", "mountpoint", "option"])
def test_a_relative_path_from_a_directory_that_is_gone_is_told(command, words):
    words = [word.format(point=command.point, source=command.source) for word in words]
    result = command(*words, program=shell(command, SURROUNDINGS["a directory that is gone"]))
    assert complaint(result, "No such") == REFUSED


@pytest.mark.file_only
def test_the_foreground_keeps_no_directory_busy(command):
    process = command.start(command.source, command.point)
    assert os.readlink(f"/proc/{process.pid}/cwd") == "/"


TIMERS = {"alarm": "ITIMER_REAL", "virtual": "ITIMER_VIRTUAL", "profiler": "ITIMER_PROF"}


@pytest.mark.file_only
@pytest.mark.parametrize("timer", TIMERS)
def test_timers_of_the_starter_end_nothing(command, timer):
    """They outlive exec."""
    script = f"import os, signal, sys; signal.setitimer(signal.{TIMERS[timer]}, 0.3, 0.3); os.execv(sys.argv[1], sys.argv[1:])"
    process = command.start(command.source, command.point, program=[sys.executable, "-c", script, command.ckfs])
    until_then = time.monotonic() + 1
    while time.monotonic() < until_then:
        assert serves(command)
    assert process.poll() is None and ends(command)


@pytest.mark.file_only
def test_a_soft_limit_of_queued_signals_is_raised(command):
    """Threads are ended by signals that are queued."""
    start(command, program=["prlimit", "--sigpending=0:", command.ckfs])
    assert serves(command) and ends(command)
