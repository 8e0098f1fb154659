"""§2: meta/ tells the columns, rows, batches and compression of an Arrow table, as pyarrow does, and reads no more than it needs for that."""

from __future__ import annotations

import datetime
import decimal
import io
import pathlib
import struct

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from documents import MASTER, seal, store
from entries import framed, prefixed, stats
from helpers import flipped, meta, read

pytestmark = pytest.mark.shared_mount
decoding = pytest.mark.decoding_only

SHOWN = 1000


def file_of(table: pa.Table, compression: str | None = None, rows_a_batch: int | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=rows_a_batch)
    return sink.getvalue()


def put(cache, document: bytes, key: str | None = None) -> str:
    cache.set(key or cache.key, framed(prefixed(document), "arrow", "arrow"))
    return key or cache.key


def shown(cache, mnt, document: bytes) -> dict:
    return meta(mnt, put(cache, document))["arrow"]


def text_of(type: pa.DataType) -> str:
    """As the file stores it: its schema alone tells of extension types."""
    return str(type.storage_type if isinstance(type, pa.BaseExtensionType) else type)


def told(document: bytes) -> dict:
    """What pyarrow tells of the same file."""
    reader = pa.ipc.open_file(pa.BufferReader(document))
    columns = []
    for field in reader.schema:
        column = {"name": field.name, "type": text_of(field.type), "nullable": field.nullable}
        if isinstance(field.type, pa.BaseExtensionType):
            column["extension"] = field.type.extension_name
        columns.append(column)
    return {"rows": reader.read_all().num_rows, "batches": reader.num_record_batches, "columns": columns}


def told_by(shown: dict) -> dict:
    return {name: shown[name] for name in ("rows", "batches", "columns")}


PLAIN = {
    "null": pa.array([None, None]),
    "bool": pa.array([True, None]),
    **{f"{sign}int{bits}": pa.array([1, 2], getattr(pa, f"{sign}int{bits}")()) for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "half": pa.array(np.array([1, 2], "float16")),
    "single": pa.array([1, 2], pa.float32()),
    "double": pa.array([1.0, None]),
    "string": pa.array(["a", "ü"]),
    "large_string": pa.array(["a", None], pa.large_string()),
    "string_view": pa.array(["a", "a text of more than twelve bytes"], pa.string_view()),
    "binary": pa.array([b"a", None]),
    "large_binary": pa.array([b"a", None], pa.large_binary()),
    "binary_view": pa.array([b"a", b"more than twelve bytes"], pa.binary_view()),
    "fixed": pa.array([b"0123456789abcdef"], pa.binary(16)),
    "decimal32": pa.array([decimal.Decimal("1.5")], pa.decimal32(5, 2)),
    "decimal64": pa.array([decimal.Decimal("1.5")], pa.decimal64(10, 2)),
    "decimal128": pa.array([decimal.Decimal("1.5")], pa.decimal128(20, 2)),
    "decimal256": pa.array([decimal.Decimal("1.5")], pa.decimal256(60, 3)),
    "negative scale": pa.array([None], pa.decimal128(10, -2)),
    "date32": pa.array([datetime.date(2024, 1, 1)], pa.date32()),
    "date64": pa.array([datetime.date(2024, 1, 1)], pa.date64()),
    **{f"time32[{unit}]": pa.array([1], pa.time32(unit)) for unit in ("s", "ms")},
    **{f"time64[{unit}]": pa.array([1], pa.time64(unit)) for unit in ("us", "ns")},
    **{f"timestamp[{unit}]": pa.array([1], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")},
    **{f"timestamp {zone}": pa.array([1], pa.timestamp("us", zone)) for zone in ("UTC", "Europe/Berlin", "+01:30", "ü")},
    **{f"duration[{unit}]": pa.array([1], pa.duration(unit)) for unit in ("s", "ms", "us", "ns")},
    "interval": pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
}
NESTED = {
    "list": pa.array([[1, 2], None]),
    "large_list": pa.array([[1]], pa.large_list(pa.int8())),
    "fixed_size_list": pa.array([[1, 2, 3]], pa.list_(pa.float32(), 3)),
    "list_view": pa.array([["a"]], pa.list_view(pa.string())),
    "large_list_view": pa.array([[1]], pa.large_list_view(pa.int64())),
    "named item": pa.array([[1]], pa.list_(pa.field("element", pa.int64(), nullable=False))),
    "struct": pa.array([{"a": 1, "b": "x"}], pa.struct([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string())])),
    "empty struct": pa.array([{}], pa.struct([])),
    "list of structs": pa.array([[{"when": 1}]], pa.list_(pa.struct([("when", pa.timestamp("ns", "UTC"))]))),
    "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
    "sorted map": pa.array([[("k", [1])]], pa.map_(pa.string(), pa.list_(pa.int64()), keys_sorted=True)),
    "map of other names": pa.array([[("k", 1)]], pa.map_(pa.field("schlüssel", pa.string(), False), pa.field("wert", pa.int64()))),
    "dictionary": pa.array(["a", "b", "a"]).dictionary_encode(),
    "ordered dictionary": pa.DictionaryArray.from_arrays(pa.array([0], pa.uint8()), pa.array(["a"], pa.large_string()), ordered=True),
    "dictionary of lists": pa.DictionaryArray.from_arrays(pa.array([0], pa.int16()), pa.array([[1]])),
    "list of dictionaries": pa.array([["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    "sparse union": pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])], ["number", "text"]),
    "dense union": pa.UnionArray.from_dense(
        pa.array([5, 9], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["a"])], ["n", "t"], [5, 9]
    ),
    "run ends": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"])),
    "run ends of lists": pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int16()), pa.array([[1.5]])),
}
EXTENSIONS = {
    "uuid": pa.array([bytes(16)], pa.uuid()),
    "json": pa.array(["{}"], pa.json_()),
    "tensor": pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((2, 3, 4))),
    "opaque": pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "point", "a vendor"), pa.array([b"a"])),
}
TYPES = PLAIN | NESTED | EXTENSIONS


@decoding
@pytest.mark.parametrize("name", TYPES)
def test_a_type_is_told_as_pyarrow_does(cache, mnt, name):
    document = file_of(pa.table({name: TYPES[name]}))
    assert told_by(shown(cache, mnt, document)) == told(document)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_all_columns_rows_and_batches_are_told_however_they_are_compressed(cache, mnt, compression):
    table = pa.table({name: pa.concat_arrays([array] * (12 // len(array))) for name, array in PLAIN.items()})
    document = file_of(table, compression, rows_a_batch=5)
    now = shown(cache, mnt, document)
    assert told_by(now) == told(document)
    assert (now["batches"], now["compression"]) == (3, compression or "none")


@pytest.mark.parametrize("serializer, make", [("arrow", pd.DataFrame), ("arrow", pa.table), ("arrow", pl.DataFrame), ("auto", pd.DataFrame)])
def test_what_the_sdk_stores_is_told(cache, mnt, serializer, make):
    cache.put(cache.key, make({"a": [1, 2, 3], "b": ["x", "y", None]}), serializer)
    document = read(mnt / f"arrow/{cache.key}.arrow")
    assert told_by(meta(mnt, cache.key)["arrow"]) == told(document)


WRITTEN = pd.DataFrame(
    {
        "number": np.arange(10.0),
        "text": list("abcdefghij"),
        "kind": pd.Categorical(list("xyxyxyxyxy")),
        "when": pd.date_range("2024-01-01", periods=10, tz="Europe/Berlin"),
        "gap": pd.array([None, *range(9)], "Int64"),
    }
)


@decoding
@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_what_polars_writes_is_told(cache, mnt, compression):
    frame = pl.from_pandas(WRITTEN).with_columns(pl.lit([1, 2]).alias("list"), pl.struct("number", "text").alias("both"))
    for level in ("oldest", "newest"):
        sink = io.BytesIO()
        frame.write_ipc(sink, compression=compression, compat_level=getattr(pl.CompatLevel, level)())
        now = shown(cache, mnt, sink.getvalue())
        assert told_by(now) == told(sink.getvalue())
        assert now["compression"] == {"uncompressed": "none"}.get(compression, compression)


@decoding
@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_what_pandas_writes_is_told(cache, mnt, compression):
    sink = io.BytesIO()
    WRITTEN.to_feather(sink, compression=compression, chunksize=3)
    now = shown(cache, mnt, sink.getvalue())
    assert told_by(now) == told(sink.getvalue())
    assert now["batches"] == 4


@decoding
def test_a_table_without_rows(cache, mnt):
    now = shown(cache, mnt, file_of(pa.table({"a": pa.array([], pa.int64())})))
    assert now == {"rows": 0, "batches": 0, "compression": None, "columns": [{"name": "a", "type": "int64", "nullable": True}]}


@decoding
def test_a_table_without_columns(cache, mnt):
    now = shown(cache, mnt, file_of(pa.table({})))
    assert (now["rows"], now["columns"]) == (0, [])


@decoding
def test_rows_without_columns_are_counted(cache, mnt):
    table = pa.table({"a": range(7)}).select([])
    assert shown(cache, mnt, file_of(table))["rows"] == 7


@decoding
def test_a_column_that_may_not_be_null(cache, mnt):
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False)])
    document = file_of(pa.table({"a": [1]}, schema=schema))
    assert shown(cache, mnt, document)["columns"][0]["nullable"] is False


@decoding
@pytest.mark.parametrize("count", [SHOWN, SHOWN + 1, 5000])
def test_of_many_columns_the_first_thousand_are_told_and_their_number(cache, mnt, count):
    document = file_of(pa.table({f"c{i}": pa.array([i], pa.int16()) for i in range(count)}))
    now = shown(cache, mnt, document)
    assert [column["name"] for column in now["columns"]] == [f"c{i}" for i in range(min(count, SHOWN))]
    assert now.get("columns_total") == (count if count > SHOWN else None)
    assert now["rows"] == 1


@decoding
@pytest.mark.parametrize("name", ["", "a\nb\"\\", "\x00", "ü☃🎈", "x" * 4096])
def test_any_name_is_told(cache, mnt, name):
    assert shown(cache, mnt, file_of(pa.table({name: [1]})))["columns"][0]["name"] == name


@decoding
def test_names_that_are_the_same_are_told_twice(cache, mnt):
    table = pa.Table.from_arrays([pa.array([1]), pa.array(["x"])], names=["a", "a"])
    assert [column["type"] for column in shown(cache, mnt, file_of(table))["columns"]] == ["int64", "string"]


@decoding
def test_a_name_of_over_4096_bytes_is_null(cache, mnt):
    assert shown(cache, mnt, file_of(pa.table({"x" * 4097: [1]})))["columns"][0]["name"] is None


@decoding
def test_a_longer_type_is_cut(cache, mnt):
    table = pa.table({"wide": pa.array([], pa.struct([(f"member{i}", pa.int64()) for i in range(1000)]))})
    text = shown(cache, mnt, file_of(table))["columns"][0]["type"]
    assert text == str(table.schema.field(0).type)[:4096] + "..."


@decoding
def test_a_deep_type_is_cut(cache, mnt):
    deep = pa.int64()
    for _ in range(63):
        deep = pa.list_(deep)
    assert shown(cache, mnt, file_of(pa.table({"deep": pa.array([], deep)})))["columns"][0]["type"] == str(deep)
    deep = pa.list_(pa.list_(deep))
    sink = io.BytesIO()
    pa.ipc.new_file(sink, pa.schema([("deep", deep)])).close()
    assert shown(cache, mnt, sink.getvalue())["columns"][0]["type"].endswith("list<item: ...")


@decoding
def test_batches_beyond_4096_leave_the_rows_untold(cache, mnt):
    batch, sink = pa.record_batch({"a": [1]}), io.BytesIO()
    for count, rows in ((4096, 4096), (4097, None)):
        sink = io.BytesIO()
        with pa.ipc.new_file(sink, batch.schema) as writer:
            for _ in range(count):
                writer.write_batch(batch)
        now = shown(cache, mnt, sink.getvalue())
        assert (now["batches"], now["rows"]) == (count, rows)


@decoding
def test_another_document_has_no_such_member(cache, mnt):
    cache.put(cache.key, {"a": 1}, "default")
    assert "arrow" not in meta(mnt, cache.key)


# What cannot be told is null, and why


def reason(cache, mnt, document: bytes) -> str:
    now = meta(mnt, put(cache, document))
    assert now["arrow"] is None
    return now["arrow_reason"]


TABLE = file_of(pa.table({"a": range(1000), "b": ["x"] * 1000}))
FOOTER = struct.unpack("<i", TABLE[-10:-6])[0]


def with_footer(length: int) -> bytes:
    return TABLE[:-10] + struct.pack("<i", length) + b"ARROW1"


BROKEN = {
    "no end": TABLE[:-1],
    "cut in the middle": TABLE[: len(TABLE) // 2],
    "magic alone": b"ARROW1\0\0",
    "magic twice": b"ARROW1\0\0ARROW1",
    "nothing between": b"ARROW1\0\0" + struct.pack("<i", 0) + b"ARROW1",
    "footer longer than the file": with_footer(len(TABLE)),
    "negative footer": with_footer(-1),
    "footer of one byte": with_footer(1),
    "no footer at all": TABLE[: -10 - FOOTER],
}


@decoding
@pytest.mark.parametrize("name", BROKEN)
def test_a_file_without_a_footer_has_a_reason(cache, mnt, name):
    assert "footer" in reason(cache, mnt, BROKEN[name])


@decoding
def test_a_footer_of_over_8_mib_has_a_reason(cache, mnt):
    schema = pa.schema([("a", pa.int64())], metadata={"note": "x" * (9 << 20)})
    sink = io.BytesIO()
    pa.ipc.new_file(sink, schema).close()
    put(cache, sink.getvalue())
    read(mnt / f"arrow/{cache.key}.arrow")
    assert reason(cache, mnt, sink.getvalue()) == "the footer is over 8 MiB"


@decoding
@pytest.mark.parametrize("at", range(-FOOTER - 10, -10, 7))
def test_an_altered_footer_leaves_the_text_valid(cache, mnt, at):
    put(cache, flipped(TABLE, at) if at else TABLE)
    assert ("arrow_reason" in (now := meta(mnt, cache.key))) == (now["arrow"] is None)


@decoding
def test_a_batch_that_makes_no_sense_leaves_the_rows_untold(cache, mnt):
    at = TABLE.index(b"\xff\xff\xff\xff", 16)
    now = shown(cache, mnt, TABLE[: at + 8] + b"\xff" * 8 + TABLE[at + 16 :])
    assert (now["rows"], now["batches"], now["compression"]) == (None, 1, None)


@decoding
def test_a_payload_that_is_no_file_has_the_reason_of_its_view(cache, mnt):
    cache.set(cache.key, framed(prefixed(b"PARQUET1" * 20), "arrow", "arrow"))
    now = meta(mnt, cache.key)
    assert now["arrow"] is None and now["arrow_reason"] == now["views"]["arrow"]


def test_a_table_that_failed_its_check_is_not_told(cache, mnt):
    put(cache, TABLE)
    cache.set(cache.key, flipped(cache.value(cache.key), -200))
    assert meta(mnt, cache.key)["checksum"] == "unchecked"
    with pytest.raises(OSError):
        read(mnt / f"arrow/{cache.key}.arrow")
    now = meta(mnt, cache.key)
    assert (now["checksum"], now["arrow"], now["arrow_reason"]) == ("mismatch", None, "checksum does not match")


# What it takes


def read_by(m, act) -> int:
    """Bytes that the daemon reads meanwhile, from files and the kernel."""

    def so_far() -> int:
        return int(pathlib.Path(f"/proc/{m.pid}/io").read_text().split()[1])

    before = so_far()
    act()
    return so_far() - before


@decoding
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_table_of_any_size_is_neither_read_nor_checked_for_it(cache, mnt, compression):
    put(cache, file_of(pa.table({"a": np.random.default_rng(1).random(1 << 20)}), compression, 1 << 16))
    before = stats(mnt)["ckfs_checks_total"]
    assert read_by(mnt, lambda: meta(mnt, cache.key)) < 256 << 10
    now = meta(mnt, cache.key)
    assert (now["arrow"]["rows"], now["checksum"]) == (1 << 20, "unchecked")
    assert stats(mnt)["ckfs_checks_total"] == before


@pytest.mark.on_http
def test_a_large_table_of_a_server_is_told_once_it_was_fetched(cache, mnt):
    document = file_of(pa.table({"a": np.random.default_rng(1).random(1 << 17)}))
    before = meta(mnt, put(cache, document))
    assert before["arrow"] or before["arrow_reason"] == "not all of it has been fetched yet"
    with open(mnt / f"arrow/{cache.key}.arrow", "rb"):
        assert told_by(meta(mnt, cache.key)["arrow"]) == told(document)


@decoding
def test_a_sealed_table_is_told_while_it_is_kept_decrypted(cache, mount):
    store(cache, cache.key, pa.table({"secret": [1, 2]}), "arrow", seal())
    without, m = mount(cache), mount(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    before = meta(m, cache.key)
    assert before["arrow"] is None and before["arrow_reason"].startswith("sealed, and not kept decrypted")
    document = read(m / f"arrow/{cache.key}.arrow")
    assert told_by(meta(m, cache.key)["arrow"]) == told(document)
    now = meta(without, cache.key)
    assert now["arrow"] is None and now["arrow_reason"] == now["views"]["arrow"]
