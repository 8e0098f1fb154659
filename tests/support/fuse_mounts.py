"""
Mounts without a kernel: `fuse-probe` (tests/unit/fuse_probe.c, built with -Dfuzz=enabled beside the binary under test) calls the operations of fs/fuse, over
a backend that does what it is told. It exits with an error when a request was not answered exactly once, or was touched after its answer: each test ends with that.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess

import pytest

from waiting import PATIENCE, until

ROOT, RAW, FRAME, JSON = 1, 2, 3, 7  # directories, by their inode numbers

# How a mount asks its backend: on the spot; on the request's thread; on a thread that waits.
LOCAL, HERE, ELSEWHERE = ("local", "4"), ("remote", "4"), ("remote", "1")


class Request:
    def __init__(self, mount, command: str):
        self.mount = mount
        self.number = mount.ask(command)

    def reply(self) -> dict | None:
        """None: there is none within two seconds."""
        return self.mount.ask(f"reply {self.number}")

    def interrupt(self) -> Request:
        self.mount.ask(f"interrupt {self.number}")
        return self

    def returns(self) -> bool:
        """Whether the thread that took it comes back within two seconds."""
        return self.mount.ask(f"returned {self.number}")


class Mount:
    def __init__(self, path: pathlib.Path, kind: tuple[str, str]):
        self.log = ""  # what it is to log
        self.process = subprocess.Popen([path, *kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ask(self, line: str):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, *words) -> Request:
        return Request(self, " ".join(map(str, words)))

    def do(self, *words) -> dict | None:
        return self.start(*words).reply()

    def put(self, key: str, version: int, value: bytes | None = None, expires: int = 0) -> None:
        self.ask(f"put {key} {version} {expires} {(value if value is not None else content(version)).hex()}")

    def lookup(self, name: str = "k", parent: int = FRAME) -> int:
        return self.do("lookup", parent, name)["ino"]

    def listed(self, name: str = "k", parent: int = FRAME) -> int:
        """The inode that a listing gives."""
        directory = self.start("opendir", parent)
        assert directory.reply() == {"open": True}
        lines = self.do("readdirplus", directory.number, 0)["lines"]
        assert self.do("releasedir", directory.number) == OK
        return lines[name]

    def opened(self, ino: int) -> bytes:
        """What is read from it."""
        file = self.start("open", ino)
        assert file.reply() == {"open": True}
        read = bytes.fromhex(self.do("read", file.number)["hex"])
        assert self.do("release", file.number) == OK
        return read

    def counts(self) -> tuple[int, int, int]:
        """Inodes, open files, promises, once all work is done that nobody waits for."""
        return tuple(self.ask("counts").values())

    def counts_become(self, *wanted: int) -> bool:
        return until(lambda: self.counts() == wanted)

    def hold(self, point: str, deaf: bool = False) -> int:
        """The calls that were made before."""
        self.ask(f"{'deafen' if deaf else 'hold'} {point}")
        return self.ask(f"calls {point}")

    def held(self, point: str, before: int, *words) -> Request:
        """A request that has come to a point where it is held."""
        request = self.start(*words)
        assert until(lambda: self.ask(f"calls {point}") > before)
        return request


OK = {"error": "0"}
EINTR = {"error": "EINTR"}


def content(version: int, size: int = 600) -> bytes:
    """More than is found of a value by its head."""
    return bytes([version]) * size


# What it is, is told at its end: a lookup has all of it fetched.
LEGACY = json.dumps({"data": base64.b64encode(bytes(900)).decode(), "metadata": {}, "serializer": "default", "version": "2.0"}).encode()


@pytest.fixture
def start(request):
    """Mounts of a kind, which end well."""
    directory = pathlib.Path(request.config.getoption("--ckfs")).resolve().parent
    path = directory / "tests" / "fuzz" / "fuse-probe"
    assert os.access(path, os.X_OK), f"{path}: build it first (meson configure {directory} -Dfuzz=enabled && ninja -C {directory})"
    mounts = []

    def start_one(kind):
        mounts.append(Mount(path, kind))
        return mounts[-1]

    yield start_one
    for m in mounts:
        said = m.process.communicate("end\n", timeout=PATIENCE)[1]
        assert (m.process.returncode, said) == (0, m.log)


@pytest.fixture(params=[LOCAL, HERE, ELSEWHERE], ids=["local", "here", "elsewhere"])
def mount(request, start):
    return start(request.param)


@pytest.fixture(params=[HERE, ELSEWHERE], ids=["here", "elsewhere"])
def remote(request, start):
    return start(request.param)


@pytest.fixture
def local(start):
    return start(LOCAL)
