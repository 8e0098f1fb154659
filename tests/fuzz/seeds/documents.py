"""Documents in each format, and the envelopes around them."""

from __future__ import annotations

import io
import json
import struct

import msgpack
import numpy as np
import pandas as pd
import pyarrow as pa
import xxhash
from cachekit._rust_serializer import ByteStorage
from cachekit.serializers import get_serializer
from cachekit.serializers.auto_serializer import AutoSerializer

from seeds.common import DOCUMENT, frame, payloads, write


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


def lz4(block: bytes, document: bytes) -> bytes:
    """An envelope around a block made by hand."""
    return msgpack.packb([block, xxhash.xxh3_64_digest(document), len(document), "msgpack"])


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
