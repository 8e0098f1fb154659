"""The caches that tests mount, one module a store: the real cachekit package writes them, and tests see one interface.

What the contract says differently of a store stands here, not in the tests.
"""

from .base import Cache, noise
from .file import BAD_ENTRY_HEADERS, FileCache
from .http import HttpCache
from .memcached import MemcachedCache
from .redis import RedisCache

__all__ = ["BAD_ENTRY_HEADERS", "Cache", "FileCache", "HttpCache", "MemcachedCache", "RedisCache", "noise"]
