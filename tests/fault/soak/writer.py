"""
Threads that change a cache, and tell the model what they did and when. Each key has one writer: what happens to it has an order. A writer's choices
follow from the seed; when they come does not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import struct
import threading
import time

from caches import FileCache

from .model import CLOCK, Key, Model, State
from .values import SEALED, Content

now = time.monotonic


def unix() -> float:
    return now() + CLOCK


class FileStore:
    """A cache directory, changed as the package does it and as others do."""

    def __init__(self, cache: FileCache):
        self.cache = cache

    def write(self, key: str, value: bytes, expires: int) -> None:
        self.cache.write(key, value, expires)

    def delete(self, key: str) -> None:
        self.cache.path(key).unlink(missing_ok=True)

    def rename(self, key: str, to: str) -> None:
        self.cache.path(key).rename(self.cache.path(to))

    def copy(self, key: str, to: str) -> None:
        """A hard link: one file under two keys."""
        link = self.cache.path(to).with_suffix(".tmp.1.2")
        link.hardlink_to(self.cache.path(key))
        link.rename(self.cache.path(to))
        link.unlink(missing_ok=True)  # rename() leaves it when both are one file already

    def expire_at(self, key: str, expires: int) -> None:
        with open(self.cache.path(key), "r+b", buffering=0) as file:
            os.pwrite(file.fileno(), struct.pack(">Q", expires), 6)

    def truncate(self, key: str, length: int) -> None:
        os.truncate(self.cache.path(key), length)

    linked = True  # what is done to a file in place is done to all of its names


class RedisStore:
    def __init__(self, cache):
        self.cache, self.client = cache, cache.client

    def write(self, key: str, value: bytes, expires: int) -> None:
        self.client.set(key, value, exat=expires or None)

    def delete(self, key: str) -> None:
        self.client.delete(key)

    def rename(self, key: str, to: str) -> None:
        self.client.rename(key, to)

    def copy(self, key: str, to: str) -> None:
        self.client.copy(key, to, replace=True)

    def expire_at(self, key: str, expires: int) -> None:
        if expires:
            self.client.expireat(key, expires)
        else:
            self.client.persist(key)

    linked = False


class Writer(threading.Thread):
    """Changes its keys, one after the other, until it is told to stop."""

    def __init__(self, number: int, model: Model, keys: list[Key], families: dict[str, tuple[str, ...]], store, seed: str, cuts: bool):
        super().__init__(daemon=True)
        self.model, self.keys, self.families, self.store = model, keys, families, store
        self.rng = random.Random(seed)
        self.numbers = iter(range(number, 1 << 38, 16))
        self.stopped, self.pause = threading.Event(), threading.Lock()
        self.error: BaseException | None = None
        self.does = {
            self.write: 12,
            self.write_expiring: 2,
            self.write_again: 2,
            self.write_altered: 1,
            self.burst: 1,
            self.delete: 2,
            self.rename: 2,
            self.copy: 3,
            self.refresh: 3,
            **({self.truncate: 3} if cuts else {}),
        }

    def run(self) -> None:
        try:
            while not self.stopped.is_set():
                with self.pause:
                    self.rng.choices(list(self.does), list(self.does.values()))[0]()
                time.sleep(self.rng.choice([0, 0, 0.001, 0.005]))
        except BaseException as e:  # noqa: BLE001 - the soak tells it
            self.error = e

    # --- what changes

    @contextlib.contextmanager
    def changing(self, *keys: Key):
        """A change of these keys: yields a list to which their new states are appended, without moments."""
        states: list[State] = []
        begin = now()
        yield states
        end = now()
        for key, state in zip(keys, states, strict=True):
            key.add(dataclasses.replace(state, begin=begin, end=end))

    def pick(self) -> Key:
        """Some are changed all the time, others hardly ever."""
        n = len(self.keys)
        return self.keys[min(self.rng.randrange(n), self.rng.randrange(n), self.rng.randrange(n))]

    def pick_present(self) -> Key | None:
        """One that is there, and will be for a while."""
        for _ in range(10):
            key = self.pick()
            if key.now.content and (not key.now.expires or key.now.expires > unix() + 5):
                return key
        return None

    def content(self, key: Key) -> Content:
        kind = self.rng.choice(self.families[key.key])
        sealed = kind in SEALED and self.rng.random() < 0.4
        content = Content(kind, next(self.numbers), key.key if sealed else None)
        if sealed:
            self.model.values.seal(content)
        return content

    def store_content(self, key: Key, content: Content, expires: int = 0) -> None:
        value = self.model.values.stored(content)
        with self.changing(key) as states:
            self.store.write(key.key, value, expires)
            states.append(State(0, 0, content, expires, next(self.numbers)))

    def fill(self) -> None:
        """What there is at the beginning."""
        for key in self.keys:
            self.store_content(key, self.content(key))

    def write(self) -> None:
        key = self.pick()
        self.store_content(key, self.content(key))

    def write_expiring(self) -> None:
        key = self.pick()
        self.store_content(key, self.content(key), int(unix()) + self.rng.randrange(1, 5))

    def write_again(self) -> None:
        """The same bytes once more."""
        if key := self.pick_present():
            if key.now.content.cut is None:
                self.store_content(key, key.now.content, key.now.expires)

    def write_altered(self) -> None:
        key = self.pick()
        self.store_content(key, dataclasses.replace(self.content(key), altered=True))

    def burst(self) -> None:
        key = self.pick()
        for _ in range(20):
            self.store_content(key, self.content(key))

    def delete(self) -> None:
        key = self.pick()
        with self.changing(key) as states:
            self.store.delete(key.key)
            states.append(State(0, 0, None))

    def pick_two(self) -> tuple[Key, Key] | None:
        key, to = self.pick_present(), self.pick()
        return (key, to) if key and key is not to else None

    def rename(self) -> None:
        if two := self.pick_two():
            key, to = two
            if self.store.linked and key.now.file == to.now.file:
                return  # nothing happens between two links of one file
            with self.changing(*two) as states:
                self.store.rename(key.key, to.key)
                states += [State(0, 0, None), key.now]

    def copy(self) -> None:
        if two := self.pick_two():
            key, to = two
            with self.changing(to) as states:
                self.store.copy(key.key, to.key)
                states.append(key.now)

    def same_file(self, key: Key) -> list[Key]:
        return [k for k in self.keys if k.now.file == key.now.file and k.now.content] if self.store.linked else [key]

    def refresh(self) -> None:
        """Another expiry for what is there, as the package gives it to what is read."""
        if key := self.pick_present():
            keys = self.same_file(key)
            expires = self.rng.choice([0, int(unix()) + 2, int(unix()) + 1000, int(unix()) + 1000])
            with self.changing(*keys) as states:
                self.store.expire_at(key.key, expires)
                states += [dataclasses.replace(k.now, expires=expires) for k in keys]

    def truncate(self) -> None:
        """Cut the file under its readers: no writer does that, a full disk or a crash may."""
        # Of a large file not all has been read yet: who has it open meets the new end.
        for _ in range(5):
            key = self.pick_present()
            if key and key.now.content.kind == "large":
                break
        if not key:
            return
        keys, content, header = self.same_file(key), key.now.content, self.store.cache.HEADER
        length = len(self.model.values.stored(content))
        least = self.model.values.payload_at(content)
        if content.altered or length <= least:
            return
        gone = self.rng.random() < 0.2
        cut = self.rng.randrange(least, length)
        begin = now()
        with self.changing(*keys) as states:
            self.store.truncate(key.key, self.rng.randrange(header) if gone else header + cut)
            after = None if gone else dataclasses.replace(content, cut=cut)
            states += [dataclasses.replace(k.now, content=after, expires=0 if gone else k.now.expires) for k in keys]
        self.model.truncations.setdefault(key.now.file, []).append((begin, now()))
