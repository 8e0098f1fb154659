"""§6: what ckfs itself lacks is told as that, in the log by its name, and never as a property of an entry; once it is there, all works."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import pwd
import resource
import shlex
import subprocess
import tempfile
import time

import msgpack
import pandas as pd
import pytest

from commands import ENVIRONMENT, command, complaint  # noqa: F401 - a fixture
from documents import MASTER, columnar, opened, seal, store
from entries import spooled
from failing_calls import failing, library  # noqa: F401 - fixtures
from helpers import failure, legacy, listing, lookup_failure, memory, meta, read, v3, xattrs
from mounts import Mount, mounted_fs
from redis_server import db, server  # noqa: F401 - fixtures
from test_decoded_cache import MIB, fill
from waiting import PATIENCE, until

DECODED = "msgpack/k.msgpack"


@pytest.fixture
def spool(tmp):
    path = tmp / "spool"
    path.mkdir()
    return path


@pytest.fixture
def started_by(ckfs, tmp):
    """started_by(shell)(source, *options) -> Mount: `shell` is what a script does before it becomes ckfs."""
    with contextlib.ExitStack() as stack:

        def by(script: str):
            program = tmp / "by.sh"
            program.write_text(f'#!/bin/sh\n{script.replace("CKFS", shlex.quote(ckfs))} "$@"\n')
            program.chmod(0o755)

            def make(cache, *options: str, env: dict[str, str] | None = None) -> Mount:
                m = Mount(str(program), cache.source, tmp / "mnt", options, env or {})
                stack.callback(m.unmount)
                return m

            return make

        yield by


# Root may do all: without these capabilities it is stopped by what stops others.
AS_OTHERS = "exec setpriv --bounding-set -dac_override,-dac_read_search,-ipc_lock,-sys_resource"


# What becomes of a spool directory


@contextlib.contextmanager
def removed(spool):
    spool.rmdir()
    yield
    spool.mkdir()


@contextlib.contextmanager
def closed(spool):
    spool.chmod(0)
    yield
    spool.chmod(0o700)


@contextlib.contextmanager
def a_file(spool):
    with removed(spool):
        spool.write_bytes(b"")
        yield
        spool.unlink()


@contextlib.contextmanager
def read_only(spool):
    with mounted_fs("-t", "tmpfs", "-o", "ro", "tmpfs", spool):
        yield


@contextlib.contextmanager
def full(spool):
    with mounted_fs("-t", "tmpfs", "-o", "size=1M", "tmpfs", spool):
        yield


@contextlib.contextmanager
def out_of_inodes(spool):
    with mounted_fs("-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", spool):
        yield


TROUBLES = {
    removed: ("EIO", "No such file or directory"),
    closed: ("EIO", "Permission denied"),
    a_file: ("EIO", "Not a directory"),
    read_only: ("EIO", "Read-only file system"),
    full: ("ENOSPC", "No space left on device"),
    out_of_inodes: ("ENOSPC", "No space left on device"),
}


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda f: f.__name__)
def test_a_spool_that_stops_working_is_told_by_its_name_and_works_again(cache, started_by, spool, trouble):
    number, reason = TROUBLES[trouble]
    fill(cache, "k", mib=4)
    fill(cache, "l", mib=4)
    m = started_by(f"{AS_OTHERS} CKFS")(cache, "cache_size=1M", f"spool_dir={spool}")
    with trouble(spool):
        failures = {failure(m / path) for path in (DECODED, "msgpack/l.msgpack", "json/k.json", DECODED)}
        assert (failures, failure(m / "k")) == ({number}, number if cache.FETCHES else None)
        assert m.log().splitlines() == [f"ckfs: spool_dir {spool}: {reason}; values that do not fit into cache_size cannot be shown"]
    assert (read(m / DECODED), failure(m / "json/k.json")) == (opened(cache.payload("k")), None)


@pytest.mark.parametrize("trouble", [removed, full], ids=lambda f: f.__name__)
def test_a_spool_that_does_not_work_is_no_property_of_an_entry(cache, mount, spool, trouble):
    fill(cache, "k", mib=4)
    m = mount(cache, "cache_size=1M", f"spool_dir={spool}")
    read(m / "meta/k.json")
    with trouble(spool):
        assert failure(m / DECODED) is not None
        if not cache.FETCHES:  # else nothing is known but that it is not here
            told = meta(m, "k")
            assert (told["views"]["msgpack"], told["views"]["json"], told["checksum"]) == (True, True, "unchecked")
            assert "error" not in xattrs(m / "frame/k")
        assert (listing(m / "msgpack"), listing(m / "json")) == ({"k.msgpack"}, {"k.json"})


@pytest.mark.file_only
def test_what_is_known_without_the_spool_is_in_meta_all_the_same(cache, mount, spool):
    """The columns of a table have to be decoded."""
    store(cache, "k", pd.DataFrame({"x": range(500_000)}), columnar())
    m = mount(cache, "cache_size=4K", f"spool_dir={spool}")
    with removed(spool):
        told = meta(m, "k")
        assert (told["checksum"], told["views"]["msgpack"], told["columns"]) == ("unchecked", True, None)
    assert meta(m, "k")["columns"]


# A filesystem that makes no files without a name


@pytest.fixture
def nameless(tmp, spool):
    """A spool directory where all files have names."""
    path = tmp / "bound"
    path.mkdir()
    subprocess.run(["bindfs", spool, path], check=True)
    with pytest.raises(OSError):
        os.open(path, os.O_TMPFILE | os.O_RDWR)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_spool_file_that_needs_a_name_loses_it_at_once(cache, mount, nameless):
    fill(cache, "k", mib=4)
    m = mount(cache, "cache_size=1M", f"spool_dir={nameless}")
    with open(m / DECODED, "rb", buffering=0) as file:
        assert (len(spooled(m, nameless)) > 0, [name for name in os.listdir(nameless) if not name.startswith(".fuse_hidden")]) == (True, [])
        assert file.read() == opened(cache.payload("k"))
    assert json.loads(read(m / "json/k.json")) and m.log() == ""


# Every error


OF_A_FILE = [
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG, errno.EINVAL, errno.ENXIO, errno.EUCLEAN, errno.EBADMSG, errno.ENODATA,
    errno.ENOKEY, errno.EOPNOTSUPP, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EIO, errno.ENODEV,
    errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE,
]  # fmt: skip


def told_of_a_file(number: int) -> str:
    alike = {errno.ENOSPC: "ENOSPC", errno.EDQUOT: "ENOSPC", errno.ENOMEM: "ENOMEM", errno.EMFILE: "EMFILE", errno.ENFILE: "EMFILE"}
    return alike.get(number, "EIO")


@pytest.mark.parametrize("path", [DECODED, "json/k.json"])
def test_no_error_of_the_spool_is_one_of_the_entry(cache, mount, spool, failing, path):
    """The document has a size that is known; the JSON grows."""
    fill(cache, "k", mib=2)
    m = mount(cache, "cache_size=64K", f"spool_dir={spool}", env=failing.env)
    for number in OF_A_FILE:
        with failing.all("posix_fallocate64", number):
            assert (os.strerror(number), failure(m / path)) == (os.strerror(number), told_of_a_file(number))
        assert m.log_lines("json/k") == [] == m.log_lines("msgpack/k")
    assert failure(m / path) is None


@pytest.mark.file_only
@pytest.mark.parametrize("path", [DECODED, "json/k.json"])
@pytest.mark.parametrize("call", ["pread rest", "pread first"])
def test_no_error_of_the_disk_is_one_of_the_entry(cache, mount, failing, path, call):
    fill(cache, "k", mib=1)
    m = mount(cache, env=failing.env)
    for number in (errno.EUCLEAN, errno.EBADMSG, errno.EFBIG, errno.ENODATA, errno.ENOENT, errno.ENOKEY, errno.EOPNOTSUPP, errno.EIO):
        with failing.all(call, number):
            assert (os.strerror(number), failure(m / path)) == (os.strerror(number), "EIO")
    assert failure(m / path) is None


# Limits


def within(m, kind: int, limit: int):
    """A limit that the daemon has for a while."""

    @contextlib.contextmanager
    def limited():
        before = resource.prlimit(m.pid, kind)
        resource.prlimit(m.pid, kind, (limit, before[1]))
        yield
        resource.prlimit(m.pid, kind, before)

    return limited()


def test_a_limit_on_the_size_of_files_is_named(cache, started_by, spool):
    fill(cache, "k", mib=2)
    m = started_by("trap '' XFSZ; exec CKFS")(cache, "cache_size=1M", f"spool_dir={spool}")
    with within(m, resource.RLIMIT_FSIZE, 51200):
        assert {failure(m / DECODED), failure(m / "json/k.json")} == {"EIO"}
        assert m.log_lines("") == m.log_lines(f"spool_dir {spool}: File too large: the limit is 51200 bytes (ulimit -f)")
        assert len(m.log_lines("")) == 1
    assert (failure(m / DECODED), failure(m / "json/k.json")) == (None, None)


def test_a_limit_on_the_size_of_files_is_none_on_memory(cache, started_by):
    store(cache, "k", list(range(1 << 20, 1 << 21)))
    m = started_by("trap '' XFSZ; exec CKFS")(cache)
    with within(m, resource.RLIMIT_FSIZE, 51200):
        assert json.loads(read(m / "json/k.json"))[-1] == (1 << 21) - 1


def test_a_small_document_grows_where_the_size_of_files_is_limited(cache, started_by):
    store(cache, "k", list(range(1 << 20, (1 << 20) + 700)))
    m = started_by("trap '' XFSZ; exec CKFS")(cache)
    with within(m, resource.RLIMIT_FSIZE, 51200):
        assert json.loads(read(m / "json/k.json"))[-1] == (1 << 20) + 699


@pytest.mark.parametrize("size", ["0", "1"])
def test_what_has_no_bytes_is_made_where_nothing_fits(cache, mount, size):
    """Nothing of it lies on the disk that it goes to."""
    cache.set("empty", legacy(b""))
    cache.set("frame", v3(msgpack.packb({"a": 1}), {"format": "msgpack", "compressed": False, "original_type": "dataframe", "encoding": "utf-8"}))
    m = mount(cache, f"cache_size={size}")
    for _ in range(3):
        assert read(m / "empty") == b""
        assert meta(m, "frame")["document"]
        time.sleep(1.2)  # until it is not kept any more
    assert m.process.poll() is None


@pytest.mark.memory  # a sanitizer ends the process when it gets none for itself, as for the next thread
def test_no_memory_is_told_once_and_of_no_entry(cache, mount):
    fill(cache, "k", mib=32)
    m = mount(cache, "cache_size=1G")
    read(m / "meta/k.json")
    with within(m, resource.RLIMIT_AS, memory(m, "VmSize") + 20 * MIB):
        assert [failure(m / DECODED) for _ in range(3)] == ["ENOMEM"] * 3
        assert meta(m, "k")["views"]["msgpack"] is True
        assert m.log().splitlines() == ["ckfs: no memory is left"]
    assert failure(m / DECODED) is None


@pytest.mark.memory  # a sanitizer keeps what was freed
def test_what_is_only_kept_gives_way_where_memory_ends(cache, mount):
    """As with `ulimit -v` below cache_size, or a machine that promises no more than it has."""
    keys = [f"k{i}" for i in range(4)]
    for key in keys:
        fill(cache, key, mib=32)
    m = mount(cache, "cache_size=1G")
    for key in keys[:3]:
        read(m / f"msgpack/{key}.msgpack")
    with within(m, resource.RLIMIT_AS, memory(m, "VmSize") + 20 * MIB):
        for key in reversed(keys):
            assert failure(m / f"msgpack/{key}.msgpack") is None
    assert m.log() == ""


def test_no_descriptors_is_told_once_and_of_no_entry(cache, mount, spool):
    fill(cache, "k", mib=4)
    m = mount(cache, "cache_size=1M", f"spool_dir={spool}")
    with within(m, resource.RLIMIT_NOFILE, 4):  # it has more, and gets none
        assert [failure(m / DECODED) for _ in range(3)] == ["EMFILE"] * 3
        assert m.log_lines("spool") == [] == m.log_lines("msgpack")
        assert m.log_lines("ulimit") == ["ckfs: no descriptor is left: the limit is 4 (ulimit -n)"]
    time.sleep(1.1 if cache.FETCHES else 0)  # nobody tries a server again for a moment
    assert failure(m / DECODED) is None


@pytest.mark.parametrize("limit", [0, MIB, MIB * 3 // 2])
def test_a_limit_on_locked_memory_keeps_nobody_from_reading(cache, started_by, limit):
    """Locked memory may not grow past it, which is EAGAIN to the kernel."""
    store(cache, "k", list(range(1 << 20, (1 << 20) + 100_000)), sealing=seal())
    by = started_by(f"{AS_OTHERS} prlimit --memlock={limit} CKFS")
    m = by(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    assert json.loads(read(m / "json/k.json"))[-1] == (1 << 20) + 99_999


@contextlib.contextmanager
def namespace(script: str):
    """A mount namespace where a script was run: what to put before a command."""
    args = ["unshare", "-m", "sh", "-euc", f"{script}; echo; exec cat"]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"\n"
        yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
        holder.stdin.close()


@pytest.fixture
def games(command, cache):
    """A user who has no other processes, and to whom the test's files belong: what to put before a command. One test at a time has it."""
    user = pwd.getpwnam("games")
    with open(pathlib.Path(tempfile.gettempdir()) / "ckfs-test-games.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command.tmp.chmod(0o755)
        cache.give(user.pw_uid)
        os.chown(command.point, user.pw_uid, user.pw_gid)
        device = command.tmp / "fuse"
        with namespace(f"mknod -m 666 {device} c 10 229; mount --bind {device} /dev/fuse") as inside:
            yield [*inside, "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def start_with_threads(command, games, count: int, log) -> subprocess.Popen:
    args = [*games, "prlimit", f"--nproc={count}", command.ckfs, "-f", "-o", "cache_size=1M,max_threads=4", command.source, command.point]
    return subprocess.Popen(list(map(str, args)), stderr=log, env=ENVIRONMENT)


# A sanitizer starts a thread of its own at the end: plain builds only.
@pytest.mark.memory
@pytest.mark.file_only
def test_who_gets_no_threads_is_served_by_those_there_are(command, cache, games):
    """The main thread, one for signals and one for requests, and the process that unmounts; libfuse wants more with each request, and says so."""
    fill(cache, *"abcdef", mib=2)
    cache.give(pwd.getpwnam("games").pw_uid)
    with open(command.tmp / "log", "wb") as log:
        process = start_with_threads(command, games, 4, log)
    try:
        # Who looks is another process of that user: not before it has what it gets.
        assert until(lambda: len(os.listdir(f"/proc/{process.pid}/task")) == 3)
        assert until(lambda: command(command.point / "key", program=[*games, "cat"]).stdout == "value")
        texts = [command(command.point / f"json/{key}.json", program=[*games, "cat"]).stdout for key in "abcdef"]
        assert [len(json.loads(text)) for text in texts] == [2048] * 6
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert (command.tmp / "log").read_text().splitlines() == ["ckfs: fuse: error creating thread: Resource temporarily unavailable"]


@pytest.mark.memory
@pytest.mark.file_only
@pytest.mark.parametrize("count", [1, 2, 3])
def test_too_few_threads_to_mount_are_said(command, games, count):
    with open(command.tmp / "log", "wb") as log:
        process = start_with_threads(command, games, count, log)
    assert process.wait(PATIENCE) == 1
    lines = (command.tmp / "log").read_text().splitlines()
    # What unmounts is a process, too: where there can be none, the mount that is left is told.
    left = [f"ckfs: {command.point}: could not be unmounted; run fusermount3 -u -z {command.point}"] if count == 2 else []
    assert ("thread" in lines[-1], "Resource temporarily unavailable" in lines[-1], lines[:-1]) == (True, True, left)


@pytest.mark.file_only
def test_a_spool_directory_that_was_asked_for_and_cannot_be_used_is_refused(command, spool):
    program = ["setpriv", "--bounding-set", "-dac_override", command.ckfs]
    with closed(spool):
        result = command("-o", f"spool_dir={spool}", command.source, command.point, program=program)
        assert complaint(result, "spool_dir", str(spool), "Permission denied") == (1, "", 1, [])


@pytest.mark.file_only
def test_a_spool_directory_that_is_full_is_said_and_mounted(command, spool):
    with full(spool):
        subprocess.run(["dd", "if=/dev/zero", f"of={spool}/fill", "bs=64K"], capture_output=True)
        result = command("-o", f"spool_dir={spool}", command.source, command.point)
        assert complaint(result, str(spool), "No space left") == (0, "", 1, [])
    assert read(command.point / "key") == b"value"


def read_in(command, inside: list[str], path: str) -> str:
    result = command(command.point / path, program=[*inside, "cat"])
    return result.stderr.rpartition(": ")[2].strip() or result.stdout


@pytest.mark.file_only
def test_without_the_default_directory_it_is_mounted_and_says_so(command, cache):
    """A container that is read-only has none, and may never need one."""
    store(cache, "k", {"text": "x" * MIB})
    with namespace("mount -t tmpfs -o ro tmpfs /var") as inside:
        result = command("-o", "cache_size=64K", command.source, command.point, program=[*inside, command.ckfs])
        assert complaint(result, "spool_dir /var/tmp: No such file or directory", "-o spool_dir=DIR") == (0, "", 1, [])
        assert (read_in(command, inside, "key"), read_in(command, inside, "json/k.json")) == ("value", "Input/output error")
        command("-l", command.point, program=[*inside, "umount"])


# Connections

OF_A_CONNECTION = {
    errno.EACCES: "EHOSTUNREACH", errno.EPERM: "EHOSTUNREACH", errno.EINVAL: "EHOSTUNREACH", errno.ENOBUFS: "ENOMEM", errno.ENOMEM: "ENOMEM",
    errno.EADDRNOTAVAIL: "EADDRNOTAVAIL", errno.ENETUNREACH: "ENETUNREACH", errno.ENFILE: "EMFILE",
}  # fmt: skip


@pytest.mark.parametrize("number", OF_A_CONNECTION, ids=errno.errorcode.get)
def test_what_the_machine_refuses_is_none_of_the_servers_answers(server, db, mount, failing, number):  # noqa: F811
    db.set("k", b"v")
    m = mount(server.tcp, env=failing.env)
    with failing.all("connect", number):
        db.client_kill_filter(_type="normal", skipme=True)
        db.client_kill_filter(_type="pubsub", skipme=True)
        assert lookup_failure(m / "k") == OF_A_CONNECTION[number]
    time.sleep(1.1)  # nobody tries again for a moment
    assert read(m / "k") == b"v"
