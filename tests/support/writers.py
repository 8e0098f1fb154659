"""What applications store: one of each kind, with the view that shows it."""

import numpy as np
import orjson
import pandas as pd
import polars as pl
import pytest
from cachekit.serializers import AutoSerializer
from cachekit.serializers.arrow_serializer import ArrowSerializer
from cachekit.serializers.orjson_serializer import OrjsonSerializer

from helpers import EXTENSION

FRAME = pd.DataFrame({"n": range(1000), "x": np.linspace(0, 1, 1000), "s": [f"row {i}" for i in range(1000)]})
DOCUMENT = {"user": "Ada", "née": [1, 2.5, None, True], "big": 2**63, "nested": {"a": {"b": []}}}
PLAIN = ArrowSerializer(compression=None)
PLAIN_AUTO = AutoSerializer(enable_integrity_checking=False)

# name: (object, serializer, decorator options, the decoded view of this build)
WRITERS = {
    "auto-ndarray": (np.arange(24.0).reshape(2, 3, 4), "auto", {}, "npy"),
    "auto-ndarray-unchecked": (np.arange(24.0), "auto", {"integrity_checking": False}, "npy"),
    "auto-ndarray-instance": (np.arange(24, dtype="i2"), PLAIN_AUTO, {}, "npy"),
    "auto-dataframe": (FRAME, "auto", {}, "arrow"),
    "auto-dict": (DOCUMENT, "auto", {}, None),
    "auto-dict-unchecked": (DOCUMENT, "auto", {"integrity_checking": False}, None),
    "auto-none": (None, "auto", {}, None),
    "auto-series": (pd.Series([1.5, 2.5], name="s"), "auto", {}, None),
    "default-dict": (DOCUMENT, "default", {}, None),
    "default-bytes": (bytes(range(256)) * 1000, "default", {}, None),
    "default-unchecked": ([1, 2, 3], "default", {"integrity_checking": False}, None),
    "orjson-dict": (DOCUMENT, "orjson", {}, "json"),
    "orjson-unchecked": (DOCUMENT, "orjson", {"integrity_checking": False}, "json"),
    "orjson-indented": (DOCUMENT, OrjsonSerializer(option=orjson.OPT_INDENT_2), {}, "json"),
    "orjson-large": ([f"é{i}" for i in range(100_000)], "orjson", {}, "json"),
    "arrow": (FRAME, "arrow", {}, "arrow"),
    "arrow-empty": (FRAME[:0], "arrow", {}, "arrow"),
    "arrow-lz4": (FRAME, ArrowSerializer(compression="lz4"), {}, "arrow"),
    "arrow-plain": (FRAME, PLAIN, {}, "arrow"),
    "arrow-plain-batches": (pd.DataFrame({"x": np.arange(3 << 20)}), PLAIN, {}, "arrow"),
    "arrow-plain-polars": (pl.DataFrame({"a": [1, 2], "b": ["x", None]}), PLAIN, {}, "arrow"),
    "arrow-plain-columns": ({"a": [1, 2], "b": ["x", "y"]}, PLAIN, {}, "arrow"),
    "arrow-unchecked": (FRAME, "arrow", {"integrity_checking": False}, "arrow"),
}

every_writer = pytest.mark.parametrize("writer", WRITERS)
arrow_writers = pytest.mark.parametrize("writer", [name for name, w in WRITERS.items() if w[3] == "arrow"])
json_writers = pytest.mark.parametrize("writer", [name for name, w in WRITERS.items() if w[3] == "json"])


def write(cache, writer: str, key: str | None = None) -> str:
    obj, serializer, options, _ = WRITERS[writer]
    return cache.put(key or cache.key, obj, serializer, **options)


def as_cachekit_reads(cache, return_format: str):
    return ArrowSerializer(return_format=return_format).deserialize(cache.payload(cache.key))


def views_of(cache, writer: str) -> list[str]:
    decoded = WRITERS[writer][3]
    return [cache.key, f"raw/{cache.key}", f"frame/{cache.key}"] + ([f"{decoded}/{cache.key}{EXTENSION[decoded]}"] if decoded else [])
