"""
A file cache that keeps its keys, so that `ls` of a mount shows them instead of hashes: give it to `@cache(backend=...)` instead of the SDK's FileBackend.

    backend = NamedFileBackend(FileBackendConfig(cache_dir="/var/cache/app"))

The key is left in an extended attribute of the entry's file. Where the filesystem has none, nothing changes.
"""

import contextlib
import os

from cachekit.backends.file import FileBackend


class NamedFileBackend(FileBackend):
    def set(self, key, value, ttl=None):
        super().set(key, value, ttl)
        self._leave_name(key)

    def set_streaming(self, key, write_payload, ttl=None):
        super().set_streaming(key, write_payload, ttl)
        self._leave_name(key)

    def _leave_name(self, key):
        with contextlib.suppress(OSError):
            os.setxattr(self._key_to_path(key), "user.ckfs.key", key.encode(), follow_symlinks=False)
