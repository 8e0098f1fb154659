"""§2: every serializer, option, seal and view: what opening shows, judged by the package and by independent decoders."""

from __future__ import annotations

import json
import os
import subprocess

import msgpack
import numpy as np
import pyarrow
import pytest

from documents import FOREIGN, MASTER, ROWS, SMALL, envelope, framed, key_of, store
from helpers import EXTENSION, failure, lookup_failure, read
from mounts import Mount, mounted
from readings import parsed, same, tree

pytestmark = pytest.mark.shared_mount

VIEWS = ("root", "raw", "frame", "msgpack", "json", "arrow", "npy")
DECODED = ("msgpack", "json", "arrow", "npy")

every_row = pytest.mark.parametrize("row", ROWS)
every_decoded_view = pytest.mark.parametrize("view", DECODED)
every_foreign = pytest.mark.parametrize("name", FOREIGN)
opening_pairs = pytest.mark.parametrize("row, view", [(row, view) for row in ROWS for view in (*ROWS[row].views, "root", "raw", "frame")])


@pytest.fixture(scope="module")
def library(ckfs, shared_cache):
    """All rows of the table in one mount that has the key; each twice, so that one of them is not read before its size is asked."""
    for row in ROWS:
        for suffix in ("", "fresh"):
            ROWS[row].write(shared_cache, key_of(row, suffix))
    for name, (value, _) in FOREIGN.items():
        shared_cache.set(name, value)
        shared_cache.set(f"{name}.fresh", value)
    with mounted(ckfs, shared_cache, env={"CACHEKIT_MASTER_KEY": MASTER}) as m:
        yield m


def path(m, view: str, key: str):
    return m / (key if view == "root" else f"{view}/{key}{EXTENSION.get(view, '')}")


def json_of(document: bytes, row: str):
    """What json/ must say, read independently."""
    return parsed(document) if ROWS[row].serializer == "orjson" else tree(document)


# The table


@every_row
def test_the_sdk_reads_the_entry(shared_cache, library, row):
    """Else the row would say nothing."""
    ROWS[row].read(shared_cache, key_of(row))


@every_row
@every_decoded_view
def test_a_decoded_view_opens_where_it_applies_and_is_enoent_elsewhere(library, row, view):
    expected = None if view in ROWS[row].views else "ENOENT"
    assert failure(path(library, view, key_of(row))) == expected


@opening_pairs
def test_the_size_before_the_first_read_is_the_length_read(library, row, view):
    name = path(library, view, key_of(row, "fresh"))
    size = os.stat(name).st_size
    assert len(read(name)) == size


@every_row
def test_the_stored_bytes_stay_as_they_are(shared_cache, library, row):
    key = key_of(row)
    value = shared_cache.value(key)
    payload = value if ROWS[row].interop else shared_cache.payload(key)
    assert [read(path(library, view, key)) for view in ("root", "raw", "frame")] == [payload, payload, value]


@pytest.mark.parametrize("row", [row for row in ROWS if "msgpack" in ROWS[row].views])
def test_msgpack_is_the_document_that_the_serializer_made(shared_cache, library, row):
    key = key_of(row)
    assert read(path(library, "msgpack", key)) == ROWS[row].document(shared_cache, key)


@pytest.mark.parametrize("row", [row for row in ROWS if "json" in ROWS[row].views])
def test_json_says_what_the_document_says(shared_cache, library, row):
    key = key_of(row)
    shown = parsed(read(path(library, "json", key)))
    expected = json_of(ROWS[row].document(shared_cache, key), row)
    assert same(shown, expected), (shown, expected)


@pytest.mark.parametrize("row", [row for row in ROWS if ROWS[row].serializer == "orjson"])
def test_json_of_an_orjson_entry_is_the_document_unchanged(shared_cache, library, row):
    key = key_of(row)
    assert read(path(library, "json", key)) == ROWS[row].document(shared_cache, key)


@pytest.mark.parametrize("row", [row for row in ROWS if "json" in ROWS[row].views and ROWS[row].serializer != "orjson"])
def test_json_made_of_messagepack_is_one_line_and_a_newline(library, row):
    text = read(path(library, "json", key_of(row)))
    assert (text.count(b"\n"), text[-1:]) == (1, b"\n")


@pytest.mark.parametrize("row", [row for row in ROWS if "json" in ROWS[row].views])
def test_jq_reads_the_json(library, row):
    assert subprocess.run(["jq", ".", path(library, "json", key_of(row))], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("row", [row for row in ROWS if "arrow" in ROWS[row].views])
def test_arrow_is_the_table_over_a_memory_map(shared_cache, library, row):
    key = key_of(row)
    with pyarrow.memory_map(str(path(library, "arrow", key))) as file:
        shown = pyarrow.ipc.open_file(file).read_all()
        expected = pyarrow.ipc.open_file(pyarrow.BufferReader(ROWS[row].document(shared_cache, key))).read_all()
        assert (shown.equals(expected), shown.to_pandas().equals(ROWS[row].obj)) == (True, True)


@pytest.mark.parametrize("row", [row for row in ROWS if "arrow" in ROWS[row].views])
def test_arrow_is_the_document_byte_by_byte(shared_cache, library, row):
    key = key_of(row)
    assert read(path(library, "arrow", key)) == ROWS[row].document(shared_cache, key)


@pytest.mark.parametrize("row", [row for row in ROWS if "npy" in ROWS[row].views])
def test_npy_is_the_array_over_a_memory_map(library, row):
    shown = np.load(path(library, "npy", key_of(row)), mmap_mode="r")
    assert (shown.dtype, shown.shape, shown.tolist()) == (ROWS[row].obj.dtype, ROWS[row].obj.shape, ROWS[row].obj.tolist())


@pytest.mark.parametrize("row", [row for row in ROWS if ROWS[row].sealing])
def test_a_sealed_entry_is_ciphertext_where_nothing_is_decoded(shared_cache, library, row):
    key = key_of(row)
    plaintext = ROWS[row].plaintext(shared_cache, key)
    shown = [read(path(library, view, key)) for view in ("root", "raw", "frame")]
    assert [plaintext[:16] in bytes_shown for bytes_shown in shown] == [False] * 3 if len(plaintext) >= 16 else True


@pytest.mark.parametrize("row", [row for row in ROWS if ROWS[row].sealing and not ROWS[row].interop])
@every_decoded_view
def test_without_a_key_a_sealed_entry_has_no_decoded_view(shared_cache, keyless, row, view):
    expected = "ENOKEY" if view in ROWS[row].views else "ENOENT"
    assert failure(path(keyless, view, key_of(row))) == expected


@pytest.mark.parametrize("row", [row for row in ROWS if not ROWS[row].sealing])
def test_without_a_key_plain_entries_open(keyless, row):
    assert {view: failure(path(keyless, view, key_of(row))) for view in ROWS[row].views} == dict.fromkeys(ROWS[row].views)


@pytest.fixture(scope="module")
def keyless(ckfs, library, shared_cache):
    """The same cache, mounted by someone who has no key."""
    m = Mount(ckfs, shared_cache.source, shared_cache.home / "keyless", (), {})
    yield m
    m.unmount()


# Documents and envelopes of other writers


@every_foreign
def test_msgpack_of_another_writers_entry_is_its_document(library, name):
    assert read(path(library, "msgpack", name)) == FOREIGN[name][1]


@every_foreign
def test_json_of_another_writers_entry_says_what_the_document_says(library, name):
    shown = parsed(read(path(library, "json", name)))
    expected = tree(FOREIGN[name][1])
    assert same(shown, expected), (shown, expected)


@every_foreign
def test_jq_reads_another_writers_json(library, name):
    assert subprocess.run(["jq", ".", path(library, "json", name)], stdout=subprocess.DEVNULL).returncode == 0


@every_foreign
@pytest.mark.parametrize("view", ["msgpack", "json"])
def test_the_size_of_another_writers_document_is_right_before_the_first_read(library, name, view):
    file = path(library, view, f"{name}.fresh")
    size = os.stat(file).st_size
    assert len(read(file)) == size


@pytest.mark.parametrize("depth", [255, 900, 1000, 1024])
@pytest.mark.parametrize("opening, closing, json_opening", [(b"\x91", b"\xc0", "["), (b"\x81\xa1a", b"\xc0", '{"a":'), (b"\x81\xc0", b"\xc0", '{"null":')])
def test_json_of_a_deep_document_is_whole(cache, mnt, depth, opening, closing, json_opening):
    cache.set(cache.key, framed(envelope(opening * depth + closing)))
    text = read(mnt / f"json/{cache.key}.json").decode().replace(" ", "")
    assert text == json_opening * depth + "null" + ("]" if json_opening == "[" else "}") * depth + "\n"


def test_integers_over_64_bits_of_a_double_stay_exact(cache, mnt):
    store(cache, cache.key, [2**64 - 1, -(2**63), 2**53 + 1])
    assert json.loads(read(mnt / f"json/{cache.key}.json")) == [2**64 - 1, -(2**63), 2**53 + 1]


@pytest.mark.parametrize("value, text", [(0.1, "0.1"), (1e22, "1e22"), (5e-324, "5e-324"), (1 / 3, "0.3333333333333333"), (1.7976931348623157e308, None)])
def test_doubles_are_in_their_shortest_form(cache, mnt, value, text):
    store(cache, cache.key, value)
    shown = read(mnt / f"json/{cache.key}.json").decode().strip()
    assert (float(shown), len(shown) <= len(text or repr(value)) + 1) == (value, True)


# Opaque values


OPAQUE = {
    "five": b"5",
    "text": b"hello",
    "json-array": b"[1, 2, 3, 4]",
    "four-elements": b"\x94\x01\x02\x03\x04",
    "nil": b"\xc0",
    "map": b"\x81\xa1a\x01",
    "lock": b"1700000000.123:token",
    "empty-array": b"\x90",
}


@pytest.mark.parametrize("name", OPAQUE)
def test_a_foreign_value_is_no_document(cache, mnt, name):
    cache.set(cache.key, OPAQUE[name])
    shown = {view: failure(path(mnt, view, cache.key)) for view in DECODED}
    assert (shown, read(mnt / cache.key)) == (dict.fromkeys(DECODED, "ENOENT"), OPAQUE[name])


@pytest.mark.file_only
@pytest.mark.parametrize("view", ["msgpack", "json"])
def test_an_interop_value_is_not_known_by_its_hash(cache, mnt, view):
    ROWS["interop"].write(cache, cache.interop_key)
    assert failure(mnt / view / (cache.hash(cache.interop_key) + EXTENSION[view])) == "ENOENT"


def test_an_envelope_under_an_interop_key_is_a_document_of_four_elements(cache, mnt):
    cache.set(cache.interop_key, envelope(SMALL))
    assert read(path(mnt, "msgpack", cache.interop_key)) == envelope(SMALL)


# Listings


def test_a_format_directory_lists_just_the_entries_that_have_its_view(cache, mnt):
    for row in ROWS:
        if not ROWS[row].sealing and not ROWS[row].interop:
            ROWS[row].write(cache, key_of(row, cache.key))
    rows = [row for row in ROWS if not ROWS[row].sealing and not ROWS[row].interop]
    expected = {view: {cache.listed(key_of(row, cache.key)) + EXTENSION[view] for row in rows if view in ROWS[row].views} for view in DECODED}
    assert {view: set(os.listdir(mnt / view)) for view in DECODED} == expected


@pytest.mark.parametrize(
    "document, original_type, serializer",
    [
        ({"columns": [], "index": None, "data": {}}, "dataframe", "auto"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "msgpack", "default"),
        ([b"", b"12345678", 0, "msgpack"], "msgpack", "default"),
        ([], "msgpack", "default"),
        (None, "msgpack", "default"),
    ],
    ids=str,
)
def test_a_small_document_is_listed_where_it_opens(cache, mnt, document, original_type, serializer):
    """Its first bytes do not tell whether it is an envelope: it was taken for sealed, and under 28 bytes nothing is."""
    cache.set(cache.key, framed(msgpack.packb(document), original_type, compressed=False, serializer=serializer))
    listed = {view: os.listdir(mnt / view) for view in ("msgpack", "json")}
    assert msgpack.unpackb(read(mnt / f"msgpack/{cache.listed(cache.key)}.msgpack")) == document
    assert listed == {view: [cache.listed(cache.key) + EXTENSION[view]] for view in ("msgpack", "json")}


def sizes_shown(m) -> dict[str, int]:
    lines = subprocess.check_output(["ls", "-l", *DECODED], cwd=m, text=True).splitlines()
    view, shown = None, {}
    for line in lines:
        if line.endswith(":"):
            view = line[:-1]
        elif line.startswith("-"):
            shown[f"{view}/{line.split()[-1]}"] = int(line.split()[4])
    return shown


def test_the_sizes_that_ls_shows_are_the_lengths_read_before_and_after(cache, mount):
    for row in ROWS:
        ROWS[row].write(cache, key_of(row, cache.key))
    m = mount(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    before = sizes_shown(m)
    lengths = {name: len(read(m / name)) for name in before}
    after = sizes_shown(m)
    assert [differing(lengths, other) for other in (before, after, {name: len(read(m / name)) for name in after})] == [{}] * 3


def differing(lengths: dict[str, int], other: dict[str, int]) -> dict[str, tuple]:
    return {name: (lengths.get(name), other.get(name)) for name in lengths.keys() | other.keys() if lengths.get(name) != other.get(name)}


def test_a_stat_of_a_view_that_does_not_apply_is_enoent(library):
    wrong = {
        (row, view): shown
        for row in ROWS
        for view in DECODED
        if view not in ROWS[row].views and (shown := lookup_failure(path(library, view, key_of(row)))) != "ENOENT"
    }
    assert wrong == {}
