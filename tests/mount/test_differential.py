"""What the SDK reads back equals what json/ and msgpack/ show, over generated values in batches."""

from __future__ import annotations

import base64
import datetime
import itertools
import json
import math
import random
import struct
import time
import uuid

import msgpack
import numpy as np
import pytest
from cachekit._rust_serializer import check_msgpack_structure
from cachekit.serializers.wrapper import SerializationWrapper
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from documents import (
    MASTER,
    SMALL,
    envelope,
    envelope_by_hand,
    framed,
    handler,
    literals,
    load,
    opened,
    seal,
    store,
)
from helpers import failure, read
from mounts import mounted
from readings import parsed, same, tree
from whole_values import Maker, differences, judging, mutated

FIXED_OFFSETS = st.integers(-1439, 1439).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=40),
    st.datetimes(timezones=st.one_of(st.none(), FIXED_OFFSETS)),
    st.dates(),
    st.times(),
)
ARRAYS = st.builds(
    lambda dtype, data: np.array(data).astype(dtype),
    st.sampled_from(["<i4", "float64", ">i2", "bool", "complex64"]),
    st.lists(st.integers(0, 100), max_size=5),
)
PYTHON_SCALARS = st.one_of(SCALARS, st.uuids(), ARRAYS, st.frozensets(st.integers(0, 255), max_size=4), st.sets(st.text(max_size=3), max_size=4))


def containers(children):
    names = st.one_of(st.text(max_size=8), st.sampled_from(["value", "frozen", "__set__", "$base64", "data"]))
    return st.one_of(st.lists(children, max_size=5), st.dictionaries(names, children, max_size=5))


def python_containers(children):
    return st.one_of(containers(children), st.lists(children, max_size=4).map(tuple))


VALUES = {
    "default": st.recursive(SCALARS, containers, max_leaves=20),
    "auto": st.recursive(PYTHON_SCALARS, python_containers, max_leaves=20),
}
BATCH = 30
serial = itertools.count()


@pytest.fixture(scope="module")
def laboratory(ckfs, shared_cache):
    with mounted(ckfs, shared_cache, env={"CACHEKIT_MASTER_KEY": MASTER}) as m:
        yield m


# An independent decoder of the markers, over JSON and over MessagePack


def revived(value, serializer: str):
    """A tree of plain values as Python's, markers decoded as the layouts (§7) say; `default` knows just three of them."""
    if isinstance(value, list):
        return [revived(member, serializer) for member in value]
    if not isinstance(value, dict):
        return value
    value = {name: revived(member, serializer) for name, member in value.items()}
    for marker, revive in MARKERS.items():
        if value.get(marker) is True and (serializer == "auto" or marker in TEMPORAL):
            return revive(value)
    return value


TEMPORAL = ("__datetime__", "__date__", "__time__")
MARKERS = {
    "__datetime__": lambda m: datetime.datetime.fromisoformat(m["value"]),
    "__date__": lambda m: datetime.date.fromisoformat(m["value"]),
    "__time__": lambda m: datetime.time.fromisoformat(m["value"]),
    "__uuid__": lambda m: uuid.UUID(m["value"]),
    "__tuple__": lambda m: tuple(m["value"]),
    "__set__": lambda m: (frozenset if m["frozen"] else set)(m["value"]),
    "__ndarray__": lambda m: np.frombuffer(m["data"], dtype=m["dtype"]).reshape(m["shape"]),
}


def from_json(value):
    """The contract's JSON forms as the values they stand for."""
    if isinstance(value, list):
        return [from_json(member) for member in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$base64"} and isinstance(value["$base64"], str):
        return base64.b64decode(value["$base64"], validate=True)
    if value.keys() == {"$float"} and value["$float"] in ("NaN", "Infinity", "-Infinity"):
        return float(value["$float"])
    return {name: from_json(member) for name, member in value.items()}


def equal(one, other) -> bool:
    """Equality of Python values that tells types apart, and takes NaN for itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, float):
        return struct.pack(">d", one) == struct.pack(">d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return one == other


def ambiguous(value) -> bool:
    """Maps that JSON cannot tell from its own forms: `$base64` is a name that applications may use too."""
    if isinstance(value, dict):
        return "$base64" in value or "$float" in value or any(map(ambiguous, value.values()))
    return isinstance(value, (list, tuple)) and any(map(ambiguous, value))


def written(cache, serializer: str, value, sealing=None, integrity: bool = True) -> str:
    return store(cache, f"key {next(serial)}", value, serializer, sealing, integrity)


def readable(serializer: str, value, integrity: bool = True) -> bool:
    """Whether the SDK can write and read the value: `auto` refuses some maps and lists that look like its own."""
    try:
        h = handler(serializer, integrity=integrity)
        h.deserialize_data(h.serialize_data(value, (), {}, cache_key="k"), "k")
    except Exception:
        return False
    return True


def check(m, key: str, serializer: str, expected) -> None:
    document = read(m / f"msgpack/{key}.msgpack")
    assert equal(revived(msgpack.unpackb(document, strict_map_key=False), serializer), expected), (document, expected)
    text = read(m / f"json/{key}.json")
    assert same(parsed(text), tree(document)), (text, document)
    if not ambiguous(expected):
        assert equal(revived(from_json(json.loads(text)), serializer), expected), (text, expected)


def bounded(examples: int):
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(max_examples=examples, deadline=None, suppress_health_check=checks, database=None)


@pytest.mark.parametrize("serializer", ["default", "auto"])
@pytest.mark.parametrize("integrity", [True, False], ids=["enveloped", "bare"])
def test_what_the_sdk_reads_back_is_shown(shared_cache, laboratory, serializer, integrity):
    @bounded(15)
    @given(st.lists(VALUES[serializer], min_size=10, max_size=BATCH))
    def batch(values):
        for value in values:
            if isinstance(value, np.ndarray) or not readable(serializer, value, integrity):
                continue
            key = written(shared_cache, serializer, value, integrity=integrity)
            check(laboratory, key, serializer, load(shared_cache, key, serializer, integrity=integrity))

    batch()


def test_what_the_sdk_seals_is_shown(shared_cache, laboratory):
    @bounded(10)
    @given(st.lists(VALUES["default"], min_size=1, max_size=10))
    def batch(values):
        for value in filter(lambda value: readable("default", value), values):
            key = written(shared_cache, "default", value, seal())
            check(laboratory, key, "default", load(shared_cache, key, "default", seal()))

    batch()


def test_random_doubles_read_back_bit_by_bit(shared_cache, laboratory):
    numbers = random.Random(1)
    doubles = [struct.unpack(">d", numbers.randbytes(8))[0] for _ in range(20_000)]
    doubles = [d for d in doubles if math.isfinite(d)]
    key = written(shared_cache, "default", doubles)
    shown = json.loads(read(laboratory / f"json/{key}.json"))
    assert [a for a, b in zip(shown, doubles, strict=True) if struct.pack(">d", a) != struct.pack(">d", b)] == []


def test_random_doubles_are_as_short_as_pythons(shared_cache, laboratory):
    numbers = random.Random(2)
    doubles = [struct.unpack(">d", numbers.randbytes(8))[0] for _ in range(20_000)]
    doubles = [d for d in doubles if math.isfinite(d)] + [numbers.randint(0, 10**6) / 100 for _ in range(1000)]
    key = written(shared_cache, "default", doubles)
    texts = read(laboratory / f"json/{key}.json").decode().strip("[]\n ").split(",")

    def digits(text: str) -> str:
        return text.lower().split("e")[0].strip().lstrip("-").replace(".", "").strip("0")

    assert [(t, d) for t, d in zip(texts, doubles, strict=True) if len(digits(t)) > len(digits(repr(d)))] == []


def test_random_bytes_that_are_a_document_are_shown_as_one(shared_cache, laboratory):
    """MessagePack from another encoder: every form of head, at random, well formed."""
    numbers = random.Random(3)

    def element(depth: int) -> bytes:
        kind = numbers.randrange(14 if depth < 6 else 10)
        n = numbers.randrange(5)
        if kind == 0:
            return bytes([numbers.choice([*range(0x80), *range(0xE0, 0x100)])])
        if kind == 1:
            return bytes([numbers.choice([0xC0, 0xC2, 0xC3])])
        if kind in (2, 3):
            head = numbers.randrange(4)
            return bytes([(0xCC if kind == 2 else 0xD0) + head]) + numbers.randbytes(1 << head)
        if kind == 4:
            return b"\xcb" + numbers.randbytes(8)
        if kind == 5:
            return b"\xca" + numbers.randbytes(4)
        if kind == 6:
            return numbers.choice([bytes([0xA0 | n]), b"\xd9" + bytes([n]), b"\xda\0" + bytes([n]), b"\xdb\0\0\0" + bytes([n])]) + b"text\x00"[:n]
        if kind == 7:
            return numbers.choice([b"\xc4", b"\xc5\0", b"\xc6\0\0\0"]) + bytes([n]) + numbers.randbytes(n)
        if kind == 8:
            size = numbers.randrange(5)
            return bytes([0xD4 + size]) + bytes([numbers.randrange(1, 128)]) + numbers.randbytes(1 << size)
        if kind == 9:
            return numbers.choice([b"\xc7", b"\xc8\0", b"\xc9\0\0\0"]) + bytes([n, numbers.randrange(128, 255)]) + numbers.randbytes(n)
        if kind in (10, 11):
            head = numbers.choice([bytes([0x90 | n]), b"\xdc\0" + bytes([n]), b"\xdd\0\0\0" + bytes([n])])
            return head + b"".join(element(depth + 1) for _ in range(n))
        head = numbers.choice([bytes([0x80 | n]), b"\xde\0" + bytes([n]), b"\xdf\0\0\0" + bytes([n])])
        return head + b"".join(element(depth + 1) for _ in range(2 * n))

    for _ in range(400):
        document = element(0)
        key = f"key {next(serial)}"
        shared_cache.set(key, framed(envelope(document)))
        text = read(laboratory / f"json/{key}.json")
        assert (read(laboratory / f"msgpack/{key}.msgpack"), same(parsed(text), tree(document))) == (document, True), (document, text)


# Altered entries: the package is the judge


def judged(payload: bytes) -> bytes | None:
    """The document that the package finds in an envelope; None when it refuses it."""
    try:
        document = opened(payload)
        check_msgpack_structure(document, 1024)
        msgpack.unpackb(document, raw=True, strict_map_key=False, object_pairs_hook=list)
    except Exception:
        return None
    return document


SEEDS = {
    "bin": envelope(SMALL),
    "integers": envelope_by_hand(SMALL, data=list(literals(SMALL))),
    "map": envelope_by_hand(SMALL, map=True),
    "large": envelope(msgpack.packb(["abc" * 1000, list(range(300))])),
    "nil": envelope(b"\xc0"),
}


@pytest.mark.parametrize("form", SEEDS)
def test_an_altered_envelope_opens_just_where_the_package_opens_it(shared_cache, laboratory, form):
    numbers = random.Random(form)
    wrong = {}
    for _ in range(400):
        payload = mutated(SEEDS[form], numbers)
        key = f"key {next(serial)}"
        shared_cache.set(key, framed(payload))
        expected = judged(payload)
        shown = failure(laboratory / f"msgpack/{key}.msgpack")
        if (expected is None) != (shown is not None) or (shown is None and read(laboratory / f"msgpack/{key}.msgpack") != expected):
            wrong[payload] = (shown, expected)
    assert wrong == {}


@pytest.mark.parametrize("seed", [SMALL, msgpack.packb([b"x" * 40, {1: 2.5, "k": None}, "née", 2**40, -5]), b"\xc7\x03\x05abc"], ids=["map", "list", "ext"])
def test_an_altered_document_opens_just_where_the_package_walks_it(shared_cache, laboratory, seed):
    numbers = random.Random(len(seed))
    wrong = {}
    for _ in range(400):
        document = mutated(seed, numbers)
        key = f"key {next(serial)}"
        shared_cache.set(key, framed(document, compressed=False))
        try:
            check_msgpack_structure(document, 1024)
            msgpack.unpackb(document, raw=True, strict_map_key=False, object_pairs_hook=list, ext_hook=lambda code, data: None, timestamp=0)
            expected = True
        except Exception:
            expected = False
        if not expected and b"\xff" in document:
            continue  # perhaps a timestamp of a wrong length: msgpack refuses it, the layouts do not
        shown = failure(laboratory / f"msgpack/{key}.msgpack")
        if expected != (shown is None):
            wrong[document] = (shown, expected)
        text = failure(laboratory / f"json/{key}.json")
        if text is None and not same(parsed(read(laboratory / f"json/{key}.json")), tree(document)):
            wrong[document] = "json"
    assert wrong == {}


def test_an_altered_sealed_entry_never_opens(shared_cache, laboratory):
    numbers = random.Random(5)
    opened_all_the_same = []
    for _ in range(200):
        key = written(shared_cache, "default", {"a": 1}, seal())
        payload, metadata, serializer = SerializationWrapper.unwrap(shared_cache.value(key))
        changed = mutated(bytes(payload), numbers)
        shared_cache.set(key, SerializationWrapper.wrap(changed, metadata, serializer))
        if changed != bytes(payload) and failure(laboratory / f"msgpack/{key}.msgpack") not in ("EBADMSG", "EUCLEAN"):
            opened_all_the_same.append(changed)
    assert opened_all_the_same == []


@pytest.mark.decoding_only
@pytest.mark.parametrize(
    "wrong", [{"data": b"\x10a"}, {"checksum": [0] * 8}, {"checksum": 7}, {"size": -1}, {"format": "msgpacc", "size": 1}], ids=str
)
def test_an_unannounced_envelope_that_went_wrong_is_no_document_of_auto(shared_cache, laboratory, wrong):
    """Writers of old wrote envelopes without saying so. The package's `default` shows what is in the array; its `auto` refuses what is so shaped."""
    payload = envelope_by_hand(SMALL, **wrong)
    shown = {}
    for serializer in ("auto", "AutoSerializer", "default"):
        value = framed(payload, compressed=False, serializer=serializer)
        shared_cache.set("went wrong", value)
        shown[serializer] = failure(laboratory / "msgpack/went wrong.msgpack")
    assert shown == {"auto": "EUCLEAN", "AutoSerializer": "EUCLEAN", "default": None}


# Whole values: what the package writes, altered in any layer, or more than one


WHOLE_VALUES, FEW_WHOLE_VALUES = 1500, 300
# Such as were shown otherwise once: a map with an envelope's names where columns should be.
FOUND = [5016684]


@pytest.mark.decoding_only
def test_whole_values_open_just_where_the_package_opens_them(request, shared_cache, laboratory, few):
    """`--fuzz-seconds` goes on with more of them for so long."""
    until = time.monotonic() + request.config.getoption("--fuzz-seconds")
    wrong = {}
    with judging():
        for number in itertools.chain(FOUND, itertools.count()):
            if len(wrong) > 20 or (number not in FOUND and number >= (FEW_WHOLE_VALUES if few else WHOLE_VALUES) and time.monotonic() >= until):
                break
            value = Maker(number).value(f"whole {number % 50}")
            shared_cache.write(value.key, value.stored)
            if difference := differences(laboratory, value):
                wrong[number] = (difference, value)
    assert wrong == {}
