"""Entries made byte by byte, and small looks at what a mount shows of them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import mmap
import os
import pathlib
import re
import shutil
import struct
import tempfile

import numpy
import pyarrow
import pytest
import xxhash
from cachekit.serializers.wrapper import SerializationWrapper

FORMATS = ("arrow", "npy", "msgpack", "json")
DIRECTORIES = ("raw", "frame", *FORMATS, "meta")
PAGE = mmap.PAGESIZE


# --- making entries


def frame(header, payload: bytes = b"payload") -> bytes:
    """A v3 frame: the header as bytes, or an object that becomes JSON."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return b"CK\x03" + struct.pack(">I", len(header)) + header + payload


def framed(payload: bytes, format: str, original_type: str | None = None, **metadata) -> bytes:
    """A frame as writers make it."""
    m = {"format": format, "encoding": "utf-8", "compressed": False, "original_type": original_type, **metadata}
    return frame({"s": "auto", "m": m, "v": "2.0"}, payload)


def prefixed(document: bytes) -> bytes:
    return xxhash.xxh3_64_digest(document) + document


def numpy_raw(dtype: str, shape: tuple[int, ...], array: bytes) -> bytes:
    """A NUMPY_RAW document of any fields, fitting or not."""
    dimensions = struct.pack(f"<{len(shape)}I", *shape)
    lengths = struct.pack("<H", len(dtype)) + dtype.encode() + struct.pack("<H", len(dimensions))
    return b"NUMPY_RAW" + lengths + dimensions + array


def flip(value: bytes, position: int) -> bytes:
    """A value with one byte altered; a negative position counts from the end."""
    altered = bytearray(value)
    altered[position] ^= 0xFF
    return bytes(altered)


@contextlib.contextmanager
def memory_directory(bytes_wanted: int = 0):
    """A directory in memory, or on disk where there is no room for it."""
    shm = pathlib.Path("/dev/shm")
    room = shm.is_dir() and os.statvfs(shm).f_bavail * os.statvfs(shm).f_bsize > 2 * bytes_wanted
    path = pathlib.Path(tempfile.mkdtemp(prefix="ckfs-test-", dir=shm if room else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


# --- entries that are odd or worse

GOOD = {"s": "auto", "m": {"format": "msgpack"}, "v": "2.0"}

# Stored values that unwrap refuses.
MALFORMED = {
    "magic-only": b"CK",
    "six-bytes": b"CK\x03\x00\x00\x00",
    "version-1": b"CK\x01" + frame(GOOD)[3:],
    "version-2": b"CK\x02" + frame(GOOD)[3:],
    "version-4": b"CK\x04" + frame(GOOD)[3:],
    "length-one-past-the-end": b"CK\x03" + struct.pack(">I", len(json.dumps(GOOD)) + 1) + json.dumps(GOOD).encode(),
    "length-4-gib": b"CK\x03\xff\xff\xff\xff" + json.dumps(GOOD).encode(),
    "empty-header": frame(b""),
    "no-json": frame(b"serializer=auto"),
    "cut-json": frame(json.dumps(GOOD).encode()[:-1]),
    "text-after-json": frame(json.dumps(GOOD).encode() + b" x"),
    "nul-after-json": frame(json.dumps(GOOD).encode() + b"\0"),
    "array": frame(b'["s", "auto"]'),
    "string": frame(b'"s"'),
    "null": frame(b"null"),
    "serializer-missing": frame({"m": GOOD["m"]}),
    "serializer-empty": frame({**GOOD, "s": ""}),
    "serializer-null": frame({**GOOD, "s": None}),
    "serializer-number": frame({**GOOD, "s": 1}),
    "serializer-true": frame({**GOOD, "s": True}),
    "serializer-array": frame({**GOOD, "s": ["auto"]}),
    "last-serializer-empty": frame(b'{"s": "auto", "m": {}, "s": ""}'),
    "last-serializer-empty-escaped": frame(b'{"s": "auto", "m": {}, "\\u0073": ""}'),
    "latin-1": frame(b'{"s": "auto", "m": {"format": "\xe9"}}'),
    "overlong-utf-8": frame(b'{"s": "auto", "m": {"format": "\xc0\xaf"}}'),
    "cut-utf-8": frame(b'{"s": "auto", "m": {"format": "\xe2\x82"}}'),
    "raw-control-byte": frame(b'{"s": "au\nto", "m": {}}'),
    "deep-nesting": frame(b'{"s": "auto", "m": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep-nesting-unclosed": frame(b'{"m":' * 100_000),
    "integer-of-4301-digits": frame(b'{"s": "auto", "m": {}, "v": ' + b"9" * 4301 + b"}"),
    "negative-integer-of-4301-digits": frame(b'{"s": "auto", "m": {"x": [-' + b"1" * 4301 + b"]}}"),
    "megabytes-of-no-json": frame(b'{"s": "' + b"x" * (4 << 20)),
}

# Stored values that unwrap takes.
ODD = {
    "unknown-members": frame({**GOOD, "x": {"s": ""}, "y": [1, None]}),
    "first-serializer-empty": frame(b'{"s": "", "m": {"format": "msgpack"}, "s": "auto"}'),
    "lone-surrogates": frame(b'{"s": "\\ud800", "m": {"format": "msgpack", "tenant_id": "\\udfff\\ud800"}}'),
    "nested-500": frame(b'{"x": ' + b"[" * 500 + b"]" * 500 + b', "s": "auto", "m": {"format": "msgpack"}}'),
    "integer-of-4300-digits": frame(b'{"s": "auto", "m": {"format": "msgpack"}, "v": -' + b"9" * 4300 + b"}"),
    "floats-of-5000-digits": frame(b'{"s": "auto", "m": {"format": "msgpack"}, "v": [' + b"9" * 5000 + b".0, 1e" + b"9" * 5000 + b"]}"),
    "megabytes-of-text": frame({**GOOD, "x": "y" * (6 << 20)}),
    "megabytes-of-spaces": frame(json.dumps(GOOD).encode() + b" " * (2 << 20)),
    "million-members": frame(b'{"s": "auto",' + b'"a": 1,' * 1_000_000 + b'"m": {"format": "msgpack"}}'),
    "not-a-number": frame(b'{"s": "auto", "m": {"format": "msgpack"}, "x": [NaN, -Infinity]}'),
    "metadata-missing": frame({"s": "auto"}),
    "metadata-null": frame({"s": "auto", "m": None}),
    "metadata-of-wrong-types": frame({"s": "auto", "m": {"format": 1, "compressed": "yes", "encrypted": []}}),
    "empty-payload": frame(GOOD, b""),
}

# --- looking at a mount


def outcome(call, *args) -> str:
    """What a call ends in: an errno's name, or OK."""
    try:
        call(*args)
    except OSError as e:
        return "EOPNOTSUPP" if e.errno == errno.EOPNOTSUPP else errno.errorcode[e.errno]
    return "OK"


def slurp(path) -> bytes:
    with open(path, "rb", buffering=0) as f:
        return f.read()


def opening(path) -> str:
    """What opening a file and reading its first byte ends in."""

    def call():
        fd = os.open(path, os.O_RDONLY)
        try:
            os.pread(fd, 1, 0)
        finally:
            os.close(fd)

    return outcome(call)


def entries_of(path) -> list[str]:
    """Names of a listing, without the root's directories."""
    return [name for name in os.listdir(path) if name not in DIRECTORIES]


def stats(m) -> dict[str, float]:
    """The mount's counters."""
    return {name: float(value) for name, value in re.findall(r"^([a-zA-Z_:][^ ]*) ([^ \n]+)", slurp(m / ".ckfs/stats").decode(), re.M)}


def spooled(m, directory) -> list[str]:
    """Files that the daemon holds or maps in a directory; they have no name there."""
    links = pathlib.Path(f"/proc/{m.pid}/maps").read_text().splitlines()
    for fd in pathlib.Path(f"/proc/{m.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(fd))
    return [link for link in links if f"{directory}/" in link]


def spilled(m, directory) -> list[bytes]:
    """What is in such files."""
    proc, found = pathlib.Path(f"/proc/{m.pid}"), {}
    for link in [*(proc / "map_files").iterdir(), *(proc / "fd").iterdir()]:
        with contextlib.suppress(OSError):
            if f"{directory}/" in os.readlink(link):
                found[os.stat(link).st_ino] = link.read_bytes()
    return list(found.values())


class Mapping:
    """A file's mapping, to see which of its pages are in memory without touching them."""

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]

    @classmethod
    def resident(cls, path) -> list[bool]:
        with open(path, "rb", buffering=0) as f:
            length = os.fstat(f.fileno()).st_size
            address = cls.libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, f.fileno(), 0)
            assert address != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
        try:
            pages = ctypes.create_string_buffer(-(-length // PAGE))
            assert cls.libc.mincore(address, length, pages) == 0, os.strerror(ctypes.get_errno())
            return [bool(b & 1) for b in pages.raw[: -(-length // PAGE)]]
        finally:
            cls.libc.munmap(address, length)


def everything(m) -> dict[str, str]:
    """What opening each listed file of the mount ends in, without those that work."""
    paths = [os.path.join(top, name) for top, _, names in os.walk(m) for name in names]
    return {path: result for path in paths if (result := opening(path)) != "OK"}


def fails_in_the_package(value: bytes) -> bool:
    try:
        SerializationWrapper.unwrap(value)
    except (ValueError, AttributeError, RecursionError):
        return True
    return False


TABLE = pyarrow.table({"number": list(range(1000))})


def store_malformed(cache) -> None:
    for key, value in MALFORMED.items():
        cache.set(key, value)


def store_broken(cache) -> None:
    """All kinds of bad entries, and good ones among them. Keys of the good ones begin with `good`."""
    store_malformed(cache)
    for key, value in ODD.items():
        cache.set(key, value)
    cache.write_misses("miss-")
    cache.put("good-arrow", TABLE, "arrow")
    cache.put("good-npy", numpy.arange(100.0), "auto")
    cache.put("good-orjson", {"a": 1}, "orjson")
    cache.put("good-msgpack", {"a": 1}, "default")
    cache.set("good-foreign", b"anything")
    cache.set("arrow-altered", flip(cache.value("good-arrow"), -100))
    cache.set("arrow-no-magic", framed(prefixed(b"PARQUET1" * 20), "arrow", "arrow"))
    cache.set("npy-shape", framed(prefixed(numpy_raw("int64", (5,), bytes(24))), "msgpack", "numpy"))
    cache.set("orjson-altered", flip(cache.value("good-orjson"), -1))
    cache.set("orjson-bad", framed(prefixed(b'{"a": }   '), "orjson", "orjson"))


@pytest.fixture
def malformed(cache):
    store_malformed(cache)
    return cache


@pytest.fixture
def broken(cache):
    store_broken(cache)
    return cache
