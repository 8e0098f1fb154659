"""The JSON reader against json and orjson, and the prefix of orjson payloads."""

from __future__ import annotations

import errno
import json
import random

import orjson
import pytest
import xxhash
from hypothesis import assume, example, given
from hypothesis import strategies as st

from layers import probe  # noqa: F401 - a fixture
from layers import (
    SURROGATE,
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
        return events_of(json.loads(text.decode(), object_pairs_hook=Pairs))
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
@example(b"[" + b"9" * 4300 + b"]")
@example(b"[-" + b"9" * 4301 + b"]")
@example(b"9" * 4301)
@example(b"9" * 4301 + b".0")
@example(b"9" * 5000 + b"e1")
@example(b"[0." + b"9" * 5000 + b", 1e" + b"0" * 5000 + b"]")
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
@example(b"[1e400]")
def test_json_as_orjson(probe, text):
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


# 2^1024 - 2^970: what is as large, or larger, is rounded to infinity.
LIMIT = 2**1024 - 2**970


def spellings(digits: str, exponent: int) -> list[str]:
    """The number `digits` * 10^exponent with its point in other places, zeros before and behind it, and its exponent in all forms."""
    n = len(digits)
    texts = [f"{digits}e{exponent}", f"{digits}E+{exponent}" if exponent >= 0 else f"{digits}e-000{-exponent}"]
    for place in {1, n // 2, n - 1} - {0, n}:
        texts.append(f"{digits[:place]}.{digits[place:]}e{exponent + n - place}")
    for zeros in (0, 1, 400):
        texts += [f"0.{'0' * zeros}{digits}e{exponent + n + zeros}", f"{digits}{'0' * zeros}e{exponent - zeros}", f"{digits}.{'0' * zeros}0e{exponent}"]
    if 0 <= exponent < 1000:
        texts += [digits + "0" * exponent, digits + "0" * exponent + ".0"]
    return texts


def near_the_limit() -> list[str]:
    numbers = random.Random(400)
    texts = [str(2**1024), str(2**1024 - 1), "9" * 308, "9" * 309, "9" * 400, "1" + "0" * 308, "1" + "0" * 309, str(2**64), str(2**63), str(2**64 - 1)]
    for delta in (-(10**300), -(10**100), -2, -1, 0, 1, 2, 10**100, 10**300):
        texts += spellings(str(LIMIT + delta), 0)
    for fraction in ("0", "9", "9" * 400, "0" * 400 + "1"):
        texts += [f"{LIMIT - 1}.{fraction}", f"{LIMIT}.{fraction}"]
    for cut in (1, 2, 16, 17, 18, 100, 307, 308):
        digits = str(LIMIT)[:cut]
        texts += [text for close in (int(digits) - 1, int(digits), int(digits) + 1) for text in spellings(str(close), 309 - cut)]
    for _ in range(400):
        cut = numbers.randrange(1, 330)
        digits = (str(LIMIT) + "0" * 30)[:cut]
        at = numbers.randrange(cut)
        digits = digits[:at] + str(numbers.randrange(10)) + digits[at + 1 :]
        texts += spellings(digits.lstrip("0") or "0", 309 - cut + numbers.choice([0, 0, 0, -1, 1]))
    for exponent in (307, 308, 309, 310, 999, 10**6, 2**31, 2**32, 2**63, 2**64, 10**40):
        texts += [f"{digits}e{sign}{exponent}" for sign in ("", "+", "-") for digits in ("0", "0.0", "1", "0.1", "1.7", "1.8", "9.99")]
    for zeros in (10**5, 10**6):
        texts += [f"0.{'0' * zeros}1e{zeros + exponent}" for exponent in (308, 309, 310)] + [f"1{'0' * zeros}e{exponent - zeros}" for exponent in (307, 308, 309)]
    return texts


def test_json_numbers_near_the_limit_as_orjson(probe):
    """What is rounded to infinity is refused, and nothing else is, however it is written: not what vanishes, nor a zero with any exponent."""
    texts = near_the_limit()
    infinite = 0
    for text in texts:
        for spelled_so in (text, f"-{text}", f"[{text}]", f'{{"a":-{text},"b":1}}') if len(text) < 2000 else (text,):
            try:
                orjson.loads(spelled_so)
                accepted = True
            except orjson.JSONDecodeError:
                accepted = False
            answer = probe("s", spelled_so.encode())
            assert (answer["errno"] == 0) == accepted == (answer["errno_bytewise"] == 0), spelled_so[:2000]
            infinite += not accepted
        assert (probe("p", text.encode())["errno"] == 0) == (python_events(text.encode()) is not None), text[:2000]
    assert len(texts) < infinite < 3 * len(texts)


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
