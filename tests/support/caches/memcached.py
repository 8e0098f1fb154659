"""A Memcached server."""

from __future__ import annotations

import asyncio
import base64
import pathlib
import re
import urllib.parse
from collections.abc import Iterable

import pytest

from memcached_server import Memcached, sdk_backend
from names import name_of

from .base import Cache, told_its_key


class MemcachedCache(Cache):
    """A Memcached server that nobody else uses."""

    KIND = "memcached"
    FETCHES = STORES_KEYS = True
    GONE_WITHIN = 3  # the server's clock goes in steps of a second, and began in the middle of one
    EXPIRY_WITHIN = 3  # the server tells the seconds that are left, by that clock, which a busy machine lets go late
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
