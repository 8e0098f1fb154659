"""MessagePack documents: their structure against the package's decoder, columnar ones against what it writes."""

from __future__ import annotations

import errno

import msgpack
import numpy as np
import pandas as pd
import pytest
from cachekit.serializers.auto_serializer import AutoSerializer
from cachekit.serializers.base import unpackb_bounded
from hypothesis import example, given
from hypothesis import strategies as st

from judges import is_document
from layers import probe  # noqa: F401 - a fixture
from layers import mutated


def accepted(document: bytes) -> bool:
    """Whether the package takes the document. Texts, map keys and timestamps are not the structure's business."""
    pairs = {"object_pairs_hook": len, "strict_map_key": False}
    try:
        unpackb_bounded(document, raw=True, timestamp=0, ext_hook=lambda *_: None, **pairs)
    except (TypeError, OverflowError):
        return is_document(document)
    except ValueError as error:
        return "timestamp" in str(error) or "nanoseconds" in str(error) if is_document(document) else False
    return True


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-40, 300),
    st.floats(),
    st.text(max_size=6) | st.sampled_from(["x" * 31, "x" * 32, "x" * 255, "x" * 256]),
    st.binary(max_size=4) | st.sampled_from([b"x" * 255, b"x" * 256]),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.sampled_from([b"", b"a", b"ab", b"abcd", b"a" * 8, b"a" * 16, b"a" * 17])),
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.text(max_size=3) | st.integers(-3, 300), inner, max_size=4)
    | st.lists(inner, max_size=1).map(lambda v: v * 17),
    max_leaves=12,
)


@given(document=documents.map(msgpack.packb).flatmap(mutated))
@example(b"")
@example(b"\xc1")
@example(b"\x00\x00")
@example(b"\x90\xc1")
def test_structure(probe, document):
    answer = probe("w", document)
    assert answer["errno"] == (0 if accepted(document) else errno.EUCLEAN)
    assert (answer["reason"] is None) == (answer["errno"] == 0)


@given(document=st.binary(max_size=12))
def test_structure_of_any_bytes(probe, document):
    assert probe("w", document)["errno"] == (0 if accepted(document) else errno.EUCLEAN)


def test_structure_of_every_head(probe):
    """Each first byte, with 0 to 20 bytes of zeros or of a length behind it."""
    for first in range(256):
        for rest in b"", b"\0" * 20, b"\1" * 20, b"\0\2" + b"\0" * 18, b"\0\0\0\3" + b"\0" * 16, b"\xff" * 20:
            for length in range(len(rest) + 1):
                document = bytes([first]) + rest[:length]
                assert probe("w", document)["errno"] == (0 if accepted(document) else errno.EUCLEAN), document


def test_structure_levels(probe):
    """1024 levels as in the package; an empty container is a level too."""
    for levels in (1, 1023, 1024, 1025):
        for start, end in (b"\x91", b""), (b"\x81\x00", b""), (b"\x92\x00", b""), (b"\x92", b"\x00" * levels):
            for leaf in b"\x00", b"\xc4\x00", b"\xa1x", b"\xc7\x00\x01", b"\x90", b"\x80", b"\xdc\x00\x00":
                document = start * levels + leaf + end
                depth = levels + (leaf in (b"\x90", b"\x80", b"\xdc\x00\x00"))
                answer = probe("w", document)
                assert answer["errno"] == (0 if depth <= 1024 else errno.EUCLEAN) == (0 if accepted(document) else errno.EUCLEAN)
                if depth > 1024:
                    assert "1024 levels" in probe.text(answer, "reason")


def test_structure_reasons(probe):
    for document, reason in {
        b"": "document is empty",
        b"\xc0\xc0": "bytes follow the document",
        b"\x92\x00": "document declares more values than there are bytes",
        b"\x82\x00\x00": "document declares more values than there are bytes",
        b"\xdf\xff\xff\xff\xff\x00": "document declares more values than there are bytes",
        b"\x92\xcd\x00\x00": "document is cut short",
        b"\xd9": "document is cut short",
        b"\xd9\x02a": "document declares a value longer than what is left of it",
        b"\xc1": "document holds the byte c1 where a value begins",
    }.items():
        assert probe.text(probe("w", document), "reason") == reason, document


def test_structure_bomb(probe):
    """Heads that each claim what is left: nothing is set aside for them."""
    assert probe("w", b"\xdc\x07\xd0" * 5000)["errno"] == errno.EUCLEAN
    assert probe("w", b"\xdd\xff\xff\xff\xff" * 5000)["errno"] == errno.EUCLEAN


@pytest.mark.parametrize("shift", range(9))
def test_structure_of_long_documents(probe, shift):
    """Values of every size across the places where a long walk looks up."""
    values = [1] * shift + [1, 2, 300, 70_000, 2**40, -1, -300, 1.5, "x" * 20, b"y" * 300, [1] * 9, {"k": 1}, None] * 40_000
    document = msgpack.packb(values)
    assert len(document) > 3 << 20
    assert probe("w", document)["errno"] == 0
    assert probe("w", document + b"\0")["errno"] == errno.EUCLEAN
    for cut in (1, 1000, 1 << 20, 2 << 20):
        assert probe("w", document[:-cut])["errno"] == errno.EUCLEAN


# --- columns ---


def columnar(value) -> bytes:
    """As the package writes it where pyarrow is missing."""
    serializer = AutoSerializer(enable_integrity_checking=False)
    write = serializer._serialize_dataframe if isinstance(value, pd.DataFrame) else serializer._serialize_series
    return bytes(write(value))


def describe(probe, document: bytes) -> dict | None:
    assert probe("w", document)["errno"] == 0
    return probe("m", document)["columns"]


def numeric(name, dtype: str) -> dict:
    return {"name": name, "type": "numeric", "dtype": dtype}


def objects(name) -> dict:
    return {"name": name, "type": "object"}


BOOL = objects("bool")
FRAMES = {
    "plain": (
        pd.DataFrame({"a": [1, 2, 3], "b": [1.5, 2, 3], "ü\n\"": ["x", None, "z"]}),
        {"rows": 3, "columns": [numeric("a", "int64"), numeric("b", "float64"), objects("ü\n\"")]},
    ),
    "indexed": (pd.DataFrame({"a": [1, 2]}, index=["x", "y"]), {"rows": 2, "columns": [numeric("a", "int64")]}),
    "narrow": (
        pd.DataFrame({t: np.zeros(5, t) for t in ("int8", "uint16", "float32", "bool")}),
        {"rows": 5, "columns": [numeric("int8", "int8"), numeric("uint16", "uint16"), numeric("float32", "float32"), BOOL]},
    ),
    "integer names": (pd.DataFrame(np.zeros((4, 3))), {"rows": 4, "columns": [numeric(i, "float64") for i in range(3)]}),
    "strange names": (
        pd.DataFrame([[1, 2, 3, 4]], columns=[None, True, -5, 2**40]),
        {"rows": 1, "columns": [numeric(name, "int64") for name in (None, True, -5, 2**40)]},
    ),
    "tuple names": (
        pd.DataFrame([[1, "x"]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
        {"rows": 1, "columns": [numeric(None, "int64"), objects(None)]},
    ),
    "no rows": (pd.DataFrame({"a": np.zeros(0), "b": np.zeros(0, "object")}), {"rows": 0, "columns": [numeric("a", "float64"), objects("b")]}),
    "no columns": (pd.DataFrame(), {"rows": 0, "columns": []}),
    "index alone": (pd.DataFrame(index=["x", "y"]), {"rows": 2, "columns": []}),
    "objects alone": (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), {"rows": 2, "columns": [objects("a")]}),
    "times": (pd.DataFrame({"t": pd.to_datetime(["2024-01-01", None])}), {"rows": 2, "columns": [objects("t")]}),
    "series": (pd.Series([1.0, 2.5], name="s"), {"rows": 2, "columns": [numeric("s", "float64")]}),
    "series without name": (pd.Series(["a", None, "b"]), {"rows": 3, "columns": [objects(None)]}),
    "series indexed": (pd.Series([1, 2, 3], index=list("xyz"), name=7), {"rows": 3, "columns": [numeric(7, "int64")]}),
    "series empty": (pd.Series([], dtype="int32"), {"rows": 0, "columns": [numeric(None, "int32")]}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_columns(probe, name):
    value, expect = FRAMES[name]
    assert describe(probe, columnar(value)) == expect


def test_columns_many(probe):
    """A thousand are shown; the names may be given in another order than the data."""
    for count in (999, 1000, 1001, 2500):
        frame = pd.DataFrame(np.zeros((2, count)), columns=[f"c{i}" for i in range(count)])
        document = msgpack.unpackb(columnar(frame))
        document["data"] = dict(reversed(document["data"].items()))
        answer = describe(probe, msgpack.packb(document))
        assert answer["rows"] == 2
        assert answer["columns"] == [numeric(f"c{i}", "float64") for i in range(min(count, 1000))]
        assert answer.get("columns_total") == (count if count > 1000 else None)


def info(data=b"\0" * 8, dtype="int64") -> dict:
    return {"type": "numeric", "data": data, "dtype": dtype}


@pytest.mark.parametrize(
    "document",
    [1, None, [], {}, {"columns": [], "data": {}}, {"columns": [], "index": 1, "data": {}}, {"columns": {}, "index": None, "data": {}},
     {"columns": [], "index": None, "data": []}, {"name": None, "index": None, "data": b""}, {"name": 1, "type": "numeric", "data": b""}],
    ids=repr,
)  # fmt: skip
def test_columns_of_no_such_document(probe, document):
    assert describe(probe, msgpack.packb(document)) is None


@pytest.mark.parametrize(
    "data, rows, column",
    [
        (info(), 1, numeric("a", "int64")),
        (info(b"\0" * 9), None, numeric("a", "int64")),
        (info("text"), None, numeric("a", "int64")),
        (info(dtype="nonsense"), None, numeric("a", "nonsense")),
        (info(dtype="<U0"), None, numeric("a", "<U0")),
        (info(dtype=7), None, numeric("a", None)),
        (info(dtype="x" * 5000), None, numeric("a", None)),
        ({"type": "object", "data": b"ab"}, None, objects("a")),
        ({"type": "object"}, None, objects("a")),
        ({"type": "other", "data": [1]}, None, {"name": "a", "type": None}),
        ({"type": ["numeric"]}, None, {"name": "a", "type": None}),
        ([1], None, {"name": "a", "type": None}),
        (None, None, {"name": "a", "type": None}),
    ],
    ids=repr,
)
def test_columns_of_strange_ones(probe, data, rows, column):
    frame = {"columns": ["a"], "index": None, "data": {"a": data}}
    assert describe(probe, msgpack.packb(frame)) == {"rows": rows, "columns": [column]}
    assert describe(probe, msgpack.packb(frame | {"index": [1, 2]}))["rows"] == 2
    if isinstance(data, dict) and "data" in data:
        series = {"name": "a", "index": None} | data
        assert describe(probe, msgpack.packb(series)) == {"rows": rows, "columns": [column]}


def test_columns_twice(probe):
    """As in Python the last member of a name counts; a name that is listed twice is shown twice."""
    members = [{"columns": ["z"]}, {"columns": ["a", "b", "a"]}, {"index": None}, {"data": {"a": info()}}]
    document = b"\x84" + b"".join(msgpack.packb(member)[1:] for member in members)
    data = b"\x83" + b"".join(msgpack.packb(member)[1:] for member in ({"a": info(b"")}, {"b": info()}, {"a": info()}))
    document = document[: document.index(b"\xa4data\x81") + 5] + data
    answer = describe(probe, document)
    assert answer == {"rows": 1, "columns": [numeric(name, "int64") for name in "aba"]}


def test_columns_that_disagree(probe):
    frame = {"columns": ["a", "b"], "index": None, "data": {"a": info(), "b": info(b"\0" * 16)}}
    assert describe(probe, msgpack.packb(frame))["rows"] is None
    del frame["data"]["b"]
    assert describe(probe, msgpack.packb(frame)) == {"rows": 1, "columns": [numeric("a", "int64"), {"name": "b", "type": None}]}


def test_column_names_not_shown(probe):
    for name, shown in {"x" * 4096: "x" * 4096, "x" * 4097: None, 1.5: None, b"a": None}.items():
        frame = {"columns": [name], "index": None, "data": {name: info()}}
        assert describe(probe, msgpack.packb(frame)) == {"rows": 1, "columns": [numeric(shown, "int64")]}
    broken = msgpack.packb({"columns": ["?"], "index": None, "data": {}}).replace(b"?", b"\xff")
    assert describe(probe, broken)["columns"] == [{"name": "\ufffd", "type": None}]
