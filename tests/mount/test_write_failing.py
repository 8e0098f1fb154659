"""§8 of the contract: each system call of the write path fails in turn. There is the old value or the new one, and whoever was told that it is stored finds it."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import time
from collections.abc import Iterable

import pytest

from failing_calls import ALL, CLASSES, PERMITTED, Failing, compiled
from helpers import errno_name
from mounts import Mount, home
from stores import cache_of
from waiting import until
from writing import frame, write

# Besides those that reading makes.
WRITING = {
    "pwrite": (errno.ENOSPC, errno.EIO, errno.EINTR, errno.EDQUOT, errno.ENOMEM),
    "fsync": (errno.EIO, errno.ENOSPC, errno.EDQUOT),
    "rename": (errno.EIO, errno.ENOSPC, errno.ENOMEM, errno.EACCES, errno.EXDEV),
    "flock": (errno.EINTR, errno.ENOLCK, errno.EIO),
    "xattr": (errno.EIO, errno.ENOSPC, errno.ENOMEM, errno.EOPNOTSUPP),
}
READING = {name: CLASSES[name] for name in ("open", "read", "stat", "getdents", "mmap", "memfd", "fallocate", "malloc", "socket", "connect", "recv", "send", "poll")}

# Where not every call fails: so many of a class and step.
SAMPLE = 25


# What Memcached and the service share with Redis, as the way to the spool, fails there. These have connections of their own.
CONNECTING = ("socket", "connect", "recv", "send", "poll", "malloc")
STORES = {"file": [*WRITING, *READING], "redis": [*WRITING, *READING], "memcached": CONNECTING, "http": CONNECTING}

# What may fail when the change was made, or may be made yet.
AFTER_SENDING = ("recv", "send", "poll", "malloc")


def on(stores: dict[str, Iterable[str]]):
    """The test is about these calls, on these stores."""
    pairs = [pytest.param(store, calls, marks=pytest.mark.memory if calls == "malloc" else ()) for store in stores for calls in stores[store]]
    return pytest.mark.parametrize("written, calls", pairs, indirect=["written"], scope="module")


@pytest.fixture(scope="module")
def written(request, ckfs, tmp_path_factory):
    library = compiled(tmp_path_factory.mktemp("failing"))
    with home() as path, contextlib.ExitStack() as stack:
        cache = cache_of(request, 3, path)
        failing = Failing(path / "calls", library)
        (path / "spool").mkdir()
        m = Mount(ckfs, cache.source, path / "mnt", ("write", "cache_size=1M", "timeout=2", f"spool_dir={path}/spool"), {**cache.env, **failing.env})
        stack.callback(m.unmount)
        yield Written(cache, m, failing)


class Written:
    """Changes of one key. Each begins with a value and an expiry that are known."""

    def __init__(self, cache, m, failing):
        self.cache, self.m, self.failing = cache, m, failing
        self.number = 0

    def value(self, size: int) -> bytes:
        self.number += 1
        return frame(f"{self.number:09}", size)

    def create(self):
        self.cache.delete("k")
        value = self.value(3000)
        return None, value, lambda: write(self.m / "frame/k", value)

    def write_over(self, size: int = 3000):
        old, new = self.value(100), self.value(size)
        self.cache.set("k", old, 900)
        return old, new, lambda: write(self.m / "frame/k", new)

    def write_large(self):
        return self.write_over(900_000 if self.cache.KIND == "memcached" else 3 << 20)

    def write_part(self):
        old = self.value(200_000)
        new = old.replace(b"xxxx", b"yyyy", 1)
        self.cache.set("k", old, 900)

        def change():
            with open(self.m / "frame/k", "r+b", buffering=0) as file:
                file.seek(old.index(b"xxxx"))
                file.write(b"yyyy")

        return old, new, change

    def remove(self):
        old = self.value(100)
        self.cache.set("k", old, 900)
        return old, None, lambda: os.unlink(self.m / "frame/k")

    def expire(self):
        old = self.value(100)
        self.cache.set("k", old, 900)
        return old, old, lambda: os.setxattr(self.m / "frame/k", "user.ckfs.ttl", b"5000")

    def attempt(self, change, calls: str, number: int, first: int) -> list[str]:
        """What is wrong with what came of it."""
        old, new, call = getattr(self, change)()
        self.failing.begin(calls, number, first)
        result = None
        try:
            call()
        except OSError as e:
            result = errno_name(e.errno)
        self.failing.end()
        where = f"{change}, {calls} {first} {errno.errorcode[number]}: {result}; {self.failing.where}"
        found = self.cache.backend.get("k")
        # A connection that was lost after its command was sent: the server may be about it still.
        unsure = self.cache.FETCHES and calls in AFTER_SENDING
        permitted = PERMITTED | {"EACCES", "EBUSY", "ENOLCK", "ESTALE", errno.errorcode[number]}
        wrong = [] if result is None or result in permitted else [f"{where}: this is no error of a call that failed"]
        if found != new and (result is None or found != old):
            wrong.append(f"{where}: there is {str(found)[-60:]}, not {str(new)[-60:]}")
        if change not in ("expire",) and result is not None and found != old and not unsure:
            wrong.append(f"{where}: it is stored all the same")
        return wrong + self.strays(where)

    def strays(self, where: str) -> list[str]:
        if self.cache.FETCHES:
            return []
        left = [name for name in os.listdir(self.cache.dir) if name != self.cache.hash("k")]
        # The SDK counts no temporary files, and removes those that a failed unlink has left.
        wrong = [f"{where}: {name} is left" for name in left if ".tmp." not in name or "unlink" not in self.failing.where]
        for name in left:
            (self.cache.dir / name).unlink(missing_ok=True)
        return wrong

    def calls_of(self, change, calls: str) -> int:
        call = getattr(self, change)()[2]
        self.failing.begin(calls)
        call()
        self.failing.end()
        return self.failing.seen


CHANGES = ["create", "write_over", "write_large", "write_part", "remove", "expire"]


@on(STORES)
def test_a_call_that_fails_leaves_the_old_value_or_the_new_one(written, calls, request):
    numbers = {**WRITING, **READING}[calls]
    choice = random.Random(calls)
    wrong = []
    for change in CHANGES:
        count = written.calls_of(change, calls)
        firsts = range(1, count + 1)
        if not request.config.getoption("--every-call") and count > SAMPLE:
            firsts = sorted(choice.sample(firsts, SAMPLE))
        for first in firsts:
            wrong += written.attempt(change, calls, numbers[first % len(numbers)], first)
            # What failed is not remembered. A server that was lost is not asked for a moment.
            assert until(lambda: works(written)), f"after {change}, {calls} {first}: {written.failing.where}"
    assert wrong == []


@on({store: ["malloc", "mmap", "pwrite"] for store in ("file", "redis")})
def test_who_writes_on_after_a_call_that_failed_in_fsync_loses_nothing_of_it(written, calls):
    number, first, failed = {**WRITING, **READING}[calls][0], 0, True
    while failed:
        first += 1
        old, new, _ = written.write_large()
        with open(written.m / "frame/k", "wb", buffering=0) as file:
            half = file.write(new[: len(new) // 2])
            written.failing.begin(calls, number, first)
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())
            written.failing.end()
            failed = written.failing.seen >= first
            while half < len(new):
                half += file.write(new[half : half + 100_000])
        assert written.cache.backend.get("k") == new, f"{calls} {first}: {written.failing.where}"


@pytest.mark.parametrize("written, number", [("file", errno.EIO), ("file", errno.ENOSYS)], indirect=["written"], scope="module")
def test_a_large_value_goes_to_the_disk_while_it_is_written_and_where_it_does_not_it_is_stored_all_the_same(written, number):
    old, new, change = written.write_over(40 << 20)
    written.failing.begin("sync_file_range", number, 1, ALL)
    change()
    written.failing.end()
    assert written.failing.failed == 2  # each 16 MiB
    assert written.cache.backend.get("k") == new


def works(written) -> bool:
    value = written.value(50)
    try:
        write(written.m / "frame/k", value)
    except OSError:
        time.sleep(0.02)
        return False
    return written.cache.value("k") == value
