"""Stored values, whole: what the package writes, altered in any of its layers, and the package's own readers as judges.

Number i is always the same value. The readers are the package's classes. Only the last step of each is taken out, since ckfs does not take it: that a
document becomes Python objects, and what lies inside an Arrow file. Where ckfs is meant to differ, a function named `differs_…` says so.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import io
import json
import random
import re
import warnings
from typing import Any
from unittest import mock

import msgpack
import numpy as np
import pandas as pd
import xxhash
from cachekit._rust_serializer import ByteStorage
from cachekit.serializers import AutoSerializer, OrjsonSerializer, StandardSerializer, auto_serializer, standard_serializer
from cachekit.serializers.arrow_serializer import ArrowSerializer
from cachekit.serializers.base import PAYLOAD_DECODE_ERRORS, SerializationMetadata
from cachekit.serializers.encryption_wrapper import EncryptionWrapper
from cachekit.serializers.wrapper import SerializationWrapper

from documents import INTEROP_KEY, MASTER, columnar, envelope_by_hand, literals, sealed_payload, wrapper
from helpers import EXTENSION, read
from judges import is_document
from names import name_of

# --- where ckfs is meant to differ ---


def differs_composed_dtype(payload: bytes) -> bool:
    """NumPy reads fields, sub-arrays and units with a divisor; nobody writes such names. A divisor of 0 ends NumPy's process."""
    at = payload[:17].find(b"NUMPY_RAW") + 9
    name = payload[at + 2 : at + 2 + int.from_bytes(payload[at : at + 2], "little")]
    return at in (9, 17) and (b"," in name or b"/" in name or re.match(rb"[<>=|]?[(\[{\d]", name) is not None)


TEXTS = ("format", "encoding", "original_type", "tenant_id", "encryption_algorithm", "key_fingerprint")


def differs_member_type(header: dict) -> bool:
    """A member of a wrong type, or with a NUL or over 4 KiB of text, makes the whole header unusable. The package looks at what it needs."""
    texts = [header[name] for name in TEXTS if header.get(name) is not None]
    flags = [header[name] for name in ("compressed", "encrypted") if header.get(name) is not None]
    return not all(isinstance(text, str) and "\0" not in text and len(text.encode()) <= 4096 for text in texts) or not all(
        isinstance(flag, bool) for flag in flags
    )


def differs_kind(header: dict, kinds: set[str]) -> bool:
    """The header's format says what a document is, and its original_type that it is an array. The package's readers are each for one kind, and do not look."""
    says = {"arrow": "arrow", "orjson": "json", "msgpack": "npy" if header.get("original_type") == "numpy" else "msgpack"}
    return says.get(header["format"]) not in kinds


def differs_reader(header: dict, name: str) -> bool:
    """The same, where its reader of one kind finds nothing in what the format calls another one."""
    reads = {"orjson": ("orjson",), "OrjsonSerializer": ("orjson",), "arrow": ("arrow",), "ArrowSerializer": ("arrow",)}
    return header.get("format") in {"msgpack", "orjson", "arrow"} - {*reads.get(name, ("msgpack", "arrow"))}


def differs_by_chance(payload: bytes) -> bool:
    """An array is one to the package by its structure, whatever the header says. If its header says another thing, and all its bytes happen to be one MessagePack document, ckfs shows that."""
    return b"NUMPY_RAW" in (payload[:9], payload[8:17]) and is_document(payload)


def differs_null_flag(header: dict) -> bool:
    """A seal is bound to the text of `compressed`. Nobody writes null there; to the package that is a third text, to ckfs it is false, as if it were absent."""
    return header.get("encrypted") is True and "compressed" in header and header["compressed"] is None


def differs_fields(payload: bytes, integrity: bool) -> bool:
    """What opens as an envelope is one, whatever the header leaves out, and holds a document or none. A reader that checks nothing may return its four fields."""
    try:
        return not integrity and ByteStorage("msgpack").retrieve(payload) is not None
    except Exception:  # noqa: BLE001 - it is no envelope
        return False


def differs_short_json(header: dict, payload: bytes) -> bool:
    """The package writes a JSON text of one byte behind a checksum, and does not read it back: it wants two."""
    return header["format"] == "orjson" and len(payload) == 9 and xxhash.xxh3_64_digest(payload[8:]) == payload[:8]


# --- the judges ---


class NoObject:
    """A document of which Python makes no object: a key that cannot be hashed, a text that is not UTF-8, a date that is none."""

    def __getitem__(self, index):
        return None


def unpack(document, **options):
    """As the package's unpackb_bounded, but that the document need not be an object of Python."""
    document = bytes(document)
    if not is_document(document):
        raise ValueError("not a document")
    # A text that is not UTF-8 leaves the rest as it is: what has the shape of an envelope has it with that, too.
    for errors in ("strict", "surrogateescape"):
        with contextlib.suppress(*PAYLOAD_DECODE_ERRORS):
            return msgpack.unpackb(document, **{**options, "unicode_errors": errors})
    return NoObject()


# The members that the package asks for by name, to make columns of a document.
COLUMNAR = {"dataframe": {"columns", "index", "data"}, "series": {"name", "index", "type", "data"}}


def names_of(document: bytes) -> set[str]:
    """The names of a map's members, whatever else it holds. Empty: it is no map."""
    unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape")
    unpacker.feed(document)
    names = set()
    with contextlib.suppress(ValueError):
        for _ in range(unpacker.read_map_header()):
            first = document[unpacker.tell()]
            if first & 0xE0 == 0xA0 or first in (0xD9, 0xDA, 0xDB):
                names.add(unpacker.unpack())
            else:
                unpacker.skip()
            unpacker.skip()
    return names


class ArrowJudge(ArrowSerializer):
    def _read_verified_ipc(self, body):
        return bytes(body)


class AutoJudge(AutoSerializer):
    def __init__(self, **options):
        super().__init__(**options)
        self._arrow_serializer = ArrowJudge()

    def _decode_columnar(self, payload, kind):
        value = unpack(payload)
        # In an envelope that its checksum fits ckfs shows what there is. Without one, what is no columns is an envelope that went wrong, or nothing.
        if not self.enable_integrity_checking and not COLUMNAR[kind] <= names_of(payload):
            raise ValueError("no columns")
        return value


JUDGES = {
    "default": StandardSerializer,
    "StandardSerializer": StandardSerializer,
    "auto": AutoJudge,
    "AutoSerializer": AutoJudge,
    "orjson": OrjsonSerializer,
    "OrjsonSerializer": OrjsonSerializer,
    "arrow": ArrowJudge,
    "ArrowSerializer": ArrowJudge,
}


@functools.cache
def judge(name: str, integrity: bool):
    return JUDGES[name](enable_integrity_checking=integrity)


def outcome(read, payload: bytes, metadata, integrity: bool) -> tuple[str, Any]:
    """("arrow" | "npy" | "msgpack" | "json", what it holds) as one reader finds it. Raises what the reader raises."""
    value = read.deserialize(payload, metadata)
    if isinstance(read, OrjsonSerializer):
        return "json", payload[8:] if integrity else payload
    if isinstance(value, bytes) and value[:6] == b"ARROW1" and value in (payload, payload[8:]):
        return "arrow", value
    if isinstance(value, np.ndarray) and b"NUMPY_RAW" in (payload[:9], payload[8:17]):
        return "npy", value
    return "msgpack", bytes(ByteStorage("msgpack").retrieve(payload)[0]) if integrity else payload


def opened(payload: bytes, metadata, key: str) -> bytes:
    """The plaintext of a sealed payload, by the package's cipher."""
    if not metadata.tenant_id or metadata.encryption_algorithm not in (None, "AES-256-GCM"):
        raise ValueError("nobody opens it")
    plain = []

    class Keep(StandardSerializer):
        def deserialize(self, data, metadata=None):
            plain.append(bytes(data))

    EncryptionWrapper(
        Keep(), master_key=bytes.fromhex(MASTER), tenant_id=metadata.tenant_id, previous_master_keys=[], _master_key_from_hex=True
    ).deserialize(payload, metadata, key)
    return plain[0]


# What the seal of an interop value is bound to.
BARE = SerializationMetadata.from_dict({"format": "msgpack", "compressed": False, "original_type": None})


def judged_interop(value: bytes) -> list[tuple[str, Any]]:
    """An interop value may be sealed, or plain: its readers are set up for one of them."""
    try:
        w = wrapper()
        value = bytes(w.encryptor.decrypt_with_keys(value, w._create_aad(BARE, INTEROP_KEY), w.tenant_keys))
    except Exception:  # noqa: BLE001 - whatever it says, it is not sealed
        pass
    return [("msgpack", value)] if is_document(value) and value[:2] != b"CK" else []


def judged(value: bytes, key: str) -> list[tuple[str, Any]] | None:
    """What the package's readers find in a value, in all settings that its writers had. None: no reader is known for it."""
    if key == INTEROP_KEY:
        return judged_interop(value)
    try:
        payload, header, name = SerializationWrapper.unwrap(value)
        metadata = SerializationMetadata.from_dict(header)
    except Exception:  # noqa: BLE001 - as the package's handler
        return []
    # The package seals nothing that only Python reads, so nobody opens that.
    if name not in JUDGES or differs_member_type(header) or differs_null_flag(header) or (metadata.encrypted and JUDGES[name] is AutoJudge):
        return None
    found = []
    for integrity in (True, False):
        try:
            plain = opened(bytes(payload), metadata, key) if metadata.encrypted else bytes(payload)
            if differs_short_json(header, plain) or differs_composed_dtype(plain) or differs_by_chance(plain):
                return None
            if not differs_fields(plain, integrity):
                found.append(outcome(judge(name, integrity), plain, metadata, integrity))
        except Exception:  # noqa: BLE001 - whatever it is, the value is not read
            continue
    if found:
        return None if differs_kind(header, {kind for kind, _ in found}) else found
    return None if differs_reader(header, name) else found


@contextlib.contextmanager
def judging():
    """Has the package's readers stop at the document."""
    with mock.patch.object(auto_serializer, "unpackb_bounded", unpack), mock.patch.object(standard_serializer, "unpackb_bounded", unpack), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def same_array(file: bytes, array: np.ndarray) -> bool:
    shown = np.load(io.BytesIO(file))
    return (shown.dtype, shown.shape, shown.tobytes()) == (array.dtype, array.shape, array.tobytes())


def shown_of(m, key: str) -> dict[str, bytes]:
    """What the decoded views show of a value."""
    found = {}
    for view in ("arrow", "npy", "msgpack", "json"):
        with contextlib.suppress(OSError):
            found[view] = read(m / f"{view}/{name_of(key)}{EXTENSION[view]}")
    return found


def differences(m, value: Value) -> str | None:
    """How the mount shows a value otherwise than the package reads it; None: it does not."""
    found, shown = judged(value.stored, value.key), shown_of(m, value.key)
    if found is None:
        return None
    kinds = {kind for kind, _ in found}
    # The JSON of a MessagePack document is looked at elsewhere; one with a text that is not UTF-8 has none.
    if "msgpack" in shown:
        shown.pop("json", None)
    if set(shown) - kinds:
        return f"shown as {set(shown)}, read as {kinds}"
    if not shown and kinds:
        return f"read as {kinds}, and not shown"
    for view, content in shown.items():
        if not any(same_array(content, what) if view == "npy" else content == what for kind, what in found if kind == view):
            return f"{view}: another one"
    return None


# --- values ---


def mutated(value: bytes, numbers: random.Random) -> bytes:
    """The value with a few bytes replaced, removed or put in."""
    changed = bytearray(value)
    for _ in range(numbers.randrange(1, 4)):
        at = numbers.randrange(len(changed))
        kind = numbers.randrange(4)
        if kind == 0:
            changed[at] = numbers.choice([0, 1, 0x7F, 0x80, 0x90, 0x94, 0xC0, 0xC1, 0xC4, 0xC6, 0xCC, 0xDC, 0xDD, 0xFF])
        elif kind == 1:
            changed[at] ^= 1 << numbers.randrange(8)
        elif kind == 2:
            del changed[at : at + numbers.randrange(1, 4)]
        else:
            changed[at:at] = numbers.randbytes(numbers.randrange(1, 4))
        if not changed:
            break
    return bytes(changed)

@dataclasses.dataclass
class Value:
    """What is stored, and the steps that led there, to be shown when it is read otherwise than the package reads it."""

    key: str
    stored: bytes
    story: list[str]


HEADS = [b"\xc0", b"\xc1", b"\x94", b"\x84", b"\xdc", b"\xdd\xff\xff\xff\xff", b"\xc7\x00\x05", b"\xd6\xff\x00\x00\x00\x01", b"\xa1\xff", b"\x91" * 1025]
OBJECTS = [
    {"a": [1, 2.5, None, True, "née"], "b": {"c": b"\x00\xff"}},
    [b"x" * 12, [0] * 8, 5, "msgpack"],
    "text " * 40,
    [2**64 - 1, -(2**63), 0.1, -0.0, float("inf")],
    [],
    7,
]
DTYPES = "float64 bool int8 >u2 <f2 complex64 complex256 float128 <U3 >U2 |S5 |V3 datetime64[ns] datetime64[25s] >M8[us] timedelta64[D] object".split()
MEMBERS: dict[str, list[Any]] = {
    "format": ["msgpack", "orjson", "arrow", "pickle", None, 3, "MSGPACK"],
    "original_type": ["msgpack", "numpy", "arrow", "orjson", "dataframe", "series", None, "", 3, "a\0"],
    "compressed": [True, False, None, "yes", 1],
    "encrypted": [True, False, None, "true", 1],
    "tenant_id": ["default", "acme", "", None, 7, "é" * 600],
    "encryption_algorithm": ["AES-256-GCM", "ChaCha20", None, 1],
    "key_fingerprint": ["00" * 16, None, "", 5],
    "encoding": ["utf-8", "latin-1", None, 1],
    "other": [[{}], "x"],
}
ABSENT = object()


class Maker:
    """Makes value number i."""

    def __init__(self, number: int):
        self.random = random.Random(f"whole value {number}")
        self.story: list[str] = []

    def chance(self, one_in: int, what: str) -> bool:
        hit = self.random.randrange(one_in) == 0
        if hit:
            self.story.append(what)
        return hit

    def altered(self, value: bytes, what: str, one_in: int = 6) -> bytes:
        return mutated(value, self.random) if value and self.chance(one_in, f"altered {what}") else value

    def array(self) -> np.ndarray:
        dtype = self.random.choice(DTYPES)
        shape = [self.random.randrange(4) for _ in range(self.random.randrange(4))]
        if dtype == "object" or dtype[1] == "U":
            return np.full(shape, "ab", dtype=dtype)
        count = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
        return np.frombuffer(bytes(self.random.randrange(2) for _ in range(count)), dtype=dtype).reshape(shape)

    def written(self, integrity: bool) -> tuple[bytes, dict, str]:
        """(payload, metadata, serializer) of something that the package serializes."""
        kind = self.random.choice(["default", "auto", "orjson", "arrow", "array", "array", "series", "columns"])
        self.story.append(kind + ("" if integrity else " unchecked"))
        if kind == "arrow":
            serializer: Any = ArrowSerializer(compression=self.random.choice([None, "lz4", "zstd"]))
            obj: Any = pd.DataFrame({"a": range(self.random.randrange(9))})
        elif kind == "array":
            serializer, obj = AutoSerializer(enable_integrity_checking=integrity), self.array()
        elif kind in ("series", "columns"):
            serializer = columnar(integrity)
            obj = pd.Series([1.5, None, 2]) if kind == "series" else pd.DataFrame({"a": [1, 2], "b": ["x", None]})
        else:
            serializer = {"default": StandardSerializer, "auto": AutoSerializer, "orjson": OrjsonSerializer}[kind](enable_integrity_checking=integrity)
            obj = self.random.choice(OBJECTS[:1] + OBJECTS[2:3] + OBJECTS[4:] if kind == "orjson" else OBJECTS)
            obj = {"a": [1, 2.5, None]} if kind == "orjson" and isinstance(obj, dict) else obj
        try:
            payload, metadata = serializer.serialize(obj)
        except Exception:  # noqa: BLE001 - what it does not write is not there to be read
            payload, metadata = StandardSerializer().serialize(1)
            kind = "default"
        names = {"array": ["auto", "AutoSerializer"], "series": ["auto"], "columns": ["AutoSerializer"], "arrow": ["arrow", "auto"]}
        return bytes(payload), metadata.to_dict(), self.random.choice(names.get(kind, [kind]))

    def inside(self, payload: bytes, metadata: dict) -> bytes:
        """The payload with another document inside, under a right checksum; or with another envelope around it."""
        if metadata["format"] == "msgpack" and metadata.get("compressed"):
            document = bytes(ByteStorage("msgpack").retrieve(payload)[0])
            document = self.random.choice(HEADS) if self.chance(8, "hostile document") else self.altered(document, "document")
            form = self.random.choice([{}, {}, {"map": True}, {"data": list(literals(document))}, {"tail": b"\xc1"}, {"format": "née"}, {"checksum": xxhash.xxh3_64_digest(document)}])
            if form and self.chance(2, f"envelope {sorted(form)}"):
                return envelope_by_hand(document, **{"format": metadata.get("original_type") or "msgpack", **form})
            return bytes(ByteStorage("msgpack").store(document, metadata.get("original_type")))
        prefix = xxhash.xxh3_64_digest(payload[8:]) == payload[:8]
        document = self.altered(payload[8:] if prefix else payload, "document")
        if self.chance(10, "prefix on or off"):
            prefix = not prefix
        return (xxhash.xxh3_64_digest(document) if prefix else b"") + document

    def header(self, metadata: dict) -> dict:
        for name in self.random.sample(sorted(MEMBERS), self.random.choice([0, 0, 0, 0, 1, 1, 2])):
            choice = self.random.choice([*MEMBERS[name], ABSENT])
            self.story.append(f"{name}={'absent' if choice is ABSENT else choice!r:.20}")
            metadata = {**{k: v for k, v in metadata.items() if k != name}, **({} if choice is ABSENT else {name: choice})}
        return metadata

    def sealed(self, payload: bytes, metadata: dict, key: str) -> tuple[bytes, dict]:
        tenant = self.random.choice(["default", "acme"])
        bound = SerializationMetadata.from_dict(metadata)
        master = MASTER if not self.chance(8, "sealed by nobody") else "77" * 32
        said = {"encrypted": True, "tenant_id": tenant, "encryption_algorithm": "AES-256-GCM"}
        fingerprint = wrapper(master, tenant).encryption_key_fingerprint
        return sealed_payload(payload, key, bound, master, tenant), {**metadata, **said, "key_fingerprint": fingerprint}

    def framed(self, payload: bytes, metadata: dict, serializer: str) -> bytes:
        if self.chance(4, "legacy"):
            data = base64.b64encode(payload).decode()
            return json.dumps({"data": data, "metadata": metadata, "serializer": serializer, "version": "2.0"}).encode()
        if self.chance(8, "aligned"):
            return SerializationWrapper.wrap_prefix(metadata, serializer, align=64, offset=22) + payload
        return SerializationWrapper.wrap(payload, metadata, serializer)

    def interop(self) -> bytes:
        document = self.random.choice(HEADS) if self.chance(8, "hostile document") else msgpack.packb(self.random.choice(OBJECTS))
        return sealed_payload(document, INTEROP_KEY, BARE) if self.chance(2, "sealed") else document

    def value(self, key: str) -> Value:
        if self.chance(8, "interop"):
            return Value(INTEROP_KEY, self.altered(self.interop(), "value", 2), self.story)
        payload, metadata, serializer = self.written(integrity=self.random.randrange(3) > 0)
        if self.chance(2, "inside"):
            payload = self.inside(payload, metadata)
        payload = self.altered(payload, "payload")
        if self.chance(4, "sealed"):
            payload, metadata = self.sealed(payload, metadata, key)
            payload = self.altered(payload, "ciphertext")
        return Value(key, self.altered(self.framed(payload, self.header(metadata), serializer), "value"), self.story)
