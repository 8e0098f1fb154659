"""§6: documents that do not fit, are altered, or are none for a view."""

from __future__ import annotations

import json
import os

import numpy
import orjson
import pytest

from entries import (
    FORMATS,
    TABLE,
    flip,
    framed,
    numpy_raw,
    opening,
    prefixed,
    slurp,
)

pytestmark = pytest.mark.shared_mount


class TestArrow:
    @pytest.mark.parametrize("position", [-1, -100, 200], ids=["trailer", "body", "head"])
    def test_an_altered_byte_gives_ebadmsg(self, cache, mnt, position):
        cache.put(cache.key, TABLE, "arrow")
        payload = len(cache.payload(cache.key))
        start = len(cache.value(cache.key)) - payload
        cache.set(cache.key, flip(cache.value(cache.key), start + position if position > 0 else position))
        assert opening(mnt / f"arrow/{cache.key}.arrow") == "EBADMSG"

    def test_an_altered_prefix_gives_ebadmsg(self, cache, mnt):
        cache.put(cache.key, TABLE, "arrow")
        start = len(cache.value(cache.key)) - len(cache.payload(cache.key))
        cache.set(cache.key, flip(cache.value(cache.key), start))
        assert opening(mnt / f"arrow/{cache.key}.arrow") == "EBADMSG"

    def test_a_cut_document_gives_ebadmsg(self, cache, mnt):
        cache.put(cache.key, TABLE, "arrow")
        cache.set(cache.key, cache.value(cache.key)[:-1])
        assert opening(mnt / f"arrow/{cache.key}.arrow") == "EBADMSG"

    @pytest.mark.parametrize("payload", [b"", b"ARROW", bytes(13), b"PARQUET1" * 20, prefixed(b"PARQUET1" * 20), bytes(9) + b"ARROW1" * 9])
    def test_without_the_magic_it_gives_euclean(self, cache, mnt, payload):
        cache.set(cache.key, framed(payload, "arrow", "arrow"))
        assert opening(mnt / f"arrow/{cache.key}.arrow") == "EUCLEAN"

    def test_it_fails_the_same_at_every_open(self, cache, mnt):
        cache.put(cache.key, TABLE, "arrow")
        cache.set(cache.key, flip(cache.value(cache.key), -100))
        assert [opening(mnt / f"arrow/{cache.key}.arrow") for _ in range(5)] == ["EBADMSG"] * 5

    def test_the_root_serves_an_altered_payload(self, cache, mnt):
        cache.put(cache.key, TABLE, "arrow")
        cache.set(cache.key, flip(cache.value(cache.key), -100))
        opening(mnt / f"arrow/{cache.key}.arrow")
        assert slurp(mnt / cache.key) == cache.payload(cache.key)

    def test_a_repaired_entry_opens_at_once(self, cache, mnt):
        cache.put(cache.key, TABLE, "arrow")
        good = cache.value(cache.key)
        cache.set(cache.key, flip(good, -100))
        opening(mnt / f"arrow/{cache.key}.arrow")
        cache.set(cache.key, good)
        assert opening(mnt / f"arrow/{cache.key}.arrow") == "OK"

    def test_verify_never_serves_a_mismatch(self, cache, mount):
        cache.put(cache.key, TABLE, "arrow")
        cache.set(cache.key, flip(cache.value(cache.key), -100))
        m = mount(cache, "verify=never")
        assert slurp(m / f"arrow/{cache.key}.arrow") == cache.payload(cache.key)[8:]

    def test_verify_never_still_wants_the_magic(self, cache, mount):
        cache.set(cache.key, framed(prefixed(b"PARQUET1" * 20), "arrow", "arrow"))
        assert opening(mount(cache, "verify=never") / f"arrow/{cache.key}.arrow") == "EUCLEAN"


class TestNpy:
    CASES = {
        "short": prefixed(numpy_raw("int64", (5,), bytes(39))),
        "long": prefixed(numpy_raw("int64", (5,), bytes(41))),
        "unprefixed-short": numpy_raw("int64", (5,), bytes(39)),
        "no-magic": prefixed(b"NUMPY-RAW" + bytes(40)),
        "empty": b"",
        "magic-only": prefixed(b"NUMPY_RAW"),
        "cut-dtype": prefixed(b"NUMPY_RAW\x40\x00int64"),
        "cut-shape": prefixed(numpy_raw("int64", (5,), b"")[:-1]),
        "odd-shape-length": prefixed(b"NUMPY_RAW\x05\x00int64\x03\x00\x01\x00\x00"),
        "control-bytes-in-dtype": prefixed(numpy_raw("int\x0064", (1,), bytes(8))),
        "empty-dtype": prefixed(numpy_raw("", (1,), bytes(8))),
        "overflow": prefixed(numpy_raw("int64", (0xFFFFFFFF,) * 4, bytes(64))),
        "overflow-to-zero": prefixed(numpy_raw("int64", (1 << 31, 1 << 31, 4), b"")),
        "65-dimensions": prefixed(numpy_raw("int8", (1,) * 65, bytes(1))),
    }

    @pytest.mark.parametrize("case", CASES)
    def test_what_does_not_fit_together_gives_euclean(self, cache, mnt, case):
        cache.set(cache.key, framed(self.CASES[case], "msgpack", "numpy"))
        assert opening(mnt / f"npy/{cache.key}.npy") == "EUCLEAN"

    def test_an_altered_byte_gives_ebadmsg(self, cache, mnt):
        cache.put(cache.key, numpy.arange(100.0), "auto")
        cache.set(cache.key, flip(cache.value(cache.key), -1))
        assert opening(mnt / f"npy/{cache.key}.npy") == "EBADMSG"

    @pytest.mark.parametrize("dtype", ["object", "StringDType()", "[('a', '<i4'), ('b', '<f8')]", "bfloat16"])
    def test_what_npy_has_no_plain_form_for_gives_eopnotsupp(self, cache, mnt, dtype):
        cache.set(cache.key, framed(prefixed(numpy_raw(dtype, (1,), bytes(16))), "msgpack", "numpy"))
        assert opening(mnt / f"npy/{cache.key}.npy") == "EOPNOTSUPP"


class TestOrjson:
    @pytest.mark.parametrize("payload", [b"not json at all", bytes(10), b'{"a": 1000', b"[1, 2, 3, 4] x", b'["\xff", 1234567]'])
    def test_an_unprefixed_payload_that_is_not_json_gives_ebadmsg(self, cache, mnt, payload):
        cache.set(cache.key, framed(payload, "orjson", "orjson"))
        assert opening(mnt / f"json/{cache.key}.json") == "EBADMSG"

    @pytest.mark.parametrize("position", [0, 7, 8, -1])
    def test_an_altered_byte_gives_ebadmsg(self, cache, mnt, position):
        payload = prefixed(b'{"a": [1, 2, 3]}')
        cache.set(cache.key, framed(flip(payload, position), "orjson", "orjson"))
        assert opening(mnt / f"json/{cache.key}.json") == "EBADMSG"

    @pytest.mark.parametrize("payload", [b"", b"{", b"nul", b"not json", b"123456 89"])
    def test_under_ten_bytes_that_are_no_json_give_euclean(self, cache, mnt, payload):
        cache.set(cache.key, framed(payload, "orjson", "orjson"))
        assert opening(mnt / f"json/{cache.key}.json") == "EUCLEAN"

    @pytest.mark.parametrize("document", [b'{"a": }', b"nul", b"[1, 2", b"[NaN]", b'["\xff"]', b'["\\ud800"]', b"[" * 5000])
    def test_a_right_prefix_over_bad_json_gives_euclean(self, cache, mnt, document):
        cache.set(cache.key, framed(prefixed(document), "orjson", "orjson"))
        assert opening(mnt / f"json/{cache.key}.json") == "EUCLEAN"

    INFINITE = [b"[1e400, 2, 3]", b'{"a": -1.8e308}', b"9" * 400, b"-1" + b"0" * 309, str(2**1024 - 2**970).encode()]

    @pytest.mark.parametrize("document", INFINITE)
    def test_a_number_that_rounds_to_infinity_is_no_json(self, cache, mnt, document):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(document)
        for payload, error in ((prefixed(document), "EUCLEAN"), (document, "EBADMSG"), (b"1e999", "EUCLEAN")):
            cache.set(cache.key, framed(payload, "orjson", "orjson"))
            assert opening(mnt / f"json/{cache.key}.json") == error

    @pytest.mark.parametrize("document", [b"[1e308, 1e-999, 0e999, -0.0]", str(2**1024 - 2**970 - 1).encode(), str(2**80).encode()])
    def test_a_number_that_a_double_holds_is_served_as_it_is_written(self, cache, mnt, document):
        assert orjson.loads(document) is not None
        for payload in (prefixed(document), document):
            cache.set(cache.key, framed(payload, "orjson", "orjson"))
            assert slurp(mnt / f"json/{cache.key}.json") == document

    @pytest.mark.parametrize("document", [b"1", b"{}", b'{"a": 1}', b'"0123456789"'])
    def test_an_unprefixed_payload_that_is_json_is_served(self, cache, mnt, document):
        cache.set(cache.key, framed(document, "orjson", "orjson"))
        assert slurp(mnt / f"json/{cache.key}.json") == document

    @pytest.mark.file_only  # a Redis value has at most 512 MiB
    def test_a_text_of_over_a_gibibyte_gives_efbig(self, cache, mnt):
        path = cache.write_file(cache.key, cache.entry_header() + framed(b"[", "orjson", "orjson"))
        os.truncate(path, (1 << 30) + 4096)
        assert opening(mnt / f"json/{cache.key}.json") == "EFBIG"


class TestViewsThatDoNotApply:
    def test_they_are_enoent(self, cache, mnt):
        cache.put(f"{cache.key} table", TABLE, "arrow")
        cache.put(f"{cache.key} array", numpy.arange(3), "auto")
        cache.put(f"{cache.key} text", {"a": 1}, "orjson")
        cache.set(f"{cache.key} foreign", b"anything")
        cache.set(f"{cache.key} empty", b"")
        applying = {("table", "arrow"), ("array", "npy"), ("text", "json")}
        keys = ("table", "array", "text", "foreign", "empty", "no such key")
        results = {(k, f): opening(mnt / f"{f}/{cache.key} {k}.{f}") for k in keys for f in FORMATS if (k, f) not in applying}
        assert results == dict.fromkeys(results, "ENOENT")

    def test_a_sealed_entry_without_a_key_is_enokey_in_its_views(self, cache, mnt):
        cache.set(cache.key, framed(bytes(64), "arrow", "arrow", encrypted=True, tenant_id="t"))
        assert opening(mnt / f"arrow/{cache.key}.arrow") == "ENOKEY"

    def test_the_root_serves_the_ciphertext_of_a_sealed_entry(self, cache, mnt):
        cache.set(cache.key, framed(bytes(range(64)), "arrow", "arrow", encrypted=True, tenant_id="t"))
        assert slurp(mnt / cache.key) == bytes(range(64))
