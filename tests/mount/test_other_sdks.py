"""Values of the Rust and TypeScript SDKs, and of `ck run`: they have no frame. The mount's options say what they are.

The stored bytes of these SDKs were made by them, once (`RUST`, `CK`), or are those of the protocol's public vectors; others are made by the cipher
and the envelopes of the Python package, which are the same.
"""

from __future__ import annotations

import json

import msgpack
import pytest

from documents import MASTER, OTHER, SMALL, envelope, envelope_by_hand, literals, sealed_bare
from entries import flip
from helpers import failure, flipped, listing, meta, name_of, read
from readings import parsed, same, tree
from redis_server import db, server  # noqa: F401 - fixtures
from sealed import KEYED, keys

pytestmark = pytest.mark.shared_mount

HEX = "4f" * 32
DECLARED, NAMED = "bare=msgpack", "bare_tenant=acme"
VIEWS = ("msgpack", "json")


def failures(m, key: str) -> list[str | None]:
    return [failure(m / f"{view}/{name_of(key)}.{view}") for view in VIEWS]


def shown(m, key: str) -> bytes:
    return read(m / f"msgpack/{name_of(key)}.msgpack")


def as_json(m, key: str):
    return json.loads(read(m / f"json/{name_of(key)}.json"))


# Plain values without an envelope

DOCUMENTS = {
    "map": {"id": 7, "name": "Ada", "tags": ["a", "b"]},
    "array": [1, 2.5, None, True],
    "text": "né" * 40,
    "short text": "a",
    "bytes": b"\0\xff" * 40,
    "five": 5,
    "large number": 2**40,
    "negative": -300,
    "float": 1.5,
    "nil": None,
    "true": True,
    "empty map": {},
    "empty array": [],
    "four": [b"x", [1] * 8, 3, 4],
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_value_without_a_frame_is_a_document_where_the_mount_is_told_so(cache, mnt, mount, case):
    value = msgpack.packb(DOCUMENTS[case])
    cache.set(cache.key, value)
    m = mount(cache, DECLARED)
    assert (shown(m, cache.key), read(m / cache.key), failures(mnt, cache.key)) == (value, value, ["ENOENT"] * 2)
    assert same(parsed(read(m / f"json/{cache.key}.json")), tree(value))


TEXTS = {
    "text": b"hello",
    "lock": b"1700000000.123:token",
    "uuid": b"0f8fad5b-d9cb-469f-a165-70867728950e",
    "number": b"12",
    "JSON": b'{"hello": "world"}',
    "JSON array": b"[1, 2, 3, 4]",
    "c1": b"\xc1",
    "nil and more": b"\xc0\xc0",
    "text that is longer": b"\xa2abc",
    "text that is shorter": b"\xa4abc",
    "map that cannot be": b"\x82\xa1a\x01",
    "empty map and more": b"\x80\x01",
    "empty": b"",
}


@pytest.mark.parametrize("case", TEXTS)
def test_what_its_first_bytes_tell_to_be_no_document_stays_opaque(cache, mount, case):
    m = mount(cache, DECLARED)
    cache.set(cache.key, TEXTS[case])
    assert (failures(m, cache.key), read(m / cache.key), [listing(m / view) for view in VIEWS]) == (["ENOENT"] * 2, TEXTS[case], [set(), set()])


@pytest.mark.parametrize("value", [b"\x92\x91\x01\x92", b"\x81\xa1a\x02\x03", b"\x93\xc1\x01\x02", b"\x82\xa1a\x01\xa1b\x92"], ids=bytes.hex)
def test_a_map_or_an_array_that_is_not_whole_is_malformed(cache, mount, value):
    m = mount(cache, DECLARED)
    cache.set(cache.key, value)
    assert failures(m, cache.key) == ["EUCLEAN"] * 2
    assert [listing(m / view) for view in VIEWS] == [set(), set()], "it is known to fail by now"


def test_meta_tells_that_the_mount_was_told(cache, mnt, mount):
    cache.set(cache.key, msgpack.packb({"a": 1}))
    told = meta(mount(cache, DECLARED), cache.key)
    assert told["frame"] == {"kind": "none", "header": None, "declared": "bare=msgpack"}
    assert (told["document"], told["envelope"], told["views"]["json"], told["checksum"]) == ("msgpack", {"kind": "none"}, True, "none")
    assert meta(mnt, cache.key)["frame"] == {"kind": "none", "header": None}


def test_frames_are_frames_all_the_same(cache, mnt, mount):
    cache.put(cache.key, {"a": 1}, "default")
    m = mount(cache, DECLARED)
    assert (shown(m, cache.key), meta(m, cache.key)["frame"]) == (shown(mnt, cache.key), meta(mnt, cache.key)["frame"])


def test_such_documents_are_listed_with_their_sizes(cache, mount):
    m = mount(cache, DECLARED)
    value = msgpack.packb({"a": [1, 2, 3]})
    cache.set(cache.key, value)
    assert [listing(m / view) for view in (*VIEWS, "arrow", "npy")] == [{cache.listed(cache.key) + f".{view}"} for view in VIEWS] + [set(), set()]
    assert (m / f"msgpack/{cache.key}.msgpack").stat().st_size == len(value)


# Stored by the crate cachekit-rs 0.13.1: a struct and a number by a client with the namespace `app`, and by its encryption for the tenant `acme`.
RUST = {
    "app:user:7": "83a2696407a46e616d65a8416461206ec3a965a47461677392a161a162",
    "app:five": "05",
    "app:secret:7": "edb7f2079374fce900000000f57479fada4f9de52a138cea18a46e402b875cdd52224d7f07a4785ada7281cbcf99de147d5093d5ba030c6549",
}


def test_what_rust_has_stored_opens(cache, mount):
    for key, value in RUST.items():
        cache.set(key, bytes.fromhex(value))
    m = mount(cache, DECLARED, NAMED, env=KEYED)
    user = {"id": 7, "name": "Ada née", "tags": ["a", "b"]}
    assert [as_json(m, key) for key in RUST] == [user, 5, user]
    assert [meta(m, key)["seal"]["sealed"] for key in RUST] == [False, False, True]


# Envelopes without a frame: the TypeScript SDK

ENVELOPES = {
    "as it is written": envelope(SMALL),
    "integers, before protocol 1.1": envelope_by_hand(SMALL, data=list(literals(SMALL))),
}


@pytest.mark.parametrize("options", [(), (DECLARED,), (NAMED,)], ids=str)
@pytest.mark.parametrize("case", ENVELOPES)
def test_an_envelope_under_a_key_of_typescript_is_its_document(cache, mount, case, options):
    key = f"{cache.key}:{HEX}"
    cache.set(key, ENVELOPES[case])
    m = mount(cache, *options)
    assert (shown(m, key), as_json(m, key), read(m / name_of(key))) == (SMALL, msgpack.unpackb(SMALL), ENVELOPES[case])
    assert meta(m, key)["envelope"]["kind"] == "bytestorage"


@pytest.mark.parametrize("options", [(), (DECLARED,)], ids=str)
def test_an_altered_envelope_is_ebadmsg(cache, mount, options):
    value = envelope(SMALL)
    cache.set(cache.key, flipped(value, value.index(b"\x98") + 1))
    assert failures(mount(cache, *options), cache.key) == ["EBADMSG"] * 2


# A namespace of two segments makes a key of the TypeScript SDK look like that of an interop value.


@pytest.mark.parametrize("case", ENVELOPES)
def test_an_envelope_under_an_interop_key_is_opened_where_the_mount_is_told_of_other_sdks(cache, mnt, mount, case):
    key, value = cache.interop_key, ENVELOPES[case]
    cache.set(key, value)
    m = mount(cache, DECLARED)
    assert (shown(m, key), as_json(m, key), read(m / key)) == (SMALL, msgpack.unpackb(SMALL), value)
    assert shown(mnt, key) == value, "as each reader of interop values reads it"
    told = meta(m, key)
    assert (told["frame"]["kind"], told["frame"]["declared"], told["envelope"]["kind"]) == ("interop", "bare=msgpack", "bytestorage")


@pytest.mark.parametrize("wrong", [{"checksum": [0] * 8}, {"size": 3}, {"tail": b"\xc0"}, {"map": True}, {"checksum": b"8 bytes."}], ids=str)
def test_what_is_no_sound_envelope_under_an_interop_key_is_what_it_is_to_interop(cache, mnt, mount, wrong):
    key = cache.interop_key
    cache.set(key, envelope_by_hand(SMALL, **wrong))
    seen = [(failures(m, key), failures(m, key)[0] or shown(m, key)) for m in (mnt, mount(cache, DECLARED))]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("value", [b"\x92\x01", b"hello", b"", b"CK"], ids=["cut", "text", "empty", "CK"])
def test_an_interop_value_that_is_no_document_is_malformed_all_the_same(cache, mount, value):
    cache.set(cache.interop_key, value)
    assert failures(mount(cache, DECLARED), cache.interop_key) == ["EUCLEAN"] * 2


# Sealed values without a frame


@pytest.fixture
def keyed(cache, mount):
    return mount(cache, NAMED, env=KEYED)


SEALED = {"rust, or typescript without compression": (False, SMALL), "typescript": (True, envelope(SMALL))}


@pytest.mark.parametrize("case", SEALED)
def test_a_sealed_value_opens_for_the_tenant_that_is_named(cache, keyed, mount, case):
    compressed, plaintext = SEALED[case]
    key = f"{cache.key}:{HEX}"
    cache.set(key, sealed_bare(plaintext, key, "acme", compressed))
    assert (shown(keyed, key), as_json(keyed, key)) == (SMALL, msgpack.unpackb(SMALL))
    assert [read(keyed / name) == cache.value(key) for name in (key, f"raw/{key}", f"frame/{key}")] == [True] * 3
    told = meta(keyed, key)
    assert told["seal"] == {
        "sealed": True,
        "verified": True,
        "algorithm": "AES-256-GCM",
        "tenant_id": "acme",
        "key_fingerprint": None,
        "key": "current",
        "declared": "bare_tenant",
    }
    assert told["envelope"]["kind"] == ("bytestorage" if compressed else "none")
    assert failures(mount(cache, env=KEYED), key) == ["ENOENT"] * 2, "nobody says that it may be sealed"


@pytest.mark.parametrize("case", SEALED)
def test_the_tenant_of_other_sdks_is_default_where_none_is_named(cache, mount, case):
    compressed, plaintext = SEALED[case]
    cache.set(cache.key, sealed_bare(plaintext, cache.key, "default", compressed))
    assert shown(mount(cache, DECLARED, env=KEYED), cache.key) == SMALL


@pytest.mark.parametrize("case", SEALED)
def test_so_does_one_under_a_key_that_looks_like_interop(cache, keyed, case):
    compressed, plaintext = SEALED[case]
    cache.set(cache.interop_key, sealed_bare(plaintext, cache.interop_key, "acme", compressed))
    assert shown(keyed, cache.interop_key) == SMALL


def test_interop_values_open_all_the_same(cache, keyed):
    cache.set(cache.interop_key, sealed_bare(SMALL, cache.interop_key, "default", False))
    assert shown(keyed, cache.interop_key) == SMALL


@pytest.mark.parametrize("case", ["another tenant", "another key", "altered", "moved", "cut"])
def test_what_no_key_opens_is_ebadmsg(cache, keyed, case):
    tenant, master = "other" if case == "another tenant" else "acme", OTHER if case == "another key" else MASTER
    value = sealed_bare(SMALL, cache.key + ("!" if case == "moved" else ""), tenant, False, master)
    cache.set(cache.key, {"altered": flip(value, 20), "cut": value[:-1]}.get(case, value))
    assert failures(keyed, cache.key) == ["EBADMSG"] * 2
    assert [listing(keyed / view) for view in VIEWS] == [set(), set()], "it is known to fail by now"


def test_each_key_is_tried(cache, mount):
    cache.set(cache.key, sealed_bare(SMALL, cache.key, "acme", False, OTHER))
    m = mount(cache, NAMED, env=keys(MASTER, OTHER))
    assert (shown(m, cache.key), meta(m, cache.key)["seal"]["key"]) == (SMALL, "previous")


def test_the_seal_tells_what_it_holds_and_nothing_is_tried_beside_that(cache, keyed):
    """Of the protocol's rules: an envelope where none is promised is an array of four, and what is none where one is promised is malformed."""
    one, other = f"{cache.key}:1", f"{cache.key}:2"
    cache.set(one, sealed_bare(envelope(SMALL), one, "acme", False))
    cache.set(other, sealed_bare(SMALL, other, "acme", True))
    assert (shown(keyed, one), failures(keyed, other)) == (envelope(SMALL), ["EUCLEAN"] * 2)


# Public vectors of the protocol: master key, tenant, cache key, stored bytes, the document; None: what the seal holds is none.
KEY_0 = "61" * 32
VECTORS = {
    "plain": (
        KEY_0, "cross-sdk-test", "test:vector:1", "f8f69c70000000000000000087d9ec09f2c2347a4b37d5330ccf50e3c31e69642801bef5", None,
    ),
    "envelope for a plain reader": (
        KEY_0, "cross-sdk-test", "test:container:envelope",
        "0a0b0c0d0e0f101100000006e56a19473b4920391a28a7b679f5d6b0116f3849bae902d114d15c5a8ebd0349e90425ec8510"
        "ee508708cea821b0a3e17365dd19081b1acf8b3d29c1c2fed074680628976f261f4cf7807e",
        "94c422f01183a7757365725f69642aa46e616d65a863616368656b6974a6616374697665c398ccdaccf46861cc8e624bccfe"
        "20a76d73677061636b",
    ),
    "plain for a reader of envelopes": (
        KEY_0, "cross-sdk-test", "test:container:plain",
        "0a0b0c0d0e0f101100000008b1cc384b53cab414c9b6b60e18cb5f20bfcbf47555f53150a3a5b7c21d5de70e1cac21d16031"
        "b17794fa32510187df1a", None,
    ),
    "compressed, and no envelope": (
        KEY_0, "cross-sdk-test", "test:compressed:vector", "44cc06e600000000000000000eb8450c4aac2337265323f7f1b03fc3966deaa515f7", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VECTORS)
def test_the_protocols_vectors(cache, mount, case):
    master, tenant, key, stored, document = VECTORS[case]
    cache.set(key, bytes.fromhex(stored))
    m = mount(cache, f"bare_tenant={tenant}", env={"CACHEKIT_MASTER_KEY": master})
    if document:
        assert shown(m, key) == bytes.fromhex(document)
    else:
        assert failures(m, key) == ["EUCLEAN"] * 2
    assert meta(m, key)["seal"]["verified"]


# Plain values where keys are configured


@pytest.mark.parametrize("options", [(DECLARED,), (DECLARED, NAMED)], ids=str)
@pytest.mark.parametrize("value", [msgpack.packb({"a": 1}), msgpack.packb({"a": "x" * 100}), b"\x05"], ids=["short", "long", "five"])
def test_a_plain_document_is_shown_and_not_verified(cache, mount, options, value):
    cache.set(cache.key, value)
    m = mount(cache, *options, env=KEYED)
    assert (shown(m, cache.key), meta(m, cache.key)["seal"]["verified"], meta(m, cache.key)["checksum"]) == (value, False, "none")


def test_a_plain_envelope_is_shown_and_not_verified(cache, keyed):
    cache.set(cache.key, envelope(SMALL))
    assert (shown(keyed, cache.key), meta(keyed, cache.key)["seal"]["verified"], meta(keyed, cache.key)["checksum"]) == (SMALL, False, "unchecked")


@pytest.mark.parametrize("value", [b"lock", b"0f8fad5bd9cb469fa165708677289" * 2, b'{"hello":\t"world", "and": "more"}\n'], ids=["short", "lock", "JSON"])
def test_what_is_too_short_for_a_seal_or_a_text_is_what_it_is_without_keys(cache, keyed, value):
    cache.set(cache.key, value)
    assert (failures(keyed, cache.key), listing(keyed / "json")) == (["ENOENT"] * 2, set())


# By hash


@pytest.mark.file_only
@pytest.mark.own_mount
@pytest.mark.parametrize("first", ["hash", "key"])
def test_a_sealed_value_opens_by_its_key_only_whatever_was_tried_first(cache, mount, first):
    value = sealed_bare(SMALL, "k", "acme")
    cache.set("k", value)
    m = mount(cache, NAMED, DECLARED, env=KEYED)
    seen = {}
    for what in (first, "hash", "key", "hash"):
        name = "k" if what == "key" else cache.hash("k")
        if what == "hash" and "key" in seen:
            continue  # its name is known by now
        seen[what] = failure(m / f"json/{name}.json")
    assert (seen["key"], seen.get("hash", "ENOKEY"), read(m / cache.hash("k"))) == (None, "ENOKEY", value)


@pytest.mark.file_only
def test_what_may_be_sealed_is_not_listed_by_its_hash(cache, keyed):
    cache.set(cache.key, sealed_bare(SMALL, cache.key, "acme"))
    assert (listing(keyed / "json"), cache.hash(cache.key) in listing(keyed / "raw")) == (set(), True)
    shown(keyed, cache.key)
    assert listing(keyed / "json") == {f"{name_of(cache.key)}.json"}


@pytest.mark.file_only
def test_a_plain_document_opens_by_its_hash(cache, mount):
    value = msgpack.packb({"a": "x" * 100})
    cache.set(cache.key, value)
    m = mount(cache, DECLARED, env=KEYED)
    assert read(m / f"msgpack/{cache.hash(cache.key)}.msgpack") == value


# Prefixes of keys


@pytest.mark.parametrize("bound", ["app:k", "k"], ids=["as it is stored", "without the prefix that a client puts before it"])
def test_a_seal_binds_the_key_with_the_prefix_or_without(server, db, mount, bound):  # noqa: F811
    db.set("app:k", sealed_bare(SMALL, bound, "acme"))
    m = mount(server.url, "prefix=app:", NAMED, env=KEYED)
    assert read(m / "msgpack/k.msgpack") == SMALL


# What `ck run` caches: in ~/.cache/ck/data, sealed for the tenant ck-run


def ck_output(stdout: bytes, stored: int = 1_790_000_000_123) -> bytes:
    return stored.to_bytes(8, "big") + stdout


@pytest.fixture
def ck(cache, mount):
    return mount(cache, "bare_tenant=ck-run", env=KEYED)


@pytest.mark.parametrize("stdout", [b"token\n", "née\n".encode(), b"", b"\0\xff", b"x" * 70_000], ids=["text", "UTF-8", "empty", "bytes", "long"])
def test_the_output_of_a_command_is_a_document(cache, ck, stdout):
    key = f"ns:ck-run:v1:{cache.number:064x}"
    cache.set(key, sealed_bare(ck_output(stdout), key, "ck-run"))
    told = msgpack.unpackb(shown(ck, key))
    text = stdout if b"\xff" in stdout else stdout.decode()
    assert (told, same(parsed(read(ck / f"json/{key}.json")), tree(shown(ck, key)))) == ({"stored_at_ms": 1_790_000_000_123, "stdout": text}, True)
    assert read(ck / key) == cache.value(key), "it is ciphertext there"
    assert (meta(ck, key)["seal"]["verified"], meta(ck, key)["seal"]["tenant_id"]) == (True, "ck-run")


def test_so_is_a_failure(cache, ck):
    key = f"ns:ck-run:v1:{cache.number:064x}:neg"
    value = (-1).to_bytes(4, "big", signed=True) + (3).to_bytes(4, "big") + (1_790_000_060_000).to_bytes(8, "big")
    cache.set(key, sealed_bare(value, key, "ck-run"))
    assert as_json(ck, key) == {"exit": -1, "failures": 3, "retry_at_ms": 1_790_000_060_000}


@pytest.mark.parametrize("suffix, value", [("", b"7 bytes"), (":neg", bytes(15)), (":neg", bytes(17))])
def test_what_is_neither_is_malformed(cache, ck, suffix, value):
    key = f"ns:ck-run:v1:{cache.number:064x}{suffix}"
    cache.set(key, sealed_bare(value, key, "ck-run"))
    assert failures(ck, key) == ["EUCLEAN"] * 2


# Stored by cachekit-cli 0.2.4: `ck run -- printf 'token née\\n'`, and a command that ended with 3.
CK = {
    "ns:ck-run:v1:b6e139b4a7faaec92dc346dd48eece033fd8ee9a4dc0ac3f5a9c0111bdc57a31": (
        "7959116b4089a02100000000d9b2923a920e3eb63f5caf2ba4e65417c71e3650f1501e1b8608f7581196002ff1ec24",
        {"stored_at_ms": 0, "stdout": "token née\n"},
    ),
    "ns:ck-run:v1:14f0467834300656f823928248527764e406824e19458bbd3d7377e54d3cad04:neg": (
        "1e8a929b4d236f8d000000005ad42cbcd62c2e0ed63bcf1acc1610bb1c658f1c49d00850726dcbd9562e84ec",
        {"exit": 3, "failures": 1, "retry_at_ms": 0},
    ),
}


@pytest.mark.parametrize("key", CK)
def test_what_ck_run_has_cached_opens(cache, ck, key):
    cache.set(key, bytes.fromhex(CK[key][0]))
    told = as_json(ck, key)
    assert {name: 0 if name.endswith("_ms") else value for name, value in told.items()} == CK[key][1]
    assert 1_790_000_000_000 < next(value for name, value in told.items() if name.endswith("_ms")) < 1_800_000_000_000
