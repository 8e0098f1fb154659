"""Fills a cache directory as an application does: with the real cachekit package. Used by the demo and the README's test.

    python fill.py DIRECTORY [ROWS]      ROWS of the table "sales", 1000 if not given
"""

import os
import pathlib
import sys

os.environ["CACHEKIT_MAX_VALUE_SIZE"] = str(64 << 30)  # the SDK's own limit is 100 MB

import numpy
import pyarrow
from cachekit import cache
from cachekit.backends.file import FileBackend
from cachekit.backends.file.config import FileBackendConfig
from cachekit.serializers.arrow_serializer import ArrowSerializer
from cachekit.serializers.encryption_wrapper import EncryptionWrapper
from cachekit.serializers.wrapper import SerializationWrapper


class NamedBackend(FileBackend):
    """The SDK's own file backend, under keys that are short enough to type."""

    key = ""

    def set(self, key, *args, **options):
        super().set(self.key, *args, **options)

    def set_streaming(self, key, *args, **options):
        super().set_streaming(self.key, *args, **options)


def main(directory: str, rows: int = 1000) -> None:
    backend = NamedBackend(
        FileBackendConfig(cache_dir=pathlib.Path(directory), max_size_mb=100_000, max_value_mb=50_000, max_entry_count=100_000)
    )

    def store(key, value, serializer, ttl=3600):
        @cache(backend=backend, serializer=serializer, ttl=ttl, namespace=key.split("/")[0])
        def application():
            return value

        backend.key = key
        application()
        assert backend.exists(key), f"{key} was not stored"

    generator = numpy.random.default_rng(1)
    sales = pyarrow.table(
        {
            "price": generator.random(rows),
            "amount": numpy.arange(rows, dtype=numpy.int64),
            "day": numpy.datetime64("2026-01-01") + generator.integers(0, 365, rows).astype("timedelta64[D]"),
        }
    )
    store("sales", sales, ArrowSerializer(compression=None, return_format="arrow"))
    store("user/7", {"name": "Ada", "langs": ["C", "Python"], "score": 9.5}, "orjson")
    store("weights", numpy.linspace(0, 1, 12).reshape(3, 4), "auto")
    store("greeting", {"hello": ("world", 1)}, "default")

    # Sealed for its key, as the SDK's encryption does. The master key is one for a demonstration.
    wrapper = EncryptionWrapper(master_key=bytes.fromhex(f"{7:064}"))
    sealed, metadata = wrapper.serialize({"iban": "DE02 1203 0000"}, cache_key="secret")
    backend.key = "secret"
    backend.set("secret", SerializationWrapper.wrap(sealed, metadata.to_dict(), "default"), 3600)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
