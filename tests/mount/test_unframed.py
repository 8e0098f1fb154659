"""§2: values without a frame, legacy frames, interop values."""

import base64
import io
import json
import os

import numpy as np
import pytest
from cachekit.interop import InteropDecodeError
from cachekit.serializers import AutoSerializer
from cachekit.serializers.wrapper import SerializationWrapper

from documents import load
from helpers import EXTENSION, failure, legacy, listing, meta, metadata, prefixed, read, v3, xattrs
from writers import FRAME, PLAIN, write

pytestmark = pytest.mark.shared_mount

# Values without a frame, empty values


@pytest.mark.parametrize("value", [b"", b"x", b"C", b"cK\x03\0\0\0\0", b"5", b"[1]", b"\x94\xc4\x01\0", b"ARROW1", bytes(range(256)) * 999])
def test_a_foreign_value_is_its_own_payload_in_root_raw_and_frame(cache, mnt, value):
    cache.set(cache.key, value)
    sizes = [os.stat(mnt / f"{d}/{cache.key}").st_size for d in (".", "raw", "frame")]
    assert (sizes, [read(mnt / f"{d}/{cache.key}") for d in (".", "raw", "frame")]) == ([len(value)] * 3, [value] * 3)


@pytest.mark.parametrize("view", ["arrow", "npy", "msgpack", "json"])
@pytest.mark.parametrize("value", [b"", b"5", PLAIN.serialize(FRAME)[0]], ids=["empty", "digit", "arrow"])
def test_a_foreign_value_has_no_decoded_view(cache, mnt, value, view):
    cache.set(cache.key, value)
    assert failure(mnt / f"{view}/{cache.key}{EXTENSION[view]}") == "ENOENT"


def test_a_frame_with_an_empty_payload_has_size_0_in_the_root(cache, mnt):
    cache.set(cache.key, v3(b"", metadata("msgpack")))
    assert (os.stat(mnt / cache.key).st_size, read(mnt / cache.key), read(mnt / "frame" / cache.key)) == (0, b"", cache.value(cache.key))


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
    "padding between digits": data("QQ=x="),
    "padding and no digits": data("QQ==-_ "),
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
    "white space around": b" \t\r\n" + data("QUJD") + b"\n\r\t ",
    "line end before": b"\n" + legacy(LARGE),
    "white space past the first read": b" " * 511 + data("QUJD"),
    "white space of the first read": b" " * 512 + data("QUJD"),
    "white space of many reads": b"\r\n" * 100_000 + data("QUJD"),
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
    "byte order mark": b"\xef\xbb\xbf" + data("QUJD"),
    "white space and byte order mark": b" \xef\xbb\xbf" + data("QUJD"),
    "white space that JSON has not": b"\f" + data("QUJD"),
    "vertical tab behind": data("QUJD") + b"\v",
    "no-break space": b"\xc2\xa0" + data("QUJD"),
    "NUL before": b"\0" + data("QUJD"),
    "UTF-16": data("QUJD").decode().encode("utf-16"),
    "only white space": b" \n" * 400,
    "white space and text": b" " * 600 + b"text",
    "white space and another kind": b' {"hello": "world"}',
    "in a list": b"[" + data("QUJD") + b"]",
    "in a string": json.dumps(data("QUJD").decode()).encode(),
    "white space and a cut frame": b"\n" + v3(b"payload"),
}


def unwrapped(value: bytes) -> bytes | None:
    try:
        return bytes(SerializationWrapper.unwrap(value)[0])
    except Exception:
        return None


@pytest.mark.parametrize("case", LEGACY)
def test_the_payload_of_a_legacy_frame_is_what_unwrap_returns(cache, mnt, case):
    cache.set(cache.key, LEGACY[case])
    size = os.stat(mnt / cache.key).st_size
    payload = unwrapped(LEGACY[case])
    assert (size, read(mnt / cache.key), read(mnt / "raw" / cache.key)) == (len(payload), payload, payload)


@pytest.mark.parametrize(
    "text, payload",
    [("QQ==QUJD", b"A"), ("QQ==Q", b"A"), ("QUI=D", b"AB"), ("QQ==QQ==", b"A"), ("QQ===QUJD", b"A"), ("QQ=QQ==", b"A\x04\x10"), ("QUJD=QUJD", b"ABCABC")],
)
def test_a_padding_that_completes_its_group_ends_the_payload(cache, mnt, text, payload):
    """The rule of Python up to 3.12, whichever runs here: later ones go on behind the padding."""
    cache.set(cache.key, data(text))
    assert (os.stat(mnt / cache.key).st_size, read(mnt / cache.key), read(mnt / "frame" / cache.key)) == (len(payload), payload, data(text))


@pytest.mark.parametrize("before", [b"", b"\n", b" " * 600], ids=["nothing", "a line end", "many spaces"])
def test_a_listing_shows_a_legacy_frame_behind_white_space_as_what_it_is(cache, mnt, before):
    payload, kind = prefixed(b'{"a":1}'), metadata("orjson")
    cache.set(cache.key, before + legacy(payload, kind, "orjson") + b"\n")
    name = cache.listed(cache.key)
    assert [listing(mnt / view) for view in ("raw", "json", "msgpack")] == [{name}, {name + ".json"}, set()]
    assert {entry.name: entry.stat().st_size for entry in os.scandir(mnt / "raw")} == {name: len(payload)}
    assert (meta(mnt, cache.key)["frame"]["kind"], read(mnt / f"json/{cache.key}.json")) == ("legacy", b'{"a":1}')


@pytest.mark.own_mount
def test_legacy_payloads_over_the_cache_size_are_served_side_by_side(cache, mount, tmp):
    mnt = mount(cache, f"cache_size=1M,spool_dir={tmp}")
    for i in range(3):
        cache.set(f"k{i}", legacy(LARGE + bytes([i])))
    with open(mnt / "k0", "rb") as a, open(mnt / "k1", "rb") as b, open(mnt / "k2", "rb") as c:
        assert [f.read() for f in (c, b, a)] == [LARGE + bytes([i]) for i in (2, 1, 0)]


@pytest.mark.parametrize("case", LEGACY)
def test_frame_of_a_legacy_entry_is_the_stored_json(cache, mnt, case):
    cache.set(cache.key, LEGACY[case])
    assert (os.stat(mnt / "frame" / cache.key).st_size, read(mnt / "frame" / cache.key)) == (len(LEGACY[case]), LEGACY[case])


@pytest.mark.parametrize("case", OPAQUE)
def test_a_value_that_begins_with_a_brace_and_is_no_legacy_frame_is_opaque(cache, mnt, case):
    cache.set(cache.key, OPAQUE[case])
    assert (unwrapped(OPAQUE[case]), read(mnt / cache.key), xattrs(mnt / cache.key).get("serializer")) == (None, OPAQUE[case], None)


@pytest.mark.parametrize(
    "kind, document, view",
    [("arrow", PLAIN.serialize(FRAME)[0], "arrow"), ("orjson", prefixed(b'{"a":1}'), "json"), ("orjson", b"[1]", "json")],
)
def test_a_decoded_view_of_a_legacy_entry_is_that_of_its_payload(cache, mnt, kind, document, view):
    cache.set(cache.key, legacy(document, metadata(kind), kind))
    assert read(mnt / f"{view}/{cache.key}{EXTENSION[view]}") == document[0 if document == b"[1]" else 8 :]


def test_a_legacy_array_opens_with_numpy(cache, mnt):
    cache.set(cache.key, legacy(AutoSerializer().serialize(np.arange(5))[0], metadata("numpy"), "auto"))
    assert np.load(mnt / f"npy/{cache.key}.npy", mmap_mode="r").tolist() == [0, 1, 2, 3, 4]


# Interop values

HEX = "0123456789abcdef" * 4
SNIFFABLE = {"v3": v3(b"payload"), "legacy": legacy(b"payload"), "malformed": b"CK\x03\xff\xff\xff\xff", "123": b"{"}


@pytest.mark.parametrize("value", SNIFFABLE)
@pytest.mark.parametrize("key", [f"users:get:{HEX}", f"0:a.b_c-d:{HEX}", f"nsx:{'o' * 64}:{HEX}"])
def test_a_value_under_an_interop_key_is_never_sniffed_as_a_frame(cache, mnt, key, value):
    key = key.replace(HEX, cache.interop_key[-64:])
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
    cache.set(cache.interop_key, b"\x81\xa1a\x01")
    expected = {"msgpack": b"\x81\xa1a\x01", "json": b'{"a":1}\n'}
    assert (mnt / f"{view}/{cache.interop_key}{EXTENSION[view]}").read_bytes() == expected[view]


# From the public test vectors of the protocol: what a reader of interop values has to take
READABLE = {
    "padded integers": ("93cd002ad2ffffffffcf0000000000000001", b"[42,-1,1]\n"),
    "padded heads": ("dc0003d903616263de0001a16101c50002dead", b'["abc",{"a":1},{"$base64":"3q0="}]\n'),
    "unsorted names": ("82a16202a16101", b'{"b":2,"a":1}\n'),
    "float32": ("ca3fc00000", b"1.5\n"),
    "a name that is no string": ("81012a", b'{"1":42}\n'),
    "ext": ("d4012a", b'{"$ext":[1,"Kg=="]}\n'),
}


@pytest.mark.parametrize("case", READABLE)
def test_an_interop_value_need_not_be_canonical(cache, mnt, case):
    key, value = cache.interop_key, bytes.fromhex(READABLE[case][0])
    cache.set(key, value)
    load(cache, key, interop=True)
    assert (read(mnt / f"msgpack/{key}.msgpack"), read(mnt / f"json/{key}.json")) == (value, READABLE[case][1])


@pytest.mark.parametrize("tail", [b"\0", b"\xc0", b" ", b"\n", b"\xc1"], ids=repr)
def test_an_interop_value_is_one_document_and_nothing_behind_it(cache, mnt, tail):
    key = cache.interop_key
    cache.set(key, bytes.fromhex("82a36167651ea46e616d65a5616c696365") + tail)
    with pytest.raises(InteropDecodeError):
        load(cache, key, interop=True)
    assert [failure(mnt / f"{view}/{key}.{view}") for view in ("json", "msgpack")] == ["EUCLEAN"] * 2


FRAMES = {"frame": v3(b"payload"), "cut": b"CK", "malformed": b"CK\x03\xff\xff\xff\xff", "text": b"CKWhatever", "large": b"CK" + bytes(2 << 20)}


@pytest.mark.parametrize("value", FRAMES)
def test_what_begins_as_a_frame_under_an_interop_key_is_no_document(cache, mnt, value):
    key = cache.interop_key
    cache.set(key, FRAMES[value])
    with pytest.raises(InteropDecodeError, match="auto-mode entry|CK v3 frame"):
        load(cache, key, interop=True)
    assert [listing(mnt / view) for view in ("json", "msgpack", "arrow")] == [set()] * 3
    assert [failure(mnt / f"{view}/{key}.{view}") for view in ("json", "msgpack")] == ["EUCLEAN"] * 2
    views = meta(mnt, key)["views"]
    assert {views["json"], views["msgpack"]} == {"begins with CK, like a frame of cachekit: not an interop value"}
    assert (read(mnt / key), read(mnt / "frame" / key)) == (FRAMES[value],) * 2


@pytest.mark.parametrize("value", [b"C", b"\xa2CK", b"\x92CK", b"K"], ids=["C", "CK as text", "C and K", "K"])
def test_what_only_looks_a_little_so_is_a_document(cache, mnt, value):
    key = cache.interop_key
    cache.set(key, value)
    assert (read(mnt / f"msgpack/{key}.msgpack"), json.loads(read(mnt / f"json/{key}.json"))) == (value, load(cache, key, interop=True))


@pytest.mark.file_only
@pytest.mark.parametrize("view", ["json", "msgpack"])
def test_decoded_views_of_an_interop_value_are_not_found_by_hash(cache, mnt, view):
    cache.set(cache.interop_key, b"\x81\xa1a\x01")
    assert failure(mnt / view / (cache.hash(cache.interop_key) + EXTENSION[view])) == "ENOENT"


@pytest.mark.parametrize("view", ["arrow", "npy"])
def test_an_interop_value_is_no_arrow_file_and_no_array(cache, mnt, view):
    cache.set(cache.interop_key, PLAIN.serialize(FRAME)[0])
    assert failure(mnt / f"{view}/{cache.interop_key}{EXTENSION[view]}") == "ENOENT"


def test_the_payload_of_every_view_can_be_read_twice(cache, mnt):
    write(cache, "arrow")
    with open(mnt / f"arrow/{cache.key}.arrow", "rb") as file:
        first = file.read()
        file.seek(0, io.SEEK_SET)
        assert file.read() == first
