"""The JSON reader against json and orjson, and the prefix of orjson payloads."""

from __future__ import annotations

import errno
import json

import orjson
import pytest
import xxhash
from hypothesis import assume, example, given
from hypothesis import strategies as st

from layers import probe  # noqa: F401 - a fixture
from layers import (
    SURROGATE,
    differs_infinite_number,
    documents,
    mutated,
    spelled,
)


class Pairs(list):
    """An object's members, duplicates and all."""


def events_of(value) -> str:
    """The events of a document as the probe prints them."""
    if isinstance(value, Pairs):
        return "{" + "".join(string(k, "k") + events_of(v) for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + "".join(map(events_of, value)) + "]"
    if isinstance(value, str):
        return string(value, "s")
    return {None: "0", True: "t", False: "f"}.get(value, "#") if value is None or isinstance(value, bool) else "#"


def string(text: str, letter: str) -> str:
    encoded = SURROGATE.sub("\ufffd", text).encode().hex()
    return (letter + encoded if encoded else "") + letter.upper()


def python_events(text: bytes) -> str | None:
    """None when Python refuses the text."""
    try:
        return events_of(json.loads(text.decode(), object_pairs_hook=Pairs, parse_int=lambda digits: 0))
    except RecursionError:
        assume(False)
    except ValueError:
        return None


@st.composite
def json_texts(draw) -> bytes:
    text = draw(documents.flatmap(spelled))
    if draw(st.booleans()):
        text = text.replace(",", draw(st.sampled_from([",", " ,\n", ",\t\r"])))
    return draw(mutated(text.encode()))


@given(text=json_texts())
@example(b"\xef\xbb\xbf{}")
@example(b"-")
@example(b"[1.]")
@example(b"1e999")
@example(b'"\\ud800\\ud800\\udc00"')
def test_json_as_python(probe, text):
    answer = probe("p", text)
    assert answer["errno"] == answer["errno_bytewise"]
    expect = python_events(text)
    assert (answer["errno"] == 0) == (expect is not None)
    if expect is not None:
        assert answer["events"] == expect


@given(text=json_texts())
@example(b"\xef\xbb\xbf{}")
@example(b'"\\ud800"')
@example(b"[NaN]")
def test_json_as_orjson(probe, text):
    assume(not differs_infinite_number(text))
    try:
        orjson.loads(text)
        accepted = True
    except orjson.JSONDecodeError:
        accepted = False
    answer = probe("s", text)
    assert (answer["errno"] == 0) == accepted == (answer["errno_bytewise"] == 0)
    assert not answer["nonfinite"]
    if accepted:
        assert answer["events"] == python_events(text)


def test_json_every_byte_between_tokens(probe):
    """What counts as space, and nothing else does."""
    for byte in range(256):
        for start, end in (b"", b"1"), (b"1", b""), (b"[", b"]"), (b'{"a"', b":1}"), (b'{"a":', b"1}"), (b"[1", b",2]"), (b"[1,", b"2]"):
            text = start + bytes([byte]) + end
            answer = probe("p", text)
            assert (answer["errno"] == 0) == (python_events(text) is not None) == (answer["errno_bytewise"] == 0), text
            assert (probe("s", text)["errno"] == 0) == (answer["errno"] == 0), text


def test_json_levels(probe):
    """1024 levels, as orjson; one more is refused."""
    for levels in (1, 64, 65, 1023, 1024, 1025):
        for open_, close in (b"[", b"]"), (b'{"a":', b"}"):
            text = open_ * levels + b"0" + close * levels
            assert probe("s", text)["errno"] == probe("p", text)["errno"] == (0 if levels <= 1024 else errno.EUCLEAN)
    assert orjson.loads(b"[" * 1024 + b"]" * 1024)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(b"[" * 1025 + b"]" * 1025)


def test_json_every_character(probe):
    """Each character on its own, raw and escaped, and each byte that begins none."""
    for start in range(0, 0x110000, 0x400):
        points = [p for p in range(start, start + 0x400) if not 0xD800 <= p <= 0xDFFF and p > 0x1F and p not in (0x22, 0x5C)]
        text = '"' + "".join(map(chr, points)) + '"'
        for spelling in (text.encode(), json.dumps(text[1:-1]).encode()):
            answer = probe("s", spelling)
            assert answer["errno"] == answer["errno_bytewise"] == 0
            assert answer["events"] == string(text[1:-1], "s")


def test_json_every_encoding(probe):
    """All pairs of bytes from 80 up, with what could continue them: UTF-8 to the letter."""
    for first in range(0x80, 0x100):
        for second in range(0x7F, 0x101, 3 if first < 0xC0 else 1):
            for rest in (b"", b"\x80", b"\xbf\x80", b"\x80\xc0", b"\xbf\xbf\xbf"):
                characters = bytes([first, second & 0xFF]) + rest
                try:
                    accepted = characters.decode() is not None and min(characters) >= 0x20
                except UnicodeDecodeError:
                    accepted = False
                answer = probe("s", b'"' + characters + b'     "')
                assert (answer["errno"] == 0) == accepted == (answer["errno_bytewise"] == 0), characters


# --- the prefix ---


@given(text=json_texts(), damage=st.sampled_from([None, None, 0, 7]))
def test_orjson_payload(probe, text, damage):
    """With its prefix and without, as OrjsonSerializer writes it; a damaged prefix is none."""
    assume(not differs_infinite_number(text))
    try:
        orjson.loads(text)
        accepted = True
    except orjson.JSONDecodeError:
        accepted = False
    prefix = bytearray(xxhash.xxh3_64_digest(text))
    if damage is not None:
        prefix[damage] ^= 0x10
    checked = probe("o", bytes(prefix) + text)
    assert probe("c", bytes(prefix) + text)["errno"] == (0 if damage is None else errno.EBADMSG)
    if damage is None:
        assert (checked["errno"], checked["prefix"]) == ((0, True) if accepted else (errno.EUCLEAN, False))
    else:
        assert checked["errno"] == (errno.EBADMSG if len(text) >= 2 else errno.EUCLEAN)
    bare = probe("o", text)
    assert bare["errno"] == (0 if accepted else errno.EUCLEAN if len(text) < 10 else errno.EBADMSG)
    assert not bare["prefix"]
