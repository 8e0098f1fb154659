"""The JSON of MessagePack documents: as mount.md has it, spelled out again in Python, and written as json.dumps writes."""

from __future__ import annotations

import base64
import datetime
import errno
import json
import math
import struct

import msgpack
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from layers import probe  # noqa: F401 - a fixture

TEXT_MAX = 1 << 30
LEVELS = 1024


class Pairs(list):
    """A map's members as they are stored, of whatever keys, duplicates and all."""


class Float32(float):
    """The double that a float of 32 bits is."""

    def __new__(cls, value: float):
        return super().__new__(cls, *struct.unpack(">f", struct.pack(">f", value)))


class Raw(bytes):
    """Bytes as writers of the old specification stored them: where strings stand."""


# --- what is stored ---


def pack(value) -> bytes:
    packer = msgpack.Packer(use_bin_type=True, strict_types=True, datetime=True)
    if isinstance(value, Pairs):
        return packer.pack_map_header(len(value)) + b"".join(pack(k) + pack(v) for k, v in value)
    if isinstance(value, list):
        return packer.pack_array_header(len(value)) + b"".join(map(pack, value))
    if isinstance(value, Float32):
        return msgpack.packb(float(value), use_single_float=True)
    if isinstance(value, Raw):
        return msgpack.packb(bytes(value), use_bin_type=False)
    return packer.pack(value)


# --- what is to be shown ---


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def shown_float(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return '{"$float":"%s"}' % ("NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity")


def shown_ext(code: int, data: bytes) -> str:
    return f'{{"$ext":[{code},"{encoded(data)}"]}}'


def shown(value) -> str:
    if isinstance(value, Pairs):
        return "{%s}" % ",".join(f"{shown_key(k)}:{shown(v)}" for k, v in value)
    if isinstance(value, list):
        return "[%s]" % ",".join(map(shown, value))
    if isinstance(value, datetime.datetime):
        return shown_ext(-1, msgpack.Timestamp.from_datetime(value).to_bytes())
    if isinstance(value, msgpack.ExtType):
        return shown_ext(value.code, value.data)
    if isinstance(value, Raw):
        value = value.decode()
    if isinstance(value, bytes):
        return f'{{"$base64":"{encoded(value)}"}}'
    if isinstance(value, float):
        return shown_float(value)
    return json.dumps(value, ensure_ascii=False)


def shown_key(key) -> str:
    text = shown(key)
    return text if isinstance(key, (str, Raw)) else json.dumps(text, ensure_ascii=False)


def json_of(probe, document: bytes) -> bytes:
    answer = probe("j", document)
    assert answer["errno"] == 0, probe.text(answer, "reason")
    return bytes.fromhex(answer["json"])


def check(probe, value) -> str:
    text = json_of(probe, pack(value)).decode()
    assert text == shown(value) + "\n"
    return text


def refused(probe, document: bytes, number: int) -> str:
    answer = probe("j", document)
    assert answer["errno"] == number
    return probe.text(answer, "reason")


# --- any document ---

texts = st.text(max_size=24) | st.text(st.sampled_from('"\\/\b\n\x1f\x7f é☃😀'), max_size=40)
times = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2300, 1, 1), timezones=st.just(datetime.timezone.utc))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-200, 300),
    st.floats(),
    st.floats(width=32).map(Float32),
    texts,
    texts.map(str.encode).map(Raw),
    st.binary(max_size=20),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
    times,
)


def containers(inner):
    return st.lists(inner, max_size=20) | st.lists(st.tuples(texts | inner, inner), max_size=6).map(Pairs)


values = st.recursive(scalars, containers, max_leaves=20)


@given(values)
@example([])
@example(Pairs())
@example([[], Pairs(), [Pairs()], Pairs([([], Pairs()), (Pairs(), [])])])
@example(Pairs([("a", 1), ("a", 2), ("a", 1)]))
@example(Pairs([("$base64", "AA=="), ("$ext", [1]), ("$float", "NaN")]))
@example(Pairs([(1, "int"), ("1", "str"), (1.0, "float"), (True, 0), (None, 0), (b"\0\1", 0), (math.nan, 0), (Raw(b"\xc3\xa9"), 0)]))
@example(Pairs([(Pairs([(Pairs([(b'"\\', "\\\"")]), "\n"), ("k", [])]), {}), ([1, "a"], Pairs([(2, 3)]))]))
@example([2**64 - 1, 2**63, -(2**63), 2**32, -(2**31) - 1, 0, -1, -32, -33, 127, 128])
@example([0.0, -0.0, 1.0, 1e15, 1e16, 1e22, 1e23, 1e-4, 1e-5, 0.1, 5e-324, -2.2250738585072014e-308, 1.7976931348623157e308])
@example([math.inf, -math.inf, math.nan, Float32(0.10000000149011612), Float32(1e-45), Float32(3.4028234663852886e38), Float32(-math.inf)])
@example([msgpack.ExtType(0, b""), msgpack.ExtType(127, bytes(16)), b"", b"a", b"ab", b"abc"])
@example(datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc))
def test_any_document(probe, value):
    text = check(probe, value)
    json.loads(text)  # Python has no say above


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(texts, inner, max_size=8),
    max_leaves=30,
)


def same(a, b) -> bool:
    """Equal in types too, in the order of members, and in the sign of zeros."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return struct.pack(">d", a) == struct.pack(">d", b) if isinstance(a, float) else a == b


@given(plain)
def test_plain_documents_read_back_as_themselves(probe, value):
    text = json_of(probe, msgpack.packb(value))
    assert same(json.loads(text), value)
    assert same(orjson.loads(text), value)


# --- floats ---


def neighbours(value: float):
    (bits,) = struct.unpack(">q", struct.pack(">d", value))
    for other in range(max(bits - 2, 0), bits + 3):
        yield struct.unpack(">d", struct.pack(">q", other))[0]


def check_floats(probe, floats):
    floats = [value for value in floats if math.isfinite(value)]
    written = json_of(probe, msgpack.packb(floats)).decode()[1:-2].split(",")
    assert written == list(map(repr, floats))


def test_floats_around_every_power_of_two(probe):
    check_floats(probe, (near for e in range(-1074, 1024) for near in neighbours(math.ldexp(1.0, e))))


def test_floats_around_every_power_of_ten(probe):
    digits = ["1", "2", "5", "9", "9.5", "1.25", "9007199254740993", "4.35"]
    check_floats(probe, (near for e in range(-324, 308) for d in digits for near in neighbours(float(f"{d}e{e}"))))


@given(st.lists(st.floats() | st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack(">d", struct.pack(">Q", bits))[0]), min_size=20))
def test_any_float(probe, floats):
    check_floats(probe, floats)


@given(st.lists(st.builds(lambda n, e: n / 10**e, st.integers(-(10**17), 10**17), st.integers(0, 22)), min_size=20))
def test_short_decimals(probe, floats):
    check_floats(probe, floats)


# --- every form in which a value can be stored ---


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"\xcc\x05", "5"),
        (b"\xcd\x00\x05", "5"),
        (b"\xce\x00\x00\x00\x05", "5"),
        (b"\xcf" + bytes(7) + b"\x05", "5"),
        (b"\xd0\xff", "-1"),
        (b"\xd1\xff\xff", "-1"),
        (b"\xd2\xff\xff\xff\xff", "-1"),
        (b"\xd3" + b"\xff" * 8, "-1"),
        (b"\xd3" + b"\x7f" + b"\xff" * 7, str(2**63 - 1)),
        (b"\xd9\x00", '""'),
        (b"\xda\x00\x01a", '"a"'),
        (b"\xdb\x00\x00\x00\x01a", '"a"'),
        (b"\xdb\x00\x00\x00\x00", '""'),
        (b"\xc4\x00", '{"$base64":""}'),
        (b"\xc5\x00\x01a", '{"$base64":"YQ=="}'),
        (b"\xc6\x00\x00\x00\x01a", '{"$base64":"YQ=="}'),
        (b"\xd4\x80a", '{"$ext":[-128,"YQ=="]}'),
        (b"\xd5\x7fab", '{"$ext":[127,"YWI="]}'),
        (b"\xd6\x00abcd", '{"$ext":[0,"YWJjZA=="]}'),
        (b"\xd7\xff" + bytes(8), '{"$ext":[-1,"AAAAAAAAAAA="]}'),
        (b"\xd8\x01" + bytes(16), '{"$ext":[1,"AAAAAAAAAAAAAAAAAAAAAA=="]}'),
        (b"\xc7\x00\x02", '{"$ext":[2,""]}'),
        (b"\xc8\x00\x01\x02a", '{"$ext":[2,"YQ=="]}'),
        (b"\xc9\x00\x00\x00\x01\x02a", '{"$ext":[2,"YQ=="]}'),
        (b"\xdc\x00\x00", "[]"),
        (b"\xdc\x00\x01\xc0", "[null]"),
        (b"\xdd\x00\x00\x00\x02\xc2\xc3", "[false,true]"),
        (b"\xde\x00\x00", "{}"),
        (b"\xde\x00\x01\xa1a\xdf\x00\x00\x00\x00", '{"a":{}}'),
        (b"\xdf\x00\x00\x00\x01\xa0\x90", '{"":[]}'),
    ],
)
def test_every_form(probe, document, text):
    assert json_of(probe, document).decode() == text + "\n"


# --- strings ---


def test_every_control_character(probe):
    check(probe, "".join(map(chr, range(0x20))))
    for c in range(0x80):
        check(probe, [chr(c), "x" * (c % 17) + chr(c) + "y"])


@pytest.mark.parametrize("text", ["\u2028\u2029", "\ufeff", "\uffff", "😀\U0010ffff", "\x7f\x80\u07ff\u0800\ud7ff\ue000"])
def test_characters_stay(probe, text):
    assert f'"{text}"\n' == check(probe, text)


@pytest.mark.parametrize("piece", ["x", "é", "☃", "😀", '"', "\0", "x☃", 'aaaaaaaaaaaaaaa"'])
@pytest.mark.parametrize("shift", range(4))
def test_long_strings(probe, piece, shift):
    for n in [*range(660, 700), 4096, 70_000]:
        text = "s" * shift + piece * (n // len(piece.encode()))
        check(probe, [text, text + "\n", b"b" * n, Pairs([(text, text), ([text], text)])])


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 31, 32, 700])
@pytest.mark.parametrize(
    "bad", [b"\xff", b"\x80", b"\xc3", b"\xe2\x98", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3\xc3"]
)
def test_strings_that_are_not_utf8(probe, length, bad):
    for raw in (bad, bad + b"x" * length, b"x" * length + bad):
        string = pack(Raw(raw))
        # What follows a string must not complete its last character.
        for document in (string, b"\x92" + string + b"\xa1\x98", b"\x81" + string + b"\x00", b"\x81\x81" + string + b"\x00\x00"):
            assert refused(probe, document, errno.EUCLEAN) == "a string is not UTF-8"


def test_not_utf8_is_fine_in_bytes(probe):
    check(probe, [b"\xff\xfe", msgpack.ExtType(5, b"\x80")])


# --- depth, and keys within keys ---


@pytest.mark.parametrize("innermost", [b"\x90", b"\x80", b"\x91\xc0", b"\x81\xa0\xc0"])
def test_1024_levels(probe, innermost):
    inner = {b"\x90": "[]", b"\x80": "{}", b"\x91\xc0": "[null]", b"\x81\xa0\xc0": '{"":null}'}[innermost]
    arrays = b"\x91" * (LEVELS - 1) + innermost
    assert json_of(probe, arrays).decode() == "[" * (LEVELS - 1) + inner + "]" * (LEVELS - 1) + "\n"
    maps = b"\x81\xa1a" * (LEVELS - 1) + innermost
    assert json_of(probe, maps).decode() == '{"a":' * (LEVELS - 1) + inner + "}" * (LEVELS - 1) + "\n"


def test_deep_containers_close_and_go_on(probe):
    value = "x"
    for i in range(300):
        value = [i, value, -i] if i % 2 else Pairs([("k", value), ("e", [])])
    check(probe, [value, value])


def keys_within_keys(depth: int, innermost: bytes = b"\x00") -> bytes:
    return b"\x81" * depth + innermost + b"\x00" * depth


def keys_length(depth: int) -> int:
    """Length of the text of keys_within_keys(depth), without its newline."""
    length, special = 1, 0
    for _ in range(depth):
        length, special = length + special + len('{"":0}'), 2 * special + 2
    return length


@pytest.mark.parametrize("depth", range(8))
def test_keys_within_keys(probe, depth):
    value = "k"
    for i in range(depth):
        value = Pairs([(value, i), ([value, 'q"\\\n'], "v")])
    check(probe, value)
    assert keys_length(depth) + 1 == len(json_of(probe, keys_within_keys(depth)))


def test_keys_too_deep(probe):
    assert probe("l", keys_within_keys(28))["length"] == keys_length(28) + 1
    for depth in (29, 30, LEVELS):
        assert refused(probe, keys_within_keys(depth), errno.EFBIG) == "its JSON text is over 1 GiB"


def test_longest_text(probe):
    """Exactly 1 GiB, made of keys within keys, and one byte more."""
    left, parts = TEXT_MAX - len('[""]\n'), []
    for depth in range(28, 3, -1):
        while keys_length(depth) + 1 <= left:
            parts.append(keys_within_keys(depth))
            left -= keys_length(depth) + 1
    assert len(parts) < 60_000
    for more, number in ((0, 0), (1, errno.EFBIG)):
        document = msgpack.Packer().pack_array_header(len(parts) + 1) + pack("x" * (left + more)) + b"".join(parts)
        answer = probe("l", document)
        assert answer["errno"] == number
        assert answer["length"] == TEXT_MAX if number == 0 else answer["length"] < TEXT_MAX + (2 << 20)


def test_cancelled(probe):
    """Within 1 MiB or so of text, however much room there is."""
    for document in (pack(["text" * 2_000_000]), pack(bytes(8_000_000)), pack([1] * 2_000_000), keys_within_keys(25)):
        answer = probe("x", document)
        assert answer["errno"] == errno.EINTR
        assert answer["length"] < 2 << 20
