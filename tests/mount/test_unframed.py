"""§2: values without a frame, legacy frames, interop values."""

import base64
import io
import json
import os

import numpy as np
import pytest
from cachekit.serializers import AutoSerializer
from cachekit.serializers.wrapper import SerializationWrapper

from helpers import EXTENSION, failure, legacy, metadata, prefixed, read, v3, xattrs
from writers import FRAME, KEY, PLAIN, write

# Values without a frame, empty values


@pytest.mark.parametrize("value", [b"", b"x", b"C", b"cK\x03\0\0\0\0", b"5", b"[1]", b"\x94\xc4\x01\0", b"ARROW1", bytes(range(256)) * 999])
def test_a_foreign_value_is_its_own_payload_in_root_raw_and_frame(cache, mnt, value):
    cache.set(KEY, value)
    sizes = [os.stat(mnt / f"{d}/{KEY}").st_size for d in (".", "raw", "frame")]
    assert (sizes, [read(mnt / f"{d}/{KEY}") for d in (".", "raw", "frame")]) == ([len(value)] * 3, [value] * 3)


@pytest.mark.parametrize("view", ["arrow", "npy", "msgpack", "json"])
@pytest.mark.parametrize("value", [b"", b"5", PLAIN.serialize(FRAME)[0]], ids=["empty", "digit", "arrow"])
def test_a_foreign_value_has_no_decoded_view(cache, mnt, value, view):
    cache.set(KEY, value)
    assert failure(mnt / f"{view}/{KEY}{EXTENSION[view]}") == "ENOENT"


def test_a_frame_with_an_empty_payload_has_size_0_in_the_root(cache, mnt):
    cache.set(KEY, v3(b"", metadata("msgpack")))
    assert (os.stat(mnt / KEY).st_size, read(mnt / KEY), read(mnt / "frame" / KEY)) == (0, b"", cache.value(KEY))


# Legacy frames


def data(text: str, more: str = '"serializer": "default", "metadata": {}') -> bytes:
    return b'{"data": "%s", %s}' % (text.encode(), more.encode())


LARGE = np.random.default_rng(3).bytes(3 << 20)
LEGACY = {
    "plain": legacy(b"payload"),
    "empty": legacy(b""),
    "large": legacy(LARGE),
    "large, broken into lines": json.dumps({"serializer": "x", "data": base64.encodebytes(LARGE).decode()}).encode(),
    "escapes": data("\\u0051\\u0055\\/\\/"),
    "newlines": data("QU\\nJD\\r\\n"),
    "characters outside the alphabet": data("Q*U-J_D "),
    "padding and more": data("QQ==QUJD"),
    "more after padding": data("QQ=x="),
    "superfluous padding": data("QUJD===="),
    "only padding": data("="),
    "space between padding": data("QQ= ="),
    "no metadata": data("QUJD", '"serializer": "x"'),
    "metadata is no object": data("QUJD", '"serializer": "x", "metadata": 5'),
    "other order and unknown members": b'{ "x": [{"data": "no"}, null, 1e5], "serializer":"\\u00e9", "data" :"QUJD"}\n',
    "duplicate data": b'{"data": "QQ==", "serializer": "x", "data": "QUJD"}',
    "duplicate serializer": b'{"serializer": 5, "data": "QQ==", "serializer": "x"}',
    "escaped member name": b'{"d\\u0061ta": "QUJD", "serializer": "x"}',
    "NaN in metadata": data("QUJD", '"serializer": "x", "metadata": {"n": NaN}'),
    "emoji": data("QUJD", '"serializer": "\U0001f980"'),
}
OPAQUE = {
    "only a brace": b"{",
    "empty object": b"{}",
    "no serializer": b'{"data": "QUJD"}',
    "no data": b'{"serializer": "x"}',
    "empty serializer": data("QUJD", '"serializer": ""'),
    "serializer is no string": data("QUJD", '"serializer": null'),
    "last serializer is no string": data("QUJD", '"serializer": "x", "serializer": 1'),
    "data is no string": b'{"data": 5, "serializer": "x"}',
    "last data is no string": b'{"data": "QUJD", "serializer": "x", "data": null}',
    "members one level down": b'{"a": {"data": "QUJD", "serializer": "x"}}',
    "trailing text": data("QUJD") + b"x",
    "trailing NUL": data("QUJD") + b"\0",
    "cut": data("QUJD")[:-1],
    "one character": data("Q"),
    "no padding": data("QQ"),
    "half the padding": data("QQ="),
    "not ASCII": data("QUJD\u00e9"),
    "not UTF-8": b'{"data": "QUJD", "serializer": "\xff"}',
    "control byte in a string": b'{"data": "QU\nJD", "serializer": "x"}',
    "JSON of another kind": b'{"hello": "world"}',
}


def unwrapped(value: bytes) -> bytes | None:
    try:
        return bytes(SerializationWrapper.unwrap(value)[0])
    except Exception:
        return None


@pytest.mark.parametrize("case", LEGACY)
def test_the_payload_of_a_legacy_frame_is_what_unwrap_returns(cache, mnt, case):
    cache.set(KEY, LEGACY[case])
    size = os.stat(mnt / KEY).st_size
    payload = unwrapped(LEGACY[case])
    assert (size, read(mnt / KEY), read(mnt / "raw" / KEY)) == (len(payload), payload, payload)


def test_legacy_payloads_over_the_cache_size_are_served_side_by_side(cache, mount, tmp):
    mnt = mount(cache, f"cache_size=1M,spool_dir={tmp}")
    for i in range(3):
        cache.set(f"k{i}", legacy(LARGE + bytes([i])))
    with open(mnt / "k0", "rb") as a, open(mnt / "k1", "rb") as b, open(mnt / "k2", "rb") as c:
        assert [f.read() for f in (c, b, a)] == [LARGE + bytes([i]) for i in (2, 1, 0)]


@pytest.mark.parametrize("case", LEGACY)
def test_frame_of_a_legacy_entry_is_the_stored_json(cache, mnt, case):
    cache.set(KEY, LEGACY[case])
    assert (os.stat(mnt / "frame" / KEY).st_size, read(mnt / "frame" / KEY)) == (len(LEGACY[case]), LEGACY[case])


@pytest.mark.parametrize("case", OPAQUE)
def test_a_value_that_begins_with_a_brace_and_is_no_legacy_frame_is_opaque(cache, mnt, case):
    cache.set(KEY, OPAQUE[case])
    assert (unwrapped(OPAQUE[case]), read(mnt / KEY), xattrs(mnt / KEY).get("serializer")) == (None, OPAQUE[case], None)


@pytest.mark.parametrize(
    "kind, document, view",
    [("arrow", PLAIN.serialize(FRAME)[0], "arrow"), ("orjson", prefixed(b'{"a":1}'), "json"), ("orjson", b"[1]", "json")],
)
def test_a_decoded_view_of_a_legacy_entry_is_that_of_its_payload(cache, mnt, kind, document, view):
    cache.set(KEY, legacy(document, metadata(kind), kind))
    assert read(mnt / f"{view}/{KEY}{EXTENSION[view]}") == document[0 if document == b"[1]" else 8 :]


def test_a_legacy_array_opens_with_numpy(cache, mnt):
    cache.set(KEY, legacy(AutoSerializer().serialize(np.arange(5))[0], metadata("numpy"), "auto"))
    assert np.load(mnt / f"npy/{KEY}.npy", mmap_mode="r").tolist() == [0, 1, 2, 3, 4]


# Interop values

HEX = "0123456789abcdef" * 4
SNIFFABLE = {"v3": v3(b"payload"), "legacy": legacy(b"payload"), "malformed": b"CK\x03\xff\xff\xff\xff", "123": b"{"}


@pytest.mark.parametrize("value", SNIFFABLE)
@pytest.mark.parametrize("key", [f"users:get:{HEX}", f"0:a.b_c-d:{HEX}", f"nsx:{'o' * 64}:{HEX}"])
def test_a_value_under_an_interop_key_is_never_sniffed_as_a_frame(cache, mnt, key, value):
    cache.set(key, SNIFFABLE[value])
    assert read(mnt / key) == SNIFFABLE[value]


@pytest.mark.parametrize(
    "key",
    [f"ns:get:{HEX}", f"nsapi:get:{HEX}", f"Users:get:{HEX}", f"users:.get:{HEX}", f"us..ers:get:{HEX}", f"users:get:{HEX[1:]}"]
    + [
        f"users:get:{HEX}0",
        f"users:get:{HEX.upper()}",
        f"users:{'o' * 65}:{HEX}",
        f"users::{HEX}",
        f"a:users:get:{HEX}",
        f"users:gét:{HEX}",
    ],
)
def test_a_value_under_a_key_of_another_shape_is_a_frame_when_it_looks_like_one(cache, mnt, key):
    cache.set(key, v3(b"payload"))
    assert read(mnt / key) == b"payload"


@pytest.mark.parametrize("view", ["json", "msgpack"])
def test_an_interop_value_is_a_document_under_its_key(cache, mnt, view):
    cache.set(f"users:get:{HEX}", b"\x81\xa1a\x01")
    expected = {"msgpack": b"\x81\xa1a\x01", "json": b'{"a":1}\n'}
    assert (mnt / f"{view}/users:get:{HEX}{EXTENSION[view]}").read_bytes() == expected[view]


@pytest.mark.file_only
@pytest.mark.parametrize("view", ["json", "msgpack"])
def test_decoded_views_of_an_interop_value_are_not_found_by_hash(cache, mnt, view):
    cache.set(f"users:get:{HEX}", b"\x81\xa1a\x01")
    assert failure(mnt / view / (cache.hash(f"users:get:{HEX}") + EXTENSION[view])) == "ENOENT"


@pytest.mark.parametrize("view", ["arrow", "npy"])
def test_an_interop_value_is_no_arrow_file_and_no_array(cache, mnt, view):
    cache.set(f"users:get:{HEX}", PLAIN.serialize(FRAME)[0])
    assert failure(mnt / f"{view}/users:get:{HEX}{EXTENSION[view]}") == "ENOENT"


def test_the_payload_of_every_view_can_be_read_twice(cache, mnt):
    write(cache, "arrow")
    with open(mnt / f"arrow/{KEY}.arrow", "rb") as file:
        first = file.read()
        file.seek(0, io.SEEK_SET)
        assert file.read() == first
