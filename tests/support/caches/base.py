"""What all caches have in common."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable


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
