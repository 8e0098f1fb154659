"""§6, §7: nothing is taken for bytes that nobody has written or sent, whatever an entry or a server claims."""

from __future__ import annotations

import concurrent.futures
import json
import os
import random

import msgpack
import pytest
from cachekit.interop import generate_interop_key

from documents import envelope_by_hand, sealed_metadata, store
from entries import spooled, stats
from helpers import errno_name, failure, memory, meta, name_of, peak, read, reset_peak, v3
from mounts import mounted_fs
from redis_server import scripted  # noqa: F401 - a fixture
from sealed import KEYED

MIB = 1 << 20
GIB = 1 << 30

# Content is given so much at a time, and each of those who decode or fetch may have begun with some.
STEPS = 64 * MIB


@pytest.fixture
def spool(tmp):
    """A spool directory with hardly any room: what is claimed does not go there."""
    path = tmp / "spool"
    path.mkdir()
    with mounted_fs("-t", "tmpfs", "-o", f"size={STEPS}", "tmpfs", path):
        yield path


def interop_key(n: int) -> str:
    return generate_interop_key("claims", "get", [n])


def sealed(format: str = "arrow", compressed: bool = False) -> bytes:
    """The beginning of a value that says it is sealed."""
    return v3(b"", sealed_metadata(format, format, compressed))


def document(**metadata) -> dict:
    return {"format": "msgpack", "encoding": "utf-8", "compressed": False, "original_type": "msgpack", **metadata}


def bomb(block: bytes, size: int) -> bytes:
    return v3(envelope_by_hand(b"", data=block, size=size), document(compressed=True))


STRING = v3(b"\xdb\x80\0\0\0", document())
TABLE = v3(b"\x81\xa4data\xc6\x40\0\0\0", document(original_type="dataframe"))

# A name: the key, the bytes that there are, how long the file is, the view, and what opening it ends in.
CLAIMS = {
    "sealed": ("sealed", sealed(), 2 * GIB, "arrow", "EFBIG"),
    "sealed, within bounds": ("sealed-small", sealed(), 90 * MIB, "arrow", "EBADMSG"),
    "sealed, random first": ("sealed-random", sealed() + random.Random(1).randbytes(2 * MIB), 90 * MIB, "arrow", "EBADMSG"),
    "sealed envelope": ("sealed-envelope", sealed("msgpack", True), 600 * MIB, "msgpack", "EFBIG"),
    "sealed JSON": ("sealed-json", sealed("orjson"), GIB + 4096, "json", "EFBIG"),
    "a brace": ("brace", b"{", 4 * GIB, "raw", None),
    "a legacy frame": ("legacy", b'{"data": "AAAA', 4 * GIB, "raw", None),
    "zeros under an interop key": (interop_key(1), b"\0", 3 * GIB, "msgpack", "EFBIG"),  # it may be sealed
    "some zeros under an interop key": (interop_key(4), b"\0", 90 * MIB, "msgpack", "EBADMSG"),
    "an array of zeros": (interop_key(2), b"\xdd\x80\0\0\0", 5 + 2 * GIB, "json", "EFBIG"),
    "a long binary": (interop_key(3), b"\xc6\x80\0\0\0", 5 + 2 * GIB, "json", "EFBIG"),
    "a long string in a frame": ("string", STRING, len(STRING) + 2 * GIB, "json", "EFBIG"),
    "a long table": ("table", TABLE, len(TABLE) + GIB, "meta", None),
    "a block of zeros": ("block", bomb(bytes(MIB), 500 * MIB), 0, "msgpack", "EUCLEAN"),
    "a block of too many": ("bomb", bomb(b"\x1f~\x01\0" + b"\xff" * (100 << 10) + b"\0\x50~~~~~", 90 * MIB), 0, "msgpack", "EBADMSG"),
}


def write(cache, *names: str) -> None:
    for key, head, size, _, _ in map(CLAIMS.get, names or CLAIMS):
        path = cache.write_file(key, cache.entry_header() + head)
        os.truncate(path, cache.HEADER + max(len(head), size))


def shown(m, name: str) -> str | None:
    """What opening ends in, and reading a byte."""
    key, _, _, view, _ = CLAIMS[name]
    extension = {"raw": "", "meta": ".json"}.get(view, f".{view}")
    try:
        with open(m / f"{view}/{name_of(key)}{extension}", "rb", buffering=0) as file:
            file.read(1)
    except OSError as e:
        return errno_name(e.errno)
    return None


@pytest.mark.file_only
@pytest.mark.memory
@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_file_claims_takes_neither_memory_nor_disk(cache, mount, spool, name):
    write(cache, name)
    m = mount(cache, "cache_size=32M", f"spool_dir={spool}", env=KEYED)
    failure(m / "none")
    before = reset_peak(m)
    assert (shown(m, name), (peak(m) - before) // MIB) == (CLAIMS[name][4], pytest.approx(16, abs=16))
    assert m.log_lines("spool_dir") == []


@pytest.mark.file_only
@pytest.mark.memory
def test_all_claims_at_one_time_stay_within_cache_size(cache, mount, spool):
    """cache_size, what is secret besides, and a step for each that is under way."""
    write(cache)
    small = [store(cache, f"small{i}", random.Random(i).randbytes(60_000)) for i in range(300)]
    m = mount(cache, "cache_size=32M", f"spool_dir={spool}", env=KEYED)
    failure(m / "none")
    before = reset_peak(m)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        shows = {name: [pool.submit(shown, m, name) for _ in range(3)] for name in CLAIMS}
        sizes = [pool.submit(lambda key: len(read(m / f"msgpack/{key}.msgpack")), key) for key in small]
        assert {name: {f.result() for f in futures} for name, futures in shows.items()} == {name: {CLAIMS[name][4]} for name in CLAIMS}
        assert {f.result() for f in sizes} == {60_003}
    assert (peak(m) - before <= 32 * MIB + 2 * STEPS, stats(m)["ckfs_decoded_bytes"] <= 32 * MIB) == (True, True), (peak(m) - before) / MIB
    assert m.log_lines("spool_dir") == []


def chunk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


def page(names: int) -> bytes:
    """An answer to SCAN with so many names."""
    return b"*2\r\n$1\r\n0\r\n*%d\r\n" % names + b"".join(b"$9\r\n%09d\r\n" % i for i in range(names))


# A server that does not announce: values are read whole.
SERVER = {"CLIENT": b"-ERR unknown command\r\n", "STRLEN": b":40000000000\r\n", "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n"}


@pytest.mark.file_only
@pytest.mark.memory
@pytest.mark.parametrize("cache_size", ["32M", "100G"])
def test_what_a_server_claims_takes_neither_memory_nor_disk(scripted, mount, spool, cache_size):  # noqa: F811
    """Many ask for a value at the same time, of which a megabyte comes, and a listing gets a page of a million and a half names."""
    names = 1_500_000
    server = scripted({**SERVER, "GET": b"$40000000000\r\n" + bytes(MIB), "SCAN": page(names)})
    m = mount(server.url, f"cache_size={cache_size}", f"spool_dir={spool}", "timeout=2")
    failure(m / "none")
    before = reset_peak(m)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        failures = [pool.submit(failure, m / f"k{i}") for i in range(8)]
        listed = pool.submit(lambda: sum(1 for _ in os.scandir(m / "meta")))
        taken = max(blocks(m, spool) for _ in range(100))
        assert {f.result() for f in failures} == {"ETIMEDOUT"}
        assert listed.result() == names
    # The names came, and who lists remembers each.
    came = 17 * names + 32 * names
    assert (peak(m) - before <= came + 2 * STEPS, taken <= STEPS) == (True, True), ((peak(m) - before) / MIB, taken / MIB)


def blocks(m, directory) -> int:
    """Bytes that the spool takes."""
    st = os.statvfs(directory)
    return (st.f_blocks - st.f_bfree) * st.f_frsize


@pytest.mark.file_only
def test_a_bare_document_is_refused_at_its_first_byte(cache, mount, spool):
    key, _, _, _, _ = CLAIMS["zeros under an interop key"]
    write(cache, "zeros under an interop key")
    m = mount(cache, "cache_size=32M", f"spool_dir={spool}")
    assert failure(m / f"msgpack/{key}.msgpack") == "EUCLEAN"
    assert "bytes follow" in meta(m, key)["views"]["msgpack"]


# What is small


@pytest.mark.memory
def test_small_documents_give_way_too(cache, mount):
    count = 1000
    for i in range(count):
        store(cache, f"k{i}", random.Random(i).randbytes(60_000))
    m = mount(cache, "cache_size=1M")
    failure(m / "none")
    before = memory(m, "RssAnon", "RssShmem")
    for i in range(count):
        assert len(read(m / f"msgpack/k{i}.msgpack")) == 60_003
    assert (stats(m)["ckfs_decoded_bytes"] <= MIB, memory(m, "RssAnon", "RssShmem") - before <= 40 * MIB) == (True, True)


def test_small_documents_that_are_open_go_to_the_disk(cache, mount, tmp):
    (tmp / "spool").mkdir()
    keys = [store(cache, f"k{i}", random.Random(i).randbytes(60_000)) for i in range(60)]
    m = mount(cache, "cache_size=1M", f"spool_dir={tmp / 'spool'}")
    files = [open(m / f"msgpack/{key}.msgpack", "rb", buffering=0) for key in keys]
    assert stats(m)["ckfs_decoded_bytes"] <= MIB and spooled(m, tmp / "spool")
    for i, file in enumerate(files):
        assert msgpack.unpackb(file.read()) == random.Random(i).randbytes(60_000)
        file.close()


# What is genuine


def values(seed: int) -> list:
    """Values of all kinds and lengths, so that heads lie everywhere in what is read at a time."""
    r = random.Random(seed)
    kinds = [
        lambda: r.randrange(1 << r.choice((6, 8, 16, 32, 63))), lambda: -r.randrange(1 << r.choice((4, 8, 16, 32, 63))), r.random,
        lambda: "x" * r.randrange(40), lambda: r.choice((None, True, False)), lambda: [r.randrange(9)] * r.randrange(20), lambda: {"k": 1.5},
        lambda: "y" * r.randrange(300),
    ]  # fmt: skip
    made = [r.choice(kinds)() for _ in range(40_000)]
    return [*made, "z" * r.randrange(600_000), *made]


@pytest.mark.file_only
@pytest.mark.parametrize("seed", range(6))
def test_a_plain_document_is_checked_wherever_its_values_lie(cache, mnt, seed):
    key = interop_key(seed)
    document = msgpack.packb(values(seed))
    cache.write(key, document)
    assert json.loads(read(mnt / f"json/{key}.json")) == values(seed)
    for cut in range(1, 12):
        cache.write(key, document[:-cut])
        assert failure(mnt / f"msgpack/{key}.msgpack") == "EUCLEAN"
    cache.write(key, document + b"\0")
    assert failure(mnt / f"msgpack/{key}.msgpack") == "EUCLEAN"
