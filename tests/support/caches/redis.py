"""A database of a Redis server."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import redis

from names import name_of
from redis_server import Server

from .base import Cache, told_its_key


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
