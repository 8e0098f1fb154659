"""
Everything at once: writers, readers, listings, readers that are killed, expiry, links and renames, files that are cut, lost connections and servers,
SIGHUP and little memory. Each look at the mount has to be one that a model of the cache explains, and afterwards nothing is left of it all.

    pytest tests/fault/test_soak.py --soak-seconds 3600 [--soak-seed N]

A failure tells the seed, what was seen, and what the key was then.
"""

from __future__ import annotations

import os
import pathlib
import random
import re
import tempfile

import pytest

from caches import Cache, FileCache, RedisCache
from redis_server import running
from soak.run import GAUGES, Soak
from soak.values import MASTER

MIB = 1 << 20
CONNECTIONS, FETCHERS, RECORDS = 16, 12, 16 * MIB  # the most that there may be of what is known of a server

# What a daemon may log while it is treated so.
EXPECTED = re.compile(
    r"ckfs: ((arrow|npy|msgpack|json)/.* \((EBADMSG|EUCLEAN|ENOKEY|EIO)\)"
    r"|.*: Input/output error \(EIO\)"
    r"|.*: Connection refused.*"
    r"|.*: the server has closed the connection"
    r"|.*: the server answers again)"
)


@pytest.fixture(params=["disk", "memory", "redis"])
def backend(request, tmp):
    """A cache, its server, and how many keys are only listed."""
    if request.param == "disk":
        yield FileCache(tmp / "cache"), None, 10
    elif request.param == "memory":
        # Such a directory has names at other places when it was changed; one buffer of the kernel's does not hold so many.
        with tempfile.TemporaryDirectory(prefix="ckfs-test-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
            yield FileCache(pathlib.Path(directory) / "cache"), None, 1300
    else:
        with running() as server:
            yield RedisCache(server, 0, tmp), server, 1300  # more than a page of SCAN


def is_sanitized(mount) -> bool:
    """A sanitizer makes a daemon's memory many times larger."""
    return re.search(rb"__[at]san_init", pathlib.Path(mount.process.args[0]).read_bytes()) is not None


def soak(request, mount, tmp, seed: int, cache: Cache, server, steady: int) -> Soak:
    listed_ttl = seed % 2
    m = mount(cache, "cache_size=4M", f"listed_ttl={listed_ttl}", env={"CACHEKIT_MASTER_KEY": MASTER})
    s = Soak(m, cache, server, tmp, seed, steady, listed_ttl)
    s.run(request.config.getoption("--soak-seconds"))
    return s


def test_soak(request, backend, mount, tmp):
    seed = request.config.getoption("--soak-seed")
    seed = seed or random.randrange(1 << 16)
    s = soak(request, mount, tmp, seed, *backend)
    print(f"--soak-seed {seed}: {len(s.held)} rounds, {dict(s.counts)}, {s.held[-1]}")
    assert not s.failures, f"--soak-seed {seed}: {len(s.failures)} looks that nothing explains\n" + "\n".join(s.failures[:5])
    first, last = s.held[0], s.held[-1]
    assert [held for held in s.held if any(held[gauge] for gauge in GAUGES)] == []
    # A server's connections, and the threads that wait for it, are made when many wait at once, and stay.
    assert last["descriptors"] <= first["descriptors"] + (CONNECTIONS if s.server else 4), (seed, s.held)
    assert last["threads"] <= first["threads"] + (FETCHERS if s.server else 4), (seed, s.held)
    if not is_sanitized(s.mount):
        assert last["memory"] <= first["memory"] + (RECORDS if s.server else 0) + 8 * MIB, (seed, s.held)
    assert [line for line in s.mount.log().splitlines() if not EXPECTED.fullmatch(line)] == []
    s.mount.unmount()
