"""§7 on a Redis server: what the daemon holds of a value, and of a listing."""

import os
import subprocess

import pytest

from caches import noise
from helpers import failure, memory, peak, read, reset_peak
from redis_server import db, proxy, server  # noqa: F401 - fixtures
from waiting import PATIENCE

MIB = 1 << 20
SIZE = 256 * MIB
KEYS = 1_000_000

# Without a script, a million commands would take longer than what is tested.
MANY_KEYS = "for i = ARGV[1], ARGV[2] do redis.call('SET', 'ns:many:func:app.load:args:' .. i, 'value ' .. i) end"

pytestmark = [pytest.mark.memory, pytest.mark.once]


@pytest.fixture
def large(server, db):
    value = noise(MIB) * (SIZE // MIB)
    db.set("k", value)
    return value


def test_an_open_value_costs_its_size(server, large, mount):
    m = mount(server.url, "cache_size=1G")
    failure(m / "none")
    before, held_before = reset_peak(m), memory(m, "RssAnon", "RssShmem")
    with open(m / "k", "rb", buffering=0) as file:
        assert file.read(MIB) == large[:MIB]
        most, held = peak(m) - before, memory(m, "RssAnon", "RssShmem") - held_before
    assert (most <= SIZE * 1.05, held <= SIZE * 1.05) == (True, True), (most / SIZE, held / SIZE)


def test_reading_a_value_through_costs_no_more(server, large, mount):
    m = mount(server.url, "cache_size=1G")
    failure(m / "none")
    before = reset_peak(m)
    assert read(m / "k") == large
    assert peak(m) - before <= SIZE * 1.05


def test_a_value_over_the_cache_size_costs_next_to_nothing(server, large, mount, tmp):
    (tmp / "spool").mkdir()
    m = mount(server.url, "cache_size=32M", f"spool_dir={tmp / 'spool'}")
    before = memory(m, "RssAnon", "RssShmem")
    with open(m / "k", "rb", buffering=0) as file:
        assert file.read(MIB) == large[:MIB]
        assert memory(m, "RssAnon", "RssShmem") - before <= 32 * MIB


def test_many_who_open_a_value_share_it(server, large, mount):
    m = mount(server.url, "cache_size=1G")
    before = reset_peak(m)
    readers = [subprocess.Popen(["cat", m / "k"], stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [reader.wait(PATIENCE) for reader in readers] == [0] * 4
    assert peak(m) - before <= SIZE * 1.05


def test_versions_that_went_are_not_held(server, db, mount):
    m = mount(server.url, "cache_size=64M")
    value = noise(32 * MIB)
    before = memory(m, "RssAnon", "RssShmem")
    for n in range(10):
        db.set("k", value[: len(value) - n])
        assert len(read(m / "k")) == len(value) - n
    assert memory(m, "RssAnon", "RssShmem") - before <= 72 * MIB


@pytest.fixture
def crowded(server, db):
    for first in range(1, KEYS, 50_000):
        db.eval(MANY_KEYS, 0, first, first + 49_999)
    assert db.dbsize() == KEYS
    return server


def test_names_of_a_million_keys_are_listed_in_bounded_memory(crowded, mount):
    m = mount(crowded.url)
    failure(m / "none")
    before = reset_peak(m)
    lines = subprocess.run(["ls", "-f", m / "raw"], check=True, capture_output=True).stdout.count(b"\n")
    most = peak(m) - before
    assert (lines, most <= 64 * MIB) == (KEYS + 2, True), most / MIB


@pytest.mark.parametrize("knows_type", [True, False])
def test_long_names_are_kept_once_and_not_asked_for_together(server, db, proxy, mount, knows_type):
    """A name may be as long as a value, and each of the commands that tell of a key has it."""
    names = [b"%d" % i + b"k" * (8 * MIB) for i in range(8)]
    for name in names:
        db.set(name, b"v")
    if not knows_type:
        proxy.requests = lambda data: data.replace(b"$4\r\nTYPE\r\n$6\r\nstring", b"$4\r\nTYPO\r\n$6\r\nstring")
    m = mount(proxy.url, "cache_size=64M", "timeout=60")
    failure(m / "none")
    before, held_before = reset_peak(m), memory(m, "RssAnon")
    listed = [entry.stat().st_size for entry in os.scandir(m / "raw")]
    assert listed == [1] * 8
    # The names that the kernel knows, and those that were listed; in between they lie in the spool.
    assert (memory(m, "RssAnon") - held_before) / MIB < 64 + 48
    assert (peak(m) - before) / MIB < 64 + 64 + 96
