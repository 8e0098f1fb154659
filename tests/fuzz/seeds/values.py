"""Whole values, by the choices of stored.h."""

import struct

import msgpack
from cachekit.serializers import get_serializer
from cachekit.serializers.wrapper import SerializationWrapper

from seeds.common import DOCUMENT, payloads, write

# Choices of fuzz_value (tests/fuzz/stored.h).
KEYRING, FAIL_CLOSED, VERIFY_NEVER, REMOTE, PREFIX, HASH, SMALL, INTERRUPT = (1 << n for n in range(8))
PLAIN, INTEROP, ODD = range(3)
BARE, V3, ALIGNED, LEGACY = range(4)
MSGPACK, TENANT, CK_RUN = range(1, 4)
CURRENT, PREVIOUS, OF_NOBODY = 1, 2, 3
FITTING, NO_ENVELOPE, PREFIXED, BIN, INTEGERS, MAP, ODD_ENVELOPE = range(7)
DOCUMENTS = ("msgpack", "json", "arrow", "numpy", "made-msgpack", "made-arrow", "made-numpy", "made-dataframe", "made-series", "made-long")
ALTERED_DOCUMENT, ALTERED_ENVELOPE, ALTERED_PAYLOAD, ALTERED_VALUE = range(4)
REPLACE, FLIP, TAKE_OUT, PUT_IN, CUT = range(5)


def stored_value(rest: bytes, settings=0, key=PLAIN, frame=V3, seal=0, envelope=FITTING, document="msgpack", claims=(), numbers=(), alterations=(), declared=0) -> bytes:
    """`claims`: {place: choice} among the nine of what the frame says; `alterations`: (layer, kind, place, byte) each."""
    said = bytearray(9)
    for place, choice in dict(claims).items():
        said[place] = choice
    made = (*numbers, 0, 0, 0)[:3]
    choices = bytes([settings, key + 3 * declared, frame, seal, envelope, DOCUMENTS.index(document)]) + bytes(said) + bytes(made)
    choices += b"".join(struct.pack(">BBHB", *alteration) for alteration in alterations)
    return bytes([len(choices)]) + choices + rest


def stored_values() -> None:
    made = payloads()
    for name, (serializer, metadata, payload) in made.items():
        write("fuzz_value", name, b"\0" + SerializationWrapper.wrap(payload, metadata, serializer))
    for name, payload in {"envelope": made["default-document"][2], "foreign": b"a lock", "object": b'{"a": 1}', "empty": b""}.items():
        write("fuzz_value", f"bare-{name}", b"\0" + payload)
    documents = {
        "msgpack": msgpack.packb(DOCUMENT),
        "json": get_serializer("orjson", enable_integrity_checking=False).serialize(DOCUMENT)[0],
        "arrow": made["arrow-table"][2][8:],
        "numpy": made["auto-array-unchecked"][2],
        "made-msgpack": bytes(range(200)),
        "made-arrow": b"inside",
        "made-numpy": bytes(range(100)),
        "made-dataframe": bytes(range(60)),
        "made-series": b"\0\1\7\1",
        "made-long": msgpack.packb(DOCUMENT),
    }
    numbers = {"made-numpy": (9, 2, 6), "made-dataframe": (3, 2, 0), "made-series": (0, 3, 0), "made-long": (1, 0, 0)}
    for document, rest in documents.items():
        rows = {
            "v3": {},
            "aligned-remote": {"settings": REMOTE, "frame": ALIGNED},
            "legacy-small": {"settings": SMALL, "frame": LEGACY},
            "legacy-remote": {"settings": REMOTE, "frame": LEGACY},
            "sealed": {"settings": KEYRING | REMOTE, "seal": CURRENT},
            "sealed-previous": {"settings": KEYRING | PREFIX | INTERRUPT | REMOTE, "key": ODD, "frame": LEGACY, "seal": PREVIOUS},
            "sealed-by-nobody": {"settings": KEYRING, "seal": OF_NOBODY},
            "sealed-no-key": {"seal": CURRENT},
            "no-envelope": {"envelope": NO_ENVELOPE},
            "sealed-no-envelope": {"settings": KEYRING, "seal": CURRENT, "envelope": NO_ENVELOPE},
            "interop": {"key": INTEROP, "frame": BARE},
            "interop-sealed": {"settings": KEYRING, "key": INTEROP, "frame": BARE, "seal": PREVIOUS},
            "bare-envelope": {"frame": BARE, "envelope": INTEGERS},
            "unchecked": {"settings": VERIFY_NEVER | INTERRUPT},
            "altered": {"alterations": [(ALTERED_ENVELOPE, FLIP, 40, 1)]},
        }
        for name, row in rows.items():
            write("fuzz_value", f"{document}-{name}", stored_value(rest, document=document, numbers=numbers.get(document, ()), **row))
    document = documents["msgpack"]
    cases = {
        "interrupted": {"settings": REMOTE | INTERRUPT, "frame": ALIGNED},
        "by-hash": {"settings": KEYRING | HASH, "seal": CURRENT},
        "by-hash-plain": {"settings": HASH},
        "keyring-plain": {"settings": KEYRING},
        "keyring-interop-plain": {"settings": KEYRING, "key": INTEROP, "frame": BARE},
        "fail-closed": {"settings": KEYRING | FAIL_CLOSED, "seal": CURRENT, "claims": {7: 2}},
        "no-fingerprint": {"settings": KEYRING, "seal": CURRENT, "claims": {7: 1}},
        "no-fingerprint-wrong": {"settings": KEYRING, "seal": PREVIOUS, "claims": {7: 1}},
        "other-tenant": {"settings": KEYRING, "seal": CURRENT, "claims": {5: 1}},
        "no-tenant": {"settings": KEYRING, "seal": CURRENT, "claims": {5: 2}},
        "tenant-empty": {"settings": KEYRING, "seal": CURRENT, "claims": {5: 3}},
        "algorithm-unknown": {"settings": KEYRING, "seal": CURRENT, "claims": {6: 2}},
        "bound-otherwise": {"settings": KEYRING, "seal": CURRENT, "claims": {8: 1}},
        "plain-says-sealed": {"settings": KEYRING, "claims": {4: 1}},
        "sealed-says-plain": {"settings": KEYRING, "seal": CURRENT, "claims": {4: 2}},
        "sealed-cut": {"settings": KEYRING, "seal": CURRENT, "alterations": [(ALTERED_PAYLOAD, CUT, 20, 0)]},
        "sealed-altered": {"settings": KEYRING, "seal": CURRENT, "alterations": [(ALTERED_PAYLOAD, FLIP, 30, 0)]},
        "sealed-document-altered": {"settings": KEYRING, "seal": CURRENT, "alterations": [(ALTERED_ENVELOPE, REPLACE, 0, 0xC1)]},
        "format-unknown": {"claims": {1: 4}},
        "format-missing": {"claims": {1: 5}},
        "format-arrow": {"claims": {1: 3}},
        "compressed-missing": {"claims": {3: 4}},
        "compressed-wrong-type": {"claims": {3: 3}},
        "marks-disagree": {"claims": {0: 2, 2: 6}},
        "marks-disagree-bare": {"claims": {0: 2, 2: 3}, "envelope": NO_ENVELOPE},
        "serializer-nul": {"claims": {0: 5}},
        "serializer-missing": {"claims": {0: 6}},
        "envelope-odd": {"envelope": ODD_ENVELOPE},
        "envelope-map": {"envelope": MAP},
        "envelope-integers": {"envelope": INTEGERS},
        "went-wrong-unannounced": {"claims": {0: 2, 3: 2}, "envelope": BIN, "alterations": [(ALTERED_ENVELOPE, FLIP, 10, 1)]},
        "went-wrong-unannounced-default": {"claims": {3: 2}, "envelope": BIN, "alterations": [(ALTERED_ENVELOPE, FLIP, 10, 1)]},
        "frame-cut": {"alterations": [(ALTERED_VALUE, CUT, 5, 0)]},
    }
    for name, row in cases.items():
        write("fuzz_value", name, stored_value(document, **row))
    sealed = {"settings": KEYRING, "frame": BARE, "seal": CURRENT}
    declared = {
        "plain": {"frame": BARE, "declared": MSGPACK},
        "plain-remote": {"frame": BARE, "declared": MSGPACK, "settings": REMOTE},
        "plain-with-keys": {"frame": BARE, "declared": MSGPACK, "settings": KEYRING},
        "envelope": {"frame": BARE, "declared": MSGPACK, "envelope": INTEGERS},
        "interop-envelope": {"frame": BARE, "declared": MSGPACK, "key": INTEROP, "envelope": BIN},
        "interop-envelope-altered": {"frame": BARE, "declared": MSGPACK, "key": INTEROP, "envelope": BIN, "alterations": [(ALTERED_ENVELOPE, FLIP, 10, 1)]},
        "sealed": {**sealed, "declared": MSGPACK},
        "sealed-envelope": {**sealed, "declared": TENANT, "envelope": BIN},
        "sealed-prefix": {**sealed, "declared": TENANT, "settings": KEYRING | PREFIX | REMOTE, "seal": PREVIOUS, "key": ODD},
        "sealed-by-hash": {**sealed, "declared": TENANT, "settings": KEYRING | HASH},
        "sealed-by-nobody": {**sealed, "declared": TENANT, "seal": OF_NOBODY},
        "sealed-altered": {**sealed, "declared": TENANT, "alterations": [(ALTERED_PAYLOAD, FLIP, 30, 0)]},
        "ck-run": {**sealed, "declared": CK_RUN},
    }
    for name, row in declared.items():
        write("fuzz_value", f"declared-{name}", stored_value(document, **row))
    for name, text in {"text": b"a lock, or a text", "cut": b"\x93\x01", "number": b"\x07"}.items():
        write("fuzz_value", f"declared-{name}", stored_value(text, frame=BARE, declared=MSGPACK))
    for name, text in {"not-utf8": b"\xa2a\xff", "levels-1025": b"\x91" * 1024 + b"\x90", "frame-magic": b"CK", "never-used": b"\xc1"}.items():
        write("fuzz_value", f"document-{name}", stored_value(text))
        write("fuzz_value", f"interop-{name}", stored_value(text, key=INTEROP, frame=BARE))
    # A listing took it for sealed, and too short for that.
    write("fuzz_value", "short-may-be-envelope", stored_value(b"", document="made-dataframe", envelope=NO_ENVELOPE))


def lacks() -> None:
    rows = {
        "plain": stored_value(msgpack.packb(DOCUMENT)),
        "integers": stored_value(msgpack.packb(DOCUMENT), envelope=INTEGERS),
        "legacy": stored_value(msgpack.packb(DOCUMENT), frame=LEGACY),
        "sealed": stored_value(b'{"a": 1}' * 30, KEYRING | PREFIX, seal=PREVIOUS, document="json"),
        "json": stored_value(b"[" + b"1.5, " * 200 + b"2]", document="json"),
        "numpy": stored_value(bytes(90), document="made-numpy", numbers=(0, 2, 15)),
        "arrow": stored_value(bytes(900), document="made-arrow"),
        "dataframe": stored_value(bytes(range(60)), document="made-dataframe", numbers=(5, 3, 0)),
        "long": stored_value(msgpack.packb(DOCUMENT), ALIGNED, document="made-long", numbers=(40, 0, 0)),
        "interop": stored_value(b"\x91\xa1a", KEYRING, key=INTEROP, frame=BARE, seal=CURRENT),
        "bare": stored_value(msgpack.packb(DOCUMENT), frame=BARE, envelope=INTEGERS),
        "small": stored_value(b"[" + b"1.5, " * 200 + b"2]", SMALL, frame=LEGACY, document="json"),
        "sealed-numpy": stored_value(bytes(90), KEYRING, seal=CURRENT, document="made-numpy", numbers=(0, 2, 15)),
        "foreign": stored_value(b" " * 600 + b'{"no": "frame"}', frame=BARE, document="json"),
    }
    for name, value in rows.items():
        for what, lack in enumerate(("one", "all", "cut")):
            write("fuzz_lacks", f"{name}-{lack}", struct.pack(">BH", what, 0xFFFF) + value)
