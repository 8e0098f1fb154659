"""Fixtures: a file cache filled by the real cachekit package, and ckfs mounts over it.

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
import struct
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What a sanitizer or the kernel side of libfuse prints when something is wrong.
SUSPICIOUS = re.compile(
    r"runtime error:|AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehavior|fuse: (?!warning)|Assertion|double free|corrupted"
)


def pytest_addoption(parser):
    parser.addoption("--ckfs", default=str(ROOT / "build" / "ckfs"), help="the binary under test")


def pytest_configure(config):
    config.addinivalue_line("markers", "memory: measures the daemon's memory, which a sanitizer makes many times larger")


# Why a test may be skipped. For any other reason it fails.
SKIPS = (
    "hiredis had no TLS when this ckfs was built (ckfs -V: TLS: no)",
    "this ckfs has TLS",
    "only root may mount a file system that is full",
    "others may lock little memory",
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


@pytest.fixture
def tmp():
    """A short private directory, on the disk that holds the temporary files."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Cache:
    """A cache directory written by cachekit's own FileBackend."""

    def __init__(self, path: pathlib.Path):
        from cachekit.backends.file import FileBackend
        from cachekit.backends.file.config import FileBackendConfig

        class Backend(FileBackend):
            """The real backend; it can be told the key, and tells the one it used."""

            forced_key = None
            last_key = None

            def set(self, key, *args, **kwargs):
                self.last_key = self.forced_key or key
                return super().set(self.last_key, *args, **kwargs)

            def set_streaming(self, key, *args, **kwargs):
                self.last_key = self.forced_key or key
                return super().set_streaming(self.last_key, *args, **kwargs)

        self.dir = path
        self.backend = Backend(
            FileBackendConfig(cache_dir=path, max_size_mb=200_000, max_value_mb=50_000, max_entry_count=1_000_000)
        )

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        """Store a whole value (what goes behind the 14-byte entry header) under a key."""
        self.backend.set(key, value, ttl)

    def put(self, key: str | None, obj, serializer="auto", ttl: int | None = 3600, **options) -> str:
        """Store an object as an application does, through cachekit's decorator. Returns the stored key.

        The decorator makes a key of its own; with `key` the same bytes go under that key instead.
        """
        from cachekit import cache

        self.backend.forced_key = key
        before = self.backend.last_key = None
        try:

            @cache(backend=self.backend, serializer=serializer, ttl=ttl, **options)
            def produce(nonce):
                return obj

            produce(os.urandom(8))
        finally:
            self.backend.forced_key = None
        assert self.backend.last_key is not before, f"cachekit stored nothing for {type(obj)}"
        return self.backend.last_key

    def value(self, key: str) -> bytes:
        """The stored value as the backend's get returns it."""
        value = self.backend.get(key)
        assert value is not None
        return value

    def payload(self, key: str) -> bytes:
        """What the SDK's own unwrap returns."""
        from cachekit.serializers.wrapper import SerializationWrapper

        return bytes(SerializationWrapper.unwrap(self.value(key))[0])

    def hash(self, key: str) -> str:
        return os.path.basename(self.backend._key_to_path(key))

    def path(self, key: str) -> pathlib.Path:
        """The entry's file."""
        return self.dir / self.hash(key)

    def write_file(self, key: str, content: bytes) -> pathlib.Path:
        """Put a whole entry file, header included, where the backend would: for broken entries."""
        temporary = self.dir / f"{self.hash(key)}.tmp.1.1"
        temporary.write_bytes(content)
        temporary.rename(self.path(key))
        return self.path(key)

    @staticmethod
    def entry_header(expires: int = 0) -> bytes:
        return b"CK\x01\x00" + struct.pack(">HQ", 0, expires)


@pytest.fixture
def cache(tmp) -> Cache:
    return Cache(tmp / "cache")


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
                source = source.dir
            path = tmp / f"mnt{len(made)}"
            m = Mount(ckfs, None if source is None else str(source), path, options, env or {})
            made.append(m)
            stack.callback(m.unmount)
            return m

        made: list[Mount] = []
        yield make


@contextlib.contextmanager
def mounted(ckfs: str, cache: Cache, *options: str, env: dict[str, str] | None = None):
    """A mount beside the cache's directory, for tests that share one."""
    m = Mount(ckfs, str(cache.dir), cache.dir.with_name("mnt"), options, env or {})
    try:
        yield m
    finally:
        m.unmount()


@pytest.fixture(scope="module")
def shared_cache():
    """A cache that the tests of a module share."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-test-"))
    yield Cache(path / "cache")
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def mnt(cache, mount) -> Mount:
    """A mount over the test's cache, with default options."""
    return mount(cache)
