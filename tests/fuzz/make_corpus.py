#!/usr/bin/env python3
"""Writes the seed corpora, tests/vectors/fuzz_*/: entries the real cachekit writes, and broken ones.

Run it with a Python that has cachekit, pyarrow, numpy and pandas. It writes the same bytes each time and
leaves other files alone: `found-*` are what fuzzing found and what it kept for coverage.
"""

from __future__ import annotations

import base64
import io
import json
import pathlib
import struct

import msgpack
import numpy as np
import pandas as pd
import pyarrow as pa
import xxhash
from cachekit._rust_serializer import ByteStorage
from cachekit.serializers import get_serializer
from cachekit.serializers.auto_serializer import AutoSerializer
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
        "header-1-level-too-deep": frame(b'{"s": "a", "x": ' + b"[" * 993 + b"]" * 993 + b"}"),
        "header-just-not-too-deep": frame(b'{"s": "a", "x": ' + b"[" * 992 + b"]" * 992 + b"}"),
        "header-integer-4300": frame(b'{"s": "a", "x": ' + b"9" * 4300 + b"}"),
        "header-integer-4301": frame(b'{"s": "a", "x": ' + b"9" * 4301 + b"}"),
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
        "white-space-around": b"\r\n\t " + legacy() + b"\t\r\n ",
        "white-space-of-many-reads": b" \n" * 400 + legacy(),
        "byte-order-mark": b"\xef\xbb\xbf" + legacy(),
        "1-level-too-deep": b'{"data": "QQ==", "serializer": "a", "x": ' + b"[" * 994 + b"]" * 994 + b"}",
        "integer-4301": b'{"data": "QQ==", "serializer": "a", "x": ' + b"9" * 4301 + b"}",
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
        "number-infinite": b"[1e999, -1.8e308]",
        "number-at-the-limit": f"[{2**1024 - 2**970}]".encode(),
        "number-below-the-limit": f"[{2**1024 - 2**970 - 1}, -{2**1024 - 2**970 - 1}.{'9' * 40}]".encode(),
        "number-over-its-zeros": b"0." + b"0" * 400 + b"1e700",
        "number-under-its-zeros": b"1" + b"0" * 400 + b"e-91",
        "number-nothing": b"[0e999, 1e-99999999999999999999, 0.000e18446744073709551616]",
        "integer-of-400-digits": b"-" + b"9" * 400,
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
        "itemsize-zero-void": numpy_document(b"|V0", (3,), b""),
        "letter": numpy_document(b">d", (1,), bytes(8)),
        "letter-and-size": numpy_document(b"=f 08", (1,), bytes(8)),
        "alias": numpy_document(b"longdouble", (1,), bytes(16)),
        "unit-spelled-out": numpy_document("datetime64[ +025μs]".encode(), (1,), bytes(8)),
        "unit-divided": numpy_document(b"M8[ns/2]", (1,), bytes(8)),
        "sub-array": numpy_document(b"(2,3)f4", (1,), bytes(24)),
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


def messagepacks() -> None:
    cases = {
        "document": msgpack.packb(DOCUMENT),
        "document-without-bin": msgpack.packb({"raw": b"\xff", "text": "x"}, use_bin_type=False),
        "numbers": msgpack.packb([0, 127, 128, 2**16, 2**32, 2**64 - 1, -1, -33, -(2**15) - 1, -(2**31) - 1, -(2**63)]),
        "floats": msgpack.packb([0.0, -0.0, 0.1, 1e15, 1e16, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308, 1e23]),
        "float-32": msgpack.packb([0.1, 1e-45], use_single_float=True),
        "nonfinite": msgpack.packb([float("nan"), float("inf"), float("-inf")]),
        "ext": msgpack.packb([msgpack.ExtType(1, b""), msgpack.ExtType(2, b"a"), msgpack.Timestamp(1, 2)]),
        "bin": msgpack.packb([b"", b"a", b"ab", b"abc"]),
        "strings": msgpack.packb(['"\\\n\0\x1f\x7f', "é☃😀\u2028", "x" * 40, ""]),
        "string-long": msgpack.packb("é" * 400 + '"'),
        "string-cut-character": b"\x92\xa1\xc3\xa1\xa9",
        "string-surrogate": b"\xa3\xed\xa0\x80",
        "containers-empty": msgpack.packb([[], {}, [[]], {"a": {}, "b": []}]),
        "keys": msgpack.packb({1: 0, None: 0, True: 0, 1.5: 0, b"\1": 0, "s": 0, (1, "a"): 0}),
        "keys-within-keys": b"\x81\x81\x81\x81\xa1\"\xc4\x01a" + b"\xa1\\\x90\x80",
        "keys-28-levels": b"\x81" * 28 + b"\x00" * 29,
        "keys-29-levels": b"\x81" * 29 + b"\x00" * 30,
        "keys-twice": b"\x83\xa1a\x01\xa1a\x02\x01\x03",
        "levels-1024": b"\x91" * 1023 + b"\x90",
        "levels-1024-and-bin": b"\x91" * 1024 + b"\xc4\x00",
        "levels-1025": b"\x91" * 1024 + b"\x90",
        "nothing": b"",
        "never-used": b"\xc1",
        "two": b"\x01\x02",
        "cut": b"\x93\x01",
        "length-past-end": b"\xdb\xff\xff\xff\xffa",
        "ext-length-wraps": b"\xc9\xff\xff\xff\xff\x01",
        "array-past-end": b"\xdd\xff\xff\xff\xff\x01",
    }
    for number, (name, content) in enumerate(cases.items()):
        write("fuzz_msgpack_json", name, bytes((number % 7 * 9,)) + content)


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
        "bare-infinite": b'{"a": 1e309}',
        "hash-of-infinite": xxhash.xxh3_64_digest(b"[1e400]") + b"[1e400]",
    }
    for number, (name, content) in enumerate(cases.items()):
        write("fuzz_prefix", name, bytes((number * 7,)) + content)


def arrow_file(table: pa.Table, compression: str | None = None, rows: int | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def arrows() -> None:
    """Small tables of all types, and files that go wrong where the reader follows them."""
    text, numbers = pa.array(["a", "b", None]), pa.array([1, 2, None])
    columns = {
        "numbers": numbers,
        "decimals": pa.array([None] * 3, pa.decimal128(20, 2)),
        "times": pa.array([1, 2, 3], pa.timestamp("ns", "Europe/Berlin")),
        "spans": pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval()),
        "lists": pa.array([[1], [], None], pa.list_(pa.float32())),
        "fixed-lists": pa.array([[1, 2]] * 3, pa.list_(pa.int8(), 2)),
        "structs": pa.array([{"a": 1, "b": "x"}] * 3),
        "maps": pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
        "dictionary": text.dictionary_encode(),
        "unions": pa.UnionArray.from_sparse(pa.array([0, 1, 0], pa.int8()), [numbers, text]),
        "run-ends": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"])),
        "views": pa.array(["a", "b", "c"], pa.string_view()),
        "extension": pa.array([bytes(16)] * 3, pa.uuid()),
    }
    for name, array in columns.items():
        write("fuzz_arrow", name, b"\xff" + arrow_file(pa.table({name: array})))
    table = pa.table({"a": range(9), "b": ["x"] * 9})
    plain, batches = arrow_file(table), arrow_file(table, rows=4)
    footer = struct.unpack("<i", plain[-10:-6])[0]
    batch = plain.index(b"\xff\xff\xff\xff", 16)
    cases = {
        "lz4": arrow_file(table, "lz4"),
        "zstd": arrow_file(table, "zstd"),
        "batches": batches,
        "no-rows": arrow_file(table.slice(0, 0)),
        "no-columns": arrow_file(pa.table({})),
        "footer-length-negative": plain[:-10] + b"\xff\xff\xff\xff" + plain[-6:],
        "footer-length-past-begin": plain[:-10] + struct.pack("<i", len(plain)) + plain[-6:],
        "footer-of-nothing": plain[:-10] + bytes(4) + plain[-6:],
        "footer-of-zeros": plain[: -10 - footer] + bytes(footer) + plain[-10:],
        "footer-of-ones": plain[: -10 - footer] + b"\xff" * footer + plain[-10:],
        "head-of-a-batch-of-ones": plain[: batch + 8] + b"\xff" * 64 + plain[batch + 72 :],
        "head-of-a-batch-without-its-mark": plain[:batch] + plain[batch + 4 : batch + 8] * 2 + plain[batch + 8 :],
        "cut": plain[:-1],
        "magic": b"ARROW1\0\0",
        "magic-twice": b"ARROW1\0\0" + bytes(4) + b"ARROW1",
        "nothing": b"",
    }
    for number, (name, content) in enumerate(cases.items()):
        write("fuzz_arrow", name, bytes((255 - number * 9,)) + content)


def keyrings() -> None:
    a, b, c, d, e = (bytes(range(i, i + 32)).hex() for i in (0x10, 0x40, 0x70, 0x90, 0xC0))
    uuid = "0f0e0d0c-0b0a-4908-8706-05040302010f"
    cases = {
        "empty": (),
        "one": (a,),
        "long": (a + b + "00",),
        "short": (a[:62],),
        "odd": (a + "0",),
        "no-hex": (a + "g",),
        "no-hex-but-digits-around": ("x" + a,),
        "upper-spaced": (" ".join(a.upper()[i : i + 2] for i in range(0, 64, 2)) + "\n",),
        "split-in-a-byte": (a[:63] + " " + a[63:],),
        "all": (a, f"{b},{c},{d}", uuid),
        "blanks": (a, f" ,{b}\u2003,, \u3000,{c}\x85,\x1f", ""),
        "four": (a, f"{b},{c},{d},{e}"),
        "equal": (a, f"{b},{b}"),
        "current-among-previous": (a, f"{b},{a.upper()}"),
        "current-longer": (a + a, a),
        "previous-short": (a, f"{b},{c[:62]}"),
        "previous-json": (a, f'["{b}"]'),
        "previous-alone": ("", f"{a},{b}"),
        "uuid-urn": (a, "", f"urn:uuid:{{{uuid.upper()}}}"),
        "uuid-braces": (a, "", f"{{{{}}{uuid.replace('-', '')}}}"),
        "uuid-a-key": (a, "", b),
        "uuid-long": (a, "", "-" * 300 + uuid),
        "uuid-short": ("", "", uuid[:-1]),
    }
    for name, texts in cases.items():
        write("fuzz_keyring", name, "\0".join(texts).encode())


def seals() -> None:
    def case(flags, position, key, tenant, format, original_type, plaintext):
        texts = b"".join(bytes((len(text),)) + text for text in (key, tenant, format, original_type))
        return struct.pack(">BH", flags, position) + texts + plaintext

    cases = {
        "empty": b"",
        "nothing": case(0, 0, b"k", b"default", b"msgpack", b"", b""),
        "default": case(3, 77, b"users:func:f:args:0:1s", b"acme", b"msgpack", b"msgpack", payloads()["default-document"][2]),
        "orjson": case(2, 1234, b"key", b"acme", b"orjson", b"orjson", payloads()["orjson-document"][2]),
        "interop": case(4, 2, b"shop:price:" + b"0" * 64, b"default", b"msgpack", b"", b"\x91\x01"),
        "long-names": case(1, 65535, b"k" * 255, b"t" * 255, b"f" * 255, b"o" * 255, bytes(33)),
        "block": case(1, 9, b"key", b"t", b"arrow", b"arrow", bytes(range(16))),
        "eight-blocks-and-one": case(3, 300, b"key", b"other", b"other", b"numpy", bytes(range(129))),
    }
    for name, content in cases.items():
        write("fuzz_seal", name, content)


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


def envelopes() -> None:
    document = msgpack.packb(DOCUMENT | {"text": "compressible " * 40})
    good = bytes(ByteStorage("msgpack").store(document, None))
    block, checksum, size, form = msgpack.unpackb(good)
    names = ("compressed_data", "checksum", "original_size", "format")
    by_name = dict(zip(names, (block, checksum, size, form)))
    integers = list(block)
    tail = msgpack.packb([checksum, size, form])[1:]
    cases = {
        "empty": b"",
        "nil": b"\xc0",
        "good": good,
        "text-behind": good + b"\xc1\xc1",
        "integers": msgpack.packb([integers, checksum, size, form]),
        "integers-wide": b"\x94\xdc" + struct.pack(">H", len(block)) + b"".join(b"\xd1\x00%c" % b for b in block) + tail,
        "integers-256": msgpack.packb([[1, 256], checksum, size, form]),
        "data-str": b"\x94\xda" + struct.pack(">H", len(block)) + block + tail,
        "checksum-bin": msgpack.packb([block, bytes(checksum), size, form]),
        "checksum-bin-long": msgpack.packb([block, bytes(checksum) + b"x", size, form]),
        "checksum-short": msgpack.packb([block, checksum[:7], size, form]),
        "checksum-wrong": msgpack.packb([block, checksum[::-1], size, form]),
        "size-larger": msgpack.packb([block, checksum, size + 1, form]),
        "size-smaller": msgpack.packb([block, checksum, size - 1, form]),
        "size-negative": msgpack.packb([block, checksum, -1, form]),
        "size-over": msgpack.packb([block, checksum, 2**29 + 1, form]),
        "size-over-32-bits": msgpack.packb([block, checksum, 2**32, form]),
        "ratio-over": msgpack.packb([b"\x10a", checksum, 2001, form]),
        "nothing-compressed": msgpack.packb([b"", checksum, 0, form]),
        "format-bin": msgpack.packb([block, checksum, size, b"other"]),
        "format-long": msgpack.packb([block, checksum, size, "\u00e9" * 200]),
        "format-nul": msgpack.packb([block, checksum, size, "a\0b"]),
        "format-not-utf8": msgpack.packb([block, checksum, size, b"\xff"]),
        "five": msgpack.packb([block, checksum, size, form, 1]),
        "map": msgpack.packb(by_name),
        "map-integers": msgpack.packb(by_name | {"compressed_data": integers}),
        "map-numbered": msgpack.packb(dict(enumerate(by_name.values()))),
        "map-others": msgpack.packb({"x": [1, {"y": b"z"}, msgpack.ExtType(1, b"abc")], 9: 1.5} | by_name),
        "map-missing": msgpack.packb({name: by_name[name] for name in names[1:]}),
        "map-twice": b"\x85" + msgpack.packb(by_name)[1:] + b"\xa6format\xa1x",
        "map-nil-name": msgpack.packb({None: 1} | by_name),
        "map-deep": b"\x85" + msgpack.packb(by_name)[1:] + b"\xa1x" + b"\x91" * 1023 + b"\x00",
        "block-literal-at-end": lz4(b"\x10a\x01\x00\x10b", b"aaaaab"),
        "block-offset-0": lz4(b"\x10a\x00\x00\x50bcdef", b"a\0\0\0\0bcdef"),
        "block-offset-over": lz4(b"\x10a\x02\x00\x50bcdef", b"aaaaabcdef"),
        "block-match-at-end": lz4(b"\x10a\x01\x00", b"aaaaa"),
        "block-cut-length": lz4(b"\xf0\xff", b""),
        "block-long-match": lz4(b"\x1fa\x01\x00\xff\x80\x00", b"a" * (1 + 4 + 15 + 255 + 128)),
    }
    for name, content in cases.items():
        write("fuzz_bytestorage", name, content)


def lz4(block: bytes, document: bytes) -> bytes:
    """An envelope around a block made by hand."""
    return msgpack.packb([block, xxhash.xxh3_64_digest(document), len(document), "msgpack"])


def structures() -> None:
    serializer = AutoSerializer(enable_integrity_checking=False)
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], 3: [1.5, 2]})
    cases = {
        "empty": b"",
        "document": msgpack.packb(DOCUMENT),
        "scalars": msgpack.packb([0, 127, 128, 2**16, 2**32, 2**64 - 1, -1, -33, -200, -(2**31), -(2**63), 1.5, True, None, "", b""]),
        "float32": b"\xca\x3f\x80\x00\x00",
        "lengths": msgpack.packb(["x" * 31, "x" * 32, "x" * 256, b"y" * 256, [0] * 15, [0] * 16, {i: i for i in range(16)}]),
        "exts": msgpack.packb([msgpack.ExtType(5, b"x" * n) for n in (0, 1, 2, 3, 4, 8, 16, 17)]),
        "wide": b"\x96\xdb\0\0\0\1a\xc6\0\0\0\1b\xc9\0\0\0\1\7c\xc8\0\1\7d\xdd\0\0\0\1\x01\xdf\0\0\0\1\x01\x02",
        "small-run": msgpack.packb(list(range(40))),
        "reserved": b"\x92\x01\xc1",
        "trailing": b"\xc0\xc0",
        "cut-short": b"\x92\xcd\x01",
        "array-over": b"\xdd\xff\xff\xff\xff\x00",
        "map-over": b"\xdf\x80\x00\x00\x00\x00",
        "str-over": b"\xdb\xff\xff\xff\xffa",
        "heads": b"\xdc\x00\x20" * 12,
        "nested-1024": b"\x91" * 1024 + b"\x00",
        "nested-1025": b"\x91" * 1024 + b"\x90",
        "not-utf8": b"\xa2\xff\xfe",
        "frame": serializer._serialize_dataframe(frame),
        "frame-indexed": serializer._serialize_dataframe(frame.set_index("b")),
        "frame-empty": serializer._serialize_dataframe(pd.DataFrame()),
        "frame-tuples": serializer._serialize_dataframe(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", 1)]))),
        "frame-listed-twice": msgpack.packb({"columns": ["a", "a", b"b"], "index": None, "data": {"a": {"type": "object", "data": []}}}),
        "frame-forged": msgpack.packb({"columns": [1, [2]], "index": None, "data": {1: {"type": "numeric", "data": 5, "dtype": b""}, "a": 7}}),
        "series": serializer._serialize_series(pd.Series([1.0, 2.5], name="s")),
        "series-objects": serializer._serialize_series(pd.Series(["a"], index=["\u00fc"])),
        "series-forged": msgpack.packb({"name": {}, "index": [], "type": "numeric", "data": b"123", "dtype": "<U0"}),
    }
    shapes = {
        "whole": [b"x", [0] * 8, 5, "msgpack"],
        "no-format": [b"x", [0, 255] * 4, 2**40, 7],
        "other-format": [b"x", [0] * 8, 5, "pickle"],
        "no-size": [b"x", [0] * 8, -1, "series"],
        "signed-size": [b"x", [0] * 8, msgpack.ExtType(1, b""), "dataframe"],
        "large-octet": [b"x", [0] * 7 + [256], 5, "series"],
        "seven-octets": [b"x", [0] * 7, 5, "series"],
        "no-checksum": [b"x", {"a": [1, {}]}, 5, "series"],
        "no-data": [{"a": "x"}, [0] * 8, 5, "dataframe"],
        "numbers": [1, 2, 3, 4],
    }
    for name, shape in shapes.items():
        write("fuzz_msgpack_walk", f"shape-{name}", msgpack.packb(shape))
    write("fuzz_msgpack_walk", "shape-wide", b"\xdc\x00\x04\xc4\x00\x98" + b"\xd0\x01" * 8 + b"\xd3" + bytes(8) + b"\xa0")
    for name, content in cases.items():
        write("fuzz_msgpack_walk", name, bytes(content))


def memcached_servers() -> None:
    lines = {
        "item": b"key=ns%3Ausers%3Afunc exp=-1 la=1790000000 cas=12 fetch=no cls=5 size=190",
        "expires": b"key=a exp=1800000000 la=1790000000 cas=12 fetch=yes cls=1 size=65",
        "newer": b"key=%D0%01%7F%20%25 exp=-1 la=1 cas=1 fetch=no cls=1 size=70 flags=0 ext_page=1 ext_offset=2",
        "longest": b"key=" + b"%FF" * 250 + b" exp=-1 la=1 cas=1 fetch=no cls=5 size=400",
        "too-long": b"key=" + b"x" * 251 + b" exp=-1",
        "empty-key": b"key= exp=-1",
        "cut-escape": b"key=a%4",
        "bad-escape": b"key=a%4g exp=-1",
        "lower-escape": b"key=%d0%b0 size=1",
        "no-size": b"key=a",
        "bad-size": b"key=a size=x",
        "huge-size": b"key=a size=99999999999999999999",
        "twice": b"key=a key=b size=1 size=2",
        "end": b"END",
        "ok": b"OK",
        "busy": b"BUSY currently processing crawler request",
        "locked": b"ERROR locked try again later",
        "disabled": b"CLIENT_ERROR lru crawler disabled",
        "forbidden": b"ERROR metadump not allowed",
        "login": b"CLIENT_ERROR unauthenticated",
        "error": b"ERROR",
        "nothing": b"",
    }
    for name, line in lines.items():
        write("fuzz_memcached_dump", name, line)
    replies = {
        "value": b"VA 4096 s4096 t-1 c12 f0 O1",
        "head": b"HD s4096 t3599 c12 f0 O2",
        "old-head": b"OK s1 t-1 c1 f0",
        "miss": b"EN",
        "exists": b"EX O3",
        "not-stored": b"NS O3",
        "too-large": b"SERVER_ERROR object too large for cache",
        "bare": b"HD",
        "other-size": b"VA 5 s6",
        "no-size": b"VA",
        "huge": b"VA 9999999999999999999 s1",
        "largest-cas": b"HD c18446744073709551615 s0",
        "too-large-cas": b"HD c18446744073709551616 s0",
        "negative": b"HD s-1",
        "ttl": b"HD t-2",
        "blanks": b"HD  s1  t1",
        "key": b"HD kZm9v b s1",
        "base64": b"VA 0 s0 b",
        "server-error": b"SERVER_ERROR out of memory writing get response",
        "client-error": b"CLIENT_ERROR bad data chunk",
        "login": b"CLIENT_ERROR unauthenticated",
        "full": b"ERROR Too many open connections",
        "stat": b"STAT total_connections 17",
        "stat-text": b"STAT version 1.6.18",
        "stat-empty": b"STAT x ",
        "http": b"HTTP/1.1 400 Bad Request",
    }
    for name, line in replies.items():
        write("fuzz_memcached_reply", name, line)
    urls = {
        "host": b"localhost",
        "port": b"a:11212",
        "several": b"a,b:1,[::1]:2",
        "sockets": b"/run/a.sock,/run/b%2C.sock,c",
        "login": b"me%40x:p%40ss@a,b",
        "user": b"me@/run/a.sock",
        "password-alone": b":p@a",
        "nothing": b"",
        "commas": b"a,,b",
        "slash": b"a/",
        "path": b"a/0",
        "query": b"a?x=1",
        "twice": b"a,a:11211",
        "many": b",".join(b"h%d" % i for i in range(65)),
        "open": b"[::1",
        "port-over": b"a:65536",
        "nul": b"a%00",
    }
    for name, url in urls.items():
        write("fuzz_memcached_source", name, b"\0" + url)
    lists = {
        "one": b'["127.0.0.1:11211"]',
        "several": b'[ "a:1" , "b:2", "::1:3", "[::1]:4" ]',
        "twice": b'["h:0011211", "h: 1_1211"]',
        "escapes": b'["\\u0061\\/:1"]',
        "empty": b"[]",
        "no-list": b'"a:1"',
        "plain": b"a:1,b:2",
        "nested": b'[["a:1"]]',
        "number": b"[1]",
        "no-port": b'["a"]',
        "port-0": b'["a:0"]',
        "port-over": b'["a:65536"]',
        "port-empty": b'["a:"]',
        "port-underscore": b'["a:1_", "a:_1", "a:1__1"]',
        "cut": b'["a:1"',
        "more": b'["a:1"] x',
        "nul": b'["\\u0000:1"]',
    }
    for name, text in lists.items():
        write("fuzz_memcached_source", f"list-{name}", b"\1" + text)


def redis_servers() -> None:
    replies = {
        "status": b"+OK\r\n",
        "error": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
        "no-right": b"-NOPERM this user has no permissions\r\n",
        "integer": b":1234\r\n",
        "negative": b":-2\r\n",
        "largest": b":9223372036854775807\r\n",
        "too-large": b":9223372036854775808\r\n",
        "string": b"$5\r\nhello\r\n",
        "nothing": b"$-1\r\n",
        "no-array": b"*-1\r\n",
        "array": b"*2\r\n$1\r\n0\r\n*0\r\n",
        "huge-string": b"$99999999999999\r\n",
        "bare-lf": b"+OK\n\r\n",
        "long": b"+" + b"x" * 4096 + b"\r\n",
        "resp3-nothing": b"_\r\n",
        "resp3-something": b"_1\r\n",
        "resp3-push": b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
        "resp3-map": b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n",
        "resp3-largest-map": b"%2147483648\r\n",
        "resp3-too-large-map": b"%2147483649\r\n",
        "http": b"HTTP/1.1 400 Bad Request\r\n",
    }
    for name, reply in replies.items():
        write("fuzz_redis_reply", name, reply)
    urls = {
        "host": b"localhost",
        "all": b"us%3Aer:p%40ss@example.org:6380/3?db=4&socket_timeout=5#x",
        "ipv6": b"[::1]:6379/1",
        "ipv6-open": b"[::1",
        "no-port": b"h:/",
        "bad-port": b"h:70000",
        "password-only": b":secret@h",
        "many-ats": b"a@b:c@d@h/0",
        "query-login": b"h?username=u&password=a+b%20c&db=1",
        "bad-db": b"h?db=one",
        "nul": b"%00",
        "empty": b"",
    }
    for name, url in urls.items():
        write("fuzz_redis_target", name, b"\0" + url)
    for name, url in {"path": b"/run/redis.sock?db=2", "login": b"u:p@/a%20b", "none": b"?db=1"}.items():
        write("fuzz_redis_target", f"socket-{name}", b"\1" + url)
    by_tls = {
        "files": b"h:6380/1?ssl_ca_certs=%2Fetc%2Fca.pem&ssl_certfile=c+c.pem&ssl_keyfile=c.key&db=2",
        "checks": b"u:p@[::1]?ssl_cert_reqs=none&ssl_check_hostname=No&ssl_cert_reqs=required",
        "unknown": b"h?ssl_password=secret",
        "directory": b"h?ssl_ca_path=&ssl_ca_path=/a%2",
        "nul": b"h?ssl_keyfile=a%00b",
    }
    for name, url in by_tls.items():
        write("fuzz_redis_target", f"tls-{name}", b"\2" + url)
    write("fuzz_redis_target", "tls-member-without-it", b"\0" + b"h?ssl_ca_certs=a")
    several = {
        "one": b"h",
        "three": b"us%3Aer:p%40ss@a:7000,[::1]:7001,c.example.org/service-1.x/3?db=4#x",
        "no-port": b"a:,b,:/s",
        "empty-between": b"a,,b/s",
        "many": b",".join([b"h"] * 65) + b"/s",
        "no-service": b"a,b/",
        "bad-service": b"a/s%20t",
        "bad-port": b"a:1,b:70000/s",
        "db": b"a,b/1",
        "query-login": b"h,i/s?username=u&password=a+b%20c",
        "comma-in-password": b":a,b@c,d/s",
        "ipv6-open": b"[::1,h/s",
        "long-host": b"h" * 300 + b"/s",
        "nul": b"%00/s",
        "empty": b"",
    }
    for name, url in several.items():
        write("fuzz_redis_seeds", f"cluster-{name}", b"\0" + url)
        write("fuzz_redis_seeds", f"sentinel-{name}", b"\1" + url)
    several_by_tls = {
        "three": b"us%3Aer:p%40ss@a:7000,[::1]:7001,c.example.org/s?ssl_ca_certs=%2Fca.pem&ssl_cert_reqs=none",
        "certificate": b":pw@a,b/s/3?db=1&ssl_certfile=me.pem&ssl_keyfile=a+b.key&ssl_check_hostname=no",
        "no-port": b"a:,b,:/s",
        "unknown": b"a,b/s?ssl_password=secret",
        "nul": b"a,b/s?ssl_keyfile=a%00b",
        "bad-second": b"a,b:70000/s?ssl_ca_certs=a",
    }
    for name, url in several_by_tls.items():
        write("fuzz_redis_seeds", f"tls-cluster-{name}", b"\2" + url)
        write("fuzz_redis_seeds", f"tls-sentinel-{name}", b"\3" + url)
    write("fuzz_redis_seeds", "cluster-member-of-tls", b"\0" + b"a,b?ssl_ca_certs=a")


def mounts() -> None:
    lines = {
        "plain": rb"36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
        "group": rb"41 32 0:36 /a/b /sys/fs/cgroup/memory ro - cgroup cgroup rw,cpuacct,memory",
        "no-optional": rb"36 35 0:40 / /m rw - cgroup2 none rw",
        "many-optional": rb"36 35 0:40 / /m rw shared:1 master:2 propagate_from:3 unbindable - tmpfs none rw",
        "escapes": rb"36 35 0:40 /a\040b /c\011\012\134d rw - fuse.ckfs a\054b rw",
        "bad-escapes": rb"36 35 0:40 /\40 /\400\08\ rw - tmpfs none rw",
        "no-source": rb"36 35 0:40 / /m rw -  tmpfs  rw",
        "no-end": rb"36 35 0:40 / /m rw shared:1",
        "no-options": rb"36 35 0:40 / /m rw - tmpfs none",
        "bad-device": rb"36 35 98 / /m rw - tmpfs none rw",
        "empty": b"",
    }
    for name, line in lines.items():
        write("fuzz_mountinfo", name, line)


# Choices of fuzz_value (tests/fuzz/stored.h).
KEYRING, FAIL_CLOSED, VERIFY_NEVER, REMOTE, PREFIX, HASH, SMALL, INTERRUPT = (1 << n for n in range(8))
PLAIN, INTEROP, ODD = range(3)
BARE, V3, ALIGNED, LEGACY = range(4)
MSGPACK, TENANT, CK_RUN = range(1, 4)
CURRENT, PREVIOUS, OF_NOBODY = 1, 2, 3
FITTING, NO_ENVELOPE, PREFIXED, BIN, INTEGERS, MAP, ODD_ENVELOPE = range(7)
DOCUMENTS = ("msgpack", "json", "arrow", "numpy", "made-msgpack", "made-arrow", "made-numpy", "made-dataframe", "made-series", "made-long")
ALTERED_DOCUMENT, ALTERED_ENVELOPE, ALTERED_PAYLOAD, ALTERED_VALUE = range(4)
REPLACE, FLIP, TAKE_OUT, PUT_IN, CUT = range(5)


def stored_value(rest: bytes, settings=0, key=PLAIN, frame=V3, seal=0, envelope=FITTING, document="msgpack", claims=(), numbers=(), alterations=(), declared=0) -> bytes:
    """`claims`: {place: choice} among the nine of what the frame says; `alterations`: (layer, kind, place, byte) each."""
    said = bytearray(9)
    for place, choice in dict(claims).items():
        said[place] = choice
    made = (*numbers, 0, 0, 0)[:3]
    choices = bytes([settings, key + 3 * declared, frame, seal, envelope, DOCUMENTS.index(document)]) + bytes(said) + bytes(made)
    choices += b"".join(struct.pack(">BBHB", *alteration) for alteration in alterations)
    return bytes([len(choices)]) + choices + rest


def stored_values() -> None:
    made = payloads()
    for name, (serializer, metadata, payload) in made.items():
        write("fuzz_value", name, b"\0" + SerializationWrapper.wrap(payload, metadata, serializer))
    for name, payload in {"envelope": made["default-document"][2], "foreign": b"a lock", "object": b'{"a": 1}', "empty": b""}.items():
        write("fuzz_value", f"bare-{name}", b"\0" + payload)
    documents = {
        "msgpack": msgpack.packb(DOCUMENT),
        "json": get_serializer("orjson", enable_integrity_checking=False).serialize(DOCUMENT)[0],
        "arrow": made["arrow-table"][2][8:],
        "numpy": made["auto-array-unchecked"][2],
        "made-msgpack": bytes(range(200)),
        "made-arrow": b"inside",
        "made-numpy": bytes(range(100)),
        "made-dataframe": bytes(range(60)),
        "made-series": b"\0\1\7\1",
        "made-long": msgpack.packb(DOCUMENT),
    }
    numbers = {"made-numpy": (9, 2, 6), "made-dataframe": (3, 2, 0), "made-series": (0, 3, 0), "made-long": (1, 0, 0)}
    for document, rest in documents.items():
        rows = {
            "v3": {},
            "aligned-remote": {"settings": REMOTE, "frame": ALIGNED},
            "legacy-small": {"settings": SMALL, "frame": LEGACY},
            "legacy-remote": {"settings": REMOTE, "frame": LEGACY},
            "sealed": {"settings": KEYRING | REMOTE, "seal": CURRENT},
            "sealed-previous": {"settings": KEYRING | PREFIX | INTERRUPT | REMOTE, "key": ODD, "frame": LEGACY, "seal": PREVIOUS},
            "sealed-by-nobody": {"settings": KEYRING, "seal": OF_NOBODY},
            "sealed-no-key": {"seal": CURRENT},
            "no-envelope": {"envelope": NO_ENVELOPE},
            "sealed-no-envelope": {"settings": KEYRING, "seal": CURRENT, "envelope": NO_ENVELOPE},
            "interop": {"key": INTEROP, "frame": BARE},
            "interop-sealed": {"settings": KEYRING, "key": INTEROP, "frame": BARE, "seal": PREVIOUS},
            "bare-envelope": {"frame": BARE, "envelope": INTEGERS},
            "unchecked": {"settings": VERIFY_NEVER | INTERRUPT},
            "altered": {"alterations": [(ALTERED_ENVELOPE, FLIP, 40, 1)]},
        }
        for name, row in rows.items():
            write("fuzz_value", f"{document}-{name}", stored_value(rest, document=document, numbers=numbers.get(document, ()), **row))
    document = documents["msgpack"]
    cases = {
        "interrupted": {"settings": REMOTE | INTERRUPT, "frame": ALIGNED},
        "by-hash": {"settings": KEYRING | HASH, "seal": CURRENT},
        "by-hash-plain": {"settings": HASH},
        "keyring-plain": {"settings": KEYRING},
        "keyring-interop-plain": {"settings": KEYRING, "key": INTEROP, "frame": BARE},
        "fail-closed": {"settings": KEYRING | FAIL_CLOSED, "seal": CURRENT, "claims": {7: 2}},
        "no-fingerprint": {"settings": KEYRING, "seal": CURRENT, "claims": {7: 1}},
        "no-fingerprint-wrong": {"settings": KEYRING, "seal": PREVIOUS, "claims": {7: 1}},
        "other-tenant": {"settings": KEYRING, "seal": CURRENT, "claims": {5: 1}},
        "no-tenant": {"settings": KEYRING, "seal": CURRENT, "claims": {5: 2}},
        "tenant-empty": {"settings": KEYRING, "seal": CURRENT, "claims": {5: 3}},
        "algorithm-unknown": {"settings": KEYRING, "seal": CURRENT, "claims": {6: 2}},
        "bound-otherwise": {"settings": KEYRING, "seal": CURRENT, "claims": {8: 1}},
        "plain-says-sealed": {"settings": KEYRING, "claims": {4: 1}},
        "sealed-says-plain": {"settings": KEYRING, "seal": CURRENT, "claims": {4: 2}},
        "sealed-cut": {"settings": KEYRING, "seal": CURRENT, "alterations": [(ALTERED_PAYLOAD, CUT, 20, 0)]},
        "sealed-altered": {"settings": KEYRING, "seal": CURRENT, "alterations": [(ALTERED_PAYLOAD, FLIP, 30, 0)]},
        "sealed-document-altered": {"settings": KEYRING, "seal": CURRENT, "alterations": [(ALTERED_ENVELOPE, REPLACE, 0, 0xC1)]},
        "format-unknown": {"claims": {1: 4}},
        "format-missing": {"claims": {1: 5}},
        "format-arrow": {"claims": {1: 3}},
        "compressed-missing": {"claims": {3: 4}},
        "compressed-wrong-type": {"claims": {3: 3}},
        "marks-disagree": {"claims": {0: 2, 2: 6}},
        "marks-disagree-bare": {"claims": {0: 2, 2: 3}, "envelope": NO_ENVELOPE},
        "serializer-nul": {"claims": {0: 5}},
        "serializer-missing": {"claims": {0: 6}},
        "envelope-odd": {"envelope": ODD_ENVELOPE},
        "envelope-map": {"envelope": MAP},
        "envelope-integers": {"envelope": INTEGERS},
        "went-wrong-unannounced": {"claims": {0: 2, 3: 2}, "envelope": BIN, "alterations": [(ALTERED_ENVELOPE, FLIP, 10, 1)]},
        "went-wrong-unannounced-default": {"claims": {3: 2}, "envelope": BIN, "alterations": [(ALTERED_ENVELOPE, FLIP, 10, 1)]},
        "frame-cut": {"alterations": [(ALTERED_VALUE, CUT, 5, 0)]},
    }
    for name, row in cases.items():
        write("fuzz_value", name, stored_value(document, **row))
    sealed = {"settings": KEYRING, "frame": BARE, "seal": CURRENT}
    declared = {
        "plain": {"frame": BARE, "declared": MSGPACK},
        "plain-remote": {"frame": BARE, "declared": MSGPACK, "settings": REMOTE},
        "plain-with-keys": {"frame": BARE, "declared": MSGPACK, "settings": KEYRING},
        "envelope": {"frame": BARE, "declared": MSGPACK, "envelope": INTEGERS},
        "interop-envelope": {"frame": BARE, "declared": MSGPACK, "key": INTEROP, "envelope": BIN},
        "interop-envelope-altered": {"frame": BARE, "declared": MSGPACK, "key": INTEROP, "envelope": BIN, "alterations": [(ALTERED_ENVELOPE, FLIP, 10, 1)]},
        "sealed": {**sealed, "declared": MSGPACK},
        "sealed-envelope": {**sealed, "declared": TENANT, "envelope": BIN},
        "sealed-prefix": {**sealed, "declared": TENANT, "settings": KEYRING | PREFIX | REMOTE, "seal": PREVIOUS, "key": ODD},
        "sealed-by-hash": {**sealed, "declared": TENANT, "settings": KEYRING | HASH},
        "sealed-by-nobody": {**sealed, "declared": TENANT, "seal": OF_NOBODY},
        "sealed-altered": {**sealed, "declared": TENANT, "alterations": [(ALTERED_PAYLOAD, FLIP, 30, 0)]},
        "ck-run": {**sealed, "declared": CK_RUN},
    }
    for name, row in declared.items():
        write("fuzz_value", f"declared-{name}", stored_value(document, **row))
    for name, text in {"text": b"a lock, or a text", "cut": b"\x93\x01", "number": b"\x07"}.items():
        write("fuzz_value", f"declared-{name}", stored_value(text, frame=BARE, declared=MSGPACK))
    for name, text in {"not-utf8": b"\xa2a\xff", "levels-1025": b"\x91" * 1024 + b"\x90", "frame-magic": b"CK", "never-used": b"\xc1"}.items():
        write("fuzz_value", f"document-{name}", stored_value(text))
        write("fuzz_value", f"interop-{name}", stored_value(text, key=INTEROP, frame=BARE))
    # A listing took it for sealed, and too short for that.
    write("fuzz_value", "short-may-be-envelope", stored_value(b"", document="made-dataframe", envelope=NO_ENVELOPE))


def commands() -> None:
    time = (1_790_000_000_123).to_bytes(8, "big")
    outputs = {"text": time + b"token\n", "empty": time, "bytes": time + b"\xff\0", "cut": time[:7], "nothing": b"", "half-a-character": time + b"\xc3"}
    for name, value in outputs.items():
        write("fuzz_ck_run", f"output-{name}", b"\0" + value)
    for name, value in {"whole": bytes(8) + time, "cut": bytes(15), "long": bytes(17)}.items():
        write("fuzz_ck_run", f"failure-{name}", b"\1" + value)


def lacks() -> None:
    rows = {
        "plain": stored_value(msgpack.packb(DOCUMENT)),
        "integers": stored_value(msgpack.packb(DOCUMENT), envelope=INTEGERS),
        "legacy": stored_value(msgpack.packb(DOCUMENT), frame=LEGACY),
        "sealed": stored_value(b'{"a": 1}' * 30, KEYRING | PREFIX, seal=PREVIOUS, document="json"),
        "json": stored_value(b"[" + b"1.5, " * 200 + b"2]", document="json"),
        "numpy": stored_value(bytes(90), document="made-numpy", numbers=(0, 2, 15)),
        "arrow": stored_value(bytes(900), document="made-arrow"),
        "dataframe": stored_value(bytes(range(60)), document="made-dataframe", numbers=(5, 3, 0)),
        "long": stored_value(msgpack.packb(DOCUMENT), ALIGNED, document="made-long", numbers=(40, 0, 0)),
        "interop": stored_value(b"\x91\xa1a", KEYRING, key=INTEROP, frame=BARE, seal=CURRENT),
        "bare": stored_value(msgpack.packb(DOCUMENT), frame=BARE, envelope=INTEGERS),
        "small": stored_value(b"[" + b"1.5, " * 200 + b"2]", SMALL, frame=LEGACY, document="json"),
        "sealed-numpy": stored_value(bytes(90), KEYRING, seal=CURRENT, document="made-numpy", numbers=(0, 2, 15)),
        "foreign": stored_value(b" " * 600 + b'{"no": "frame"}', frame=BARE, document="json"),
    }
    for name, value in rows.items():
        for what, lack in enumerate(("one", "all", "cut")):
            write("fuzz_lacks", f"{name}-{lack}", struct.pack(">BH", what, 0xFFFF) + value)


def told() -> None:
    args = ":args:" + 64 * "0" + ":1s"
    keys = {
        "generated": f"func:app.load{args}",
        "namespace": f"ns:users:func:app.load{args}",
        "method": f"ns:users:func:app.Users._locals_.load._lambda_{args}",
        "tenant": f"t:default:ns:users:func:app.load{args}",
        "custom": "837ff700712c5ebc-default:ck 1",
        "custom-namespace": "837ff700712c5ebc-users:ü",
        "interop": "users:get:" + 64 * "a",
        "long-name": f"func:{201 * 'x'}{args}",
        "long-namespace": f"ns:{1010 * 'n'}:func:app.load{args}",
        "long-key": f"837ff700712c5ebc-users:{1100 * 'k'}",
        "parts": "ns:func::args:",
        "only-args": ":args:",
        "tenant-alone": "t::",
        "empty": "",
    }
    for name, key in keys.items():
        write("fuzz_invalidation", name, key.encode())


def times() -> None:
    texts = {
        "utc": "2027-01-01T00:00:00Z",
        "offset": "2027-01-01 00:00:00.25+05:30",
        "before": "2027-12-31t23:59:60-23:59",
        "first-year": "0000-01-01T00:00:00+23:59",
        "last-year": "9999-12-31T23:59:60-23:59",
        "leap-day": "2028-02-29T12:00:00z",
        "no-such-day": "2027-02-29T12:00:00Z",
        "sign": "2027-+1-01T00:00:00Z",
        "blank": " 2027-1-01T00:00:00Z",
        "no-fraction": "2027-01-01T00:00:00.Z",
        "no-offset": "2027-01-01T00:00:00",
        "cut": "2027-01-01T00:00:00+05:",
        "more": "2027-01-01T00:00:00Z ",
        "never": "never",
    }
    for name, text in texts.items():
        write("fuzz_timestamp", name, text.encode())


if __name__ == "__main__":
    envelopes()
    structures()
    entry_headers()
    names()
    frames()
    legacies()
    mounts()
    json_texts()
    messagepacks()
    arrays()
    prefixed()
    arrows()
    keyrings()
    memcached_servers()
    redis_servers()
    seals()
    stored_values()
    commands()
    lacks()
    told()
    times()
