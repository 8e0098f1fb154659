"""A soak: rounds of writers, observers and trouble on one mount. After each round all that was seen is checked, and the mount has to be as it was."""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

from caches import Cache
from names import EXTENSION
from waiting import PATIENCE, until

from .model import FOUND_AGAIN_AFTER, LISTING_LATE, Key, Model, State
from .observer import name_of_error
from .values import DECODED, KINDS, WHOLE, Values, digest
from .writer import FileStore, RedisStore, Writer, now

OBSERVER = pathlib.Path(__file__).with_name("observer.py")
GAUGES = ("open_files", "inodes", "entries", "decoded_bytes")
ROUND, WARM_UP = 20, 3  # seconds
LET_GO = 35  # seconds until all is let go; a reader that was killed while it came back for a file is waited for so long
KEYS = 40  # of each writer
ODD_KEYS = ("raw", "a/b", "100%", "née 🦀", "twin.json", "new\nline", "x" * 241, "é" * 200, ".hidden")
FAMILIES = (("opaque",), ("even",), ("large",), ("orjson",), ("packed",), ("array",), ("table", "plain table"))


class Round:
    """One of them, from an empty cache to an empty cache."""

    def __init__(self, soak: Soak, number: int, seconds: float):
        self.soak, self.cache, self.mount, self.seconds = soak, soak.cache, soak.mount, seconds
        self.seed = f"{soak.seed}.{number}"
        self.rng = random.Random(self.seed)
        self.directory = soak.directory / f"round{number}"
        self.directory.mkdir()
        self.values = Values(soak.seed)
        store = FileStore(self.cache) if self.cache.KIND == "file" else RedisStore(self.cache)
        groups = [self.make_keys(f"{name}:", odd) for name, odd in (("plain", ODD_KEYS), ("busy", ()), ("cut", ()))]
        keys = [key for rank in zip(*groups) for key in rank]  # the first ones of each are looked at most
        self.steady = [f"steady:{i}" for i in range(soak.steady)]
        self.model = Model(keys, [self.cache.listed(key) for key in self.steady], self.values, self.cache.STORES_KEYS, soak.listed_ttl)
        self.families = {key.key: FAMILIES[i % len(FAMILIES)] for i, key in enumerate(keys)}
        for key in keys:
            if self.rng.random() < 0.2:
                self.families[key.key] = tuple(KINDS)
        truncated = [[], [], groups[2] if self.cache.KIND == "file" else []]
        self.unmapped = {key.key for group in truncated for key in group}  # who maps those gets SIGBUS
        self.writers = [
            Writer(i, self.model, group, self.families, store, f"{self.seed} writer {i}", bool(truncated[i])) for i, group in enumerate(groups)
        ]
        self.observers = 0

    def make_keys(self, prefix: str, odd: tuple[str, ...]) -> list[Key]:
        names = [*(f"ns:soak:{prefix}{i}" for i in range(KEYS - len(odd))), *odd]
        self.rng.shuffle(names)
        return [Key(name, self.cache.hash(name) if not self.cache.STORES_KEYS else None, now()) for name in names]

    # --- what runs

    def plan(self) -> pathlib.Path:
        keys = []
        for key in self.model.keys:
            views = sorted({view for kind in self.families[key.key] for view in KINDS[kind][0]})
            keys.append({"name": key.name, "hash": key.hash, "views": [*views * 2, "", "raw", "frame"], "mapped": key.key not in self.unmapped})
        path = self.directory / "plan.json"
        path.write_text(json.dumps({"mount": str(self.mount), "keys": keys, "until": now() + self.seconds}))
        return path

    def observe(self, plan: pathlib.Path, does: str) -> subprocess.Popen:
        self.observers += 1
        log = self.directory / f"seen{self.observers}"
        return subprocess.Popen(
            [sys.executable, "-IS", str(OBSERVER), str(plan), f"{self.seed} observer {self.observers}", str(log), does], stderr=subprocess.PIPE
        )

    def fill(self) -> None:
        self.cache.fill(self.steady, b"steady")
        for writer in self.writers:
            writer.fill()

    def run(self) -> None:
        self.fill()
        plan = self.plan()
        end = now() + self.seconds
        lasting = [self.observe(plan, does) for does in ("read", "read", "look", "list", "hold")]
        for writer in self.writers:
            writer.start()
        try:
            restarts = [end - self.seconds * self.rng.uniform(0.2, 0.8)] if self.soak.server else []
            while now() < end:
                if restarts and now() > restarts[0]:
                    restarts.pop()
                    self.restart()
                self.trouble(plan)
                time.sleep(self.rng.uniform(0, 0.3))
        finally:
            for writer in self.writers:
                writer.stopped.set()
            for writer in self.writers:
                writer.join()
            for observer in lasting:
                self.end(observer)

    def end(self, observer: subprocess.Popen) -> None:
        try:
            _, told = observer.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.model.failures.append("an observer hangs")
            observer.kill()
            observer.communicate()
            return
        if observer.returncode:
            self.model.failures.append(f"an observer ended with {observer.returncode}: {told.decode()}")

    # --- trouble

    def trouble(self, plan: pathlib.Path) -> None:
        ways = {self.kill_a_reader: 6, self.hang_up: 1}
        if self.soak.server:
            ways |= {self.kill_readers: 2, self.kill_listeners: 2}
        self.rng.choices(list(ways), list(ways.values()))[0](plan)

    def kill_a_reader(self, plan: pathlib.Path) -> None:
        observer = self.observe(plan, self.rng.choice(["read", "look", "list", "hold"]))
        time.sleep(self.rng.uniform(0.05, 0.5))
        observer.send_signal(self.rng.choice([signal.SIGKILL, signal.SIGTERM]))
        observer.communicate()

    def hang_up(self, _) -> None:
        self.model.upsets.append(now())
        self.mount.process.send_signal(signal.SIGHUP)

    def kill_readers(self, _) -> None:
        self.model.upsets.append(now())
        self.soak.server.kill_readers()

    def kill_listeners(self, _) -> None:
        self.model.upsets.append(now())
        self.soak.server.kill_listeners()

    def restart(self) -> None:
        """The server forgets all, and is filled again."""
        for writer in self.writers:
            writer.pause.acquire()
        begin = now()
        self.soak.server.kill()
        time.sleep(self.rng.choice([0, 0.3]))
        self.soak.server.start()
        end = now()
        for key in self.model.keys:
            key.add(State(begin, end, None))
        self.fill()
        self.model.outages.append((begin, end))
        self.model.upsets.append(end)
        self.model.refills.append((begin, now()))
        for writer in self.writers:
            writer.pause.release()

    # --- what is found

    def check(self) -> list[str]:
        for writer in self.writers:
            if writer.error:
                raise writer.error
        for log in sorted(self.directory.glob("seen*")):
            for line in log.read_bytes().split(b"\n")[:-1]:  # who was killed may have left half a line
                self.model.check(json.loads(line))
        return self.model.failures

    def look_at_all(self) -> None:
        """With nothing else going on, each view of each key is what was written last."""
        if self.model.outages:
            time.sleep(max(0, self.model.outages[-1][1] + FOUND_AGAIN_AFTER - now()))
        for number, key in enumerate(self.model.keys):
            for view in (*WHOLE, *DECODED):
                for name in filter(None, (key.name, key.hash)):
                    self.model.check(self.look(number, view, name))

    def look(self, number: int, view: str, name: str) -> dict:
        seen = {"o": "whole", "k": number, "v": view, "n": name, "at": "open"}
        begin = now()
        try:
            with open(self.mount / view / name, "rb", buffering=0) as file:
                opened, content = now(), file.read()
                size = os.fstat(file.fileno()).st_size
        except OSError as e:
            return {**seen, "t": [begin, now(), now()], "error": name_of_error(e)}
        return {**seen, "t": [begin, opened, now()], "size": size, "length": len(content), "digest": digest(content), "head": content[:48].hex()}

    def clear(self) -> None:
        """Empty the cache, and look once more for all names, so that the kernel forgets them."""
        for key in (*(key.key for key in self.model.keys), *self.steady):
            self.writers[0].store.delete(key)
        time.sleep(self.soak.listed_ttl and self.soak.listed_ttl + LISTING_LATE)
        for view in (*WHOLE, *DECODED, "meta"):
            names = [name for key in self.model.keys for name in (key.name, key.hash) if name]
            if view not in DECODED:
                names += self.model.steady
            for name in (name + extension for name in names for extension in {"", EXTENSION.get(view, "")}):
                try:
                    os.stat(self.mount / view / name)
                    self.model.failures.append(f"{view}/{name} is there, and was deleted")
                except FileNotFoundError:
                    pass


class Soak:
    """Rounds on one mount, and what its daemon holds between them. `steady`: so many keys are only listed."""

    def __init__(self, mount, cache: Cache, server, directory: pathlib.Path, seed: int, steady: int, listed_ttl: float):
        self.mount, self.cache, self.server, self.directory = mount, cache, server, directory
        self.seed, self.steady, self.listed_ttl = seed, steady, listed_ttl
        self.failures: list[str] = []
        self.counts: Counter = Counter()
        self.held: list[dict[str, int]] = []  # after each round

    def round(self, number: int, seconds: float) -> None:
        r = Round(self, number, seconds)
        r.run()
        r.look_at_all()
        r.clear()
        self.failures += [f"round {number}: {failure}" for failure in r.check()]
        self.counts += r.model.counts
        self.held.append(self.hold_least())
        shutil.rmtree(r.directory)

    def run(self, seconds: float) -> None:
        """A short round, after which everything that comes to stay is there, and more until the time is over or something is wrong."""
        self.round(0, WARM_UP)
        end = now() + seconds
        while now() < end and not self.failures:
            self.round(len(self.held), max(min(ROUND, end - now()), 1))

    # --- the daemon

    def stats(self) -> dict[str, int]:
        text = (self.mount / ".ckfs/stats").read_text()
        return {name: int(value) for name, value in re.findall(r"^(\w+) (-?\d+)$", text, re.M)}

    def holds(self) -> dict[str, int]:
        stats, proc = self.stats(), pathlib.Path(f"/proc/{self.mount.pid}")
        return {
            **{gauge: stats[f"ckfs_{gauge}"] for gauge in GAUGES},
            "descriptors": len(list((proc / "fd").iterdir())),
            "threads": len(list((proc / "task").iterdir())),
            "memory": self.mount.rss_anon(),
        }

    def hold_least(self) -> dict[str, int]:
        """What it holds when nothing goes on any more and it has been told to drop what it keeps."""
        self.mount.process.send_signal(signal.SIGHUP)
        until(lambda: not any(self.holds()[gauge] for gauge in GAUGES), LET_GO)
        return self.holds()
