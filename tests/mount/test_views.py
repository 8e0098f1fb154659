"""§2: a view peels layers off the stored value."""

import base64
import json
import subprocess

import msgpack
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest

from helpers import EXTENSION, FORMATS, failure, listing, metadata, prefixed, read, v3
from writers import DOCUMENT, FRAME, PLAIN, WRITERS, arrow_writers, as_cachekit_reads, every_writer, json_writers, write

pytestmark = pytest.mark.shared_mount

# Root, raw, frame


@every_writer
def test_the_root_holds_the_payload_that_unwrap_returns(cache, mnt, writer):
    write(cache, writer)
    assert read(mnt / cache.key) == cache.payload(cache.key)


@every_writer
def test_raw_holds_the_same_payload(cache, mnt, writer):
    write(cache, writer)
    assert read(mnt / "raw" / cache.key) == cache.payload(cache.key)


@every_writer
def test_frame_holds_the_stored_value_as_the_backends_get_returns_it(cache, mnt, writer):
    write(cache, writer)
    assert read(mnt / "frame" / cache.key) == cache.value(cache.key)


@pytest.mark.file_only  # the package streams to files only
def test_an_entry_that_was_streamed_holds_the_payload_that_unwrap_returns(cache, mnt, monkeypatch):
    streamed = []
    real = type(cache.backend).set_streaming
    monkeypatch.setattr(type(cache.backend), "set_streaming", lambda *a, **k: (streamed.append(1), real(*a, **k))[1])
    write(cache, "arrow-plain")
    assert (streamed, read(mnt / cache.key)) == ([1], cache.payload(cache.key))


def test_an_arrow_payload_at_an_odd_offset_opens(cache, mnt):
    cache.set(cache.key, v3(PLAIN.serialize(FRAME)[0], metadata("arrow"), "x"))
    with pa.memory_map(str(mnt / f"arrow/{cache.key}.arrow")) as file:
        assert pa.ipc.open_file(file).read_all().to_pandas().equals(FRAME)


def test_a_checksum_mismatch_shows_in_no_undecoded_view(cache, mnt):
    value = v3(b"\0" * 8 + b"ARROW1 altered", metadata("arrow"))
    cache.set(cache.key, value)
    assert [read(mnt / f"{d}/{cache.key}") for d in (".", "raw", "frame")] == [value[-22:], value[-22:], value]


def test_a_sealed_entry_is_ciphertext_in_the_root(cache, mnt):
    cache.put(cache.key, DOCUMENT, "default", encryption=True, master_key="5a" * 32, single_tenant_mode=True)
    assert read(mnt / cache.key) == cache.payload(cache.key)


@pytest.mark.parametrize("serializer, view", [("default", "msgpack"), ("default", "json"), ("orjson", "json"), ("arrow", "arrow")])
def test_a_decoded_view_of_a_sealed_entry_needs_its_key(cache, mnt, serializer, view):
    obj = FRAME if serializer == "arrow" else DOCUMENT
    cache.put(cache.key, obj, serializer, encryption=True, master_key="5a" * 32, single_tenant_mode=True)
    assert failure(mnt / f"{view}/{cache.key}{EXTENSION[view]}") == "ENOKEY"


# Arrow


@arrow_writers
def test_arrow_opens_with_pyarrow_over_a_memory_map(cache, mnt, writer):
    write(cache, writer)
    with pa.memory_map(str(mnt / f"arrow/{cache.key}.arrow")) as file:
        assert pa.ipc.open_file(file).read_all().equals(as_cachekit_reads(cache, "arrow"))


@arrow_writers
def test_arrow_opens_with_polars(cache, mnt, writer):
    write(cache, writer)
    assert pl.read_ipc(mnt / f"arrow/{cache.key}.arrow").equals(as_cachekit_reads(cache, "polars"))


@arrow_writers
def test_arrow_opens_with_pandas(cache, mnt, writer):
    write(cache, writer)
    pd.testing.assert_frame_equal(pd.read_feather(mnt / f"arrow/{cache.key}.arrow"), as_cachekit_reads(cache, "pandas"))


@arrow_writers
def test_arrow_holds_the_stored_arrow_file_without_its_prefix(cache, mnt, writer):
    write(cache, writer)
    assert read(mnt / f"arrow/{cache.key}.arrow") == cache.payload(cache.key)[8:]


def test_a_plain_arrow_table_is_read_from_the_map_without_a_copy(cache, mnt):
    write(cache, "arrow-plain-batches")
    before = pa.total_allocated_bytes()
    with pa.memory_map(str(mnt / f"arrow/{cache.key}.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
        assert (pa.total_allocated_bytes() - before < 1 << 20, table.num_rows) == (True, 3 << 20)


def test_arrow_without_a_prefix_is_served_whole(cache, mnt):
    document = PLAIN.serialize(FRAME)[0][8:]
    cache.set(cache.key, v3(document, metadata("arrow")))
    assert read(mnt / f"arrow/{cache.key}.arrow") == document


def test_a_dataset_over_the_arrow_directory_reads_every_table(cache, mnt):
    for more in ("a", "b", "c"):
        cache.put(cache.key + more, FRAME, "arrow")
    cache.put(f"{cache.key}d", DOCUMENT, "default")
    assert pa.dataset.dataset(str(mnt / "arrow"), format="feather").count_rows() == 3 * len(FRAME)


# JSON of orjson entries


@json_writers
def test_json_of_an_orjson_entry_is_the_stored_document_unchanged(cache, mnt, writer):
    write(cache, writer)
    document = cache.payload(cache.key)[0 if "unchecked" in writer else 8 :]
    assert read(mnt / f"json/{cache.key}.json") == document


@json_writers
def test_json_of_an_orjson_entry_is_read_by_jq(cache, mnt, writer):
    write(cache, writer)
    shown = subprocess.check_output(["jq", "-c", "length", mnt / f"json/{cache.key}.json"])
    assert int(shown) == len(WRITERS[writer][0])


@pytest.mark.parametrize("document", [b"1", b'""', b"null", b" [1] \n", b'{"a":1,"a":2}', b'"\\u0000"', b"1e99", b"-0"])
def test_a_small_json_document_behind_a_right_prefix_is_unchanged(cache, mnt, document):
    cache.set(cache.key, v3(prefixed(document), metadata("orjson"), "orjson"))
    assert read(mnt / f"json/{cache.key}.json") == document


@pytest.mark.parametrize("writer", ["auto-dict", "auto-dict-unchecked", "auto-series", "default-dict", "default-unchecked"])
def test_messagepack_documents_and_their_json_say_the_same(cache, mnt, writer):
    write(cache, writer)
    document = msgpack.unpackb((mnt / f"msgpack/{cache.key}.msgpack").read_bytes(), strict_map_key=False)
    plain = json.loads(json.dumps(document, default=lambda data: {"$base64": base64.b64encode(data).decode()}))
    assert json.loads((mnt / f"json/{cache.key}.json").read_bytes()) == plain


# Where a view applies, and its names


@pytest.mark.parametrize(
    "writer, view",
    [("auto-dict", v) for v in ("arrow", "npy")]
    + [("auto-ndarray", v) for v in ("arrow", "msgpack", "json")]
    + [("orjson-dict", v) for v in ("arrow", "npy", "msgpack")]
    + [("arrow", v) for v in ("npy", "msgpack", "json")],
)
def test_a_view_that_does_not_apply_is_enoent(cache, mnt, writer, view):
    write(cache, writer)
    assert failure(mnt / f"{view}/{cache.key}{EXTENSION[view]}") == "ENOENT"


@pytest.mark.parametrize("writer", ["auto-ndarray", "arrow", "orjson-dict"])
def test_a_name_without_the_extension_opens_the_same_view(cache, mnt, writer):
    write(cache, writer)
    view = WRITERS[writer][3]
    assert read(mnt / f"{view}/{cache.key}") == read(mnt / f"{view}/{cache.key}{EXTENSION[view]}")


def test_meta_opens_without_the_extension(cache, mnt):
    write(cache, "arrow")
    assert read(mnt / f"meta/{cache.key}") == read(mnt / f"meta/{cache.key}.json")


@pytest.mark.parametrize("name", ["{}.arrow", "raw/{}.arrow", "arrow/{}.json", "arrow/{}.arrow.arrow", "meta/{}.arrow"])
def test_another_extension_is_part_of_the_key(cache, mnt, name):
    write(cache, "arrow")
    assert failure(mnt / name.format(cache.key)) == "ENOENT"


def twins(cache, *keys: str) -> None:
    for key in keys:
        cache.put(key, {"key": key}, "orjson")


@pytest.mark.parametrize(
    "keys, name, key",
    [
        (["twin", "twin.json"], "twin.json", "twin"),
        (["twin", "twin.json"], "twin", "twin"),
        (["twin", "twin.json"], "twin.json.json", "twin.json"),
        (["twin.json"], "twin.json", "twin.json"),
        (["twin.json"], "twin.json.json", "twin.json"),
        (["twin"], "twin.json", "twin"),
    ],
)
def test_a_name_with_an_extension_is_the_shorter_key_if_there_is_one(cache, mnt, keys, name, key):
    twins(cache, *(own.replace("twin", cache.key) for own in keys))
    assert json.loads(read(mnt / "json" / name.replace("twin", cache.key))) == {"key": key.replace("twin", cache.key)}


def test_the_extension_belongs_to_the_key_in_the_root(cache, mnt):
    twins(cache, cache.key, f"{cache.key}.json")
    assert read(mnt / f"{cache.key}.json") == cache.payload(f"{cache.key}.json")


@pytest.mark.parametrize("view", FORMATS)
def test_a_format_directory_lists_an_entry_only_where_its_view_applies(cache, mnt, view):
    for letter, writer in {"n": "auto-ndarray", "t": "arrow", "j": "orjson-dict", "m": "default-dict"}.items():
        write(cache, writer, cache.key + letter)
    cache.set(f"{cache.key}f", b"foreign")
    cache.set(f"{cache.key}e", b"")
    shown = {"arrow": "t", "npy": "n", "json": "jm", "msgpack": "m"}.get(view, "ntjmfe")
    assert listing(mnt / view) == {cache.listed(cache.key + letter) + EXTENSION.get(view, "") for letter in shown}


def test_a_view_whose_check_failed_is_left_out_of_its_directory(cache, mnt):
    bad, good = f"{cache.key}.bad", f"{cache.key}.good"
    cache.set(bad, v3(b"\0" * 8 + b"ARROW1 altered", metadata("arrow")))
    write(cache, "arrow", good)
    assert (failure(mnt / f"arrow/{bad}.arrow"), listing(mnt / "arrow")) == ("EBADMSG", {cache.listed(good) + ".arrow"})


@pytest.mark.own_mount
def test_the_root_lists_the_format_directories_but_not_dot_ckfs(mnt):
    assert listing(mnt) == set(FORMATS)


@pytest.mark.own_mount
def test_the_root_lists_every_entry(cache, mnt):
    keys = [write(cache, writer, f"key of {writer}") for writer in WRITERS]
    assert listing(mnt) == {*FORMATS, *map(cache.listed, keys)}


def test_dot_ckfs_holds_the_stats(mnt):
    assert listing(mnt / ".ckfs") == {"stats"}
