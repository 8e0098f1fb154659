"""Calls of ckfs that fail on purpose, and a tour of a cache that notices what comes of it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import json
import mmap
import os
import pathlib
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgpack
import numpy as np
import pytest
from cachekit.serializers.arrow_serializer import ArrowSerializer
from cachekit.serializers.wrapper import SerializationWrapper

from documents import INTEROP_KEY, TABLE, columnar, seal, store
from helpers import errno_name, flipped, legacy, metadata, xattrs
from waiting import PATIENCE

# What each class of calls (failing_calls.c) fails with. Nothing here says that an entry is absent, or what is wrong with it.
CLASSES = {
    "open": (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EINTR),
    "read": (errno.EIO, errno.EINTR, errno.EAGAIN, errno.ENOMEM),
    "stat": (errno.EIO, errno.ENOMEM, errno.EINTR),
    "getdents": (errno.EIO, errno.ENOMEM, errno.EINTR),
    "ioctl": (errno.ENOMEM, errno.EINTR, errno.EAGAIN),
    "handle": (errno.ENOMEM, errno.EINTR),
    "malloc": (errno.ENOMEM,),
    "mmap": (errno.ENOMEM, errno.EAGAIN, errno.ENFILE),
    "mlock": (errno.ENOMEM, errno.EAGAIN, errno.EPERM),
    "memfd": (errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    "fallocate": (errno.ENOSPC, errno.EIO, errno.EINTR, errno.EDQUOT, errno.ENOMEM),
    "socket": (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM),
    "connect": (errno.ECONNREFUSED, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EAGAIN, errno.EINTR),
    "recv": (errno.ECONNRESET, errno.EINTR, errno.EAGAIN, errno.ETIMEDOUT, errno.ENOMEM),
    "send": (errno.ECONNRESET, errno.EPIPE, errno.EINTR, errno.EAGAIN, errno.ENOBUFS),
    "poll": (errno.EINTR, errno.ENOMEM, errno.EAGAIN),
    "sockopt": (errno.ENOBUFS, errno.ENOMEM),
    "thread": (errno.EAGAIN, errno.ENOMEM),
    "fuse read": (errno.EINTR, errno.EAGAIN, errno.ENOMEM),
    "fuse write": (errno.ENOMEM, errno.EINTR, errno.EAGAIN),
    "pipe": (errno.EMFILE, errno.ENFILE),
    "fork": (errno.EAGAIN, errno.ENOMEM),
}  # fmt: skip

# What the one caller may be told: what ckfs lacks, and that the store did not answer.
PERMITTED = {
    "ENOMEM", "EMFILE", "ENFILE", "ENOSPC", "EIO", "EAGAIN", "EINTR",
    "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH",
}  # fmt: skip

ALL = 1 << 30


def compiled(directory: pathlib.Path) -> pathlib.Path:
    """The library that lets calls fail."""
    path = directory / "failing_calls.so"
    source = pathlib.Path(__file__).with_name("failing_calls.c")
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", path, source, "-ldl"], check=True)
    return path


class Failing:
    """What the process that has `env` is told of its calls. struct control of failing_calls.c."""

    FIELDS = struct.Struct("<5i")
    WHERE = slice(32 + FIELDS.size, 32 + FIELDS.size + 3000)
    SIZE = WHERE.stop + 4

    def __init__(self, path: pathlib.Path, library: pathlib.Path):
        self.env = {"LD_PRELOAD": str(library), "FAILING_CALLS": str(path)}
        with open(path, "w+b") as file:
            file.truncate(self.SIZE)
            self.memory = mmap.mmap(file.fileno(), self.SIZE)

    def begin(self, calls: str, number: int = 0, first: int = 0, times: int = 1) -> None:
        """Count calls; from the `first` one on so many fail."""
        self.end()
        self.FIELDS.pack_into(self.memory, 32, first, times, number, 0, 0)
        self.memory[self.WHERE] = bytes(3000)
        self.memory[1:32] = calls.encode()[1:].ljust(31, b"\0")
        self.memory[0] = calls.encode()[0]

    def end(self) -> None:
        """By now a process was told, or no call of any could have failed."""
        assert not self.memory[0] or any(self.memory[self.WHERE.stop :]), "failing_calls.c was told to no program: the binary under test has to be called ckfs"
        self.memory[0] = 0

    @property
    def seen(self) -> int:
        return self.FIELDS.unpack_from(self.memory, 32)[3]

    @property
    def failed(self) -> int:
        return self.FIELDS.unpack_from(self.memory, 32)[4]

    @property
    def where(self) -> str:
        """The call that failed first, and who called it."""
        return self.memory[self.WHERE].split(b"\0")[0].decode()

    @contextlib.contextmanager
    def all(self, calls: str, number: int):
        """All calls fail for a while."""
        self.begin(calls, number, 1, ALL)
        try:
            yield
        finally:
            self.end()


# --- the tour

VIEWS = {"": "", "raw": "", "frame": "", "arrow": ".arrow", "npy": ".npy", "msgpack": ".msgpack", "json": ".json", "meta": ".json"}
# Every entry has it in its bytes, once in clear text: another one makes it a new version, of which nothing is known.
NONCE = b"nonce-0000000000"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("failing"))


@pytest.fixture
def failing(tmp, library):
    """What a mount of the test is told, which has its `env`."""
    return Failing(tmp / "calls", library)


def with_nonce(cache, key: str) -> bytes:
    """A stored value with a nonce in its header."""
    payload, header, serializer = SerializationWrapper.unwrap(cache.value(key))
    return SerializationWrapper.wrap(bytes(payload), {**header, "nonce": NONCE.decode()}, serializer)


def write_entries(cache) -> dict[str, bytes]:
    """Entries of all kinds: key -> stored value. The keys have names that are themselves."""
    table, document = TABLE.head(50), {"user": "Ada", "n": [1, 2.5, None]}
    store(cache, "table", table, ArrowSerializer(compression=None))
    store(cache, "array", np.arange(600.0), "auto")
    store(cache, "packed", document)
    store(cache, "text", document, "orjson")
    store(cache, "sealed", document, sealing=seal())
    store(cache, "columns", table, columnar())
    store(cache, "large", [os.urandom(1024) for _ in range(1200)])
    store(cache, "sealed-large", list(range(1 << 20, (1 << 20) + 60_000)), sealing=seal())
    values = {key: with_nonce(cache, key) for key in ("table", "array", "packed", "text", "sealed", "columns", "large", "sealed-large")}
    values[INTEROP_KEY] = msgpack.packb({"name": NONCE.decode()})
    values["legacy"] = legacy(SerializationWrapper.unwrap(values["packed"])[0], {**metadata("msgpack"), "nonce": NONCE.decode()})
    values["malformed"] = b"CK\x03\x00\x00\x00\x18no json " + NONCE
    values["altered"] = flipped(values["table"])
    values["opaque"] = b"bytes of no kind " + NONCE
    for key, value in values.items():
        assert value.count(NONCE) == 1, key
        cache.write(key, value)
    return values


def contents(path) -> bytes:
    """A file's bytes; its size may not lie. The first stat may be served by a listing."""
    os.stat(path)
    fd = os.open(path, os.O_RDONLY)
    try:
        data = b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
        if "/meta/" not in path and "/.ckfs/" not in path:
            assert len(data) == os.fstat(fd).st_size
    finally:
        os.close(fd)
    return data


def stays(path) -> bool:
    """Whether nothing has replaced a file that was opened, as cp asks."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.fstat(fd).st_ino == os.stat(path).st_ino
    finally:
        os.close(fd)


def told(path) -> dict:
    """meta/, without what depends on who looked before."""
    document = json.loads(contents(path))
    return {member: document[member] for member in ("key", "size", "frame", "document")} | {"columns": document.get("columns")}


def names(path) -> set[str]:
    """All but the altered entry's: whether a format directory shows it depends on who looked before."""
    with os.scandir(path) as found:
        return {entry.name for entry in found} - {"altered.arrow"}


def long_names(path) -> set[str]:
    """As `ls -l`."""
    with os.scandir(path) as found:
        listed = list(found)
    for entry in listed:
        with contextlib.suppress(OSError):
            entry.stat(follow_symlinks=False)
    return {entry.name for entry in listed} - {"altered.arrow"}


def attributes(path) -> dict:
    """Of the newest version: a listing may have shown one that is gone by now, of which nothing is known."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return {name: value for name, value in xattrs(fd).items() if name not in ("ttl", "expires", "error")}
    finally:
        os.close(fd)


@dataclasses.dataclass
class Step:
    """Something that a reader does. `entry`: of what it looks at, ""; "*": of all."""

    look: Callable
    path: str
    key: str = ""
    expected: Any = None

    def __str__(self) -> str:
        return f"{self.look.__name__}({self.path})"


def steps_of(keys, fetches: bool) -> list[Step]:
    looks = {"meta": told}
    steps = [Step(looks.get(view, contents), f"{view}/{key}{extension}", key) for key in keys for view, extension in VIEWS.items()]
    # A connection that is lost ends what is known of versions.
    steps += [Step(stays, f"frame/{key}", key) for key in keys if not fetches]
    steps += [Step(attributes, f"{view}/{key}", key) for view in ("", "frame") for key in keys]
    steps += [Step(look, view) for view in VIEWS for look in (names, long_names)]
    steps += [Step(look, ".ckfs") for look in (names,)]
    steps += [Step(lambda path: len(contents(path)) > 100, ".ckfs/stats"), Step(lambda path: os.statvfs(path).f_namemax, "")]
    return [*steps, Step(contents, "nobody"), Step(contents, "json/nobody.json")]


@dataclasses.dataclass
class Failure:
    """Calls of a step that fail: of a class, so many from the `first` one on."""

    step: Step
    before: Callable
    calls: str
    first: int
    number: int
    times: int = 1

    def __str__(self) -> str:
        return f"{self.calls} {self.first} x {self.times} {errno.errorcode[self.number]} ({self.before.__name__}): {self.step}"


class Watchdog:
    """Ends a daemon that does not answer: nothing else wakes who waits for it."""

    def __init__(self, m):
        self.m, self.since, self.hung, self.ended = m, time.monotonic(), False, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self) -> None:
        while not self.ended.wait(0.5):
            if time.monotonic() - self.since > PATIENCE:
                self.hung = True
                self.m.process.kill()
                return

    def close(self) -> None:
        self.ended.set()
        self.thread.join()


class Tour:
    """All there is to see in a mount, step by step, with calls that fail."""

    def __init__(self, m, cache, values: dict[str, bytes], failing: Failing):
        self.m, self.cache, self.values, self.failing = m, cache, values, failing
        self.nonces = itertools.count(1)
        self.nonce = dict.fromkeys(values, NONCE)
        self.steps = steps_of(values, cache.FETCHES)
        self.findings: list[str] = []
        self.watchdog = Watchdog(m)
        for step in self.steps:
            step.expected = self.take(step)

    def renew(self, key: str) -> None:
        """Write a new version of an entry, as another process would."""
        self.nonce[key] = b"nonce-%010d" % next(self.nonces)
        self.cache.write(key, self.values[key].replace(NONCE, self.nonce[key]))

    def take(self, step: Step) -> tuple[str, Any]:
        """What a step shows, as of the first version; or the error."""
        self.watchdog.since = time.monotonic()
        try:
            result = step.look(str(self.m / step.path))
        except OSError as e:
            return ("error", errno_name(e.errno))
        except (AssertionError, ValueError) as e:
            return ("wrong", f"{type(e).__name__}: {e}")
        return ("shown", self.normal(step, result))

    def normal(self, step: Step, result):
        if not step.key:
            return result
        old = self.nonce[step.key]
        if isinstance(result, bytes):
            return result.replace(old, NONCE)
        return json.loads(json.dumps(result, default=bytes.decode).replace(old.decode(), NONCE.decode()))

    def is_permitted(self, step: Step, result: tuple[str, Any]) -> bool:
        kind, value = result
        if result == step.expected:
            return True
        if kind == "error":
            return value in PERMITTED
        if kind != "shown":
            return False
        if step.look in (names, long_names):
            # What could not be looked into is listed all the same.
            return value >= step.expected[1] and {name.rpartition(".")[0] for name in value - step.expected[1]} <= set(self.values)
        if step.look is told:
            return value == {**step.expected[1], "columns": None}
        return False

    def settles(self, step: Step) -> tuple[str, Any]:
        """What it shows once nothing fails. A server that was lost is not asked for a moment."""
        deadline = time.monotonic() + (PATIENCE if self.cache.FETCHES else 0)
        while (result := self.take(step)) != step.expected:
            if result[0] == "error" and result[1] in PERMITTED and time.monotonic() < deadline and not self.is_over():
                time.sleep(0.02)
                continue
            return result
        return result

    def is_over(self) -> bool:
        return self.watchdog.hung or self.m.process.poll() is not None

    def find(self, what: str, step, calls: str, n: int, number: int, times: int) -> None:
        self.findings.append(f"{what}: {step}, {calls} {n} (x{times}) {errno.errorcode[number]}: {self.failing.where}")

    def attempt(self, failure: Failure) -> bool:
        """Some calls of a step fail. False: none did."""
        step = failure.step
        failure.before(step)
        self.failing.begin(failure.calls, failure.number, failure.first, failure.times)
        result = self.take(step)
        self.failing.end()
        if not self.failing.failed:
            return False
        if not self.is_over() and not self.is_permitted(step, result):
            self.find(failure, f"shows {result}")
        again = None if self.is_over() else self.settles(step)
        if self.is_over():
            self.find(failure, "hangs" if self.watchdog.hung else f"dies: {self.m.process.returncode}")
        elif again != step.expected:
            self.find(failure, f"then shows {again}")
        return True

    def find(self, failure: Failure, what: str) -> None:
        self.findings.append(f"{failure} {what[:400]}, not {str(failure.step.expected)[:400]}; {self.failing.where}")

    def failures(self, calls: str, step: Step, before: Callable, times: int = 1) -> Iterable[Failure]:
        """Every call of a class that a step makes."""
        numbers = CLASSES[calls]
        before(step)
        self.failing.begin(calls)
        self.take(step)
        self.failing.end()
        return [Failure(step, before, calls, first, numbers[first % len(numbers)], times) for first in range(1, self.failing.seen + 1)]

    def renewing(self, step: Step) -> None:
        """Nothing is known of what it looks at."""
        if step.key:
            self.renew(step.key)

    def as_before(self, step: Step) -> None:
        """All is known that was."""

    def close(self) -> None:
        self.watchdog.close()

    def check(self) -> None:
        """The whole tour, with no call that fails."""
        for step in self.steps:
            again = None if self.is_over() else self.settles(step)
            if again != step.expected:
                self.findings.append(f"afterwards {step} shows {str(again)[:400]}, not {str(step.expected)[:400]}")
