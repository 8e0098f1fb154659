"""§6, layouts §6 to §8: each malformed envelope and document with its errno; judged by the package too."""

from __future__ import annotations

import json
import os

import msgpack
import pytest
import xxhash
from cachekit._rust_serializer import check_msgpack_structure

from documents import (
    FOREIGN,
    MASTER,
    SMALL,
    envelope,
    envelope_by_hand,
    framed,
    literals,
    opened,
    seal_by_hand,
    sealed_metadata,
    store,
)
from entries import everything, flip
from helpers import failure, legacy, lookup_failure, meta, read

pytestmark = pytest.mark.shared_mount

VIEWS = ("msgpack", "json")
MIB = 1 << 20


def shown(m, key: str) -> list[str | None]:
    """What a stat gives where the size needs the decoding, and what opening gives."""
    return [lookup_failure(m / f"json/{key}.json"), *(failure(m / f"{view}/{key}.{view}") for view in VIEWS)]


def big_endian(n: int) -> bytes:
    return n.to_bytes(4, "big")


DIGEST = xxhash.xxh3_64_digest(SMALL)
GOOD = envelope(SMALL)
ENVELOPES = {
    "empty": b"",
    "one byte": GOOD[:1],
    "cut in the data": GOOD[:20],
    "cut in the checksum": GOOD[:-14],
    "cut in the size": GOOD[:-9],
    "cut in the format": GOOD[:-1],
    "c1": b"\xc1" + GOOD[1:],
    "nil": b"\xc0",
    "three elements": msgpack.packb([literals(SMALL), list(DIGEST), len(SMALL)]),
    "bare document": SMALL,
    "map without size": msgpack.packb({"compressed_data": literals(SMALL), "checksum": list(DIGEST), "format": "msgpack"}),
    "data is nil": envelope_by_hand(SMALL, data=None),
    "data is a number": envelope_by_hand(SMALL, data=5),
    "data has 256": envelope_by_hand(SMALL, data=[256, *literals(SMALL)]),
    "data has -1": envelope_by_hand(SMALL, data=[-1, *literals(SMALL)]),
    "data has text": envelope_by_hand(SMALL, data=["a", *literals(SMALL)]),
    "data longer than all": b"\x94\xc6\xff\xff\xff\xff" + GOOD[3:],
    "more integers than bytes": b"\x94\xdd\xff\xff\xff\xff" + GOOD[3:],
    "checksum of 7": envelope_by_hand(SMALL, checksum=list(DIGEST[:7])),
    "checksum of 9": envelope_by_hand(SMALL, checksum=[*DIGEST, 0]),
    "checksum has 256": envelope_by_hand(SMALL, checksum=[*DIGEST[:7], 256]),
    "checksum is a number": envelope_by_hand(SMALL, checksum=1),
    "size is negative": envelope_by_hand(SMALL, size=-1),
    "size over 32 bits": envelope_by_hand(SMALL, size=1 << 32),
    "size is text": envelope_by_hand(SMALL, size="10"),
    "format is a number": envelope_by_hand(SMALL, format=1),
    "format is nil": envelope_by_hand(SMALL, format=None),
    "size one more": envelope_by_hand(SMALL, size=len(SMALL) + 1),
    "size one less": envelope_by_hand(SMALL, size=len(SMALL) - 1),
    "size 0": envelope_by_hand(SMALL, size=0),
    "block cut": envelope_by_hand(SMALL, data=literals(SMALL)[:-1]),
    "block longer": envelope_by_hand(SMALL, data=literals(SMALL) + b"\0"),
    "block of a match before the start": envelope_by_hand(bytes(20), data=b"\x1f\x00\xff\xff\x00\x10\x00"),
    "block of offset 0": envelope_by_hand(bytes(20), data=b"\x1f\x00\x00\x00\x00\x10\x00"),
}
LYING = {
    "checksum": envelope_by_hand(SMALL, checksum=list(flip(DIGEST, 0))),
    "checksum as bin": envelope_by_hand(SMALL, checksum=flip(DIGEST, 7)),
    "data": envelope_by_hand(SMALL, data=flip(literals(SMALL), -1)),
    "data as integers": envelope_by_hand(SMALL, data=list(flip(literals(SMALL), -1))),
    "in a map": envelope_by_hand(SMALL, map=True, checksum=list(bytes(8))),
}
BOMBS = {
    "ratio": envelope_by_hand(SMALL, data=bytes(100), size=100_001),
    "ratio of integers": envelope_by_hand(SMALL, data=[0] * 100, size=100_001),
    "compressed size 0": envelope_by_hand(SMALL, data=b"", size=1),
    "both sizes 0": envelope_by_hand(b"", data=b"", size=0),
    "no integers": envelope_by_hand(SMALL, data=[], size=1),
    "size over 512 MiB": envelope_by_hand(SMALL, data=bytes(600_000), size=512 * MIB + 1),
    "size 4 GiB": envelope_by_hand(SMALL, data=bytes(5_000_000), size=(1 << 32) - 1),
}
DOCUMENTS = {
    "nothing": b"",
    "c1": b"\xc1",
    "c1 within": b"\x92\x01\xc1",
    "trailing byte": b"\x01\x02",
    "two documents": SMALL * 2,
    "array past the end": b"\x92\x01",
    "array16 past the end": b"\xdc\x00\x03\x01\x02",
    "array32 of 4 G": b"\xdd\xff\xff\xff\xff\x01",
    "map without its value": b"\x81\x01",
    "map32 of 4 G": b"\xdf\xff\xff\xff\xff\x01\x02",
    "text past the end": b"\xa5abcd",
    "text32 of 4 G": b"\xdb\xff\xff\xff\xffa",
    "bytes past the end": b"\xc4\x05abcd",
    "bytes32 of 4 G": b"\xc6\xff\xff\xff\xffa",
    "ext past the end": b"\xd8\x01" + bytes(15),
    "ext32 of 4 G": b"\xc9\xff\xff\xff\xff\x01a",
    "cut head": b"\xdd\xff\xff",
    "cut integer": b"\xcf" + bytes(7),
    "cut float": b"\xcb" + bytes(7),
    "1025 arrays": b"\x91" * 1025 + b"\xc0",
    "1025 maps": b"\x81\xc0" * 1025 + b"\xc0",
    "1025 maps as keys": b"\x81" * 1025 + b"\xc0" * 1026,
    "heads that promise more": b"\xdc\x07\xd0" * 5000,
    "a million arrays": b"\x91" * 1_000_000,
}
NOT_UTF8 = {
    "latin-1": b"\xa1\xe9",
    "in a list": b"\x92\x01\xa2\xc3(",
    "as a key": b"\x81\xa1\xff\x01",
    "overlong": b"\xa2\xc0\xaf",
    "surrogate": b"\xa3\xed\xa0\x80",
    "beyond": b"\xa4\xf4\x90\x80\x80",
    "cut": b"\xa2\xe2\x82",
    "in a key of a key": b"\x81\x81\xa1\xff\x01\x02",
}


# The package agrees


@pytest.mark.once
@pytest.mark.parametrize("case", [*ENVELOPES, *LYING, *BOMBS])
def test_the_package_refuses_these_envelopes_too(case):
    with pytest.raises(Exception):
        opened({**ENVELOPES, **LYING, **BOMBS}[case])


@pytest.mark.once
@pytest.mark.parametrize("case", DOCUMENTS)
def test_the_package_refuses_these_documents_too(case):
    with pytest.raises(Exception):
        check_msgpack_structure(DOCUMENTS[case], 1024)
        msgpack.unpackb(DOCUMENTS[case], strict_map_key=False)


# Envelopes


@pytest.mark.parametrize("case", ENVELOPES)
def test_a_malformed_envelope_is_euclean(cache, mnt, case):
    cache.set(cache.key, framed(ENVELOPES[case]))
    assert shown(mnt, cache.key) == ["EUCLEAN"] * 3


@pytest.mark.parametrize("case", LYING)
def test_a_checksum_that_does_not_match_is_ebadmsg(cache, mnt, case):
    cache.set(cache.key, framed(LYING[case]))
    assert shown(mnt, cache.key) == ["EBADMSG"] * 3


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_efbig(cache, mnt, case):
    cache.set(cache.key, framed(BOMBS[case]))
    assert shown(mnt, cache.key) == ["EFBIG"] * 3


def test_a_ratio_of_just_1000_is_no_bomb(cache, mnt):
    """It is refused all the same, since the block does not hold that much."""
    cache.set(cache.key, framed(envelope_by_hand(SMALL, data=bytes(100), size=100_000)))
    assert failure(mnt / f"msgpack/{cache.key}.msgpack") == "EUCLEAN"


@pytest.mark.file_only  # a Redis value has at most 512 MiB
def test_an_envelope_over_512_mib_is_efbig(cache, mnt):
    value = framed(b"\x94\xc6" + big_endian(512 * MIB + 1))
    path = cache.write_file(cache.key, cache.entry_header() + value)
    os.truncate(path, 14 + len(value) + 512 * MIB + 1 + 30)
    assert failure(mnt / f"msgpack/{cache.key}.msgpack") == "EFBIG"


@pytest.mark.parametrize("frame_of", ["legacy", "sealed"])
@pytest.mark.parametrize(
    "payload, expected",
    [(ENVELOPES["cut in the format"], "EUCLEAN"), (LYING["checksum"], "EBADMSG"), (BOMBS["ratio"], "EFBIG"), (envelope(b"\xc1"), "EUCLEAN")],
    ids=["cut", "lying", "bomb", "document"],
)
def test_other_frames_give_the_same_errors(cache, mount, frame_of, payload, expected):
    if frame_of == "legacy":
        cache.set(cache.key, legacy(payload, {"format": "msgpack", "compressed": True, "original_type": "msgpack"}))
    else:
        seal_by_hand(cache, cache.key, payload, sealed_metadata())
    m = mount(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    assert [failure(m / f"{view}/{cache.key}.{view}") for view in VIEWS] == [expected] * 2


def test_verify_never_serves_a_document_whose_checksum_lies(cache, mount):
    cache.set(cache.key, framed(LYING["checksum"]))
    assert read(mount(cache, "verify=never") / f"msgpack/{cache.key}.msgpack") == SMALL


@pytest.mark.parametrize("case", ["size one more", "size one less", "block cut"])
def test_verify_never_still_refuses_what_is_malformed(cache, mount, case):
    cache.set(cache.key, framed(ENVELOPES[case]))
    assert failure(mount(cache, "verify=never") / f"msgpack/{cache.key}.msgpack") == "EUCLEAN"


@pytest.mark.memory
@pytest.mark.parametrize("value", [envelope_by_hand(SMALL, data=bytes(600_000), size=500 * MIB), b"\xdc\x07\xd0" * 5000, b"\xdd\xff\xff\xff\xff"])
def test_what_a_document_promises_costs_nothing(cache, mnt, value):
    cache.set("warm", framed(envelope(SMALL)))
    read(mnt / "json/warm.json")
    before = mnt.rss_anon()
    cache.set(cache.key, framed(value, compressed=value[:1] == b"\x94"))
    assert (failure(mnt / f"json/{cache.key}.json"), mnt.rss_anon() - before < 16 * MIB) == ("EUCLEAN", True)


@pytest.mark.memory
def test_the_form_with_integers_costs_a_small_multiple_of_its_size(cache, mnt):
    document = msgpack.packb(os.urandom(8 * MIB))
    block = literals(document)
    digest = list(xxhash.xxh3_64_digest(document))
    head = b"\x94\xdd" + big_endian(len(block))
    data = b"".join(msgpack.packb(byte) for byte in block)
    cache.set(cache.key, framed(head + data + msgpack.packb(digest) + msgpack.packb(len(document)) + msgpack.packb("msgpack")))
    before = mnt.rss_anon()
    assert (read(mnt / f"msgpack/{cache.key}.msgpack") == document, mnt.rss_anon() - before < 4 * len(document)) == (True, True)


# Documents


@pytest.mark.parametrize("case, enveloped", [(case, e) for case in DOCUMENTS for e in (True, False) if DOCUMENTS[case] or not e])
def test_a_malformed_document_is_euclean(cache, mnt, case, enveloped):
    """An envelope of nothing would be a bomb."""
    document = DOCUMENTS[case]
    cache.set(cache.key, framed(envelope_by_hand(document) if enveloped else document, compressed=enveloped))
    assert [failure(mnt / f"{view}/{cache.key}.{view}") for view in VIEWS] == ["EUCLEAN"] * 2


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_malformed_interop_value_is_euclean(cache, mnt, case):
    cache.set(cache.interop_key, DOCUMENTS[case])
    assert shown(mnt, cache.interop_key) == ["EUCLEAN"] * 3


@pytest.mark.parametrize("case", NOT_UTF8)
def test_a_document_with_a_string_that_is_not_utf8_has_no_json(cache, mnt, case):
    cache.set(cache.key, framed(envelope(NOT_UTF8[case])))
    assert (failure(mnt / f"json/{cache.key}.json"), read(mnt / f"msgpack/{cache.key}.msgpack")) == ("EUCLEAN", NOT_UTF8[case])


def test_a_document_without_json_is_left_out_of_json_once_that_is_known(cache, mnt):
    cache.set(cache.key, framed(envelope(NOT_UTF8["latin-1"])))
    failure(mnt / f"json/{cache.key}.json")
    assert (len(os.listdir(mnt / "json")), len(os.listdir(mnt / "msgpack"))) == (0, 1)


@pytest.mark.memory
def test_a_json_text_over_a_gibibyte_is_efbig(cache, mnt):
    document = msgpack.packb("\x01" * (180 * MIB))
    cache.set(cache.key, framed(envelope(document)))
    assert (failure(mnt / f"json/{cache.key}.json"), os.stat(mnt / f"msgpack/{cache.key}.msgpack").st_size) == ("EFBIG", len(document))


# Others are unaffected


@pytest.fixture
def bad_ones(cache):
    """Every kind of bad entry, and good ones among them."""
    for name, payload in {**ENVELOPES, **LYING, **BOMBS}.items():
        cache.set(f"bad {name}", framed(payload))
    for name, document in DOCUMENTS.items():
        cache.set(f"bad document {name}", framed(document, compressed=False))
    for name, (value, _) in FOREIGN.items():
        cache.set(f"good {name}", value)
    store(cache, "good default", {"a": 1})
    return cache


@pytest.mark.own_mount
def test_good_entries_open_among_bad_ones(bad_ones, mount):
    m = mount(bad_ones)
    for name in {**ENVELOPES, **LYING, **BOMBS}:
        failure(m / f"json/bad {name}.json")
    shown = {name: read(m / f"msgpack/good {name}.msgpack") == document for name, (_, document) in FOREIGN.items()}
    assert shown == dict.fromkeys(FOREIGN, True)


@pytest.mark.own_mount
def test_no_listed_file_fails_once_all_were_tried(bad_ones, mount):
    m = mount(bad_ones)
    everything(m)
    assert everything(m) == {}


@pytest.mark.own_mount
def test_bad_entries_are_listed_where_nothing_is_decoded(bad_ones, mount):
    m = mount(bad_ones)
    everything(m)
    assert len(os.listdir(m / "raw")) == len(bad_ones.names())


@pytest.mark.parametrize("value, expected", [(ENVELOPES["cut in the format"], "EUCLEAN"), (LYING["checksum"], "EBADMSG"), (BOMBS["ratio"], "EFBIG")])
def test_an_error_is_logged_once_a_version(cache, mnt, value, expected):
    cache.set(cache.key, framed(value))
    for _ in range(3):
        assert failure(mnt / f"msgpack/{cache.key}.msgpack") == expected
    first = len(mnt.log_lines(cache.key))
    cache.set(cache.key, framed(value, tenant_id="another version"))
    failure(mnt / f"msgpack/{cache.key}.msgpack")
    assert (first, len(mnt.log_lines(cache.key))) == (1, 2)


@pytest.mark.parametrize("value", [ENVELOPES["cut in the format"], LYING["checksum"], BOMBS["ratio"]], ids=["malformed", "checksum", "bomb"])
def test_meta_and_attributes_say_why(cache, mnt, value):
    cache.set(cache.key, framed(value))
    failure(mnt / f"json/{cache.key}.json")
    views = meta(mnt, cache.key)["views"]
    error = os.getxattr(mnt / cache.key, "user.ckfs.error")
    assert [bool(reason) and isinstance(reason, str) for reason in (views["msgpack"], views["json"], error.decode())] == [True] * 3


def test_a_repaired_document_opens_at_once(cache, mnt):
    cache.set(cache.key, framed(LYING["checksum"]))
    bad = failure(mnt / f"json/{cache.key}.json")
    store(cache, cache.key, {"a": 1})
    assert (bad, json.loads(read(mnt / f"json/{cache.key}.json"))) == ("EBADMSG", {"a": 1})


def test_the_root_serves_a_malformed_payload(cache, mnt):
    cache.set(cache.key, framed(ENVELOPES["cut in the format"]))
    failure(mnt / f"json/{cache.key}.json")
    assert read(mnt / cache.key) == ENVELOPES["cut in the format"]
