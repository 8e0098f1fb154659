"""§2, §7: decoded content is made once, shared, bounded, and spilled where it is too large for memory."""

from __future__ import annotations

import concurrent.futures
import json
import os
import random
import signal
import subprocess

import pandas as pd
import pytest
from cachekit.serializers.arrow_serializer import ArrowSerializer

from documents import MASTER, opened, seal, store
from entries import slurp, spooled, stats
from helpers import failure, meta, name_of, peak, reset_peak
from mounts import mounted_fs
from waiting import until

MIB = 1 << 20
numbers = random.Random(4)


def noise(mib: float) -> list[str]:
    """A value whose document takes so many MiB, compressed or not."""
    return [numbers.randbytes(512).hex() for _ in range(int(mib * 1024))]


def fill(cache, *keys: str, mib: float = 1, sealing=None) -> None:
    for key in keys:
        store(cache, key, noise(mib), sealing=sealing)


def decodes(m) -> float:
    return stats(m)["ckfs_decodes_total"]


def kept(m) -> float:
    return stats(m)["ckfs_decoded_bytes"]


def settled(m) -> bool:
    """Whether the daemon comes to hold no entry: what is held cannot give way, whenever it was used last.

    The kernel tells of a close a little after it, a thread may still be at the end of a request that was answered, and
    an entry that was found is kept for a second.
    """
    return until(lambda: stats(m)["ckfs_entries"] == 0)


def decoded_by(m, call) -> float:
    """How many decodings a call costs."""
    before = decodes(m)
    call()
    return decodes(m) - before


@pytest.fixture
def spool(tmp):
    path = tmp / "spool"
    path.mkdir()
    return path


# Once


def test_a_second_read_decodes_nothing(cache, mnt):
    fill(cache, "k")
    slurp(mnt / "msgpack/k.msgpack")
    assert decoded_by(mnt, lambda: slurp(mnt / "msgpack/k.msgpack")) == 0


def test_a_second_read_of_the_json_decodes_nothing(cache, mnt):
    fill(cache, "k")
    slurp(mnt / "json/k.json")
    assert decoded_by(mnt, lambda: slurp(mnt / "json/k.json")) == 0


def test_stat_and_then_read_decode_once(cache, mnt):
    fill(cache, "k")
    once = decoded_by(mnt, lambda: os.stat(mnt / "json/k.json"))
    assert (once > 0, decoded_by(mnt, lambda: slurp(mnt / "json/k.json"))) == (True, 0)


def test_the_document_is_decoded_once_for_both_views(cache, mnt):
    fill(cache, "k")
    slurp(mnt / "json/k.json")
    assert decoded_by(mnt, lambda: slurp(mnt / "msgpack/k.msgpack")) == 0


@pytest.mark.parametrize("sealing", [None, seal()], ids=["plain", "sealed"])
@pytest.mark.parametrize("view", ["json", "msgpack"])
def test_concurrent_readers_share_one_decoding(cache, mount, view, sealing):
    fill(cache, "alone", "shared", mib=4, sealing=sealing)
    m = mount(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    alone = decoded_by(m, lambda: slurp(m / f"{view}/alone.{view}"))

    def together():
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            texts = set(pool.map(lambda _: hash(slurp(m / f"{view}/shared.{view}")), range(16)))
        assert len(texts) == 1

    assert decoded_by(m, together) == alone


def test_readers_of_many_entries_see_their_own(cache, mnt):
    for i in range(40):
        store(cache, f"k{i}", {"n": i, "pad": "x" * 10_000})
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        shown = list(pool.map(lambda i: json.loads(slurp(mnt / f"json/k{i % 40}.json"))["n"], range(200)))
    assert shown == [i % 40 for i in range(200)]


def test_a_new_version_is_decoded_anew(cache, mnt):
    store(cache, "k", {"n": 1})
    first = json.loads(slurp(mnt / "json/k.json"))
    store(cache, "k", {"n": 2})
    assert (first, json.loads(slurp(mnt / "json/k.json"))) == ({"n": 1}, {"n": 2})


def test_a_failure_is_remembered_too(cache, mnt):
    fill(cache, "k")
    value = bytearray(cache.value("k"))
    value[len(value) // 2] ^= 1
    cache.set("k", bytes(value))
    first = failure(mnt / "msgpack/k.msgpack")
    assert (first, decoded_by(mnt, lambda: failure(mnt / "msgpack/k.msgpack"))) == ("EBADMSG", 0)


# Bounds


def test_what_is_kept_counts_in_the_stats(cache, mnt):
    fill(cache, "k", mib=4)
    before = kept(mnt)
    slurp(mnt / "msgpack/k.msgpack")
    assert kept(mnt) - before >= 4 * MIB


def test_what_is_kept_stays_within_cache_size(cache, mount):
    keys = [f"k{i}" for i in range(12)]
    fill(cache, *keys, mib=1)
    m = mount(cache, "cache_size=4M")
    seen = []
    for key in keys:
        slurp(m / f"json/{key}.json")
        seen.append(kept(m))
    assert (max(seen) <= 4 * MIB, max(seen) > 0) == (True, True)


@pytest.mark.memory
def test_the_daemons_memory_stays_within_cache_size(cache, mount):
    keys = [f"k{i}" for i in range(30)]
    fill(cache, *keys, mib=2)
    m = mount(cache, "cache_size=8M")
    for key in keys:
        slurp(m / f"msgpack/{key}.msgpack")
    assert m.rss_anon() < 40 * MIB


@pytest.mark.parametrize("used_again, decoded", [(True, 1), (False, 2)])
def test_the_least_recently_used_goes_first(cache, mount, used_again, decoded):
    """The document of `a` is still there for its JSON, when it was used after that of `b`; else it is made again."""
    fill(cache, "a", "b", "c", mib=1)
    m = mount(cache, f"cache_size={2560 * MIB // 1024 + fetched(cache, 'a')}")
    os.stat(m / "msgpack/a.msgpack")
    for key in ["a", "b", "a", "c"] if used_again else ["a", "b", "c"]:
        slurp(m / f"msgpack/{key}.msgpack")
        assert settled(m)
    assert decoded_by(m, lambda: slurp(m / "json/a.json")) == decoded


def test_an_open_file_is_pinned(cache, mount):
    keys = [f"k{i}" for i in range(8)]
    fill(cache, "open", *keys, mib=1)
    m = mount(cache, "cache_size=2M")
    expected = opened(cache.payload("open"))
    with open(m / "msgpack/open.msgpack", "rb", buffering=0) as file:
        for key in keys:
            slurp(m / f"msgpack/{key}.msgpack")
        pieces = []
        count = decoded_by(m, lambda: pieces.extend(iter(lambda: file.read(MIB), b"")))
        assert (b"".join(pieces) == expected, count) == (True, 0)


def test_more_open_files_than_memory_are_all_served(cache, mount, spool):
    keys = [f"k{i}" for i in range(12)]
    fill(cache, *keys, mib=1)
    m = mount(cache, "cache_size=2M", f"spool_dir={spool}")
    files = {key: open(m / f"msgpack/{key}.msgpack", "rb", buffering=0) for key in keys}
    wrong = [key for key, file in files.items() if file.read() != opened(cache.payload(key))]
    for file in files.values():
        file.close()
    assert wrong == []


def test_a_cache_of_no_size_still_serves(cache, mount, spool):
    fill(cache, "k", mib=2)
    m = mount(cache, "cache_size=1K", f"spool_dir={spool}")
    assert slurp(m / "msgpack/k.msgpack") == opened(cache.payload("k"))


def fetched(cache, key: str) -> int:
    """What the daemon has to hold of a stored value besides what it makes of it."""
    return len(cache.value(key)) if cache.FETCHES else 0


@pytest.mark.memory
@pytest.mark.parametrize("sealing", [None, seal()], ids=["plain", "sealed"])
@pytest.mark.parametrize("value", [numbers.randbytes(48 * MIB), bytes(96 * MIB)], ids=["noise", "zeros"])
def test_decoding_costs_no_more_than_both_sizes(cache, mount, sealing, value):
    store(cache, "k", value, sealing=sealing)
    m = mount(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    before = reset_peak(m)
    size = os.stat(m / "msgpack/k.msgpack").st_size
    most = len(cache.payload("k")) + size + fetched(cache, "k") + 16 * MIB
    assert peak(m) - before < most
    with open(m / "msgpack/k.msgpack", "rb") as file:
        file.read(1)
        assert peak(m) - before < most


@pytest.mark.memory
def test_opening_a_seal_costs_no_more_than_its_size(cache, mount):
    store(cache, "k", pd.DataFrame({"x": range(8 << 20)}), ArrowSerializer(compression=None), seal())
    m = mount(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    before = reset_peak(m)
    with open(m / "arrow/k.arrow", "rb") as file:
        most = len(cache.payload("k")) + fetched(cache, "k") + 16 * MIB
        assert (file.read(6), peak(m) - before < most) == (b"ARROW1", True)


# The spool


def test_what_is_too_large_for_memory_is_spilled_to_the_spool_directory(cache, mount, spool):
    fill(cache, "k", mib=8)
    m = mount(cache, "cache_size=1M", f"spool_dir={spool}")
    with open(m / "msgpack/k.msgpack", "rb", buffering=0) as file:
        assert (len(spooled(m, spool)) > 0, os.listdir(spool)) == (True, [])
        assert file.read() == opened(cache.payload("k"))


def test_json_that_is_too_large_for_memory_is_spilled(cache, mount, spool):
    fill(cache, "k", mib=8)
    m = mount(cache, "cache_size=1M", f"spool_dir={spool}")
    with open(m / "json/k.json", "rb") as file:
        assert (len(spooled(m, spool)) > 0, len(json.load(file))) == (True, 8 * 1024)


def test_the_spool_is_left_empty(cache, mount, spool):
    fill(cache, "k", mib=8)
    m = mount(cache, "cache_size=1M", f"spool_dir={spool}")
    slurp(m / "json/k.json")
    os.kill(m.pid, signal.SIGHUP)
    assert until(lambda: spooled(m, spool) == [])


def test_a_spool_without_room_is_enospc(cache, mount, tmp):
    fill(cache, "k", mib=8)
    path = tmp / "full"
    path.mkdir()
    with mounted_fs("-t", "tmpfs", "-o", "size=1M", "tmpfs", path):
        m = mount(cache, "cache_size=1M", f"spool_dir={path}")
        assert (failure(m / "msgpack/k.msgpack"), failure(m / "k")) == ("ENOSPC", "ENOSPC" if cache.FETCHES else None)


# Sizes


def many(cache, count: int) -> None:
    for i in range(count):
        store(cache, f"k{i}", {"n": i, "text": "x" * (i % 50)})


def ls(directory) -> str:
    return subprocess.check_output(["ls", "-l", directory], text=True)


def test_a_second_ls_over_10000_entries_decodes_nothing(cache, mount):
    store(cache, "k", {"text": "x" * 2000, "numbers": list(range(300))})
    cache.fill([f"k{i}" for i in range(9999)], cache.value("k"))
    m = mount(cache, "cache_size=64K")
    first = ls(m / "json")
    count = decoded_by(m, lambda: ls(m / "json"))
    assert (len(first.splitlines()), count) == (10_001, 0)


def test_a_second_ls_shows_the_same(cache, mount):
    many(cache, 300)
    m = mount(cache, "cache_size=16K")
    assert ls(m / "json") == ls(m / "json")


def test_the_first_ls_decodes_each_entry_once(cache, mount):
    many(cache, 500)
    one = mount(cache, "cache_size=64K")
    single = decoded_by(one, lambda: os.stat(one / "json/k7.json"))
    m = mount(cache, "cache_size=64K")
    assert decoded_by(m, lambda: ls(m / "json")) == 500 * single


@pytest.mark.memory
def test_ls_over_many_large_documents_is_bounded_in_memory(cache, mount):
    for i in range(100):
        store(cache, f"k{i}", ["x" * 1_000_000, i])
    m = mount(cache, "cache_size=4M")
    ls(m / "json")
    assert m.rss_anon() < 40 * MIB


def test_a_listing_decodes_nothing(cache, mnt):
    many(cache, 300)
    assert decoded_by(mnt, lambda: subprocess.run(["find", mnt, "-maxdepth", "2"], stdout=subprocess.DEVNULL, check=True)) == 0


def test_one_changed_entry_is_decoded_again_and_no_other(cache, mount):
    many(cache, 300)
    m = mount(cache, "cache_size=16K")
    single = decoded_by(m, lambda: os.stat(m / "json/k7.json"))
    ls(m / "json")
    store(cache, "k8", {"n": "new"})
    assert decoded_by(m, lambda: [os.stat(m / f"json/{name}") for name in os.listdir(m / "json")]) == single


# SIGHUP


def test_sighup_drops_what_is_kept(cache, mnt):
    fill(cache, "k", mib=4)
    slurp(mnt / "json/k.json")
    before = kept(mnt)
    os.kill(mnt.pid, signal.SIGHUP)
    assert (before > 0, until(lambda: kept(mnt) == 0 or None)) == (True, True)


def test_after_sighup_an_entry_is_decoded_again(cache, mnt):
    fill(cache, "k")
    slurp(mnt / "json/k.json")
    os.kill(mnt.pid, signal.SIGHUP)
    until(lambda: kept(mnt) == 0)
    assert decoded_by(mnt, lambda: slurp(mnt / "msgpack/k.msgpack")) > 0


def test_sighup_leaves_open_files_as_they_are(cache, mnt):
    fill(cache, "k")
    with open(mnt / "msgpack/k.msgpack", "rb", buffering=0) as file:
        os.kill(mnt.pid, signal.SIGHUP)
        until(lambda: kept(mnt) == 0, 1)
        assert file.read() == opened(cache.payload("k"))


def test_sealed_plaintext_is_dropped_on_sighup(cache, mount):
    fill(cache, "k", sealing=seal())
    m = mount(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    slurp(m / "json/k.json")
    os.kill(m.pid, signal.SIGHUP)
    assert until(lambda: kept(m) == 0 or None)


def test_meta_decodes_no_large_document(cache, mnt):
    """Else `grep -r` over meta/ would decode a cache."""
    fill(cache, "k", mib=4)
    assert decoded_by(mnt, lambda: meta(mnt, name_of("k"))) == 0


def fetches(m) -> float:
    return stats(m)['ckfs_backend_calls_total{operation="fetch",result="ok"}']


@pytest.mark.parametrize("path", ["raw/k", "frame/k", "arrow/k.arrow"])
def test_a_value_is_fetched_once_for_readers_that_come_later(cache, mount, path):
    """A file cache has nothing to fetch."""
    store(cache, "k", pd.DataFrame({"a": range(100_000)}), ArrowSerializer(compression=None))
    m = mount(cache)
    first = slurp(m / path)
    assert settled(m)
    assert (slurp(m / path) == first, fetches(m)) == (True, 1 if cache.FETCHES else 0)
