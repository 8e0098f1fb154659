#!/usr/bin/env python3
"""Writes the seed corpora, tests/vectors/fuzz_*/: entries the real cachekit writes, and broken ones.

Run it with a Python that has cachekit, pyarrow, numpy and pandas. It writes the same bytes each time and
leaves other files alone: `found-*` are what fuzzing found and what it kept for coverage.
"""

from __future__ import annotations

import base64
import json
import pathlib
import struct

import numpy as np
import pandas as pd
import pyarrow as pa
import xxhash
from cachekit.serializers import get_serializer
from cachekit.serializers.wrapper import SerializationWrapper

VECTORS = pathlib.Path(__file__).resolve().parent.parent / "vectors"

DOCUMENT = {"id": 1, "name": "Ünïcode ☃", "tags": ["a", None, True, 2.5], "big": 2**63}

SEALED = {
    "format": "msgpack",
    "encoding": "utf-8",
    "compressed": True,
    "original_type": "msgpack",
    "encrypted": True,
    "tenant_id": "acme",
    "encryption_algorithm": "AES-256-GCM",
    "key_fingerprint": "00112233445566778899aabbccddeeff",
}


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


def frames() -> None:
    for name, (serializer, metadata, payload) in payloads().items():
        write("fuzz_frame", name, SerializationWrapper.wrap(payload[:160], metadata, serializer))
    aligned = SerializationWrapper.wrap_prefix({"format": "arrow"}, "ArrowSerializer", align=64, offset=22)
    cases = {
        "empty": b"",
        "one-byte": b"C",
        "magic-only": b"CK",
        "cut-short": b"CK\x03\x00\x00\x00",
        "header-empty": frame(b""),
        "header-past-end": frame({"s": "a"}, b"", length=0xFFFFFFFF),
        "header-too-long-by-one": frame({"s": "a"}, b"", length=11),
        "version-1": frame({"s": "a"}, version=1),
        "foreign": b"a lock",
        "foreign-object": b'{"a": 1}',
        "aligned": aligned + b"ARROW1",
        "sealed": SerializationWrapper.wrap(bytes(range(44)), SEALED, "default"),
        "no-serializer": frame({"m": {}}),
        "serializer-empty": frame({"s": ""}),
        "serializer-number": frame({"s": 3}),
        "serializer-nul": frame(b'{"s": "a\\u0000b"}'),
        "serializer-4097": frame({"s": "x" * 4097}),
        "serializer-twice": frame(b'{"s": 1, "m": {"format": "arrow"}, "\\u0073": "auto", "m": {"format": "orjson"}}'),
        "metadata-list": frame({"s": "a", "m": [1, {"format": "arrow"}]}),
        "metadata-null": frame({"s": "a", "m": None}),
        "metadata-wrong-types": frame({"s": "a", "m": {"format": 1, "compressed": "yes", "encrypted": None}}),
        "metadata-nested": frame({"s": "a", "m": {"m": {"format": "arrow"}, "format": ["arrow"]}}),
        "header-array": frame(b'["s", "a"]'),
        "header-text-behind": frame(b'{"s": "a"} x'),
        "header-nan": frame(b'{"s": "a", "x": [NaN, -Infinity]}'),
        "header-lone-surrogate": frame(b'{"s": "\\ud800", "m": {"format": "\\udc00\\ud83d\\ude00"}}'),
        "header-mark": frame(b'\xef\xbb\xbf{"s": "a"}'),
        "header-not-utf8": frame(b'{"s": "a\xff"}'),
        "header-surrogate-in-utf8": frame(b'{"s": "a\xed\xa0\x80"}'),
        "header-utf16": frame('{"s": "a"}'.encode("utf-16")),
        "header-1-level-too-deep": frame(b'{"s": "a", "x": ' + b"[" * 1024 + b"]" * 1024 + b"}"),
        "header-over-first-read": frame({"s": "a", "m": {"x": "y" * 700, "format": "arrow"}}),
    }
    for name, content in cases.items():
        write("fuzz_frame", name, content)


def legacy(**members) -> bytes:
    return json.dumps({"data": "cGF5bG9hZA==", "serializer": "default", "metadata": {"format": "msgpack"}} | members).encode()


def legacies() -> None:
    for name, (serializer, metadata, payload) in payloads().items():
        if name.endswith("-unchecked"):
            continue
        data = base64.b64encode(payload[:160]).decode()
        write("fuzz_legacy", name, legacy(data=data, serializer=serializer, metadata=metadata))
    cases = {
        "empty": b"",
        "brace": b"{",
        "object-empty": b"{}",
        "foreign": b"foreign",
        "foreign-object": b'{"data": 1, "other": [1, 2]}',
        "data-empty": legacy(data=""),
        "data-skipped-characters": legacy(data="cG F5\nbG!9h*ZA=="),
        "data-cut-short": legacy(data="cGF5bG9hZA="),
        "data-one-digit": legacy(data="c"),
        "data-pad-first": legacy(data="=cGF5"),
        "data-pad-in-the-middle": legacy(data="cGF5bG9hZA==cGF5"),
        "data-pads-parted": legacy(data="cA=x=="),
        "data-not-ascii": legacy(data="cGF5ü"),
        "data-not-ascii-behind-pads": legacy(data="cA==ü"),
        "data-escaped": b'{"data": "cGF5\\u0062G9hZA=\\u003d\\/", "serializer": "a"}',
        "data-twice": b'{"data": "AAAA", "serializer": "a", "d\\u0061ta": "cGF5"}',
        "data-then-number": b'{"data": "AAAA", "serializer": "a", "data": 1}',
        "data-bad-then-good": b'{"data": "A", "serializer": "a", "data": "cGF5"}',
        "data-in-metadata": b'{"metadata": {"data": "AAAA"}, "serializer": "a"}',
        "serializer-missing": b'{"data": "AAAA"}',
        "serializer-null": legacy(serializer=None),
        "metadata-missing": b'{"data": "AAAA", "serializer": "a"}',
        "metadata-text": legacy(metadata="none"),
        "space-behind": legacy() + b" \n",
        "text-behind": legacy() + b"{}",
        "space-before": b" " + legacy(),
        "not-utf8": legacy()[:-1] + b', "x": "\xc0\xaf"}',
    }
    for name, content in cases.items():
        write("fuzz_legacy", name, content)


def json_texts() -> None:
    cases = {
        "document": json.dumps(DOCUMENT).encode(),
        "document-utf8": json.dumps(DOCUMENT, ensure_ascii=False).encode(),
        "orjson": get_serializer("orjson", enable_integrity_checking=False).serialize(DOCUMENT)[0],
        "empty": b"",
        "scalars": b'[0, -0, 1.5, -2e+10, 3E-5, true, false, null, ""]',
        "numbers-bad": b"[01]",
        "number-alone": b"123",
        "number-cut": b"1.",
        "minus-alone": b"-",
        "nonfinite": b"[NaN, Infinity, -Infinity]",
        "escapes": rb'"\"\\\/\b\f\n\r\t\u0000\u00e9\u20ac\ud83d\ude00"',
        "surrogates-alone": rb'["\ud800", "\udc00x", "\ud800\ud800\udc00", "\ud800\n"]',
        "escape-bad": rb'"\x41"',
        "escape-cut": rb'"\u00',
        "control-in-string": b'"a\tb"',
        "utf8-edges": '"\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"'.encode(),
        "utf8-overlong": b'"\xe0\x80\x80"',
        "utf8-surrogate": b'"\xed\xa0\x80"',
        "utf8-over": b'"\xf4\x90\x80\x80"',
        "utf8-cut": b'"\xf0\x9f\x98"',
        "mark": b"\xef\xbb\xbf{}",
        "spaces": b' \t\r\n{ \t"a" : [ ] , "b":{ } } ',
        "vertical-tab": b"\x0b1",
        "comma-behind": b"[1,]",
        "comma-in-object": b'{"a": 1,}',
        "comma-first": b"[,1]",
        "colon-missing": b'{"a" 1}',
        "key-number": b"{1: 2}",
        "wrong-end": b'[{"a": [1}]',
        "two-values": b"1 2",
        "literal-bad": b"[trve]",
        "nested-1024": b"[" * 1024 + b"]" * 1024,
        "nested-1025": b"[" * 1025,
        "nested-objects": b'{"":' * 40 + b"0" + b"}" * 40,
    }
    for number, (name, content) in enumerate(cases.items()):
        write("fuzz_json_scan", name, bytes((number % 9 + 1,)) + content)


def numpy_document(dtype: bytes, shape: tuple[int, ...], data: bytes) -> bytes:
    dims = b"".join(struct.pack("<I", dim) for dim in shape)
    return b"NUMPY_RAW" + struct.pack("<H", len(dtype)) + dtype + struct.pack("<H", len(dims)) + dims + data


def arrays() -> None:
    serializer = get_serializer("auto", enable_integrity_checking=False)
    made = {
        "float64": np.arange(6.0).reshape(2, 3),
        "bool": np.array([True, False]),
        "scalar": np.array(5, dtype="int16"),
        "empty": np.zeros((3, 0, 2), dtype="uint8"),
        "complex256": np.zeros(1, dtype="complex256"),
        "text": np.array(["a", "bcd"]),
        "text-big-endian": np.array(["a", "bc"]).astype(">U2"),
        "bytes": np.array([b"abcde"]),
        "void": np.zeros(2, dtype="V3"),
        "big-endian": np.arange(3, dtype=">i4"),
        "times": np.array(["2024-01-01"], dtype="datetime64[25s]"),
        "times-big-endian": np.zeros(2, dtype=">M8[us]"),
        "time-bare": np.array(["NaT"], dtype="datetime64"),
        "dimensions-64": np.zeros((1,) * 64, dtype="int8"),
    }
    for name, array in made.items():
        write("fuzz_numpy", name, bytes(serializer.serialize(array)[0]))
    cases = {
        "nothing": b"",
        "magic-alone": b"NUMPY_RAW",
        "other-magic": b"NUMPY_RAX\x00\x00",
        "object": numpy_document(b"object", (1,), bytes(8)),
        "structured": numpy_document(b"[('a', '<i4'), ('\xc3\xa9', '<f8')]", (1,), bytes(12)),
        "string-dtype": numpy_document(b"StringDType(na_object=nan)", (1,), bytes(16)),
        "unknown": numpy_document(b"bfloat16", (1,), bytes(2)),
        "not-ascii": numpy_document(b"\xfffloat64", (1,), bytes(8)),
        "dtype-empty": numpy_document(b"", (1,), bytes(8)),
        "dtype-long": numpy_document(b"x" * 600, (1,), bytes(8)),
        "dtype-past-end": b"NUMPY_RAW\xff\xfffloat64",
        "itemsize-zero": numpy_document(b"<U0", (3,), b""),
        "itemsize-huge": numpy_document(b"<U536870911", (4294967295, 4294967295), b""),
        "shape-overflow": numpy_document(b"int8", (2**31,) * 3, b""),
        "shape-overflow-beside-zero": numpy_document(b"int8", (0,) + (2**31,) * 3, b""),
        "dimensions-65": numpy_document(b"int8", (1,) * 65, b"\x00"),
        "shape-uneven": b"NUMPY_RAW\x04\x00int8\x03\x00\x01\x00\x00\x00",
        "length-short": numpy_document(b"float64", (3,), bytes(23)),
        "length-long": numpy_document(b"float64", (3,), bytes(25)),
    }
    for name, content in cases.items():
        write("fuzz_numpy", name, content)


def prefixed() -> None:
    for name, (_, _, payload) in payloads().items():
        if name.split("-")[1] in ("table", "array", "times", "document"):
            write("fuzz_prefix", name, b"\x05" + payload[:1600])
    cases = {
        "empty": b"",
        "seven-bytes": b"1234567",
        "hash-of-nothing": xxhash.xxh3_64_digest(b""),
        "hash-of-number": xxhash.xxh3_64_digest(b"5") + b"5",
        "hash-of-bad-json": xxhash.xxh3_64_digest(b"{]") + b"{]",
        "bad-hash": b"\x00" * 8 + b'{"a": 1}',
        "bare-number": b"5",
        "bare-json": b'{"a": [1, 2]}',
        "bare-nan": b"[NaN, NaN, NaN]",
        "magic-at-8": b"12345678ARROW1",
        "magic-cut": b"12345678NUMPY_RA",
    }
    for number, (name, content) in enumerate(cases.items()):
        write("fuzz_prefix", name, bytes((number * 7,)) + content)


def entry_headers() -> None:
    good = b"CK\x01\x00" + struct.pack(">HQ", 0, 1_900_000_000)
    cases = {
        "empty": b"",
        "never": b"CK\x01\x00" + bytes(10),
        "expires": good,
        "with-frame": good + b"CK\x03",
        "expires-after-time-ends": b"CK\x01\x00" + struct.pack(">HQ", 0, 2**64 - 1),
        "short": good[:13],
        "magic": b"ck" + good[2:],
        "version": b"CK\x02" + good[3:],
        "frame-version": b"CK\x03" + good[3:],
        "reserved": b"CK\x01\x01" + good[4:],
        "flags-high": good[:4] + b"\x01" + good[5:],
        "flags-low": good[:5] + b"\x01" + good[6:],
    }
    for name, content in cases.items():
        write("fuzz_entry_header", name, content)


def names() -> None:
    cases = {
        "empty": b"",
        "plain": b"user:7",
        "slash": b"user/7",
        "percent": b"100%",
        "control": b"a\x00b\x1f\x7f",
        "dot": b".",
        "dotdot": b"..",
        "control-directory": b".ckfs",
        "view": b"arrow",
        "escaped": b"user%2F7",
        "escaped-lower": b"user%2f7",
        "escaped-needless": b"%41",
        "escaped-view": b"%61rrow",
        "escape-cut": b"a%2",
        "hash": b"0123456789abcdef0123456789abcdef",
        "interop": b"shop:price:" + b"0" * 64,
        "reserved-namespace": b"ns:price:" + b"0" * 64,
        "long-240": b"x" * 240,
        "long-241": b"x" * 241,
        "long-255": b"x" * 255,
        "long-slashes": b"/" * 100,
        "cut-at-character": b"x" * 204 + "\u20ac".encode() * 20,
        "cut-name": b"x" * 206 + b"%~0123456789abcdef0123456789abcdef",
        "cut-name-too-short": b"x%~0123456789abcdef0123456789abcdef",
        "not-utf8": b"\xff\xfe\xc2",
    }
    for name, content in cases.items():
        write("fuzz_name", name, content)


if __name__ == "__main__":
    entry_headers()
    names()
    frames()
    legacies()
    json_texts()
    arrays()
    prefixed()
