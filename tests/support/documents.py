"""Values as applications store them, sealed or not. readings.py reads what is inside them."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import math
import uuid
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import xxhash
from cachekit._rust_serializer import ByteStorage
from cachekit.cache_handler import CacheSerializationHandler
from cachekit.interop import generate_interop_key
from cachekit.serializers import AutoSerializer
from cachekit.serializers.arrow_serializer import ArrowSerializer
from cachekit.serializers.base import SerializationMetadata
from cachekit.serializers.encryption_wrapper import EncryptionWrapper
from cachekit.serializers.wrapper import SerializationWrapper

MASTER = "5a" * 32
OTHER = "c3" * 32
THIRD = "0f" * 40  # a hex key may be longer than 32 bytes
DEPLOYMENT = "12345678-1234-5678-9234-567812345678"
INTEROP_KEY = generate_interop_key("users", "get", [3])


class Tenant:
    """What an application passes to choose the tenant of each call."""

    def __init__(self, name: str):
        self.name = name

    def extract(self, args, kwargs) -> str:
        return self.name


def seal(master: str = MASTER, tenant: str | None = None, deployment: str | None = None) -> dict[str, Any]:
    """Options that make cachekit seal what it writes: for one tenant, or for the tenant of each call."""
    mode = {"tenant_extractor": Tenant(tenant)} if tenant else {"single_tenant_mode": True, "deployment_uuid": deployment}
    return {"encryption": True, "master_key": master, **mode}


def handler(serializer="default", sealing: dict | None = None, integrity: bool = True, interop: bool = False) -> CacheSerializationHandler:
    """What stands between a decorated function and its backend."""
    options: dict[str, Any] = {"interop_mode": True} if interop else {}
    if isinstance(serializer, str):
        options["enable_integrity_checking"] = integrity
    return CacheSerializationHandler(serializer, **(sealing or {"encryption": False}), **options)


def store(cache, key: str, obj, serializer="default", sealing: dict | None = None, integrity: bool = True, interop: bool = False) -> str:
    """Store a value as a decorated function does whose key is `key`: a sealed one is bound to that key."""
    cache.set(key, handler(serializer, sealing, integrity, interop).serialize_data(obj, (), {}, cache_key=key), 3600)
    return key


def load(cache, key: str, serializer="default", sealing: dict | None = None, integrity: bool = True, interop: bool = False):
    """What the SDK reads back."""
    return handler(serializer, sealing, integrity, interop).deserialize_data(cache.value(key), key, (), {})


def wrapper(master: str = MASTER, tenant: str = "default", previous: tuple[str, ...] = (), **options) -> EncryptionWrapper:
    keys = [bytes.fromhex(key) for key in previous]
    return EncryptionWrapper(
        master_key=bytes.fromhex(master), tenant_id=tenant, previous_master_keys=keys, _master_key_from_hex=True, **options
    )


def sealed_payload(plaintext: bytes, key: str, metadata: SerializationMetadata, master: str = MASTER, tenant: str = "default") -> bytes:
    """Any bytes, sealed by cachekit's own cipher under the metadata that it binds."""
    w = wrapper(master, tenant)
    return bytes(w.encryptor.encrypt_with_keys(plaintext, w._create_aad(metadata, key), w.tenant_keys))


def sealed_bare(plaintext: bytes, key: str, tenant: str = "default", compressed: bool = False, master: str = MASTER) -> bytes:
    """A sealed value without a frame, as the Rust SDK stores it, or with an envelope inside (`compressed`) the TypeScript SDK."""
    bound = SerializationMetadata.from_dict({"format": "msgpack", "compressed": compressed, "original_type": None})
    return sealed_payload(plaintext, key, bound, master, tenant)


def sealed_metadata(format: str = "msgpack", original_type: str | None = "msgpack", compressed: bool = True, **more) -> dict[str, Any]:
    """The frame metadata of a sealed entry."""
    return {
        "format": format,
        "encoding": "utf-8",
        "compressed": compressed,
        "original_type": original_type,
        "encrypted": True,
        "tenant_id": "default",
        "encryption_algorithm": "AES-256-GCM",
        "key_fingerprint": wrapper().encryption_key_fingerprint,
        **more,
    }


def seal_by_hand(cache, key: str, plaintext: bytes, metadata: dict[str, Any], master: str = MASTER, serializer: str = "default") -> str:
    """An entry whose tag is right, over a plaintext that no serializer made."""
    bound = SerializationMetadata.from_dict({**metadata, "encrypted": False})
    payload = sealed_payload(plaintext, key, bound, master, metadata["tenant_id"])
    cache.set(key, SerializationWrapper.wrap(payload, metadata, serializer))
    return key


def unsealed(cache, key: str, master: str = MASTER) -> bytes:
    """The plaintext of a sealed entry, opened by the package."""
    payload, metadata, _ = SerializationWrapper.unwrap(cache.value(key))
    metadata = SerializationMetadata.from_dict(metadata)
    w = wrapper(master, metadata.tenant_id)
    return bytes(w.encryptor.decrypt_with_keys(bytes(payload), w._create_aad(metadata, key), w.tenant_keys))


# --- envelopes


def envelope(document: bytes, format: str = "msgpack") -> bytes:
    """A ByteStorage envelope as the package makes it."""
    return bytes(ByteStorage(format).store(document, format))


def opened(payload: bytes) -> bytes:
    """The document of a ByteStorage envelope, taken out by the package."""
    return bytes(ByteStorage("msgpack").retrieve(payload)[0])


def literals(document: bytes) -> bytes:
    """An LZ4 block that holds the document uncompressed."""
    n = len(document)
    if n < 15:
        return bytes([n << 4]) + document
    more, last = divmod(n - 15, 255)
    return b"\xf0" + b"\xff" * more + bytes([last]) + document


def envelope_by_hand(document: bytes, **fields) -> bytes:
    """An envelope whose fields may be of any form: data, checksum, size, format; `map=True` names them; `tail` follows."""
    block = literals(document)
    digest = xxhash.xxh3_64_digest(document)
    tail = fields.pop("tail", b"")
    as_map = fields.pop("map", False)
    values = {"data": block, "checksum": list(digest), "size": len(document), "format": "msgpack", **fields}
    if as_map:
        names = {"data": "compressed_data", "size": "original_size"}
        return msgpack.packb({names.get(name, name): value for name, value in values.items()}) + tail
    return msgpack.packb(list(values.values())) + tail


# --- values

FIXED = datetime.datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30)))

# Every type that each serializer takes.
UNIVERSAL = {
    "none": None,
    "booleans": [True, False],
    "integers": [0, -1, 127, 128, -32, -33, 255, 256, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1],
    "floats": [0.1, 1.0, -0.0, 1e300, 5e-324, 1 / 3, math.inf, -math.inf],
    "text": ['"\\/\b\f\n\r\t\x00\x1f\x7f\u2028', "née 🦀", "", "𐀀" * 20],
    "bytes": [b"", b"\x00\xff", bytes(range(256))],
    "temporal": [FIXED, FIXED.date(), FIXED.time()],
    "empty": [[], {}, {"": ""}],
    "nested": {"a": {"b": [{"c": [[[]]]}]}},
}
PYTHON = {
    **UNIVERSAL,
    "tuple": (1, ("two", (3.0,))),
    "sets": [{1}, frozenset({"x"}), set()],
    "uuid": uuid.UUID(DEPLOYMENT),
    "array": np.arange(6, dtype="<i2").reshape(2, 3),
    "markers as plain maps": [{"__datetime__": False, "value": 1}, {"__tuple__": 1}],
}
JSON = {"user": "Ada", "née": [1, 2.5, None, True], "big": 2**63, "nested": {"a": {"b": []}}}
INTEROP = {"name": "née", "score": 2.0, "at": FIXED, "raw": b"\x00\xff", "items": [1, None, {"deep": [True]}]}
TABLE = pd.DataFrame({"n": range(500), "x": np.linspace(0, 1, 500), "s": [f"row {i}" for i in range(500)]})
COLUMNS = pd.DataFrame(
    {
        "i": np.array([1, -2, 3], dtype="int32"),
        "f": np.array([0.5, math.nan, -math.inf]),
        "s": ["a", None, "née"],
        "when": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
        "nullable": pd.array([1, None, 3], dtype="Int64"),
        "b": [True, False, True],
    },
    index=["x", "y", "z"],
)
SERIES = pd.Series([1.5, math.nan, 2.5], name="prices", index=[3, 1, 2])
OBJECTS = pd.Series(["a", None, "c"])


def columnar(integrity: bool = True) -> AutoSerializer:
    """`auto` where pyarrow is missing."""
    serializer = AutoSerializer(enable_integrity_checking=integrity)
    serializer._arrow_serializer = None
    return serializer


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to store a value: what is written, how, and which decoded views its entry has."""

    obj: Any
    serializer: Any
    views: tuple[str, ...]
    sealing: dict[str, Any] | None = None
    integrity: bool = True
    interop: bool = False
    legacy: bool = False

    def write(self, cache, key: str) -> str:
        store(cache, key, self.obj, self.serializer, self.sealing, self.integrity, self.interop)
        if self.legacy:
            payload, metadata, serializer = SerializationWrapper.unwrap(cache.value(key))
            value = {"data": base64.b64encode(payload).decode(), "metadata": metadata, "serializer": serializer, "version": "2.0"}
            cache.set(key, json.dumps(value).encode(), 3600)
        return key

    def read(self, cache, key: str):
        """What the SDK reads back."""
        return load(cache, key, self.serializer, self.sealing, self.integrity, self.interop)

    def plaintext(self, cache, key: str) -> bytes:
        """The payload without its seal."""
        if not self.sealing:
            return cache.value(key) if self.interop else cache.payload(key)
        if not self.interop:
            return unsealed(cache, key, self.sealing["master_key"])
        w = wrapper(self.sealing["master_key"], self.sealing["deployment_uuid"] or "default")
        bound = SerializationMetadata.from_dict({"format": "msgpack", "compressed": False, "original_type": None})
        return bytes(w.encryptor.decrypt_with_keys(cache.value(key), w._create_aad(bound, key), w.tenant_keys))

    def document(self, cache, key: str) -> bytes:
        """The document, out of all its layers."""
        payload = self.plaintext(cache, key)
        if self.views == ("json",):
            return payload[8:] if self.integrity else payload
        if "msgpack" in self.views and self.integrity and not self.interop:
            return opened(payload)
        return payload[8:] if payload[8:14] == b"ARROW1" else payload


BOTH = ("msgpack", "json")


def _rows() -> dict[str, Row]:
    plain = {
        "default": Row(UNIVERSAL, "default", BOTH),
        "default-bare": Row(UNIVERSAL, "default", BOTH, integrity=False),
        "default-scalar": Row(7, "default", BOTH),
        "default-nan": Row([math.nan], "default", BOTH),
        "default-large": Row([f"row {i} " * 20 for i in range(20_000)], "default", BOTH),
        "orjson": Row(JSON, "orjson", ("json",)),
        "orjson-bare": Row(JSON, "orjson", ("json",), integrity=False),
        "orjson-large": Row([f"row {i}" for i in range(2000)], "orjson", ("json",)),
        "arrow-none": Row(TABLE, ArrowSerializer(compression=None), ("arrow",)),
        "arrow-zstd": Row(TABLE, "arrow", ("arrow",)),
        "arrow-zstd-unchecked": Row(TABLE, "arrow", ("arrow",), integrity=False),
        "arrow-lz4": Row(TABLE, ArrowSerializer(compression="lz4"), ("arrow",)),
    }
    rows = {
        **plain,
        "auto": Row(PYTHON, "auto", BOTH),
        "auto-bare": Row(PYTHON, "auto", BOTH, integrity=False),
        "auto-none": Row(None, "auto", BOTH),
        "auto-array": Row(np.arange(24.0).reshape(2, 3, 4), "auto", ("npy",)),
        "auto-array-bare": Row(np.arange(24, dtype=">i2"), "auto", ("npy",), integrity=False),
        "auto-array-large": Row(np.arange(20_000.0), "auto", ("npy",)),
        "auto-array-large-bare": Row(np.arange(20_000.0).reshape(100, 200), "auto", ("npy",), integrity=False),
        "auto-dataframe": Row(TABLE, "auto", ("arrow",)),
        "columnar-dataframe": Row(COLUMNS, columnar(), BOTH),
        "columnar-dataframe-bare": Row(COLUMNS, columnar(False), BOTH, integrity=False),
        "series": Row(SERIES, "auto", BOTH),
        "series-bare": Row(SERIES, "auto", BOTH, integrity=False),
        "series-objects": Row(OBJECTS, "auto", BOTH),
        "interop": Row(INTEROP, "default", BOTH, interop=True),
        "interop-sealed": Row(INTEROP, "default", BOTH, seal(), interop=True),
        "interop-scalar": Row(123, "default", BOTH, interop=True),
    }
    for name, row in plain.items():
        rows[f"{name}-sealed"] = dataclasses.replace(row, sealing=seal())
    rows["default-sealed-tenant"] = Row(UNIVERSAL, "default", BOTH, seal(tenant="acmé/corp"))
    rows["orjson-sealed-deployment"] = Row(JSON, "orjson", ("json",), seal(deployment=DEPLOYMENT))
    for name in ("default", "default-bare", "auto", "series", "orjson", "arrow-none", "default-sealed", "orjson-sealed", "arrow-zstd-sealed"):
        rows[f"legacy-{name}"] = dataclasses.replace(rows[name], legacy=True)
    return rows


ROWS = _rows()


def key_of(row: str, suffix: str = "") -> str:
    """The key that a row of the table is stored under."""
    if ROWS[row].interop:
        return generate_interop_key("users", "get", [row, suffix])
    return f"ns:lab:func:app.{row}{suffix}"


# --- documents and envelopes that no Python writer makes, but that others may


def framed(payload: bytes, original_type: str | None = "msgpack", compressed: bool = True, serializer: str = "default", **more) -> bytes:
    """A frame around a MessagePack payload."""
    metadata = {"format": "msgpack", "encoding": "utf-8", "compressed": compressed, "original_type": original_type, **more}
    return SerializationWrapper.wrap(payload, metadata, serializer)


SMALL = msgpack.packb({"a": [1, 2, 3], "text": "née" * 30})

# name: (stored value, the document it holds)
FOREIGN = {
    "bare": (envelope(SMALL), SMALL),
    "bare-dataframe": (envelope(SMALL, "dataframe"), SMALL),
    "bare-integers": (envelope_by_hand(SMALL, data=list(literals(SMALL))), SMALL),
    "integers": (framed(envelope_by_hand(SMALL, data=list(literals(SMALL)))), SMALL),
    "map": (framed(envelope_by_hand(SMALL, map=True)), SMALL),
    "map-of-integers": (framed(envelope_by_hand(SMALL, map=True, data=list(literals(SMALL)))), SMALL),
    "checksum-as-bin": (framed(envelope_by_hand(SMALL, checksum=xxhash.xxh3_64_digest(SMALL))), SMALL),
    "any-format-name": (framed(envelope_by_hand(SMALL, format="née" * 100)), SMALL),
    "looks-like-an-envelope": (framed(msgpack.packb([b"x", [0] * 8, 5, "msgpack"]), compressed=False), msgpack.packb([b"x", [0] * 8, 5, "msgpack"])),
    "trailing-bytes": (framed(envelope_by_hand(SMALL, tail=b"\xc1 tail")), SMALL),
}

# Documents that other SDKs, or a hostile writer, may store.
ODD_DOCUMENTS = {
    "integer-keys": msgpack.packb({1: "a", -1: "b", 2**64 - 1: "c"}),
    "keys-of-all-types": b"\x87\xc0\x01\xc3\x02\xc2\x03\xcb\x3f\xf8" + bytes(6) + b"\x04\xc4\x01\xff\x05\x92\x01\x02\x06\x81\xa1a\x01\x07",
    "duplicate-keys": b"\x83\xa1a\x01\xa1a\x02\xa1b\x03",
    "nan-key": b"\x81\xcb\x7f\xf8" + bytes(6) + b"\x01",
    "ext": b"\x93\xd4\x05\xff\xc7\x03\x7fabc\xc7\x00\x80",
    "timestamp": b"\xd6\xff\x00\x00\x00\x01",
    "float32": b"\x93\xca\x3d\xcc\xcc\xcd\xca\x7f\x7f\xff\xff\xca\x00\x00\x00\x01",
    "not-finite": b"\x93\xcb\x7f\xf0" + bytes(6) + b"\xcb\xff\xf0" + bytes(6) + b"\xca\xff\xc0\x00\x00",
    "negative-zero": b"\x92\xcb\x80" + bytes(7) + b"\xca\x80\x00\x00\x00",
    "long-forms": b"\xdd\x00\x00\x00\x04\xdb\x00\x00\x00\x01a\xdf\x00\x00\x00\x00\xc6\x00\x00\x00\x00\xd3" + b"\xff" * 8,
    "exact-integers": msgpack.packb([2**64 - 1, 2**63, -(2**63), 2**53 + 1]),
    "control-bytes": msgpack.packb("".join(map(chr, range(0x80))) + "\u0085\u2028\u2029\ufeff"),
    "dollar-names": msgpack.packb({"$base64": "no bytes", "$float": 1, "$ext": None}),
    "truthy-markers": msgpack.packb([{"__datetime__": 1, "value": "x"}, {"__tuple__": True}, {"__set__": "yes", "value": []}]),
    "200-levels": b"\x91" * 200 + b"\xc0",
    "empty-string": b"\xa0",
    "nil": b"\xc0",
}
for _name, _document in ODD_DOCUMENTS.items():
    FOREIGN[f"document-{_name}"] = (framed(envelope(_document)), _document)
    FOREIGN[f"document-{_name}-bare"] = (framed(_document, compressed=False), _document)
