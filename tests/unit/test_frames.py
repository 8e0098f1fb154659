"""Frames, v3 and legacy, against SerializationWrapper.unwrap."""

from __future__ import annotations

import base64
import errno
import json
import struct
import subprocess
import sys

import pytest
from cachekit.serializers import get_serializer
from cachekit.serializers.wrapper import SerializationWrapper
from hypothesis import assume, example, given
from hypothesis import strategies as st

from layers import probe  # noqa: F401 - a fixture
from layers import (
    STRING_MAX,
    SURROGATE,
    Probe,
    differs_behind_padding,
    differs_encoded_surrogates,
    differs_other_encoding,
    metadatas,
    mutated,
    objects,
    scalars,
    spelled,
)


def as_every_python_reads_it(value: bytes) -> bytes:
    """The value; of a legacy frame with text behind its padding, one that says the same without that."""
    if value[:2] == b"CK":
        return value
    wrapper = json.loads(value.decode())
    data = wrapper.get("data") if isinstance(wrapper, dict) else None
    if not isinstance(data, str) or differs_behind_padding(data) == data:
        return value
    return json.dumps({**wrapper, "data": differs_behind_padding(data)}).encode()


def unwrap(value: bytes):
    """(payload, metadata, serializer), or None when cachekit refuses the value."""
    try:
        payload, metadata, serializer = SerializationWrapper.unwrap(as_every_python_reads_it(value))
    except RecursionError:
        assume(False)
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
    return bytes(payload), metadata, serializer


def usable(text) -> str | None:
    """A captured string as the layer hands it out."""
    if not isinstance(text, str):
        return None
    text = SURROGATE.sub("\ufffd", text)
    return text if len(text.encode()) <= STRING_MAX and "\0" not in text else None


def check_metadata(probe: Probe, answer: dict, metadata, serializer: str) -> None:
    assert probe.text(answer, "serializer") == (usable(serializer) or "")
    fault = usable(serializer) is None or not isinstance(metadata, dict)
    members = metadata if isinstance(metadata, dict) else {}
    for name in ("format", "encoding", "original_type", "tenant_id", "encryption_algorithm", "key_fingerprint"):
        assert probe.text(answer, name) == usable(members.get(name)), name
        fault |= members.get(name) is not None and usable(members[name]) is None
    for name in ("compressed", "encrypted"):
        known = isinstance(members.get(name), bool)
        assert answer[name] is (members[name] if known else None), name
        fault |= members.get(name) is not None and not known
    assert (answer["fault"] is not None) == fault, probe.text(answer, "fault")


def check_value(probe: Probe, value: bytes) -> None:
    """The probe reads a value as unwrap does."""
    answer = probe("f", value)
    expect = unwrap(value)
    if expect is not None:
        assert answer["errno"] == 0, probe.text(answer, "reason")
        assert answer["kind"] == ("v3" if value[:2] == b"CK" else "legacy")
        assert answer["payload"] == expect[0].hex() and answer["payload_length"] == len(expect[0])
        check_metadata(probe, answer, *expect[1:])
    elif value[:2] == b"CK":
        assert answer["errno"] == errno.EUCLEAN, answer
        assert len(probe.text(answer, "reason")) > 10
    else:
        assert (answer["errno"], answer["kind"], answer["payload"]) == (0, "none", value.hex())


def v3(header: bytes, payload: bytes = b"payload") -> bytes:
    return b"CK\x03" + struct.pack(">I", len(header)) + header + payload


@st.composite
def headers(draw) -> bytes:
    top = objects(["s", "m", "v", "other"], metadatas | st.just('"auto"')) if draw(st.integers(0, 3)) == 0 else None
    if top is None:
        text = f'{{"s": {json.dumps(draw(st.sampled_from(["auto", "default", "Ü", ""])))}, "m": {draw(metadatas)}, "v": "2.0"}}'
    else:
        text = draw(top)
    text += " " * draw(st.sampled_from([0, 0, 1, 63, 600]))
    return draw(mutated(text.encode()))


@given(header=headers(), payload=st.binary(max_size=20))
@example(b'\xef\xbb\xbf{"s": "a"}', b"")
@example(b'{"s": "a", "": 1, "m": {"format": "b", "": 1}}', b"")
@example(b'{"s": "' + b"x" * 5000 + b'"}', b"")
@example(b'{"s": "a", "m": {"format": "' + b"x" * 600 + b'"}, "m": {"encrypted": true}}', b"p")
@example(b'{"s": "a", "v": ' + b"9" * 4300 + b"}", b"p")
@example(b'{"s": "a", "v": ' + b"9" * 4301 + b"}", b"p")
@example(b'{"s": "a", "m": {"x": [-' + b"1" * 70_000 + b"]}}", b"p")
@example(b'{"s": "a", "v": ' + b"9" * 4301 + b'e0, "w": 1e999}', b"p")
def test_v3_frame(probe, header, payload):
    assume(not differs_other_encoding(header))
    assume(not differs_encoded_surrogates(header))
    check_value(probe, v3(header, payload))


@given(start=st.binary(max_size=12), rest=st.just(b"") | st.binary(max_size=4))
def test_v3_fixed_part(probe, start, rest):
    """Cut frames, other versions, any header length: refused as unwrap refuses them."""
    for value in (b"CK" + start + rest, v3(b'{"s": "a"}')[: len(start)], b"CK\x03\0\0\0" + bytes([len(start)]) + rest):
        header = value[7:]
        assume(not differs_other_encoding(header))
        check_value(probe, value)


DEEPEST = """
import sys
from cachekit.serializers.wrapper import SerializationWrapper
made = eval(sys.argv[1])
levels = 1100
while True:
    try:
        SerializationWrapper.unwrap(made(levels))
    except RecursionError:
        levels -= 1
    else:
        break
print(levels)
"""
AROUND = {
    "v3": (b'{"s": "a", "m": {}, "v": ', b"}"),
    "v3 metadata": (b'{"s": "a", "m": {"x": ', b"}}"),
    "legacy": (b'{"data": "QUJD", "serializer": "a", "x": ', b"}"),
    "legacy metadata": (b'{"data": "QUJD", "serializer": "a", "metadata": {"x": ', b"}}"),
}


@pytest.mark.once
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python bears more levels")
@pytest.mark.parametrize("open_, close", [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
@pytest.mark.parametrize("around", AROUND)
def test_frame_levels(probe, around, open_, close):
    """As deep as unwrap reads it when a program calls it itself. One more is refused by all: whoever calls it from deeper down has fewer."""
    before, behind = AROUND[around]

    def made(levels: int) -> bytes:
        inside = levels - before.count(b"{")
        text = before + open_ * inside + b"0" + close * inside + behind
        return v3(text) if around.startswith("v3") else text

    own = before.count(b"{")
    text = f"{before!r} + {open_!r} * (n - {own}) + b'0' + {close!r} * (n - {own}) + {behind!r}"
    framed = f"b'CK\\x03' + len({text}).to_bytes(4, 'big') + {text}" if around.startswith("v3") else text
    deepest = int(subprocess.run([sys.executable, "-c", DEEPEST, f"lambda n: {framed}"], capture_output=True, check=True).stdout)
    kind = around.split()[0]
    assert (probe("f", made(deepest))["kind"], probe("f", made(deepest))["errno"]) == (kind, 0)
    refused = probe("f", made(deepest + 1))
    assert refused["errno"] == errno.EUCLEAN if kind == "v3" else refused["kind"] == "none"


def test_v3_header_is_json(probe):
    """header_is_json promises that any JSON reader takes the header as it stands."""
    for header, is_json in ((b'{"s": "a"}', True), (b'{"s": "a", "x": NaN}', False), (b'{"s": "\\ud800"}', False)):
        answer = probe("f", v3(header))
        assert answer["header_is_json"] is is_json
        assert (answer["header_offset"], answer["header_length"]) == (7, len(header))


def test_interop_value_is_never_looked_at(probe):
    for value in (b"", v3(b'{"s": "a"}'), b"CK", b"{"):
        answer = probe("i", value)
        assert (answer["errno"], answer["kind"], answer["payload"]) == (0, "interop", value.hex())


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
base64_texts = st.one_of(
    st.binary(max_size=30).map(lambda b: base64.b64encode(b).decode()),
    st.text(ALPHABET + "====", max_size=20),
    st.text(ALPHABET[::7] + "===-_ \n\0\x7fé", max_size=12),
)


@st.composite
def legacy_values(draw) -> bytes:
    data = st.one_of(base64_texts, base64_texts, base64_texts, scalars).flatmap(spelled)
    if draw(st.integers(0, 2)) == 0:
        text = draw(objects(["data", "serializer", "metadata", "other"], data | metadatas))
    else:
        text = f'{{"data": {draw(data)}, "serializer": "auto", "metadata": {draw(metadatas)}, "version": "1.0"}}'
    around = st.text(" \t\n\r", max_size=3) | st.sampled_from(["", " " * 600, "\ufeff", "\f", "\0", "\x85", "\u2028"])
    return draw(mutated((draw(around) + text + draw(around)).encode()))


@given(value=legacy_values())
@example(b" \t\r\n" + b'{"data": "QUJD", "serializer": "a"}' + b"\n\r\t ")
@example(b" " * 511 + b'{"data": "QUJD", "serializer": "a"}')
@example(b" " * 512 + b'{"data": "QUJD", "serializer": "a"}')
@example(b"\n" * 70_000 + b'{"data": "QUJD", "serializer": "a"}')
@example(b"\xef\xbb\xbf" + b'{"data": "QUJD", "serializer": "a"}')
@example(b'{"data": "QUJD", "serializer": "a", "v": ' + b"9" * 4300 + b"}")
@example(b'{"data": "QUJD", "serializer": "a", "v": -' + b"9" * 4301 + b"}")
@example(b" " * 600)
@example(b" " * 600 + b'"' + b"x" * 600 + b'"')
def test_legacy_frame(probe, value):
    check_value(probe, value)


@given(text=base64_texts)
@example("=cGF5")
@example("cA=x==")
@example("cGF5bG9hZA==cGF5")
@example("cA==é")
def test_legacy_base64(probe, text):
    check_value(probe, json.dumps({"data": text, "serializer": "a"}).encode())


@pytest.mark.parametrize(
    "text, payload",
    [
        ("cGF5bG9hZA==", b"payload"),
        ("cGF5bG9hZA==cGF5", b"payload"),  # refused by Python 3.13
        ("QQ==Q", b"A"),  # refused by Python 3.13
        ("QUI=D", b"AB"),  # b"AB\x03" in Python 3.13
        ("QQ==QQ==", b"A"),  # b"A\x04\x10" in Python 3.13
        ("QQ===QUJD", b"A"),  # refused by Python 3.13
        ("QQ==\n-_ ", b"A"),
        ("QQ=QQ==", b"A\x04\x10"),
        ("QUJD=QUJD", b"ABCABC"),
        ("QUJD====QUJD", b"ABCABC"),
        ("=QUJD", b"ABC"),
        ("QQ= =", b"A"),
    ],
)
def test_padding_that_completes_a_group_ends_the_data(probe, text, payload):
    answer = probe("f", json.dumps({"data": text, "serializer": "a"}).encode())
    assert (answer["kind"], answer["payload"]) == ("legacy", payload.hex())


@pytest.mark.parametrize("length", [0, 1, 2, 3, 49151, 49152, 49153, 65536, 300_001])
def test_legacy_payload_of_many_reads(probe, length):
    """Around the sizes of the buffers, with line ends in the base64 as MIME writers put them."""
    payload = (bytes(range(256)) * (length // 256 + 1))[:length]
    for data in (base64.b64encode(payload), base64.encodebytes(payload)):
        for spaces in (0, 1, 2, 3):
            text = json.dumps({"x": " " * spaces, "data": data.decode(), "serializer": "a"}).encode()
            check_value(probe, text)


@pytest.mark.parametrize("serializer", ["default", "auto", "orjson", "arrow"])
def test_real_entries(probe, serializer):
    """What each serializer writes, as a v3 frame and as a legacy one."""
    import pyarrow

    value = pyarrow.table({"a": [1, 2]}) if serializer == "arrow" else {"a": [1, "ü", None]}
    payload, metadata = get_serializer(serializer).serialize(value)
    check_value(probe, SerializationWrapper.wrap(bytes(payload), metadata.to_dict(), serializer))
    data = base64.b64encode(bytes(payload)).decode()
    check_value(probe, json.dumps({"data": data, "serializer": serializer, "metadata": metadata.to_dict()}).encode())
