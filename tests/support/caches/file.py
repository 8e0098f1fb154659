"""A cache directory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pathlib
import shutil
import struct
from collections.abc import Iterable

from .base import Cache, told_its_key

# Whole files that the file backend reads as a miss.
VALUE = b'CK\x03\x00\x00\x00\x0d{"s": "auto"}payload'
BAD_ENTRY_HEADERS = {
    "empty-file": b"",
    "13-bytes": b"CK\x01" + bytes(10),
    "bad-magic": b"CX\x01" + bytes(11) + VALUE,
    "version-0": b"CK\x00" + bytes(11) + VALUE,
    "version-2": b"CK\x02" + bytes(11) + VALUE,
    "reserved": b"CK\x01\x01" + bytes(10) + VALUE,
    "flags-high": b"CK\x01\x00\x80\x00" + bytes(8) + VALUE,
    "flags-low": b"CK\x01\x00\x00\x01" + bytes(8) + VALUE,
    "frame-alone": VALUE,
}


class FileCache(Cache):
    """A cache directory. It stores hashes of keys, and 14 bytes before each value."""

    KIND = "file"
    HEADER = 14

    def __init__(self, path: pathlib.Path):
        from cachekit.backends.file import FileBackend
        from cachekit.backends.file.config import FileBackendConfig

        class Backend(told_its_key(FileBackend)):
            def set_streaming(self, key, *args, **kwargs):
                self.last_key = self.forced_key or key
                return super().set_streaming(self.last_key, *args, **kwargs)

        self.dir, self.home = path, path.parent
        self.backend = Backend(
            FileBackendConfig(cache_dir=path, max_size_mb=200_000, max_value_mb=50_000, max_entry_count=1_000_000)
        )

    @property
    def source(self) -> str:
        return str(self.dir)

    @staticmethod
    def entry_header(expires: int = 0) -> bytes:
        return b"CK\x01\x00" + struct.pack(">HQ", 0, expires)

    @staticmethod
    def hash(key: str | bytes) -> str:
        return hashlib.blake2b(key if isinstance(key, bytes) else key.encode(), digest_size=16).hexdigest()

    def listed(self, key: str | bytes) -> str:
        return self.hash(key)

    def path(self, key: str | bytes) -> pathlib.Path:
        """The entry's file."""
        return self.dir / self.hash(key)

    def write_file(self, key: str | bytes, content: bytes) -> pathlib.Path:
        """Put a whole entry file, header included, where the backend would, but without its fsync."""
        temporary = self.dir / f"{self.hash(key)}.tmp.1.1"
        temporary.write_bytes(content)
        temporary.rename(self.path(key))
        return self.path(key)

    def write(self, key: str | bytes, value: bytes, expires: int = 0) -> None:
        self.write_file(key, self.entry_header(expires) + value)

    def fill(self, keys: Iterable[str], value: bytes) -> set[str]:
        names, content = {self.hash(key) for key in keys}, self.entry_header() + value
        fd = os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in names:
                entry = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd)
                os.write(entry, content)
                os.close(entry)
        finally:
            os.close(fd)
        return names

    def clear(self) -> None:
        shutil.rmtree(self.dir)

    def remove_all(self) -> set:
        names = self.names()
        for name in names:
            (self.dir / name).unlink()
        return names

    def refresh_ttl(self, key: str, seconds: int) -> bool:
        return asyncio.run(self.backend.refresh_ttl(key, seconds))

    def expiry(self, key: str) -> int:
        return struct.unpack(">Q", self.path(key).read_bytes()[6:14])[0]

    def expire(self, key: str) -> None:
        with open(self.path(key), "r+b") as file:
            os.pwrite(file.fileno(), struct.pack(">Q", 1), 6)

    def names(self) -> set[str]:
        return set(os.listdir(self.dir))

    def give(self, uid: int) -> None:
        for path in (self.dir, *self.dir.iterdir()):
            os.chown(path, uid, uid)

    def write_misses(self, prefix: str) -> list[str]:
        for case, content in BAD_ENTRY_HEADERS.items():
            self.write_file(prefix + case, content)
        return [prefix + case for case in BAD_ENTRY_HEADERS]

    def contents(self) -> dict:
        return {path.name: (os.stat(path), path.read_bytes()) for path in self.dir.iterdir()}
