"""§6: a call that fails is an error to the one caller, at most: no crash, no leak, no hang, no wrong byte, and nothing wrong is remembered."""

from __future__ import annotations

import collections
import contextlib
import errno
import itertools
import os
import random
import signal
import subprocess
import time

import pytest

from commands import command, mounted  # noqa: F401 - a fixture
from caches import FileCache, RedisCache
from documents import MASTER, seal, store
from entries import stats
from failing_calls import CLASSES, PERMITTED, Failing, Tour, failing, library, write_entries  # noqa: F401 - fixtures
from helpers import failure, read
from mounts import Mount, home
from redis_server import running
from waiting import until

KEYED = {"CACHEKIT_MASTER_KEY": MASTER}
OF_A_MOUNT = [calls for calls in CLASSES if calls not in ("thread", "pipe", "fork", "handle")]

# Where not every call fails: so many steps of the tour, so many calls of a class, and so many of a start.
STEPS, SAMPLE, STARTS = 30, 60, 3

# More connections than a mount has.
SOCKETS_MAX = 24


class Toured:
    """A mount over entries of all kinds, and the tour of it."""

    def __init__(self, ckfs: str, cache, library, client):
        self.ckfs, self.cache, self.client = ckfs, cache, client
        self.values = write_entries(cache)
        self.failing = Failing(cache.home / "calls", library)
        (cache.home / "keys").write_text("".join(f"{key}\n" for key in self.values))
        (cache.home / "spool").mkdir()
        self.mounts = 0
        self.begin()

    def begin(self) -> None:
        self.mounts += 1
        options = ("cache_size=1M", "timeout=3", f"spool_dir={self.cache.home}/spool", f"keys={self.cache.home}/keys")
        for key, value in self.values.items():
            self.cache.write(key, value)
        self.m = Mount(self.ckfs, self.cache.source, self.cache.home / f"mnt{self.mounts}", options, {**KEYED, **self.failing.env})
        self.tour = Tour(self.m, self.cache, self.values, self.failing)
        self.held = self.holds()

    def end(self) -> None:
        """After all those failures it holds what it held before."""
        self.tour.close()
        if self.tour.is_over():
            subprocess.run(["umount", "-l", str(self.m)], capture_output=True)
            return
        held = self.holds()
        self.m.unmount()
        assert held == self.held

    def holds(self) -> dict:
        """
        What the daemon holds once it has dropped what is only kept. Of connections the number changes; what is promised to those who come back
        (retries.h) is held for some seconds.
        """
        gauges = ("ckfs_entries", "ckfs_open_files", "ckfs_decoded_bytes")

        def dropped() -> bool:
            """What a request is at the end of is kept when that ends, so it is dropped once more."""
            os.kill(self.m.pid, signal.SIGHUP)
            time.sleep(0.02)
            shown = stats(self.m)
            return not any(shown[gauge] for gauge in gauges)

        until(dropped)
        links = collections.Counter()
        for fd in os.listdir(f"/proc/{self.m.pid}/fd"):
            with contextlib.suppress(OSError):
                links[os.readlink(f"/proc/{self.m.pid}/fd/{fd}").split(":[")[0]] += 1
        return {**{gauge: stats(self.m)[gauge] for gauge in gauges}, "links": links, "sockets": links.pop("socket", 0) > SOCKETS_MAX}

    def connecting(self, step) -> None:
        """Nothing is known, and there is no connection."""
        self.client.client_kill_filter(_type="normal", skipme=True)
        self.client.client_kill_filter(_type="pubsub", skipme=True)
        self.tour.renewing(step)

    def situations(self) -> list:
        return [self.tour.renewing, self.tour.as_before, *([self.connecting] if self.client else [])]

    def findings(self) -> list[str]:
        """What was found. After a daemon's end there is another one for the next test."""
        self.tour.check()
        found, self.tour.findings = self.tour.findings, []
        if self.tour.is_over():
            self.end()
            self.begin()
        return found


@pytest.fixture(scope="module", params=["file", "redis"])
def toured(request, ckfs, library):
    with home() as path, contextlib.ExitStack() as stack:
        server = stack.enter_context(running()) if request.param == "redis" else None
        cache = RedisCache(server, 0, path) if server else FileCache(path / "cache")
        made = Toured(ckfs, cache, library, server.client() if server else None)
        stack.callback(made.end)
        yield made


def chosen(toured, calls: str, every: bool, few: bool) -> list:
    """All failures that the tour may meet, or some of them."""
    pairs = [(step, before) for before in toured.situations() for step in toured.tour.steps]
    if every:
        return [failure for step, before in pairs for failure in toured.tour.failures(calls, step, before)]
    choice, (steps, sample) = random.Random(calls), (STEPS, SAMPLE) if not few else (STEPS // 2, SAMPLE // 2)
    some = [failure for step, before in choice.sample(pairs, steps) for failure in toured.tour.failures(calls, step, before)]
    return choice.sample(some, min(len(some), sample))


@pytest.mark.parametrize("calls", [pytest.param(calls, marks=pytest.mark.memory if calls == "malloc" else ()) for calls in OF_A_MOUNT])
def test_a_call_that_fails_is_an_error_at_most(toured, calls, request, few):
    for failure in chosen(toured, calls, request.config.getoption("--every-call"), few):
        if not toured.tour.is_over():
            toured.tour.attempt(failure)
    assert toured.findings() == []


@pytest.mark.parametrize(
    "toured, calls, step, times",
    [
        # It was another version without its generation.
        ("file", "ioctl", "stays(frame/table)", 1),
        ("file", "ioctl", "stays(frame/table)", 4),
        # meta/ said that nobody knows the key, and that there is no header.
        pytest.param("file", "malloc", "told(meta/table.json)", 1, marks=pytest.mark.memory),
        # libfuse dropped the reply, and its caller waited for ever; where it is too much for too long, the caller gets the error alone.
        ("file", "fuse write", "contents(raw/table)", 1),
        ("file", "fuse write", "contents(raw/table)", 25),
        # libfuse ended the mount.
        ("file", "fuse read", "contents(raw/table)", 4),
    ],
    indirect=["toured"],
)
def test_what_a_failing_call_once_did(toured, calls, step, times):
    found = [s for s in toured.tour.steps if str(s) == step]
    failures = [f for s in found for before in toured.situations() for f in toured.tour.failures(calls, s, before, times)]
    assert sum(toured.tour.attempt(failure) for failure in failures if not toured.tour.is_over()) > 0
    assert toured.findings() == []


def test_that_no_program_was_told_is_no_silent_success(failing):
    failing.begin("malloc", errno.ENOMEM, 1)
    assert subprocess.run(["/bin/true"], env={**os.environ, **failing.env}).returncode == 0
    with pytest.raises(AssertionError, match="has to be called ckfs"):
        failing.end()


@pytest.mark.file_only
@pytest.mark.memory
def test_an_inode_keeps_the_key_that_its_entry_opens_by(cache, mount, failing):
    """Its open would have asked for the hash alone, by which nothing sealed opens."""
    m = mount(cache, env={**KEYED, **failing.env})
    for first in itertools.count(1):
        key = store(cache, f"k{first}", first, sealing=seal())
        failing.begin("malloc", errno.ENOMEM, first)
        assert failure(m / f"json/{key}.json") in (None, "ENOMEM"), failing.where
        failing.end()
        assert failure(m / f"json/{key}.json") is None, failing.where
        if not failing.failed:
            break


@pytest.mark.file_only
@pytest.mark.memory
@pytest.mark.parametrize("times", [1, 3])
def test_a_thread_without_memory_does_not_end_the_mount(ckfs, cache, failing, times):
    """Each of libfuse's threads takes a buffer when it begins, the second one with the first request; who got none ended all of them."""
    cache.set("k", b"value")
    failing.begin("malloc large", errno.ENOMEM, 2, times)
    with contextlib.ExitStack() as stack:
        m = Mount(ckfs, cache.source, cache.home / "mnt", (), failing.env)
        stack.callback(m.end)
        assert until(lambda: failing.failed == times or m.process.poll() is not None)
        # libfuse drops what another thread has read at the moment when one ends the loop: then its caller, and nobody else, is told.
        assert failure(m / "k") in (None, "ECONNABORTED")
        assert [read(m / "k") for _ in range(8)] == [b"value"] * 8
        assert (failing.failed, m.process.poll()) == (times, None)
    assert m.log_lines("no memory") == ["ckfs: no memory is left"]
    assert (m.process.returncode, m.is_mounted()) == (0, False)


# What a file cache remembers of its files


def write_named(cache, *keys: str) -> set[str]:
    """Their files carry the keys, and have been there for so long that a listing relies on their times."""
    for key in keys:
        cache.write(key, b"value")
        os.setxattr(cache.path(key), "user.ckfs.key", key.encode())
    time.sleep(0.05)
    return {f"{key}.json" for key in keys}


@pytest.mark.file_only
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOMEM, errno.EINTR, errno.ENOENT], ids=errno.errorcode.get)
def test_a_key_that_could_not_be_read_is_read_by_the_next_listing(cache, mount, failing, number):
    """Both where values are read and where they are not."""
    names = write_named(cache, "a", "b", "c")
    m = mount(cache, env=failing.env)
    with failing.all("fgetxattr", number):
        assert {len(os.listdir(m / view)) for view in ("frame", "raw", "meta", "frame")} == {3}
    assert set(os.listdir(m / "meta")) == names


@pytest.mark.file_only
@pytest.mark.memory
def test_a_key_for_which_there_was_no_memory_is_read_by_the_next_listing(cache, mount, failing):
    m = mount(cache, env=failing.env)
    for first in itertools.count(1):
        names = write_named(cache, f"k{first}")
        failing.begin("malloc", errno.ENOMEM, first)
        with contextlib.suppress(OSError):
            os.listdir(m / "meta")
        failing.end()
        assert set(os.listdir(m / "meta")) == names, failing.where
        cache.path(f"k{first}").unlink()
        if not failing.failed:
            break


@pytest.mark.file_only
def test_that_a_filesystem_has_no_attributes_is_believed_until_sighup(cache, mount, failing):
    names = write_named(cache, "a", "b")
    m = mount(cache, env=failing.env)
    with failing.all("fgetxattr", errno.EOPNOTSUPP):
        assert not names & set(os.listdir(m / "meta"))
    assert not names & set(os.listdir(m / "meta"))
    os.kill(m.pid, signal.SIGHUP)
    assert until(lambda: set(os.listdir(m / "meta")) == names)


@pytest.mark.file_only
@pytest.mark.parametrize("number, expected", [(errno.EINTR, None), (errno.ENOENT, "EIO"), (errno.EIO, "EIO")])
def test_an_expiry_is_read_and_rewritten_as_a_header_is(cache, mount, failing, number, expected):
    """A call that was interrupted is made again, and what is open is not absent."""
    cache.write("k", b"value", int(time.time()) + 1000)
    m = mount(cache, "write", env=failing.env)
    with open(m / "frame/k", "rb", buffering=0) as file:
        for change in (None, b"500"):
            for first in itertools.count(1):
                failing.begin("pread first", number, first)
                try:
                    os.getxattr(file.fileno(), "user.ckfs.ttl") if change is None else os.setxattr(file.fileno(), "user.ckfs.ttl", change)
                    said = None
                except OSError as e:
                    said = errno.errorcode[e.errno]
                failing.end()
                if not failing.failed:
                    break
                assert said in (None, expected), failing.where
            assert first > 1


# The command


def starts(command, failing) -> str | None:
    """What is wrong with how the command ended: it has to serve, or to say in one line why not."""
    result = command("-o", "timeout=2", command.source, command.point, env=failing.env)
    where, lines = failing.where, result.stderr.splitlines()
    if result.returncode == 0:
        until(lambda: failure(command.point / "key") not in PERMITTED)
        failing.end()
        shown = failure(command.point / "key") or read(command.point / "key")
        subprocess.run(["umount", command.point], capture_output=True)
        good = shown == b"value" and len(lines) <= 1
    else:
        shown = None
        failing.end()
        good = result.returncode == 1 and len(lines) == 1 and lines[0].startswith("ckfs: ")
    left = mounted(command.point), not until(lambda: not command.daemons())
    return None if good and left == (None, False) else f"{result.returncode} {lines} {shown} {left}: {where}"


@pytest.mark.parametrize("calls", [pytest.param(calls, marks=pytest.mark.memory if calls == "malloc" else ()) for calls in CLASSES])
def test_a_call_that_fails_while_the_command_starts(command, failing, calls, request):
    failing.begin(calls)
    assert starts(command, failing) is None
    seen = failing.seen
    firsts = range(1, seen + 1)
    if not request.config.getoption("--every-call"):
        firsts = random.Random(calls).sample(firsts, min(seen, STARTS))
    for first in firsts:
        failing.begin(calls, CLASSES[calls][first % len(CLASSES[calls])], first)
        assert (first, starts(command, failing)) == (first, None)
        command.clean()
