"""Runs the ckfs command as a user does."""

import contextlib
import os
import pathlib
import signal
import subprocess

import pytest

from waiting import PATIENCE, until

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CACHEKIT_") and k not in ("REDIS_URL", "TMPDIR")}
SELECTORS = {
    "CACHEKIT_API_KEY": "ck_live_secret",
    "CACHEKIT_REDIS_URL": "redis://:secret@localhost",
    "CACHEKIT_MEMCACHED_SERVERS": "localhost:11211",
    "CACHEKIT_FILE_CACHE_DIR": "/var/empty",
}


def mounts() -> list[str]:
    return open("/proc/mounts", errors="surrogateescape").readlines()


def mounted(path) -> str | None:
    """The line of /proc/mounts for a mountpoint; of a dead mount too."""
    return next((line for line in mounts() if line.split()[1] == str(path)), None)


class Command:
    """Runs ckfs over a cache, and takes down whatever it left."""

    def __init__(self, ckfs: str, source: str, tmp: pathlib.Path):
        self.ckfs, self.source, self.tmp, self.point = ckfs, source, tmp, tmp / "mnt"
        self.point.mkdir()
        self.foreground: list[subprocess.Popen] = []

    def __call__(self, *args, env: dict[str, str] | None = None, program: list[str] | None = None) -> subprocess.CompletedProcess:
        args = [*(program or [self.ckfs]), *map(str, args)]
        return subprocess.run(args, capture_output=True, text=True, timeout=PATIENCE, env={**ENVIRONMENT, **(env or {})}, cwd=self.tmp)

    def start(self, *args, program: list[str] | None = None, **options) -> subprocess.Popen:
        """In the foreground, until it serves."""
        process = subprocess.Popen([*(program or [self.ckfs]), "-f", *map(str, args)], stderr=subprocess.PIPE, env=ENVIRONMENT, cwd=self.tmp, **options)
        self.foreground.append(process)
        assert until(lambda: os.path.ismount(self.point) or process.poll() is not None)
        assert process.poll() is None, process.stderr.read()
        return process

    def daemons(self) -> list[int]:
        """Processes of this test that were started with its mountpoint."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state != "Z" and str(self.point).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def daemon(self) -> int:
        """The one that serves, once the command that has started it is gone."""
        assert until(lambda: len(self.daemons()) == 1)
        return self.daemons()[0]

    def signal(self, number: int) -> None:
        """To all daemons. One that was seen may have gone: the command that started it, or who ends with another."""
        for pid in self.daemons():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def clean(self) -> None:
        for line in mounts():
            path = line.split()[1]
            if path.startswith(str(self.tmp)):
                subprocess.run(["umount", "-l", path], capture_output=True)
        if not until(lambda: not self.daemons(), 5):
            self.signal(signal.SIGKILL)
        for process in self.foreground:
            process.kill()
            process.wait()
            process.stderr.close()


@pytest.fixture
def command(ckfs, cache, tmp):
    cache.set("key", b"value")
    made = Command(ckfs, cache.source, tmp)
    yield made
    made.clean()


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture
def nobody(command, cache):
    """Another user, to whom the test's files belong: what to put before a command. /dev/fuse is open to it, in a mount namespace."""
    command.tmp.chmod(0o755)
    cache.give(65534)
    os.chown(command.point, 65534, 65534)
    script = 'mknod -m 666 "$1" c 10 229; mount --bind "$1" /dev/fuse; echo; exec cat'
    args = ["unshare", "-m", "sh", "-euc", script, "sh", command.tmp / "fuse"]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as namespace:
        assert namespace.stdout.readline() == b"\n"
        yield ["nsenter", f"--mount=/proc/{namespace.pid}/ns/mnt", *NOBODY]
        command.signal(signal.SIGTERM)
        namespace.stdin.close()


def complaint(result: subprocess.CompletedProcess, *words: str) -> tuple:
    """(exit status, standard output, lines on stderr, words that are missing there)"""
    missing = [word for word in words if word.lower() not in result.stderr.lower()]
    return (result.returncode, result.stdout, result.stderr.count("\n"), missing and (missing, result.stderr))


REFUSED = (1, "", 1, [])
