"""
Random writers, readers, removers, an application of the real package beside them, and kills, against a model: a key that one writer has alone is what that
writer did last, and any other is some whole value that was written. `--soak-seconds` says how long.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import re
import threading
import time

import pytest

from caches import FileCache, RedisCache
from helpers import v3, metadata
from mounts import Mount, home
from redis_server import running
from waiting import PATIENCE

SHARED = [f"shared{i}" for i in range(6)]
WRITERS = 3
LARGEST = 300_000


def value_of(name: str, size: int) -> bytes:
    """It tells by itself whether it is whole: a text, and the hash of it."""
    text = (name + "-") * (size // (len(name) + 1) + 1)
    return v3(json.dumps({"sum": hashlib.sha256(text.encode()).hexdigest(), "text": text}).encode(), metadata("orjson"), "orjson")


def is_whole(value: bytes) -> bool:
    try:
        document = json.loads(value[value.index(b'}{"sum"') + 1 :])
    except ValueError:
        return False
    return hashlib.sha256(document["text"].encode()).hexdigest() == document["sum"]


def application(make, seed: int, over, wrong) -> None:
    """Stores, reads and removes by the package, as a process of its own."""
    choice = random.Random(seed)
    backend = make()
    number = 0
    while not over.is_set():
        key = choice.choice(SHARED)
        number += 1
        try:
            if choice.random() < 0.4:
                backend.set(key, value_of(f"sdk{number}", choice.randrange(LARGEST)), choice.choice([None, 60]))
            elif choice.random() < 0.1:
                backend.delete(key)
            elif (found := backend.get(key)) is not None and not is_whole(found):
                wrong.append(f"the application reads {found[:80]!r}")
        except Exception as e:  # noqa: BLE001 - whatever it is, it is wrong
            # A read that meets the moment in which an expiry is rewritten is a miss, as with the package's own refresh of a TTL.
            if "Lock acquisition timeout" not in str(e):
                wrong.append(f"the application: {e!r}")


class Soak:
    def __init__(self, ckfs, cache, make, seed: int):
        self.ckfs, self.cache, self.make, self.seed = ckfs, cache, make, seed
        self.over, self.wrong, self.paused = threading.Event(), [], threading.Lock()
        self.mounts = 0
        self.stored = 0
        self.begin()

    def begin(self) -> None:
        self.mounts += 1
        self.m = Mount(self.ckfs, self.cache.source, self.cache.home / f"mnt{self.mounts}", ("write", "timeout=5"), {})

    def writer(self, number: int) -> None:
        """One key is its own, the others are shared."""
        choice, own, last = random.Random((self.seed, number).__repr__()), f"own{number}", None
        turn = 0
        while not self.over.is_set():
            turn += 1
            key = own if choice.random() < 0.5 else choice.choice(SHARED)
            new = value_of(f"w{number}.{turn}", choice.randrange(LARGEST))
            m = self.m
            try:
                if choice.random() < 0.15:
                    os.unlink(m / f"{choice.choice(['', 'raw/', 'frame/'])}{key}")
                    new = None
                elif choice.random() < 0.1:
                    os.setxattr(m / key, "user.ckfs.ttl", b"500")
                    continue
                else:
                    self.write(m / f"frame/{key}", new, choice)
                    self.stored += 1
            except OSError as e:
                # It was killed meanwhile; or there is nothing to remove.
                if m is self.m and not self.killing and not isinstance(e, FileNotFoundError):
                    self.wrong.append(f"writer {number}: {e!r}")
                if key == own and m is not self.m or self.killing:
                    last = False  # nobody knows
                continue
            if key == own:
                last = new
                self.check_own(m, own, last)

    @staticmethod
    def write(path, value: bytes, choice) -> None:
        with open(path, "wb", buffering=0) as file:
            at = 0
            while at < len(value):
                at += file.write(value[at : at + choice.choice([1000, 40_000, 1 << 20])])
                if choice.random() < 0.02:
                    with contextlib.suppress(OSError):
                        os.fsync(file.fileno())

    def check_own(self, m, key: str, expected) -> None:
        try:
            with open(m / f"frame/{key}", "rb") as file:
                found = file.read()
        except FileNotFoundError:
            found = None
        except OSError:
            return
        if found != expected and m is self.m and not self.killing:
            self.wrong.append(f"{key}: {str(found)[:60]} after {str(expected)[:60]} was stored")

    def reader(self, number: int) -> None:
        choice = random.Random((self.seed, "reader", number).__repr__())
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                if choice.random() < 0.05:
                    os.listdir(self.m / "frame")
                    continue
                with open(self.m / f"frame/{choice.choice(SHARED)}", "rb") as file:
                    found = file.read()
                if not is_whole(found):
                    self.wrong.append(f"a reader sees {found[:80]!r}, {len(found)} bytes")

    killing = False

    def kill(self) -> None:
        self.killing = True
        self.m.process.kill()
        self.m.abandon()
        self.begin()
        self.killing = False

    def run(self, seconds: float) -> None:
        processes = multiprocessing.get_context("fork")
        over, manager = processes.Event(), processes.Manager()
        theirs = manager.list()
        app = processes.Process(target=application, args=(self.make, self.seed, over, theirs))
        app.start()
        threads = [threading.Thread(target=self.writer, args=(i,)) for i in range(WRITERS)] + [threading.Thread(target=self.reader, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.wrong and not theirs:
            time.sleep(min(2, seconds / 4))
            self.kill()
        self.over.set()
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
        app.join(PATIENCE)
        self.m.unmount()
        assert (self.wrong[:5], list(theirs)[:5]) == ([], [])
        assert self.stored > 0


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_writers_readers_an_application_and_kills(ckfs, request, kind):
    seed = request.config.getoption("--soak-seed") or random.randrange(1 << 30)
    with home() as path, contextlib.ExitStack() as stack:
        if kind == "file":
            cache = FileCache(path / "cache")
            make = lambda: FileCache(path / "cache").backend  # noqa: E731
        else:
            server = stack.enter_context(running())
            cache = RedisCache(server, 0, path)
            make = lambda: RedisCache(server, 0, path).backend  # noqa: E731
        Soak(ckfs, cache, make, seed).run(request.config.getoption("--soak-seconds"))
        if kind == "file":
            strays = [name for name in os.listdir(cache.dir) if not re.fullmatch("[0-9a-f]{32}", name)]
            assert all(".tmp." in name for name in strays), strays
