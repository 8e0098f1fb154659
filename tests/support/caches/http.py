"""A CacheKit service."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterable

from http_service import HttpService, Stored, writer
from names import name_of

from .base import Cache, told_its_key


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
