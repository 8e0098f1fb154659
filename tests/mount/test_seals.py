"""§6: which sealed entries open, and what is told of them."""

from __future__ import annotations

import json

import pytest
from cachekit.interop import encode_interop_value

from documents import (
    DEPLOYMENT,
    INTEROP,
    JSON,
    MASTER,
    OTHER,
    TABLE,
    THIRD,
    envelope,
    framed,
    load,
    seal,
    seal_by_hand,
    sealed_metadata,
    store,
    wrapper,
)
from entries import flip
from helpers import failure, lookup_failure, meta, name_of, prefixed, read, xattrs
from readings import parsed, same, tree
from sealed import DOCUMENT, FOURTH, KEYED, altered, document, keyed, keys  # noqa: F401 - a fixture

pytestmark = pytest.mark.shared_mount

# Keys


def test_a_sealed_document_opens_with_the_key(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    assert read(keyed / f"msgpack/{cache.key}.msgpack") == document(cache)


def test_an_entry_of_the_secure_decorator_opens(cache, keyed):  # noqa: F811
    key = cache.put(None, DOCUMENT, "default", encryption=True, master_key=MASTER, single_tenant_mode=True)
    assert json.loads(read(keyed / f"json/{name_of(key)}.json")) == DOCUMENT


def test_the_master_key_may_be_in_upper_case(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    assert read(mount(cache, env=keys(MASTER.upper())) / f"msgpack/{cache.key}.msgpack") == document(cache)


def test_a_key_of_more_than_32_bytes_is_used_whole(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal(THIRD))
    assert failure(mount(cache, env=keys(THIRD)) / f"json/{cache.key}.json") is None


def test_a_key_with_the_same_first_32_bytes_is_another_one(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal(THIRD))
    assert failure(mount(cache, env=keys(THIRD[:64])) / f"json/{cache.key}.json") == "ENOKEY"


@pytest.mark.parametrize("writer", [MASTER, OTHER, THIRD, FOURTH])
def test_after_a_rotation_entries_of_all_keys_open(cache, mount, writer):
    store(cache, cache.key, DOCUMENT, sealing=seal(writer))
    m = mount(cache, env=keys(MASTER, OTHER, THIRD, FOURTH))
    assert read(m / f"msgpack/{cache.key}.msgpack") == document(cache, writer)


def test_spaces_around_previous_keys_are_no_part_of_them(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal(THIRD))
    assert failure(mount(cache, env={**KEYED, "CACHEKIT_PREVIOUS_MASTER_KEYS": f" {OTHER} , {THIRD} "}) / f"json/{cache.key}.json") is None


@pytest.mark.parametrize("view", ["msgpack", "json"])
@pytest.mark.parametrize("environment", [{}, keys(OTHER), keys(OTHER, THIRD)], ids=["none", "another", "others"])
def test_without_the_right_key_it_is_enokey(cache, mount, view, environment):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    m = mount(cache, env=environment)
    file = m / f"{view}/{cache.key}.{view}"
    assert (failure(file), lookup_failure(file)) == ("ENOKEY", "ENOKEY")


@pytest.mark.parametrize("view, serializer, obj", [("arrow", "arrow", TABLE), ("json", "orjson", JSON)])
def test_other_documents_without_a_key_are_enokey(cache, mnt, view, serializer, obj):
    store(cache, cache.key, obj, serializer, seal())
    assert failure(mnt / f"{view}/{cache.key}.{view}") == "ENOKEY"


@pytest.mark.file_only
def test_a_sealed_entry_looked_up_by_its_hash_is_enokey(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    assert failure(keyed / f"msgpack/{cache.hash(cache.key)}.msgpack") == "ENOKEY"


@pytest.mark.file_only
def test_after_it_was_opened_by_its_key_the_hash_opens_it_too_or_not_at_all(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    read(keyed / f"msgpack/{cache.key}.msgpack")
    assert failure(keyed / f"msgpack/{cache.hash(cache.key)}.msgpack") in (None, "ENOKEY")


@pytest.mark.file_only
def test_the_root_serves_the_ciphertext_by_hash(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    assert read(keyed / cache.hash(cache.key)) == cache.payload(cache.key)


# Fingerprints


def test_without_a_fingerprint_the_current_key_is_tried(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint=None)
    assert json.loads(read(keyed / f"json/{cache.key}.json")) == DOCUMENT


def test_with_an_unknown_fingerprint_the_current_key_is_tried(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint="00" * 16)
    assert json.loads(read(keyed / f"json/{cache.key}.json")) == DOCUMENT


@pytest.mark.parametrize("fingerprint", [None, "00" * 16])
def test_fail_closed_refuses_what_names_no_key(cache, mount, fingerprint):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint=fingerprint)
    assert failure(mount(cache, "fail_closed", env=KEYED) / f"json/{cache.key}.json") == "ENOKEY"


def test_fail_closed_by_the_environment_of_the_sdk(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint="00" * 16)
    assert failure(mount(cache, env={**KEYED, "CACHEKIT_ENCRYPTION_FAIL_CLOSED": "true"}) / f"json/{cache.key}.json") == "ENOKEY"


def test_fail_closed_opens_what_names_a_key(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    old = f"{cache.key}.old"
    store(cache, old, DOCUMENT, sealing=seal(OTHER))
    m = mount(cache, "fail_closed", env=keys(MASTER, OTHER))
    assert [failure(m / f"json/{key}.json") for key in (cache.key, old)] == [None, None]


def test_a_previous_key_is_never_tried_without_its_fingerprint(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal(OTHER))
    altered(cache, key_fingerprint="00" * 16)
    assert failure(mount(cache, env=keys(MASTER, OTHER)) / f"json/{cache.key}.json") == "ENOKEY"


def test_a_fingerprint_binds_to_its_key(cache, mount):
    """Named: a previous key. Sealed by: the current one. No other key is tried."""
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint=wrapper(OTHER).encryption_key_fingerprint)
    assert failure(mount(cache, env=keys(MASTER, OTHER)) / f"json/{cache.key}.json") == "EBADMSG"


# Alterations


ALTERATIONS = {
    "nonce": {"payload": lambda p: flip(p, 0)},
    "first byte of the text": {"payload": lambda p: flip(p, 12)},
    "last byte of the text": {"payload": lambda p: flip(p, -17)},
    "tag": {"payload": lambda p: flip(p, -1)},
    "cut by one": {"payload": lambda p: p[:-1]},
    "longer by one": {"payload": lambda p: p + b"\0"},
    "only nonce and tag": {"payload": lambda p: p[:12] + p[-16:]},
    "compressed": {"compressed": False},
    "original_type": {"original_type": "series"},
    "original_type removed": {"original_type": None},
}


@pytest.mark.parametrize("case", ALTERATIONS)
def test_an_altered_entry_is_ebadmsg(cache, keyed, case):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, **ALTERATIONS[case])
    assert [failure(keyed / f"{view}/{cache.key}.{view}") for view in ("msgpack", "json")] == ["EBADMSG"] * 2


def test_an_altered_format_is_ebadmsg(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, format="orjson", original_type="orjson", compressed=False)
    assert failure(keyed / f"json/{cache.key}.json") == "EBADMSG"


@pytest.mark.parametrize("length", [0, 1, 12, 27])
def test_a_payload_too_short_for_a_seal_is_euclean(cache, keyed, length):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, payload=lambda p: p[:length])
    assert failure(keyed / f"msgpack/{cache.key}.msgpack") == "EUCLEAN"


def test_another_tenant_in_the_header_names_no_key(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, tenant_id="other")
    assert failure(keyed / f"msgpack/{cache.key}.msgpack") == "ENOKEY"


def test_another_tenant_with_its_fingerprint_is_ebadmsg(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, tenant_id="other", key_fingerprint=wrapper(tenant="other").encryption_key_fingerprint)
    assert failure(keyed / f"msgpack/{cache.key}.msgpack") == "EBADMSG"


def test_a_sealed_entry_without_a_tenant_is_euclean(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, tenant_id=None)
    assert failure(keyed / f"msgpack/{cache.key}.msgpack") == "EUCLEAN"


def test_an_entry_that_was_moved_to_another_key_is_ebadmsg(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    cache.set(f"{cache.key}.other", cache.value(cache.key))
    assert (failure(keyed / f"msgpack/{cache.key}.other.msgpack"), failure(keyed / f"msgpack/{cache.key}.msgpack")) == ("EBADMSG", None)


def test_verify_never_still_compares_the_tag(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, payload=lambda p: flip(p, 20))
    assert failure(mount(cache, "verify=never", env=KEYED) / f"msgpack/{cache.key}.msgpack") == "EBADMSG"


def test_a_repaired_entry_opens_at_once(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    good = cache.value(cache.key)
    altered(cache, payload=lambda p: flip(p, 20))
    bad = failure(keyed / f"json/{cache.key}.json")
    cache.set(cache.key, good)
    assert (bad, failure(keyed / f"json/{cache.key}.json")) == ("EBADMSG", None)


def test_the_root_serves_an_altered_ciphertext(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, payload=lambda p: flip(p, 20))
    failure(keyed / f"json/{cache.key}.json")
    assert read(keyed / cache.key) == cache.payload(cache.key)


# What a sealed entry holds is fixed by its metadata


SNIFFED = {
    "arrow without its prefix": ("arrow", "arrow", True, b"ARROW1\0\0" + bytes(100) + b"ARROW1", "arrow"),
    "arrow where messagepack is promised": ("msgpack", "msgpack", True, prefixed(b"ARROW1\0\0" + bytes(100) + b"ARROW1"), "msgpack"),
    "a bare document where an envelope is promised": ("msgpack", "msgpack", True, b"\x81\xa1a\x01", "msgpack"),
    "two documents": ("msgpack", "msgpack", False, b"\x01\x02", "msgpack"),
    "json where messagepack is promised": ("msgpack", "msgpack", False, b'{"a":1}', "msgpack"),
    "nothing": ("msgpack", "msgpack", False, b"", "msgpack"),
}


@pytest.mark.parametrize("case", SNIFFED)
def test_a_rightly_sealed_payload_of_another_form_is_euclean(cache, keyed, case):  # noqa: F811
    format, original_type, compressed, plaintext, view = SNIFFED[case]
    seal_by_hand(cache, cache.key, plaintext, sealed_metadata(format, original_type, compressed))
    assert failure(keyed / f"{view}/{cache.key}.{view}") == "EUCLEAN"


def test_a_sealed_envelope_under_compressed_false_is_a_document_of_four(cache, keyed):  # noqa: F811
    plaintext = envelope(b"\x81\xa1a\x01")
    seal_by_hand(cache, cache.key, plaintext, sealed_metadata(compressed=False))
    assert read(keyed / f"msgpack/{cache.key}.msgpack") == plaintext


def test_a_sealed_checksum_that_lies_is_ebadmsg(cache, keyed):  # noqa: F811
    plaintext = prefixed(b'{"a":1}')
    seal_by_hand(cache, cache.key, flip(plaintext, 0), sealed_metadata("orjson", "orjson", False), serializer="orjson")
    assert failure(keyed / f"json/{cache.key}.json") == "EBADMSG"


# Tenants


@pytest.mark.parametrize("tenant", ["acme", "acmé/corp", "a b", "x" * 200, DEPLOYMENT])
def test_the_tenant_of_the_header_opens_its_entries(cache, keyed, tenant):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal(tenant=tenant))
    assert json.loads(read(keyed / f"json/{cache.key}.json")) == DOCUMENT


def test_many_tenants_live_in_one_mount(cache, keyed):  # noqa: F811
    tenants = [f"tenant {i}" for i in range(100)]
    for tenant in tenants:
        store(cache, tenant, {"tenant": tenant}, sealing=seal(tenant=tenant))
    assert [json.loads(read(keyed / f"json/{tenant}.json")) for tenant in tenants] == [{"tenant": tenant} for tenant in tenants]


def test_keys_of_any_bytes_are_bound(cache, keyed):  # noqa: F811
    wrong = {}
    for key in ("a/b", "50%", "née 🦀", "a\nb", "x" * 240, ".", "raw"):
        store(cache, key, {"key": key}, sealing=seal())
        if failure(keyed / f"json/{name_of(key)}.json") is not None:
            wrong[key] = failure(keyed / f"json/{name_of(key)}.json")
    assert wrong == {}


@pytest.mark.parametrize("length", [241, 250])
def test_a_key_too_long_for_a_name_opens_by_its_full_name(cache, keyed, length):  # noqa: F811
    store(cache, "x" * length, DOCUMENT, sealing=seal())
    assert json.loads(read(keyed / f"json/{'x' * length}.json")) == DOCUMENT


@pytest.mark.own_mount
def test_a_key_whose_name_is_cut_opens_once_it_is_known(cache, mount, tmp):
    key = "y" * 400
    store(cache, key, DOCUMENT, sealing=seal())
    (tmp / "keys").write_text(key + "\n")
    unknown, known = mount(cache, env=KEYED), mount(cache, f"keys={tmp / 'keys'}", env=KEYED)
    assert [failure(m / f"json/{name_of(key)}.json") for m in (unknown, known)] == [None if cache.STORES_KEYS else "ENOKEY", None]


# Interop values


def test_a_sealed_interop_value_opens(cache, keyed):  # noqa: F811
    store(cache, cache.interop_key, INTEROP, sealing=seal(), interop=True)
    store(cache, f"{cache.interop_key[:-1]}0", INTEROP, interop=True)
    assert read(keyed / f"msgpack/{cache.interop_key}.msgpack") == read(keyed / f"msgpack/{cache.interop_key[:-1]}0.msgpack")


def test_the_deployment_is_the_tenant_of_interop_values(cache, mount):
    store(cache, cache.interop_key, INTEROP, sealing=seal(deployment=DEPLOYMENT), interop=True)
    m = mount(cache, env={**KEYED, "CACHEKIT_DEPLOYMENT_UUID": DEPLOYMENT})
    assert same(parsed(read(m / f"json/{cache.interop_key}.json")), tree(encode_interop_value(INTEROP)))


@pytest.mark.parametrize("deployment", [None, "00000000-0000-4000-8000-000000000000"])
def test_the_wrong_deployment_opens_no_interop_value(cache, mount, deployment):
    store(cache, cache.interop_key, INTEROP, sealing=seal(deployment=DEPLOYMENT), interop=True)
    m = mount(cache, env={**KEYED, **({"CACHEKIT_DEPLOYMENT_UUID": deployment} if deployment else {})})
    assert failure(m / f"json/{cache.interop_key}.json") == "EBADMSG"


def test_the_deployment_does_not_matter_where_the_header_names_a_tenant(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    m = mount(cache, env={**KEYED, "CACHEKIT_DEPLOYMENT_UUID": DEPLOYMENT})
    assert json.loads(read(m / f"json/{cache.key}.json")) == DOCUMENT


@pytest.mark.parametrize("writer", [MASTER, OTHER, THIRD])
def test_each_key_is_tried_on_an_interop_value(cache, mount, writer):
    store(cache, cache.interop_key, INTEROP, sealing=seal(writer), interop=True)
    m = mount(cache, env=keys(MASTER, OTHER, THIRD))
    assert read(m / f"msgpack/{cache.interop_key}.msgpack") == encode_interop_value(INTEROP)


@pytest.mark.parametrize("value", [b"\x81\xa1a\x01", b"\x05", b"\xc0", b"{", encode_interop_value(INTEROP)], ids=["map", "five", "nil", "123", "large"])
def test_a_plain_interop_value_is_shown_where_keys_are_configured(cache, keyed, value):  # noqa: F811
    cache.set(cache.interop_key, value)
    assert read(keyed / f"msgpack/{cache.interop_key}.msgpack") == value


def test_a_plain_interop_value_is_not_verified_where_keys_are_configured(cache, keyed):  # noqa: F811
    cache.set(cache.interop_key, encode_interop_value(INTEROP))
    read(keyed / f"json/{cache.interop_key}.json")
    seal_shown = meta(keyed, cache.interop_key)["seal"]
    assert (seal_shown["sealed"], seal_shown["verified"]) == (False, False)


@pytest.mark.parametrize("value", [b"", b"\x01\x02", b"\x92\x01", b"\xc1", bytes(28), b"\xc1" * 200], ids=["empty", "two", "cut", "c1", "zeros", "long"])
def test_an_interop_value_that_nothing_opens_is_ebadmsg_with_keys(cache, keyed, value):  # noqa: F811
    cache.set(cache.interop_key, value)
    assert failure(keyed / f"msgpack/{cache.interop_key}.msgpack") == "EBADMSG"


@pytest.mark.parametrize("value", [b"", b"\x01\x02", b"\x92\x01", b"\xc1"])
def test_an_interop_value_that_is_no_document_is_euclean_without_keys(cache, mnt, value):
    cache.set(cache.interop_key, value)
    assert failure(mnt / f"msgpack/{cache.interop_key}.msgpack") == "EUCLEAN"


def test_an_altered_sealed_interop_value_is_ebadmsg(cache, keyed):  # noqa: F811
    store(cache, cache.interop_key, INTEROP, sealing=seal(), interop=True)
    cache.set(cache.interop_key, flip(cache.value(cache.interop_key), -1))
    assert failure(keyed / f"json/{cache.interop_key}.json") == "EBADMSG"


def test_a_sealed_interop_value_that_was_moved_is_ebadmsg(cache, keyed):  # noqa: F811
    other = cache.interop_key.replace("users", "admins")
    store(cache, cache.interop_key, INTEROP, sealing=seal(), interop=True)
    cache.set(other, cache.value(cache.interop_key))
    assert failure(keyed / f"json/{other}.json") == "EBADMSG"


# What claims to be plain


def test_an_entry_that_claims_plaintext_is_shown_and_not_verified(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT)
    shown = read(keyed / f"json/{cache.key}.json")
    m = meta(keyed, cache.key)
    assert (json.loads(shown), m["seal"]["sealed"], m["seal"]["verified"], m["checksum"]) == (DOCUMENT, False, False, "unchecked")


@pytest.mark.parametrize("serializer, view, obj", [("orjson", "json", JSON), ("arrow", "arrow", TABLE)])
def test_no_plain_entry_is_called_ok_where_keys_are_configured(cache, keyed, serializer, view, obj):  # noqa: F811
    store(cache, cache.key, obj, serializer)
    read(keyed / f"{view}/{cache.key}.{view}")
    m = meta(keyed, cache.key)
    assert (m["checksum"], m["seal"]["verified"]) == ("unchecked", False)


def test_a_plain_entry_that_fails_its_check_fails_all_the_same(cache, keyed):  # noqa: F811
    store(cache, cache.key, JSON, "orjson")
    cache.set(cache.key, flip(cache.value(cache.key), -1))
    assert (failure(keyed / f"json/{cache.key}.json"), meta(keyed, cache.key)["checksum"]) == ("EBADMSG", "mismatch")


def test_a_sealed_entry_whose_header_denies_it_is_euclean(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, encrypted=None)
    assert failure(keyed / f"msgpack/{cache.key}.msgpack") == "EUCLEAN"


# meta/


def test_a_sealed_entry_is_verified_once_it_was_opened(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    before = meta(keyed, cache.key)["seal"]["verified"]
    read(keyed / f"json/{cache.key}.json")
    after = meta(keyed, cache.key)["seal"]
    assert (before, after["sealed"], after["verified"], after["key"]) == (False, True, True, "current")


def test_meta_tells_algorithm_tenant_and_fingerprint(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal(tenant="acmé/corp"))
    fingerprint = wrapper(tenant="acmé/corp").encryption_key_fingerprint
    shown = meta(keyed, cache.key)["seal"]
    assert (shown["algorithm"], shown["tenant_id"], shown["key_fingerprint"]) == ("AES-256-GCM", "acmé/corp", fingerprint)


def test_meta_tells_a_previous_key(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal(OTHER))
    m = mount(cache, env=keys(MASTER, OTHER))
    read(m / f"json/{cache.key}.json")
    assert meta(m, cache.key)["seal"]["key"] == "previous"


def test_meta_tells_a_seal_without_a_key(cache, mnt):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    shown = meta(mnt, cache.key)
    assert (shown["seal"]["sealed"], shown["seal"]["verified"], shown["seal"]["key"]) == (True, False, None)


def test_meta_says_why_a_sealed_view_does_not_open(cache, mnt):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    assert "key" in meta(mnt, cache.key)["views"]["json"]


def test_an_altered_entry_is_not_verified(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    altered(cache, payload=lambda p: flip(p, 20))
    failure(keyed / f"json/{cache.key}.json")
    m = meta(keyed, cache.key)
    assert (m["seal"]["verified"], m["checksum"] == "ok", isinstance(m["views"]["json"], str)) == (False, False, True)


def test_the_attributes_tell_the_seal(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal(tenant="acme"))
    x = xattrs(keyed / cache.key)
    assert (x["encrypted"], x["tenant_id"], x["key_fingerprint"].decode()) == (
        b"true",
        b"acme",
        wrapper(tenant="acme").encryption_key_fingerprint,
    )


# One version at a time


def test_an_open_plaintext_outlives_its_entry(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    expected = document(cache)
    with open(keyed / f"msgpack/{cache.key}.msgpack", "rb", buffering=0) as file:
        cache.delete(cache.key)
        assert (file.read(), failure(keyed / f"msgpack/{cache.key}.msgpack")) == (expected, "ENOENT")


def test_what_the_sdk_reads_back_is_what_json_shows(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, "orjson", seal())
    assert json.loads(read(keyed / f"json/{cache.key}.json")) == load(cache, cache.key, "orjson", seal())


def test_a_plain_frame_in_place_of_a_sealed_one_is_a_new_version(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    read(keyed / f"json/{cache.key}.json")
    cache.set(cache.key, framed(envelope(b"\x81\xa1a\x01")))
    assert (json.loads(read(keyed / f"json/{cache.key}.json")), meta(keyed, cache.key)["seal"]["verified"]) == ({"a": 1}, False)
