"""Fixtures: caches filled by the real cachekit package, and ckfs mounts over them.

The binary under test is `--ckfs PATH` (default: build/ckfs). Each test has its own
directory; mounts and servers are taken down also when the test fails.
"""

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

import redis_server
from caches import Cache, FileCache, RedisCache
from redis_server import running

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What a sanitizer or the kernel side of libfuse prints when something is wrong.
SUSPICIOUS = re.compile(
    r"runtime error:|AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehavior|fuse: (?!warning|reading device: Software caused connection abort)|Assertion|double free|corrupted"
)


def pytest_addoption(parser):
    parser.addoption("--ckfs", default=str(ROOT / "build" / "ckfs"), help="the binary under test")
    parser.addoption("--redis-server", default="redis-server", help="the server that tests start, as redis-server or valkey-server")


def pytest_configure(config):
    # A shell has its background jobs ignore ^C, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    redis_server.PROGRAM = shutil.which(config.getoption("--redis-server")) or pytest.exit("--redis-server: no such program")
    config.addinivalue_line("markers", "file_only: is about what only a cache directory has")
    config.addinivalue_line("markers", "decoding_only: is one of many about the decoding of a small value, however it was found")
    config.addinivalue_line("filterwarnings", "ignore:Call to deprecated setex:DeprecationWarning")  # the package's own
    config.addinivalue_line("markers", "memory: measures the daemon's memory, which a sanitizer makes many times larger")


# Why a test may be skipped. For any other reason it fails.
SKIPS = (
    "hiredis had no TLS when this ckfs was built (ckfs -V: TLS: no)",
    "this ckfs has TLS",
    "only root may mount a file system that is full",
    "others may lock little memory",
    "this machine has no IPv6",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2]
        if not reason.endswith(SKIPS):
            report.outcome = "failed"
            report.longrepr = f"skipped for a reason that nobody expects: {reason}"
    return report


@pytest.fixture(scope="session")
def ckfs(request) -> str:
    """Path of the binary under test."""
    path = os.path.abspath(request.config.getoption("--ckfs"))
    assert os.access(path, os.X_OK), f"{path}: build it first (meson setup build && ninja -C build)"
    return path


@contextlib.contextmanager
def home():
    """A short private directory, on the disk that holds the temporary files."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def tmp():
    with home() as path:
        yield path


def pytest_generate_tests(metafunc):
    """What works on a cache runs on each backend, but for tests that are marked."""
    once = any(metafunc.definition.get_closest_marker(name) for name in ("file_only", "decoding_only"))
    kinds = ["file"] if once else ["file", "redis"]
    for name in ("cache", "shared_cache"):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, kinds, indirect=True)


@pytest.fixture(scope="session")
def redis_of_the_session():
    """A Redis server, for every user: starting one for each test would take longer than most tests."""
    with running("--unixsocketperm", "777") as server:
        server.directory.chmod(0o755)
        yield server


def empty_redis(request, db: int, path: pathlib.Path) -> RedisCache:
    cache = RedisCache(request.getfixturevalue("redis_of_the_session"), db, path)
    cache.clear()
    return cache


def cache_of(request, db: int, path: pathlib.Path) -> Cache:
    """An empty cache of the backend that the test is to run on."""
    return FileCache(path / "cache") if request.param == "file" else empty_redis(request, db, path)


@pytest.fixture
def cache(request, tmp) -> Cache:
    return cache_of(request, 0, tmp)


@pytest.fixture(scope="module")
def shared_cache(request):
    """A cache that the tests of a module share."""
    with home() as path:
        yield cache_of(request, 1, path)


class Mount:
    """One running ckfs, in the foreground, its stderr in a file."""

    def __init__(self, ckfs: str, source: str | None, path: pathlib.Path, options: tuple[str, ...], env: dict[str, str]):
        self.path = path
        self.stderr = path.with_name(path.name + ".log")
        path.mkdir(exist_ok=True)
        args = [ckfs, "-f"]
        for option in options:
            args += ["-o", option]
        if source is not None:
            args.append(source)
        with open(self.stderr, "wb") as log:
            self.process = subprocess.Popen([*args, str(path)], stderr=log, env={**os.environ, **env})
        deadline = time.monotonic() + 30
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
        return self.stderr.read_text(errors="replace")

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
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True

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


@pytest.fixture
def mount(ckfs, tmp, request):
    """mount(source, *options, env={}) -> Mount. `source` may be a Cache, a path, a URL or None (environment)."""
    with contextlib.ExitStack() as stack:

        def make(source, *options: str, env: dict[str, str] | None = None) -> Mount:
            if isinstance(source, Cache):
                source = source.source
            path = tmp / f"mnt{len(made)}"
            m = Mount(ckfs, None if source is None else str(source), path, options, env or {})
            made.append(m)
            stack.callback(m.unmount)
            return m

        made: list[Mount] = []
        yield make


@contextlib.contextmanager
def mounted(ckfs: str, cache: Cache, *options: str, env: dict[str, str] | None = None):
    """A mount in the cache's home, for tests that share one."""
    m = Mount(ckfs, cache.source, cache.home / "mnt", options, env or {})
    try:
        yield m
    finally:
        m.unmount()


@pytest.fixture
def mnt(cache, mount) -> Mount:
    """A mount over the test's cache, with default options."""
    return mount(cache)
