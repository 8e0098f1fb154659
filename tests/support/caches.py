"""The caches that tests mount, one class a backend: the real cachekit package writes them, and tests see one interface.

What the contract says differently of a backend stands here, not in the tests.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import pathlib
import re
import shutil
import struct
import time
import urllib.parse
from collections.abc import Iterable

import pytest
import redis

from http_service import HttpService, Stored, writer
from memcached_server import Memcached, sdk_backend
from names import name_of
from redis_server import Server


def noise(n: int) -> bytes:
    """Random bytes that are no frame: one in 65,536 would begin like one."""
    return (b"~" + os.urandom(n))[:n]


class Cache:
    """
    What all caches have in common. `home` is a private directory for what belongs to the cache or its mounts. `key` is one that no
    other test of this cache has, `interop_key` another one, of an interop value; further keys of a test begin as `key` does.
    """

    KIND = ""
    HEADER = 0  # bytes that lie before each value
    FETCHES = False  # whether the daemon holds what is stored, as long as it is open
    STORES_KEYS = False
    GONE_WITHIN = 1  # seconds after its expiry in which a value has to be gone
    EXPIRY_WITHIN = 0  # seconds by which the expiry that is shown may differ from the stored one
    LIFE_MAX: int | None = None  # seconds that a value may live at most; None: as long as the SDK lets it
    home: pathlib.Path
    number = 0  # of the test
    shared = None  # its mounts, where tests share them
    env: dict[str, str] = {}  # what a mount of it has to have in its environment

    @property
    def key(self) -> str:
        return f"ns:users:func:app.load:{self.number}"

    @property
    def interop_key(self) -> str:
        return f"users:get:{self.number:08x}{'0123456789abcdef' * 3}01234567"

    @property
    def source(self) -> str:
        """The SOURCE to mount."""
        raise NotImplementedError

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        """Store a whole value under a key, by the package."""
        self.backend.set(key, value, ttl)

    def put(self, key: str | None, obj, serializer="auto", ttl: int | None = 3600, **options) -> str:
        """Store an object as an application does, through cachekit's decorator. Returns the stored key.

        The decorator makes a key of its own; with `key` the same bytes go under that key instead.
        """
        from cachekit import cache

        self.backend.forced_key = key
        self.backend.last_key = None
        try:

            @cache(backend=self.backend, serializer=serializer, ttl=ttl, **options)
            def produce(nonce):
                return obj

            produce(os.urandom(8))
        finally:
            self.backend.forced_key = None
        assert self.backend.last_key is not None, f"cachekit stored nothing for {type(obj)}"
        return self.backend.last_key

    def value(self, key: str) -> bytes:
        """The stored value as the backend's get returns it."""
        value = self.backend.get(key)
        assert value is not None
        return value

    def payload(self, key: str) -> bytes:
        """What the SDK's own unwrap returns."""
        from cachekit.serializers.wrapper import SerializationWrapper

        return bytes(SerializationWrapper.unwrap(self.value(key))[0])

    def delete(self, key: str) -> None:
        self.backend.delete(key)

    def write(self, key: str | bytes, value: bytes, expires: int = 0) -> None:
        """Store a value at once, past the package: for many versions, any key, and a given moment of expiry."""
        raise NotImplementedError

    def fill(self, keys: Iterable[str], value: bytes) -> set[str]:
        """Store one value under many keys, fast. Returns the names that a listing shows."""
        raise NotImplementedError

    def clear(self) -> None:
        """Remove all there is, at a stroke."""
        raise NotImplementedError

    def remove_all(self) -> set:
        """Remove all there is, one by one, and leave what is mounted as it is. Returns what there was."""
        raise NotImplementedError

    def refresh_ttl(self, key: str, seconds: int) -> bool:
        """Let the key live for so long from now; 0 is for ever."""
        raise NotImplementedError

    def expiry(self, key: str) -> int:
        """When the key expires, in seconds since 1970; 0 is never."""
        raise NotImplementedError

    def expire(self, key: str) -> None:
        """Let the key have expired."""
        raise NotImplementedError

    def listed(self, key: str | bytes) -> str:
        """The name that a listing shows for a key that nobody has opened."""
        raise NotImplementedError

    def names(self) -> set[str]:
        """All names that stand for something in the cache, be it readable or not."""
        raise NotImplementedError

    def write_misses(self, prefix: str) -> list[str]:
        """Store, under keys that begin so, all that the package reads as a miss. Returns the keys."""
        raise NotImplementedError

    def give(self, uid: int) -> None:
        """Let another user read it."""

    def stored_size(self, key: str) -> int:
        return self.HEADER + len(self.value(key))

    def contents(self) -> dict:
        """All that is stored, values and expiry, to be compared."""
        raise NotImplementedError


def told_its_key(backend: type) -> type:
    """The package's backend; it can be told the key, and tells the one it used."""

    class Backend(backend):
        forced_key = None
        last_key = None

        def set(self, key, *args, **kwargs):
            self.last_key = self.forced_key or key
            return super().set(self.last_key, *args, **kwargs)

    return Backend


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


class RedisCache(Cache):
    """A database of a Redis server."""

    KIND = "redis"
    FETCHES = STORES_KEYS = True

    def __init__(self, server: Server, db: int, home: pathlib.Path):
        from cachekit.backends.redis import RedisBackend

        self.source_url, self.home = f"{server.url}?db={db}", home
        self.client: redis.Redis = server.client(db=db)
        self.backend = told_its_key(RedisBackend)(self.source_url)

    @property
    def source(self) -> str:
        return self.source_url

    def listed(self, key: str | bytes) -> str:
        return name_of(key)

    def write(self, key: str | bytes, value: bytes, expires: int = 0) -> None:
        self.client.set(key, value, exat=expires or None)

    def fill(self, keys: Iterable[str], value: bytes) -> set[str]:
        keys = list(keys)
        for i in range(0, len(keys), 10_000):
            self.client.mset(dict.fromkeys(keys[i : i + 10_000], value))
        return {name_of(key) for key in keys}

    def clear(self) -> None:
        self.client.flushdb()

    def remove_all(self) -> set:
        keys = set(self.client.scan_iter(count=10_000))
        if keys:
            self.client.unlink(*keys)
        return keys

    def refresh_ttl(self, key: str, seconds: int) -> bool:
        return bool(self.client.expire(key, seconds) if seconds else self.client.persist(key))

    def expiry(self, key: str) -> int:
        return max(0, self.client.pexpiretime(key)) // 1000

    def expire(self, key: str) -> None:
        self.client.pexpire(key, 1)

    def names(self) -> set[str]:
        return {name_of(key) for key in self.client.scan_iter(count=10_000)}

    def write_misses(self, prefix: str) -> list[str]:
        self.client.rpush(f"{prefix}list", 1)
        self.client.sadd(f"{prefix}set", 1)
        self.client.hset(f"{prefix}hash", "a", "1")
        self.client.zadd(f"{prefix}zset", {"a": 1})
        self.client.xadd(f"{prefix}stream", {"a": 1})
        return [prefix + kind for kind in ("list", "set", "hash", "zset", "stream")]

    def contents(self) -> dict:
        return {key: (self.client.expiretime(key), self.client.dump(key)) for key in self.client.scan_iter()}


class MemcachedCache(Cache):
    """A Memcached server that nobody else uses."""

    KIND = "memcached"
    FETCHES = STORES_KEYS = True
    GONE_WITHIN = 3  # the server's clock goes in steps of a second, and began in the middle of one
    EXPIRY_WITHIN = 1  # the server tells the seconds that are left, by that clock
    LIFE_MAX = 2_592_000

    def __init__(self, server: Memcached, home: pathlib.Path):
        from cachekit.backends.memcached import MemcachedBackend

        self.server, self.home = server, home
        self.client = server.client()
        cache = self

        class Backend(told_its_key(MemcachedBackend)):
            """Keys that the package refuses are written as other clients do."""

            def set(self, key, value, ttl=None):
                self.last_key = self.forced_key or key
                if isinstance(self.last_key, str) and re.fullmatch("[!-~]{1,250}", self.last_key):
                    super().set(key, value, ttl)
                else:
                    cache.write(self.last_key, bytes(value), ttl or 0)

        self.backend = Backend(sdk_backend([server])._config)

    @property
    def source(self) -> str:
        return self.server.source

    def listed(self, key: str | bytes) -> str:
        return name_of(key)

    @staticmethod
    def _wire(key: str | bytes) -> tuple[bytes, bytes]:
        """A key as a meta command has it, and the flag that says so."""
        name = key.encode() if isinstance(key, str) else key
        return (name, b"") if re.fullmatch(rb"[!-~\x80-\xff]+", name) else (base64.b64encode(name), b" b")

    def value(self, key: str) -> bytes:
        if isinstance(key, str) and re.fullmatch("[!-~]+", key):
            return super().value(key)
        head, _, rest = self.server.say(b"mg %s v%s" % self._wire(key)).partition(b"\r\n")
        assert head.startswith(b"VA"), key
        return rest[:-2]

    def write(self, key: str | bytes, value: bytes, expires: int = 0) -> None:
        """By a meta command, which takes any key that there can be."""
        name, flag = self._wire(key)
        if len(name) > 250:
            pytest.skip("Memcached takes no key of over 250 bytes")
        with self.server.connection() as s:
            s.sendall(b"ms %s %d T%d%s\r\n%s\r\n" % (name, len(value), expires, flag, value))
            assert s.recv(100).startswith(b"HD"), key

    def fill(self, keys: Iterable[str], value: bytes) -> set[str]:
        keys = list(keys)
        for i in range(0, len(keys), 10_000):
            with self.server.connection() as s:
                s.sendall(b"".join(b"ms %s %d q\r\n%s\r\n" % (key.encode(), len(value), value) for key in keys[i : i + 10_000]) + b"mn\r\n")
                assert s.recv(100) == b"MN\r\n"
        return {name_of(key) for key in keys}

    def clear(self) -> None:
        self.client.flush_all(noreply=False)

    def _keys(self) -> list[bytes]:
        return [urllib.parse.unquote_to_bytes(key) for key in self.server.items()]

    def remove_all(self) -> set:
        keys = self._keys()
        for key in keys:
            self.server.say(b"md %s%s" % self._wire(key))
        return set(keys)

    def refresh_ttl(self, key: str, seconds: int) -> bool:
        return asyncio.run(self.backend.refresh_ttl(key, seconds))

    def expiry(self, key: str) -> int:
        return max(0, int(self.server.items()[urllib.parse.quote(key, safe="").encode()]["exp"]))

    def expire(self, key: str) -> None:
        self.client.touch(key, -1, noreply=False)

    def names(self) -> set[str]:
        return {name_of(key) for key in self._keys()}

    def write_misses(self, prefix: str) -> list[str]:
        return []

    def contents(self) -> dict:
        return {key: (line["exp"], line["cas"], line["la"], line["fetch"]) for key, line in self.server.items().items()}


class HttpCache(Cache):
    """A CacheKit service. Nobody can list it."""

    KIND = "http"
    FETCHES = STORES_KEYS = True
    EXPIRY_WITHIN = 2  # the service tells the seconds that are left, rounded up
    LIFE_MAX = 2_592_000

    def __init__(self, service: HttpService, home: pathlib.Path):
        self.service, self.home, self.env = service, home, service.pki.env
        self.backend = writer(service, told_its_key)

    @property
    def source(self) -> str:
        return self.service.url

    def listed(self, key: str | bytes) -> str:
        return name_of(key)

    def write(self, key: str | bytes, value: bytes, expires: int = 0) -> None:
        self.service.data[key if isinstance(key, str) else key.decode()] = Stored(value, expires or None)

    def fill(self, keys: Iterable[str], value: bytes) -> set[str]:
        keys = list(keys)
        for key in keys:
            self.write(key, value)
        return {name_of(key) for key in keys}

    def clear(self) -> None:
        self.service.data.clear()

    def remove_all(self) -> set:
        keys = set(self.service.data)
        self.clear()
        return keys

    def refresh_ttl(self, key: str, seconds: int) -> bool:
        self.service.data[key].expires = time.time() + seconds if seconds else None
        return True

    def expiry(self, key: str) -> int:
        return int(self.service.data[key].expires or 0)

    def expire(self, key: str) -> None:
        self.service.data[key].expires = 1

    def names(self) -> set[str]:
        return {name_of(key) for key in self.service.data}

    def write_misses(self, prefix: str) -> list[str]:
        return []

    def contents(self) -> dict:
        return {key: (stored.value, stored.expires) for key, stored in self.service.data.items()}
