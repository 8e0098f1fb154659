"""Running mounts, of a test's own and shared by the tests of a module."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from caches import Cache
from waiting import PATIENCE

# What a sanitizer or the kernel side of libfuse prints when something is wrong.
SUSPICIOUS = re.compile(
    r"runtime error:|AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehavior|fuse: (?!warning|reading device: Software caused connection abort)|Assertion|double free|corrupted"
)


@contextlib.contextmanager
def home():
    """A short private directory, on the disk that holds the temporary files."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def mounted_fs(*args):
    """A file system, mounted by these arguments of mount; the last one is where."""
    if subprocess.run(["mount", *map(str, args)], capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(args[-1])], check=True)


class Mount:
    """One running ckfs, in the foreground, its stderr in a file."""

    def __init__(self, ckfs: str, source: str | None, path: pathlib.Path, options: tuple[str, ...], env: dict[str, str]):
        self.path = path
        self.said = 0  # bytes of its log that belong to earlier tests
        self.stderr = path.with_name(path.name + ".log")
        path.mkdir(exist_ok=True)
        args = [ckfs, "-f"]
        for option in options:
            args += ["-o", option]
        if source is not None:
            args.append(source)
        with open(self.stderr, "wb") as log:
            self.process = subprocess.Popen([*args, str(path)], stderr=log, env={**os.environ, **env})
        deadline = time.monotonic() + PATIENCE
        while not os.path.ismount(path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"{args} did not mount: {self.log()}")
            time.sleep(0.01)

    def __truediv__(self, name: str) -> pathlib.Path:
        return self.path / name

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        """What the daemon has said; where tests share it, to this one."""
        return self.stderr.read_bytes()[self.said :].decode(errors="replace")

    def log_lines(self, text: str) -> list[str]:
        return [line for line in self.log().splitlines() if text in line]

    def rss_anon(self) -> int:
        """Private memory of the daemon in bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024

    def cpu_ticks(self) -> int:
        """What the daemon has used of the CPUs so far, mostly in hundredths of a second."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def is_mounted(self) -> bool:
        """Also when the daemon is dead, which os.path.ismount does not see."""
        mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        return any(line.split()[1] == str(self.path) for line in mounts)

    def end(self) -> bool:
        """Ends the daemon as a user would. False when that takes too long: then it is killed."""
        if self.process.poll() is not None:
            return True
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True

    def abandon(self) -> None:
        """Ends it, whatever state it is in."""
        self.process.kill()
        self.process.wait()
        if self.is_mounted():
            subprocess.run(["umount", "-l", str(self.path)], check=False)

    def unmount(self) -> None:
        """Ends the daemon, and looks at what it left behind."""
        ended = self.end()
        left = self.is_mounted()
        if left:
            subprocess.run(["umount", "-l", str(self.path)], check=False)
        assert ended, f"ckfs did not end on SIGTERM: {self.log()}"
        assert not left, f"ckfs ended and left its mount: {self.log()}"
        assert self.process.returncode == 0, f"exit {self.process.returncode}: {self.log()}"
        assert not SUSPICIOUS.search(self.log()), self.log()


@contextlib.contextmanager
def mounted(ckfs: str, cache: Cache, *options: str, env: dict[str, str] | None = None):
    """A mount in the cache's home, for tests that share one."""
    m = Mount(ckfs, cache.source, cache.home / "mnt", options, {**cache.env, **(env or {})})
    try:
        yield m
    finally:
        m.unmount()


class Shared:
    """A cache that the tests of a module share, and its mounts: one for each set of options and environment that a test wants."""

    def __init__(self, ckfs: str, cache: Cache):
        self.ckfs, self.cache, cache.shared = ckfs, cache, self
        self.mounts: dict[tuple, Mount] = {}
        self.made = 0
        self.stored: set = set()

    def mount(self, options: tuple[str, ...], env: dict[str, str]) -> Mount:
        wanted = (options, tuple(sorted(env.items())))
        if wanted not in self.mounts:
            self.made += 1
            self.mounts[wanted] = Mount(self.ckfs, self.cache.source, self.cache.home / f"mnt{self.made}", options, {**self.cache.env, **env})
        return self.mounts[wanted]

    def begin(self) -> None:
        """A test begins: it has keys of its own, and sees of the logs what is said from now on."""
        self.cache.number += 1
        for m in self.mounts.values():
            m.said = m.stderr.stat().st_size

    def end(self, failed: bool) -> None:
        """A test ends: nothing of it is left to others, nor a mount that may be damaged."""
        names = self.cache.remove_all()
        again = names & self.stored
        self.stored |= names
        logs = [m.log() for m in self.mounts.values() if m.process.poll() is not None or SUSPICIOUS.search(m.log())]
        if failed or logs:
            self.close(check=not logs)
        assert not logs, "ckfs has ended, or complains:\n" + "\n".join(logs)
        assert not again, f"another test of this cache has stored {again}: each has keys of its own (cache.key)"

    def close(self, check: bool = True) -> None:
        with contextlib.ExitStack() as stack:
            for m in self.mounts.values():
                stack.callback(m.unmount if check else m.abandon)
            self.mounts = {}


def shares(node) -> bool:
    """Whether a test has its cache and mounts together with others. What measures a daemon has it alone."""
    return bool(node.get_closest_marker("shared_mount")) and not any(node.get_closest_marker(name) for name in ("own_mount", "memory"))
