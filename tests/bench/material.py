"""What the bench reads: cache directories with one big table, many names, or small entries."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import sys

ENTRY_HEADER = b"CK\x01\x00" + struct.pack(">HQ", 0, 0)
READER = pathlib.Path(__file__).with_name("reader.py")
CHUNK = 8 << 20


@dataclasses.dataclass(frozen=True)
class Table:
    """One plain Arrow entry in a cache of its own, and its document as a plain file."""

    cache: pathlib.Path
    hash: str
    plain: pathlib.Path

    @property
    def size(self) -> int:
        return self.plain.stat().st_size


def make_table(where: pathlib.Path, size: int, *arguments: str) -> Table:
    """Let cachekit store a table of about `size` bytes, and copy its Arrow document out. The arguments go to reader.py."""
    where.mkdir(exist_ok=True)
    cache = where / "table"
    subprocess.run([sys.executable, str(READER), "make", str(cache), "--size", str(size), *arguments], check=True)
    (entry,) = cache.iterdir()
    plain = where / "plain.arrow"
    with open(entry, "rb") as source, open(plain, "wb") as target:
        start = source.read(4096).index(b"ARROW1")
        source.seek(start)
        while chunk := source.read(CHUNK):
            target.write(chunk)
    return Table(cache, entry.name, plain)


def frame(payload: bytes) -> bytes:
    """A v3 frame as the default serializer's entries have it."""
    metadata = {"format": "msgpack", "encoding": "utf-8", "compressed": True, "original_type": "msgpack"}
    header = json.dumps({"s": "default", "m": metadata, "v": "2.0"}).encode()
    return b"CK\x03" + struct.pack(">I", len(header)) + header + payload


def make_entries(cache: pathlib.Path, count: int, payload: bytes) -> list[str]:
    """`count` entries of one payload, as the file backend lays them out. Returns their hashes.

    Written without the backend, whose fsync for each would take minutes.
    """
    cache.mkdir(mode=0o700)
    content = ENTRY_HEADER + frame(payload)
    hashes = [hashlib.blake2b(b"bench:%d" % i, digest_size=16).hexdigest() for i in range(count)]
    for name in hashes:
        write(cache / name, content)
    return hashes


def make_files(directory: pathlib.Path, names: list[str], content: bytes) -> None:
    """The same names with the bare payload: what small entries are compared with."""
    directory.mkdir(mode=0o700)
    for name in names:
        write(directory / name, content)


def write(path: pathlib.Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
