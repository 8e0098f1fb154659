"""§2: meta/ tells the whole story of a document: layers, sizes, ratio, columns, checksum, seal, views."""

from __future__ import annotations

import json
import os
import subprocess

import msgpack
import numpy as np
import pandas as pd
import pytest
from cachekit.interop import encode_interop_value

from documents import (
    COLUMNS,
    FOREIGN,
    JSON,
    MASTER,
    OBJECTS,
    ROWS,
    SERIES,
    SMALL,
    columnar,
    envelope,
    framed,
    key_of,
    literals,
    seal,
    seal_by_hand,
    sealed_metadata,
    store,
    unsealed,
)
from helpers import failure, meta, read, xattrs
from waiting import PATIENCE

pytestmark = [pytest.mark.shared_mount, pytest.mark.on_http]

LONG = {"text": "la " * 10_000}
KEYED = {"CACHEKIT_MASTER_KEY": MASTER}
KINDS = {"msgpack": "msgpack", "json": "json", "arrow": "arrow", "npy": "numpy"}


def fields(payload: bytes) -> tuple[int, int]:
    """Compressed and original size in an envelope."""
    data, _, size, _ = msgpack.unpackb(payload)
    return len(data), size


# Envelope


def test_the_envelope_of_a_document_has_its_sizes(cache, mnt):
    store(cache, cache.key, LONG)
    compressed, original = fields(cache.payload(cache.key))
    shown = meta(mnt, cache.key)["envelope"]
    assert (shown["kind"], shown["compressed"], shown["original"], shown["format"]) == ("bytestorage", compressed, original, "msgpack")


def test_the_ratio_is_original_by_compressed(cache, mnt):
    store(cache, cache.key, LONG)
    compressed, original = fields(cache.payload(cache.key))
    assert meta(mnt, cache.key)["envelope"]["ratio"] == pytest.approx(original / compressed, abs=0.01)


def test_the_original_size_is_the_size_of_the_document(cache, mnt):
    store(cache, cache.key, LONG)
    assert meta(mnt, cache.key)["envelope"]["original"] == os.stat(mnt / f"msgpack/{cache.key}.msgpack").st_size


@pytest.mark.parametrize("value, format", [(COLUMNS, "dataframe"), (SERIES, "series")])
def test_the_envelope_names_its_format(cache, mnt, value, format):
    store(cache, cache.key, value, columnar())
    assert meta(mnt, cache.key)["envelope"]["format"] == format


@pytest.mark.parametrize("name", ["integers", "map", "map-of-integers"])
def test_other_forms_of_the_envelope_are_told_once_they_were_opened(cache, mnt, name):
    cache.set(cache.key, FOREIGN[name][0])
    read(mnt / f"msgpack/{cache.key}.msgpack")
    shown = meta(mnt, cache.key)["envelope"]
    assert (shown["kind"], shown["compressed"], shown["original"]) == ("bytestorage", len(literals(SMALL)), len(SMALL))


@pytest.mark.parametrize(
    "row, kind", [("orjson", "xxh3"), ("orjson-bare", "none"), ("arrow-none", "xxh3"), ("auto-array", "xxh3"), ("auto-array-bare", "none")]
)
def test_other_envelopes_are_named(cache, mnt, row, kind):
    ROWS[row].write(cache, cache.key)
    for view in ROWS[row].views:
        read(mnt / f"{view}/{cache.key}")
    assert meta(mnt, cache.key)["envelope"]["kind"] == kind


@pytest.mark.parametrize("row", ["default-bare", "series-bare", "interop"])
def test_a_bare_document_has_no_envelope(cache, mnt, row):
    key = ROWS[row].write(cache, key_of(row, cache.key))
    read(mnt / f"msgpack/{key}.msgpack")
    assert meta(mnt, key)["envelope"]["kind"] == "none"


def test_a_foreign_value_has_neither_envelope_nor_document(cache, mnt):
    cache.set(cache.key, b"foreign")
    shown = meta(mnt, cache.key)
    assert (shown["envelope"], shown["checksum"]) == (None, "none")


def test_the_envelope_of_a_sealed_entry_is_told_once_it_was_opened(cache, mount):
    store(cache, cache.key, LONG, sealing=seal())
    m = mount(cache, env=KEYED)
    read(m / f"msgpack/{cache.key}.msgpack")
    compressed, original = fields(unsealed(cache, cache.key))
    shown = meta(m, cache.key)["envelope"]
    assert (shown["kind"], shown["compressed"], shown["original"]) == ("bytestorage", compressed, original)


# Document


@pytest.mark.parametrize("row", ["default", "default-bare", "auto", "orjson", "arrow-zstd", "auto-array", "interop", "legacy-default"])
def test_the_document_is_named(cache, mnt, row):
    key = ROWS[row].write(cache, key_of(row, cache.key))
    assert meta(mnt, key)["document"] == KINDS[ROWS[row].views[0]]


@pytest.mark.parametrize("value, name", [(COLUMNS, "dataframe"), (SERIES, "series")])
@pytest.mark.parametrize("integrity", [True, False])
def test_columnar_documents_are_named(cache, mnt, value, name, integrity):
    store(cache, cache.key, value, columnar(integrity))
    assert meta(mnt, cache.key)["document"] == name


# Columns


EXPECTED = [
    ("i", "numeric", "int32"),
    ("f", "numeric", "float64"),
    ("s", "object", None),
    ("when", "object", None),
    ("nullable", "object", None),
    ("b", "object", None),
]


def triples(columns: list[dict]) -> list[tuple]:
    return [(c["name"], c["type"], c.get("dtype")) for c in columns]


@pytest.mark.parametrize("integrity", [True, False])
def test_the_columns_of_a_dataframe_are_shown(cache, mnt, integrity):
    store(cache, cache.key, COLUMNS, columnar(integrity))
    shown = meta(mnt, cache.key)["columns"]
    assert (shown["rows"], triples(shown["columns"])) == (3, EXPECTED)


def test_the_columns_of_a_sealed_dataframe_are_shown_to_who_has_the_key(cache, mount):
    """No serializer of the package seals one; other writers may."""
    payload, _ = columnar().serialize(COLUMNS)
    seal_by_hand(cache, cache.key, bytes(payload), sealed_metadata(original_type="dataframe"))
    m = mount(cache, env=KEYED)
    read(m / f"json/{cache.key}.json")
    assert triples(meta(m, cache.key)["columns"]["columns"]) == EXPECTED


@pytest.mark.parametrize(
    "series, expected",
    [
        (SERIES, (3, [("prices", "numeric", "float64")])),
        (OBJECTS, (3, [(None, "object", None)])),
        (pd.Series([], dtype="int16", name="none"), (0, [("none", "numeric", "int16")])),
        (pd.Series(range(100_000), name="many"), (100_000, [("many", "numeric", "int64")])),
    ],
    ids=["numeric", "objects", "empty", "many"],
)
def test_a_series_is_shown_as_one_column(cache, mnt, series, expected):
    store(cache, cache.key, series, "auto")
    shown = meta(mnt, cache.key)["columns"]
    assert (shown["rows"], triples(shown["columns"])) == expected


@pytest.mark.parametrize(
    "frame, rows",
    [
        (pd.DataFrame({"a": []}), 0),
        (pd.DataFrame(), 0),
        (pd.DataFrame({"a": range(70_000)}), 70_000),
        (pd.DataFrame({1: [1], "1": [2]}), 1),
        (pd.DataFrame({'"\n\x00née': [1]}), 1),
        (pd.DataFrame({"a": ["x", "y"]}, index=["p", "q"]), 2),
    ],
    ids=["no rows", "nothing", "many", "number as name", "odd name", "index"],
)
def test_the_rows_of_a_dataframe_are_counted(cache, mnt, frame, rows):
    store(cache, cache.key, frame, columnar())
    shown = meta(mnt, cache.key)["columns"]
    assert (shown["rows"] or 0, len(shown["columns"])) == (rows, len(frame.columns))


def test_a_thousand_columns_and_more_are_counted(cache, mnt):
    store(cache, cache.key, pd.DataFrame(np.zeros((2, 1500)), columns=[f"c{i}" for i in range(1500)]), columnar())
    shown = meta(mnt, cache.key)["columns"]
    assert (shown["rows"], len(shown["columns"]), shown["columns_total"]) == (2, 1000, 1500)


@pytest.mark.parametrize("row", ["default", "auto", "orjson", "arrow-zstd"])
def test_other_documents_have_no_columns(cache, mnt, row):
    key = ROWS[row].write(cache, key_of(row, cache.key))
    assert meta(mnt, key).get("columns") is None


@pytest.mark.times
@pytest.mark.file_only
def test_columns_that_share_a_text_are_shown_soon_however_long_it_is(cache, mnt):
    """It is not read for each of them."""
    column = {"type": "numeric", "data": bytes(8), "dtype": "x" * (150 << 20)}
    document = msgpack.packb({"columns": ["a"] * 1000, "index": None, "data": {"a": column}})
    cache.write(cache.key, framed(envelope(document, "dataframe"), "dataframe"))
    done = subprocess.run(["cat", mnt / f"meta/{cache.key}.json"], capture_output=True, timeout=PATIENCE)
    shown = json.loads(done.stdout)["columns"]
    assert (shown["rows"], shown["columns"]) == (None, [{"name": "a", "type": "numeric", "dtype": None}] * 1000)


@pytest.mark.file_only
def test_of_a_column_with_a_long_name_nothing_is_told(cache, mnt):
    column = {"type": "numeric", "data": bytes(8), "dtype": "int64"}
    names = ["n" * 4096, "n" * 5000]
    document = msgpack.packb({"columns": names, "index": None, "data": dict.fromkeys(names, column)})
    cache.write(cache.key, framed(envelope(document, "dataframe"), "dataframe"))
    shown = meta(mnt, cache.key)["columns"]
    assert (shown["rows"], shown["columns"]) == (1, [{"name": names[0], "type": "numeric", "dtype": "int64"}, {"name": None, "type": None}])


def test_a_document_that_only_claims_columns_leaves_meta_valid(cache, mnt):
    cache.set(cache.key, framed(envelope(msgpack.packb({"columns": 5, "data": [1]}), "dataframe"), "dataframe"))
    shown = json.loads(read(mnt / f"meta/{cache.key}.json"))
    assert (shown.get("columns"), json.loads(read(mnt / f"json/{cache.key}.json"))) == (None, {"columns": 5, "data": [1]})


# Columns' bytes


def test_the_bytes_of_a_typed_column_are_readable(cache, mnt):
    store(cache, cache.key, COLUMNS, columnar())
    document = msgpack.unpackb(read(mnt / f"msgpack/{cache.key}.msgpack"))
    column = document["data"]["i"]
    assert np.frombuffer(column["data"], column["dtype"]).tolist() == [1, -2, 3]


# Checksum


@pytest.mark.parametrize("row", ["default", "auto", "columnar-dataframe", "series", "legacy-default"])
@pytest.mark.parametrize("view", ["msgpack", "json"])
def test_the_checksum_is_ok_once_the_document_was_opened(cache, mnt, row, view):
    key = ROWS[row].write(cache, key_of(row, cache.key))
    read(mnt / f"{view}/{key}.{view}")
    assert meta(mnt, key)["checksum"] == "ok"


def test_the_checksum_is_unchecked_before(cache, mnt):
    store(cache, cache.key, LONG)
    assert meta(mnt, cache.key)["checksum"] == "unchecked"


@pytest.mark.parametrize("row", ["default-bare", "series-bare", "interop"])
def test_a_bare_document_has_no_checksum(cache, mnt, row):
    key = ROWS[row].write(cache, key_of(row, cache.key))
    read(mnt / f"msgpack/{key}.msgpack")
    assert meta(mnt, key)["checksum"] == "none"


def test_the_checksum_that_failed_is_a_mismatch(cache, mnt):
    store(cache, cache.key, JSON)
    data, checksum, size, format = msgpack.unpackb(cache.payload(cache.key))
    cache.set(cache.key, framed(msgpack.packb([data, [*checksum[:7], checksum[7] ^ 1], size, format])))
    assert (failure(mnt / f"json/{cache.key}.json"), meta(mnt, cache.key)["checksum"]) == ("EBADMSG", "mismatch")


def test_the_checksum_of_a_sealed_entry_is_ok_once_it_was_opened(cache, mount):
    store(cache, cache.key, JSON, sealing=seal())
    m = mount(cache, env=KEYED)
    before = meta(m, cache.key)["checksum"]
    read(m / f"json/{cache.key}.json")
    assert (before, meta(m, cache.key)["checksum"]) == ("unchecked", "ok")


# Seal


@pytest.mark.parametrize("row", ["default", "orjson", "interop"])
def test_a_plain_entry_has_no_seal_where_no_key_is_configured(cache, mnt, row):
    key = ROWS[row].write(cache, key_of(row, cache.key))
    read(mnt / f"json/{key}.json")
    assert meta(mnt, key)["seal"] is None


@pytest.mark.parametrize("row", ["default", "orjson", "arrow-zstd", "auto-array", "interop"])
def test_a_plain_entry_is_not_verified_where_a_key_is_configured(cache, mount, row):
    key = ROWS[row].write(cache, key_of(row, cache.key))
    m = mount(cache, env=KEYED)
    for view in ROWS[row].views:
        read(m / f"{view}/{key}")
    shown = meta(m, key)["seal"]
    assert (shown["sealed"], shown["verified"]) == (False, False)


def test_a_sealed_interop_value_is_known_as_such_once_it_was_opened(cache, mount):
    store(cache, cache.interop_key, {"a": 1}, sealing=seal(), interop=True)
    m = mount(cache, env=KEYED)
    read(m / f"json/{cache.interop_key}.json")
    shown = meta(m, cache.interop_key)["seal"]
    assert (shown["sealed"], shown["verified"], shown["key"]) == (True, True, "current")


# Views


@pytest.mark.parametrize("row", [row for row in ROWS if not ROWS[row].sealing])
def test_the_views_that_open_are_true(cache, mnt, row):
    key = ROWS[row].write(cache, key_of(row, cache.key))
    views = meta(mnt, key)["views"]
    assert {name for name in KINDS if views[name] is True} == set(ROWS[row].views)


def test_the_views_of_a_sealed_entry_are_true_for_who_has_the_key(cache, mount):
    store(cache, cache.key, JSON, sealing=seal())
    views = meta(mount(cache, env=KEYED), cache.key)["views"]
    assert {name for name in KINDS if views[name] is True} == {"msgpack", "json"}


def test_a_document_without_json_says_so(cache, mnt):
    cache.set(cache.key, framed(envelope(b"\xa1\xe9")))
    failure(mnt / f"json/{cache.key}.json")
    views = meta(mnt, cache.key)["views"]
    assert (views["msgpack"], "UTF-8" in views["json"]) == (True, True)


def test_a_bomb_says_so(cache, mnt):
    cache.set(cache.key, framed(msgpack.packb([b"\x10a", [0] * 8, 1 << 20, "msgpack"])))
    failure(mnt / f"msgpack/{cache.key}.msgpack")
    assert isinstance(meta(mnt, cache.key)["views"]["msgpack"], str)


@pytest.mark.file_only
def test_an_interop_value_known_by_its_hash_says_why_it_is_not_shown(cache, mnt):
    cache.set(cache.interop_key, encode_interop_value({"a": 1}))
    views = meta(mnt, cache.hash(cache.interop_key))["views"]
    assert {name for name in KINDS if views[name] is True} == set()


def test_the_attributes_are_the_same_in_all_views(cache, mnt):
    store(cache, cache.key, JSON)
    read(mnt / f"json/{cache.key}.json")
    shown = [xattrs(mnt / name) for name in (cache.key, f"raw/{cache.key}", f"msgpack/{cache.key}.msgpack", f"json/{cache.key}.json", f"meta/{cache.key}.json")]
    for attributes in shown:
        attributes.pop("ttl", None)
    assert [attributes == shown[0] for attributes in shown] == [True] * 5
