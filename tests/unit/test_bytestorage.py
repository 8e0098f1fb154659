"""ByteStorage envelopes against the package's own reader."""

from __future__ import annotations

import errno
import re
import struct

import msgpack
import pytest
import xxhash
from cachekit._rust_serializer import ByteStorage, EnvelopeIntegrityError
from hypothesis import example, given
from hypothesis import strategies as st

from layers import probe  # noqa: F401 - a fixture
from layers import mutated

STORAGE = ByteStorage("msgpack")
LIMITS = re.compile("ratio exceeds|exceeds maximum")
NAMES = ("compressed_data", "checksum", "original_size", "format")


def expected(payload: bytes) -> tuple[set[int], bytes | None, str | None]:
    """The errnos that fit what the SDK's reader says, and the document and format that it reads."""
    try:
        document, name = STORAGE.retrieve(payload)
        return {0}, bytes(document), name
    except EnvelopeIntegrityError as error:
        if LIMITS.search(str(error)):
            return {errno.EFBIG}, None, None
        return {errno.EBADMSG if "integrity check" in str(error) else errno.EUCLEAN}, None, None
    except ValueError:
        return {errno.EUCLEAN}, None, None


def check(probe, payload: bytes) -> dict:
    errnos, document, name = expected(payload)
    answer = probe("b", payload)
    quick = probe("q", payload)
    assert answer["errno"] in errnos, probe.text(answer, "reason")
    assert quick == answer or quick["errno"] == -1
    if document is None:
        assert answer["reason"]
    else:
        assert bytes.fromhex(answer["document"]) == document
        assert probe.text(answer, "format") == (name if len(name.encode()) <= 31 and "\0" not in name else "")
    return answer


# --- all the ways to write an envelope ---


def integer(value: int, encoding: int) -> bytes:
    """In the encoding that begins with this byte, where it fits."""
    formats = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
    try:
        return bytes([encoding]) + struct.pack(formats[encoding], value)
    except (KeyError, struct.error):
        return msgpack.packb(value)


def sized(mark: int, value: bytes) -> bytes:
    """A str or bin with the head that begins with this byte, or a larger one."""
    size = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}[mark]
    if size == 1 and len(value) > 255:
        return sized(mark + 1, value)
    return bytes([mark]) + len(value).to_bytes(size, "big") + value


def count(kind: int, n: int, width: int) -> bytes:
    """The head of an array (kind 0x90) or map (0x80)."""
    if width == 0 and n < 16:
        return bytes([kind | n])
    wide = (0xDC if kind == 0x90 else 0xDE) + (width > 1)
    return bytes([wide]) + n.to_bytes(4 if width > 1 else 2, "big")


encodings = st.sampled_from([0, 0, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3])
widths = st.sampled_from([0, 0, 1, 2])
strings = st.sampled_from([0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB])


def mostly(usual, *others):
    """The usual one in nine cases of ten."""
    return st.integers(0, 9).flatmap(lambda n: st.sampled_from(others) if n == 9 else st.just(usual))


@st.composite
def octets(draw, value: bytes) -> bytes:
    encoding = draw(encodings)
    elements = [integer(byte, encoding) for byte in value]
    if draw(st.integers(0, 29)) == 0 and elements:
        elements[draw(st.integers(0, len(elements) - 1))] = draw(st.sampled_from([b"\xff", b"\xcd\x01\x00", b"\xc0", b"\xca\0\0\0\0", b"\xc3"]))
    return count(0x90, len(elements), draw(widths)) + b"".join(elements)


@st.composite
def data_fields(draw, block: bytes) -> bytes:
    if draw(st.integers(0, 2)) == 0:
        return draw(octets(block))
    return sized(draw(strings), block)


@st.composite
def checksums(draw, checksum: bytes) -> bytes:
    checksum = draw(mostly(checksum, checksum + b"x", checksum[:7], bytes(8), b""))
    return draw(octets(checksum)) if draw(st.booleans()) else sized(draw(mostly(0xC4, 0xC5, 0xC6, 0xC6, 0xD9)), checksum)


sizes = st.tuples(mostly(0, 1, -1, 2**29, 2**32, -(2**33), 2**63), encodings)
names = st.one_of(
    st.sampled_from([b"msgpack", b"dataframe", b"", b"x" * 31, b"x" * 32, "é".encode() * 16, b"a\0b"]),
    mostly(b"msgpack", b"\xff", b"\xed\xa0\x80", b"x" * 290 + b"\xff"),
    st.text(max_size=6).map(str.encode),
    st.integers(60, 70).map(lambda n: "aé€𝄞".encode() * n),
)
wholes = st.sampled_from([b"\xc0", b"\x01", b"\xff", b"\xa1\xff", b"\xc4\x01a", b"\xcb" + bytes(8), b"\xd4\x01\x00", b"\xc7\x02\xff\x00\x00"])
values = st.recursive(
    st.integers(0, 19).flatmap(lambda n: st.sampled_from([b"\xc1", b"\xd9"]) if n == 0 else wholes),
    lambda inner: st.lists(inner, max_size=3).map(lambda v: count(0x90, len(v), 0) + b"".join(v))
    | st.lists(inner, max_size=2).map(lambda v: count(0x80, len(v), 1) + b"".join(x + x for x in v)),
    max_leaves=5,
)
ignored_keys = st.sampled_from([b"\xa5other", b"\xa0", b"\xa1\xff", b"\xc4\x01x", b"\xc4\x0fcompressed_date", b"\x07", b"\xcf" + b"\xff" * 8])
bad_keys = st.sampled_from([b"\xff", b"\xd0\x07", b"\xc0", b"\xc3", b"\x90", b"\xd4\x01\x00", b"\xc1"])


@st.composite
def keys(draw, place: int) -> bytes:
    if draw(st.integers(0, 4)) == 0:
        return integer(place, draw(mostly(0, *range(0xCC, 0xD4))))
    name = NAMES[place].encode()
    return bytes([0xA0 | len(name)]) + name if draw(st.booleans()) else sized(draw(strings), name)


@st.composite
def envelopes(draw) -> bytes:
    document = draw(st.binary(max_size=40) | st.binary(max_size=4).map(lambda b: b * 100))
    block, checksum, size, _ = msgpack.unpackb(STORAGE.store(document, None))
    delta, encoding = draw(sizes)
    name = draw(names)
    fields = [
        draw(data_fields(draw(mutated(block)) if draw(st.integers(0, 9)) == 0 else block)),
        draw(checksums(bytes(checksum))),
        integer(max(size + delta, -(2**63)), encoding),
        sized(draw(strings), name) if draw(st.integers(0, 19)) else draw(values),
    ]
    if draw(st.booleans()):
        fields += [draw(values)] * draw(mostly(0, 1))
        payload = count(0x90, len(fields), draw(widths)) + b"".join(fields)
    else:
        pairs = draw(st.permutations([draw(keys(place)) + field for place, field in enumerate(fields)]))
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            pairs.insert(draw(st.integers(0, len(pairs))), draw(ignored_keys) + draw(values))
        for _ in range(draw(mostly(0, 1))):
            pairs.insert(draw(st.integers(0, len(pairs))), draw(bad_keys) + draw(values))
        for _ in range(draw(mostly(0, 1))):
            pairs.append(draw(st.sampled_from(pairs)))
        payload = count(0x80, len(pairs), draw(widths)) + b"".join(pairs)
    payload += draw(st.sampled_from([b"", b"", b"x", b"\xc1" * 9]))
    return draw(mutated(payload)) if draw(st.integers(0, 5)) == 0 else payload


@given(payload=envelopes())
@example(b"")
@example(b"\xc0")
@example(b"\x90")
@example(b"\x80")
@example(b"\xc4\x04abcd")
def test_envelope(probe, payload):
    check(probe, payload)


def fields_of(document: bytes = b"hello world " * 20) -> list[bytes]:
    return [msgpack.packb(field) for field in msgpack.unpackb(STORAGE.store(document, None))]


def array(fields: list[bytes]) -> bytes:
    return count(0x90, len(fields), 0) + b"".join(fields)


def as_map(fields: list[bytes], *more: bytes) -> bytes:
    return count(0x80, len(fields) + len(more), 1) + b"".join(msgpack.packb(n) + f for n, f in zip(NAMES, fields)) + b"".join(more)


def test_envelope_cut_short(probe):
    fields = fields_of()
    for payload in array(fields), as_map(fields):
        assert check(probe, payload)["errno"] == 0
        for length in range(len(payload)):
            assert check(probe, payload[:length])["errno"] == errno.EUCLEAN


def test_envelope_nesting(probe):
    """The package's reader ends at 1024 levels, also in what it ignores; an ext value is a level."""
    for levels in (1, 1021, 1022, 1023, 1024):
        for start in b"\x91", b"\x81\x00", b"\x81":
            for leaf in b"\x00", b"\x90", b"\x80", b"\xd4\x01\x00", b"\xc4\x01a", b"\xa1\xff":
                end = b"\x00" * levels if start == b"\x81" else b""
                check(probe, as_map(fields_of(), b"\xa1x" + start * levels + leaf + end))


def test_envelope_numbered_names(probe):
    """Unsigned integers name the four by their order; signed encodings name nothing, whatever their value."""
    fields = fields_of()
    for encoding in 0, *range(0xCC, 0xD4):
        for place in range(6):
            pairs = [msgpack.packb(name) + field for name, field in zip(NAMES, fields)]
            name = integer(place, encoding)
            pairs[place:] = [name + (fields[place] if place < 4 else b"\xc0"), *pairs[place + 1 :]]
            answer = check(probe, count(0x80, len(pairs), 0) + b"".join(pairs))
            assert answer["errno"] == (errno.EUCLEAN if encoding >= 0xD0 else 0)


def test_envelope_strict(probe):
    """Strict is what writers write: an array, bin or integers, nothing behind."""
    data, *rest = fields_of()
    block = msgpack.unpackb(data)
    integers = msgpack.packb(list(block))
    assert check(probe, array([data, *rest]))["strict"]
    answer = check(probe, array([integers, *rest]))
    assert answer["strict"] and answer["integers"] and answer["compressed"] == len(block)
    assert probe("q", array([integers, *rest]))["errno"] == -1
    for payload in array([data, *rest]) + b"\0", array([sized(0xD9, block), *rest]), as_map([data, *rest]):
        assert not check(probe, payload)["strict"]


@pytest.mark.parametrize("size", [65_530, 65_536, 300_000])
def test_envelope_of_many_reads(probe, size):
    """Around the sizes of the reader's buffers: integers of every encoding, long names, large members that are ignored."""
    document = bytes(xxhash.xxh3_64_intdigest(bytes([i % 251, i % 241])) & 0xFF for i in range(size))
    data, *rest = fields_of(document)
    block = msgpack.unpackb(data)
    for shift in range(0, 10, 3):
        name = msgpack.packb("x" * shift)
        for encoding in 0, 0xCC, 0xD1, 0xCF:
            integers = count(0x90, len(block), 2) + b"".join(integer(byte, encoding) for byte in block)
            fields = [integers, *rest[:2], name]
            assert check(probe, array(fields))["errno"] == check(probe, as_map(fields))["errno"] == 0
        long = msgpack.packb("x" * shift + "é€𝄞" * (size // 9))
        assert check(probe, array([data, *rest[:2], long]))["errno"] == 0
        assert check(probe, array([data, *rest[:2], long[:-1] + b"\x00"]))["errno"] == errno.EUCLEAN
        ignored = msgpack.packb("x" * shift) + msgpack.packb([{"a": list(range(size // 5))}, b"b" * size])
        assert check(probe, count(0x80, 5, 0) + ignored + as_map(fields_of(document))[3:])["errno"] == 0


def test_envelope_limits(probe):
    """Each limit at its edge. What is refused is refused before a byte is allocated, so the data may lie."""
    data, checksum, _, name = fields_of()
    for block in b"", b"\x10a":
        for size in 0, 1, 1000 * len(block), 1000 * len(block) + 1, 512 << 20, (512 << 20) + 1, 2**32 - 1, 2**32:
            check(probe, array([msgpack.packb(block), checksum, msgpack.packb(size), name]))
    answer = probe("b", array([msgpack.packb(b""), checksum, msgpack.packb(0), name]))
    assert answer["errno"] == errno.EFBIG
    block = b"\x1fa\x01\x00" + b"\xff" * 600 + b"\x00\x50aaaaa"
    for extra in (-1, 0, 1):
        size = 1 + 4 + 15 + 255 * 600 + 5
        document = b"a" * size
        fields = [msgpack.packb(block), msgpack.packb(xxhash.xxh3_64_digest(document)), msgpack.packb(size + extra), name]
        check(probe, array(fields))


# --- LZ4 blocks ---


def differs_offset_of_zero(block: bytes) -> bool:
    """The package refuses a match at distance 0, whatever it makes; here a document that its checksum fits is the document."""
    return b"\0\0" in block


@st.composite
def blocks(draw) -> tuple[bytes, bytes]:
    """A block of random sequences and what a plain decoder makes of it."""
    block, out = b"", bytearray()
    for _ in range(draw(st.integers(0, 6))):
        literals = draw(st.binary(max_size=4) | st.sampled_from([b"x" * 14, b"x" * 15, bytes(range(40)), bytes(270)]))
        offset = draw(st.sampled_from([1, 2, 3, 8, 17, 0, 65535]) | st.integers(0, 40))
        match = draw(st.sampled_from([4, 5, 18, 19, 273, 274, 275, 600]))
        block += token(len(literals), match - 4) + extended(len(literals)) + literals + struct.pack("<H", offset) + extended(match - 4)
        out += literals
        for _ in range(match):
            out.append(out[-offset] if 0 < offset <= len(out) else 0)
    literals = draw(st.binary(max_size=20) | st.binary(min_size=12, max_size=40))
    block += token(len(literals), draw(st.sampled_from([0, 0, 0, 7, 15]))) + extended(len(literals)) + literals
    return block, bytes(out + literals)


def token(literals: int, match: int) -> bytes:
    return bytes([min(literals, 15) << 4 | min(match, 15)])


def extended(length: int) -> bytes:
    return b"" if length < 15 else b"\xff" * ((length - 15) // 255) + bytes([(length - 15) % 255])


@given(made=blocks(), data=st.data())
@example((b"\x10a\x01\x00\x10b", b"aaaaab"), None)
@example((b"\x10a\x00\x00\x50bcdef", b"a\0\0\0\0bcdef"), None)
@example((b"\x10a\x01\x00", b"aaaaa"), None)
@example((b"\x00", b""), None)
@example((b"\x00\x01", b""), None)
@example((b"\x1fa", b"a"), None)
def test_lz4_block(probe, made, data):
    """Any sequences, also such as no encoder makes: what the package decodes is decoded alike."""
    block, document = made
    if data:
        block = data.draw(mutated(block))
    payload = array([msgpack.packb(block), msgpack.packb(xxhash.xxh3_64_digest(document)), msgpack.packb(len(document)), b"\xa1m"])
    if differs_offset_of_zero(block) and (answer := probe("b", payload))["errno"] == 0:
        assert bytes.fromhex(answer["document"]) == document
    else:
        check(probe, payload)
