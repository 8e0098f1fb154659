"""What the seeds of several targets are made of, and where they go."""

from __future__ import annotations

import json
import pathlib
import struct

import numpy as np
import pandas as pd
import pyarrow as pa
from cachekit.serializers import get_serializer

VECTORS = pathlib.Path(__file__).resolve().parent.parent.parent / "vectors"

DOCUMENT = {"id": 1, "name": "Ünïcode ☃", "tags": ["a", None, True, 2.5], "big": 2**63}


def write(target: str, name: str, content: bytes) -> None:
    directory = VECTORS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(content)


def payloads() -> dict[str, tuple[str, dict, bytes]]:
    """name -> (serializer, metadata, payload), for every serializer, with integrity checks and without."""
    objects = {
        "default-document": ("default", DOCUMENT),
        "default-long": ("default", {"text": "compressible " * 40}),
        "auto-tuple": ("auto", {"when": (1, 2), "set": {3}}),
        "auto-array": ("auto", np.arange(12, dtype="float64").reshape(3, 4)),
        "auto-times": ("auto", np.array(["2024-01-01", "NaT"], dtype="datetime64[ns]")),
        "auto-series": ("auto", pd.Series([1.0, 2.5], name="s")),
        "auto-frame": ("auto", pd.DataFrame({"a": [1, 2]})),
        "orjson-document": ("orjson", DOCUMENT),
        "arrow-table": ("arrow", pa.table({"a": [1, 2, 3]})),
    }
    made = {}
    for name, (serializer, value) in objects.items():
        for integrity in (True, False):
            data, metadata = get_serializer(serializer, enable_integrity_checking=integrity).serialize(value)
            made[name + ("" if integrity else "-unchecked")] = (serializer, metadata.to_dict(), bytes(data))
    return made


def frame(header: bytes | dict, payload: bytes = b"payload", version: int = 3, length: int | None = None) -> bytes:
    if isinstance(header, dict):
        header = json.dumps(header).encode()
    return b"CK" + struct.pack(">BI", version, len(header) if length is None else length) + header + payload
