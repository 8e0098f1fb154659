"""§6, §8 of the layouts: sealed entries, keys, and what must never be shown."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess

import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest
from cachekit.config.settings import CachekitConfig
from cachekit.interop import encode_interop_value
from cachekit.serializers.arrow_serializer import ArrowSerializer
from cachekit.serializers.wrapper import SerializationWrapper

from commands import REFUSED, command, complaint  # noqa: F401 - a fixture
from documents import (
    DEPLOYMENT,
    INTEROP,
    INTEROP_KEY,
    JSON,
    MASTER,
    OTHER,
    TABLE,
    THIRD,
    envelope,
    framed,
    load,
    opened,
    parsed,
    same,
    seal,
    seal_by_hand,
    sealed_metadata,
    store,
    tree,
    unsealed,
    wrapper,
)
from entries import everything, flip, spooled, stats
from helpers import FORMATS, failure, lookup_failure, meta, name_of, prefixed, read, xattrs

KEY = "ns:users:func:app.load"
SECRET = "the secret that nobody may see"
DOCUMENT = {"user": "Ada", "note": SECRET}
KEYED = {"CACHEKIT_MASTER_KEY": MASTER}
FOURTH, FIFTH = "1d" * 32, "2e" * 32


def keys(master: str = MASTER, *previous: str, **more: str) -> dict[str, str]:
    return {"CACHEKIT_MASTER_KEY": master, **({"CACHEKIT_PREVIOUS_MASTER_KEYS": ",".join(previous)} if previous else {}), **more}


def document(cache, key: str = KEY, master: str = MASTER) -> bytes:
    return opened(unsealed(cache, key, master))


def altered(cache, key: str = KEY, payload=None, **metadata) -> None:
    """The entry with its payload mapped, or members of its header replaced; None removes one."""
    old, header, serializer = SerializationWrapper.unwrap(cache.value(key))
    header = {name: value for name, value in {**header, **metadata}.items() if value is not None}
    cache.set(key, SerializationWrapper.wrap(payload(bytes(old)) if payload else bytes(old), header, serializer))


@pytest.fixture
def keyed(cache, mount):
    """A mount that has the key."""
    return mount(cache, env=KEYED)


# Keys


def test_a_sealed_document_opens_with_the_key(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    assert read(keyed / f"msgpack/{KEY}.msgpack") == document(cache)


def test_an_entry_of_the_secure_decorator_opens(cache, keyed):
    key = cache.put(None, DOCUMENT, "default", encryption=True, master_key=MASTER, single_tenant_mode=True)
    assert json.loads(read(keyed / f"json/{name_of(key)}.json")) == DOCUMENT


def test_the_master_key_may_be_in_upper_case(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal())
    assert read(mount(cache, env=keys(MASTER.upper())) / f"msgpack/{KEY}.msgpack") == document(cache)


def test_a_key_of_more_than_32_bytes_is_used_whole(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal(THIRD))
    assert failure(mount(cache, env=keys(THIRD)) / f"json/{KEY}.json") is None


def test_a_key_with_the_same_first_32_bytes_is_another_one(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal(THIRD))
    assert failure(mount(cache, env=keys(THIRD[:64])) / f"json/{KEY}.json") == "ENOKEY"


@pytest.mark.parametrize("writer", [MASTER, OTHER, THIRD, FOURTH])
def test_after_a_rotation_entries_of_all_keys_open(cache, mount, writer):
    store(cache, KEY, DOCUMENT, sealing=seal(writer))
    m = mount(cache, env=keys(MASTER, OTHER, THIRD, FOURTH))
    assert read(m / f"msgpack/{KEY}.msgpack") == document(cache, KEY, writer)


def test_spaces_around_previous_keys_are_no_part_of_them(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal(THIRD))
    assert failure(mount(cache, env={**KEYED, "CACHEKIT_PREVIOUS_MASTER_KEYS": f" {OTHER} , {THIRD} "}) / f"json/{KEY}.json") is None


@pytest.mark.parametrize("view", ["msgpack", "json"])
@pytest.mark.parametrize("environment", [{}, keys(OTHER), keys(OTHER, THIRD)], ids=["none", "another", "others"])
def test_without_the_right_key_it_is_enokey(cache, mount, view, environment):
    store(cache, KEY, DOCUMENT, sealing=seal())
    m = mount(cache, env=environment)
    file = m / f"{view}/{KEY}.{view}"
    assert (failure(file), lookup_failure(file)) == ("ENOKEY", "ENOKEY")


@pytest.mark.parametrize("view, serializer, obj", [("arrow", "arrow", TABLE), ("json", "orjson", JSON)])
def test_other_documents_without_a_key_are_enokey(cache, mnt, view, serializer, obj):
    store(cache, KEY, obj, serializer, seal())
    assert failure(mnt / f"{view}/{KEY}.{view}") == "ENOKEY"


def test_a_sealed_entry_looked_up_by_its_hash_is_enokey(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    assert failure(keyed / f"msgpack/{cache.hash(KEY)}.msgpack") == "ENOKEY"


def test_after_it_was_opened_by_its_key_the_hash_opens_it_too_or_not_at_all(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    read(keyed / f"msgpack/{KEY}.msgpack")
    assert failure(keyed / f"msgpack/{cache.hash(KEY)}.msgpack") in (None, "ENOKEY")


def test_the_root_serves_the_ciphertext_by_hash(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    assert read(keyed / cache.hash(KEY)) == cache.payload(KEY)


# Fingerprints


def test_without_a_fingerprint_the_current_key_is_tried(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint=None)
    assert json.loads(read(keyed / f"json/{KEY}.json")) == DOCUMENT


def test_with_an_unknown_fingerprint_the_current_key_is_tried(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint="00" * 16)
    assert json.loads(read(keyed / f"json/{KEY}.json")) == DOCUMENT


@pytest.mark.parametrize("fingerprint", [None, "00" * 16])
def test_fail_closed_refuses_what_names_no_key(cache, mount, fingerprint):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint=fingerprint)
    assert failure(mount(cache, "fail_closed", env=KEYED) / f"json/{KEY}.json") == "ENOKEY"


def test_fail_closed_by_the_environment_of_the_sdk(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint="00" * 16)
    assert failure(mount(cache, env={**KEYED, "CACHEKIT_ENCRYPTION_FAIL_CLOSED": "true"}) / f"json/{KEY}.json") == "ENOKEY"


def test_fail_closed_opens_what_names_a_key(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal())
    store(cache, "old", DOCUMENT, sealing=seal(OTHER))
    m = mount(cache, "fail_closed", env=keys(MASTER, OTHER))
    assert [failure(m / f"json/{key}.json") for key in (KEY, "old")] == [None, None]


def test_a_previous_key_is_never_tried_without_its_fingerprint(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal(OTHER))
    altered(cache, key_fingerprint="00" * 16)
    assert failure(mount(cache, env=keys(MASTER, OTHER)) / f"json/{KEY}.json") == "ENOKEY"


def test_a_fingerprint_binds_to_its_key(cache, mount):
    """Named: a previous key. Sealed by: the current one. No other key is tried."""
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, key_fingerprint=wrapper(OTHER).encryption_key_fingerprint)
    assert failure(mount(cache, env=keys(MASTER, OTHER)) / f"json/{KEY}.json") == "EBADMSG"


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
def test_an_altered_entry_is_ebadmsg(cache, keyed, case):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, **ALTERATIONS[case])
    assert [failure(keyed / f"{view}/{KEY}.{view}") for view in ("msgpack", "json")] == ["EBADMSG"] * 2


def test_an_altered_format_is_ebadmsg(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, format="orjson", original_type="orjson", compressed=False)
    assert failure(keyed / f"json/{KEY}.json") == "EBADMSG"


@pytest.mark.parametrize("length", [0, 1, 12, 27])
def test_a_payload_too_short_for_a_seal_is_euclean(cache, keyed, length):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, payload=lambda p: p[:length])
    assert failure(keyed / f"msgpack/{KEY}.msgpack") == "EUCLEAN"


def test_another_tenant_in_the_header_names_no_key(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, tenant_id="other")
    assert failure(keyed / f"msgpack/{KEY}.msgpack") == "ENOKEY"


def test_another_tenant_with_its_fingerprint_is_ebadmsg(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, tenant_id="other", key_fingerprint=wrapper(tenant="other").encryption_key_fingerprint)
    assert failure(keyed / f"msgpack/{KEY}.msgpack") == "EBADMSG"


def test_a_sealed_entry_without_a_tenant_is_euclean(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, tenant_id=None)
    assert failure(keyed / f"msgpack/{KEY}.msgpack") == "EUCLEAN"


def test_an_entry_that_was_moved_to_another_key_is_ebadmsg(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    cache.set("other", cache.value(KEY))
    assert (failure(keyed / "msgpack/other.msgpack"), failure(keyed / f"msgpack/{KEY}.msgpack")) == ("EBADMSG", None)


def test_verify_never_still_compares_the_tag(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, payload=lambda p: flip(p, 20))
    assert failure(mount(cache, "verify=never", env=KEYED) / f"msgpack/{KEY}.msgpack") == "EBADMSG"


def test_a_repaired_entry_opens_at_once(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    good = cache.value(KEY)
    altered(cache, payload=lambda p: flip(p, 20))
    bad = failure(keyed / f"json/{KEY}.json")
    cache.set(KEY, good)
    assert (bad, failure(keyed / f"json/{KEY}.json")) == ("EBADMSG", None)


def test_the_root_serves_an_altered_ciphertext(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, payload=lambda p: flip(p, 20))
    failure(keyed / f"json/{KEY}.json")
    assert read(keyed / KEY) == cache.payload(KEY)


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
def test_a_rightly_sealed_payload_of_another_form_is_euclean(cache, keyed, case):
    format, original_type, compressed, plaintext, view = SNIFFED[case]
    seal_by_hand(cache, KEY, plaintext, sealed_metadata(format, original_type, compressed))
    assert failure(keyed / f"{view}/{KEY}.{view}") == "EUCLEAN"


def test_a_sealed_envelope_under_compressed_false_is_a_document_of_four(cache, keyed):
    plaintext = envelope(b"\x81\xa1a\x01")
    seal_by_hand(cache, KEY, plaintext, sealed_metadata(compressed=False))
    assert read(keyed / f"msgpack/{KEY}.msgpack") == plaintext


def test_a_sealed_checksum_that_lies_is_ebadmsg(cache, keyed):
    plaintext = prefixed(b'{"a":1}')
    seal_by_hand(cache, KEY, flip(plaintext, 0), sealed_metadata("orjson", "orjson", False), serializer="orjson")
    assert failure(keyed / f"json/{KEY}.json") == "EBADMSG"


# Tenants


@pytest.mark.parametrize("tenant", ["acme", "acmé/corp", "a b", "x" * 200, DEPLOYMENT])
def test_the_tenant_of_the_header_opens_its_entries(cache, keyed, tenant):
    store(cache, KEY, DOCUMENT, sealing=seal(tenant=tenant))
    assert json.loads(read(keyed / f"json/{KEY}.json")) == DOCUMENT


def test_many_tenants_live_in_one_mount(cache, keyed):
    tenants = [f"tenant {i}" for i in range(100)]
    for tenant in tenants:
        store(cache, tenant, {"tenant": tenant}, sealing=seal(tenant=tenant))
    assert [json.loads(read(keyed / f"json/{tenant}.json")) for tenant in tenants] == [{"tenant": tenant} for tenant in tenants]


def test_keys_of_any_bytes_are_bound(cache, keyed):
    wrong = {}
    for key in ("a/b", "50%", "née 🦀", "a\nb", "x" * 240, ".", "raw"):
        store(cache, key, {"key": key}, sealing=seal())
        if failure(keyed / f"json/{name_of(key)}.json") is not None:
            wrong[key] = failure(keyed / f"json/{name_of(key)}.json")
    assert wrong == {}


@pytest.mark.parametrize("length", [241, 250])
def test_a_key_too_long_for_a_name_opens_by_its_full_name(cache, keyed, length):
    store(cache, "x" * length, DOCUMENT, sealing=seal())
    assert json.loads(read(keyed / f"json/{'x' * length}.json")) == DOCUMENT


def test_a_key_whose_name_is_cut_opens_once_it_is_known(cache, mount, tmp):
    key = "y" * 400
    store(cache, key, DOCUMENT, sealing=seal())
    (tmp / "keys").write_text(key + "\n")
    unknown, known = mount(cache, env=KEYED), mount(cache, f"keys={tmp / 'keys'}", env=KEYED)
    assert [failure(m / f"json/{name_of(key)}.json") for m in (unknown, known)] == ["ENOKEY", None]


# Interop values


def test_a_sealed_interop_value_opens(cache, keyed):
    store(cache, INTEROP_KEY, INTEROP, sealing=seal(), interop=True)
    store(cache, f"{INTEROP_KEY[:-1]}0", INTEROP, interop=True)
    assert read(keyed / f"msgpack/{INTEROP_KEY}.msgpack") == read(keyed / f"msgpack/{INTEROP_KEY[:-1]}0.msgpack")


def test_the_deployment_is_the_tenant_of_interop_values(cache, mount):
    store(cache, INTEROP_KEY, INTEROP, sealing=seal(deployment=DEPLOYMENT), interop=True)
    m = mount(cache, env={**KEYED, "CACHEKIT_DEPLOYMENT_UUID": DEPLOYMENT})
    assert same(parsed(read(m / f"json/{INTEROP_KEY}.json")), tree(encode_interop_value(INTEROP)))


@pytest.mark.parametrize("deployment", [None, "00000000-0000-4000-8000-000000000000"])
def test_the_wrong_deployment_opens_no_interop_value(cache, mount, deployment):
    store(cache, INTEROP_KEY, INTEROP, sealing=seal(deployment=DEPLOYMENT), interop=True)
    m = mount(cache, env={**KEYED, **({"CACHEKIT_DEPLOYMENT_UUID": deployment} if deployment else {})})
    assert failure(m / f"json/{INTEROP_KEY}.json") == "EBADMSG"


def test_the_deployment_does_not_matter_where_the_header_names_a_tenant(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal())
    m = mount(cache, env={**KEYED, "CACHEKIT_DEPLOYMENT_UUID": DEPLOYMENT})
    assert json.loads(read(m / f"json/{KEY}.json")) == DOCUMENT


@pytest.mark.parametrize("writer", [MASTER, OTHER, THIRD])
def test_each_key_is_tried_on_an_interop_value(cache, mount, writer):
    store(cache, INTEROP_KEY, INTEROP, sealing=seal(writer), interop=True)
    m = mount(cache, env=keys(MASTER, OTHER, THIRD))
    assert read(m / f"msgpack/{INTEROP_KEY}.msgpack") == encode_interop_value(INTEROP)


@pytest.mark.parametrize("value", [b"\x81\xa1a\x01", b"\x05", b"\xc0", b"{", encode_interop_value(INTEROP)], ids=["map", "five", "nil", "123", "large"])
def test_a_plain_interop_value_is_shown_where_keys_are_configured(cache, keyed, value):
    cache.set(INTEROP_KEY, value)
    assert read(keyed / f"msgpack/{INTEROP_KEY}.msgpack") == value


def test_a_plain_interop_value_is_not_verified_where_keys_are_configured(cache, keyed):
    cache.set(INTEROP_KEY, encode_interop_value(INTEROP))
    read(keyed / f"json/{INTEROP_KEY}.json")
    seal_shown = meta(keyed, INTEROP_KEY)["seal"]
    assert (seal_shown["sealed"], seal_shown["verified"]) == (False, False)


@pytest.mark.parametrize("value", [b"", b"\x01\x02", b"\x92\x01", b"\xc1", bytes(28), b"\xc1" * 200], ids=["empty", "two", "cut", "c1", "zeros", "long"])
def test_an_interop_value_that_nothing_opens_is_ebadmsg_with_keys(cache, keyed, value):
    cache.set(INTEROP_KEY, value)
    assert failure(keyed / f"msgpack/{INTEROP_KEY}.msgpack") == "EBADMSG"


@pytest.mark.parametrize("value", [b"", b"\x01\x02", b"\x92\x01", b"\xc1"])
def test_an_interop_value_that_is_no_document_is_euclean_without_keys(cache, mnt, value):
    cache.set(INTEROP_KEY, value)
    assert failure(mnt / f"msgpack/{INTEROP_KEY}.msgpack") == "EUCLEAN"


def test_an_altered_sealed_interop_value_is_ebadmsg(cache, keyed):
    store(cache, INTEROP_KEY, INTEROP, sealing=seal(), interop=True)
    cache.set(INTEROP_KEY, flip(cache.value(INTEROP_KEY), -1))
    assert failure(keyed / f"json/{INTEROP_KEY}.json") == "EBADMSG"


def test_a_sealed_interop_value_that_was_moved_is_ebadmsg(cache, keyed):
    other = INTEROP_KEY.replace("users", "admins")
    store(cache, INTEROP_KEY, INTEROP, sealing=seal(), interop=True)
    cache.set(other, cache.value(INTEROP_KEY))
    assert failure(keyed / f"json/{other}.json") == "EBADMSG"


# What claims to be plain


def test_an_entry_that_claims_plaintext_is_shown_and_not_verified(cache, keyed):
    store(cache, KEY, DOCUMENT)
    shown = read(keyed / f"json/{KEY}.json")
    m = meta(keyed, KEY)
    assert (json.loads(shown), m["seal"]["sealed"], m["seal"]["verified"], m["checksum"]) == (DOCUMENT, False, False, "unchecked")


@pytest.mark.parametrize("serializer, view, obj", [("orjson", "json", JSON), ("arrow", "arrow", TABLE)])
def test_no_plain_entry_is_called_ok_where_keys_are_configured(cache, keyed, serializer, view, obj):
    store(cache, KEY, obj, serializer)
    read(keyed / f"{view}/{KEY}.{view}")
    m = meta(keyed, KEY)
    assert (m["checksum"], m["seal"]["verified"]) == ("unchecked", False)


def test_a_plain_entry_that_fails_its_check_fails_all_the_same(cache, keyed):
    store(cache, KEY, JSON, "orjson")
    cache.set(KEY, flip(cache.value(KEY), -1))
    assert (failure(keyed / f"json/{KEY}.json"), meta(keyed, KEY)["checksum"]) == ("EBADMSG", "mismatch")


def test_a_sealed_entry_whose_header_denies_it_is_euclean(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, encrypted=None)
    assert failure(keyed / f"msgpack/{KEY}.msgpack") == "EUCLEAN"


# meta/


def test_a_sealed_entry_is_verified_once_it_was_opened(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    before = meta(keyed, KEY)["seal"]["verified"]
    read(keyed / f"json/{KEY}.json")
    after = meta(keyed, KEY)["seal"]
    assert (before, after["sealed"], after["verified"], after["key"]) == (False, True, True, "current")


def test_meta_tells_algorithm_tenant_and_fingerprint(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal(tenant="acmé/corp"))
    fingerprint = wrapper(tenant="acmé/corp").encryption_key_fingerprint
    shown = meta(keyed, KEY)["seal"]
    assert (shown["algorithm"], shown["tenant_id"], shown["key_fingerprint"]) == ("AES-256-GCM", "acmé/corp", fingerprint)


def test_meta_tells_a_previous_key(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal(OTHER))
    m = mount(cache, env=keys(MASTER, OTHER))
    read(m / f"json/{KEY}.json")
    assert meta(m, KEY)["seal"]["key"] == "previous"


def test_meta_tells_a_seal_without_a_key(cache, mnt):
    store(cache, KEY, DOCUMENT, sealing=seal())
    shown = meta(mnt, KEY)
    assert (shown["seal"]["sealed"], shown["seal"]["verified"], shown["seal"]["key"]) == (True, False, None)


def test_meta_says_why_a_sealed_view_does_not_open(cache, mnt):
    store(cache, KEY, DOCUMENT, sealing=seal())
    assert "key" in meta(mnt, KEY)["views"]["json"]


def test_an_altered_entry_is_not_verified(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    altered(cache, payload=lambda p: flip(p, 20))
    failure(keyed / f"json/{KEY}.json")
    m = meta(keyed, KEY)
    assert (m["seal"]["verified"], m["checksum"] == "ok", isinstance(m["views"]["json"], str)) == (False, False, True)


def test_the_attributes_tell_the_seal(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal(tenant="acme"))
    x = xattrs(keyed / KEY)
    assert (x["encrypted"], x["tenant_id"], x["key_fingerprint"].decode()) == (
        b"true",
        b"acme",
        wrapper(tenant="acme").encryption_key_fingerprint,
    )


# Listings


def fill(cache) -> None:
    """Sealed entries that open, that do not, and plain ones."""
    store(cache, "good", DOCUMENT, sealing=seal())
    store(cache, "foreign", DOCUMENT, sealing=seal(OTHER))
    store(cache, "table", TABLE, "arrow", seal())
    store(cache, "foreign table", TABLE, "arrow", seal(OTHER))
    store(cache, "plain", {"plain": 1})
    store(cache, "plain table", TABLE, "arrow")


def named(cache, tmp) -> str:
    (tmp / "keys").write_text("good\nforeign\ntable\nforeign table\nplain\nplain table\n")
    return f"keys={tmp / 'keys'}"


def listed(m, directory: str) -> set[str]:
    return set(os.listdir(m / directory))


def test_format_directories_leave_out_what_no_key_opens(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp), env=KEYED)
    shown = {view: listed(m, view) for view in ("json", "msgpack", "arrow")}
    assert shown == {
        "json": {"good.json", "plain.json"},
        "msgpack": {"good.msgpack", "plain.msgpack"},
        "arrow": {"table.arrow", "plain table.arrow"},
    }


def test_without_a_key_format_directories_list_just_plain_entries(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp))
    assert {view: listed(m, view) for view in ("json", "arrow")} == {"json": {"plain.json"}, "arrow": {"plain table.arrow"}}


def test_sealed_entries_known_by_their_hash_alone_are_left_out(cache, keyed):
    fill(cache)
    assert listed(keyed, "json") == {cache.hash("plain") + ".json"}


def test_the_undecoded_directories_list_all(cache, keyed):
    fill(cache)
    names = {cache.hash(key) for key in ("good", "foreign", "table", "foreign table", "plain", "plain table")}
    assert [listed(keyed, directory) for directory in ("raw", "frame")] + [listed(keyed, ".") - set(FORMATS)] == [names] * 3


def test_interop_values_are_listed_by_the_keys_that_are_known(cache, mount, tmp):
    store(cache, INTEROP_KEY, INTEROP, sealing=seal(), interop=True)
    (tmp / "keys").write_text(INTEROP_KEY + "\n")
    m = mount(cache, f"keys={tmp / 'keys'}", env=KEYED)
    assert [listed(m, view) for view in ("json", "msgpack")] == [{f"{INTEROP_KEY}.json"}, {f"{INTEROP_KEY}.msgpack"}]


def test_a_second_ls_of_sealed_entries_decodes_nothing(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp), "cache_size=1K", env=KEYED)
    first = subprocess.check_output(["ls", "-l", m / "json", m / "arrow"])
    before = stats(m)["ckfs_decodes_total"]
    assert (subprocess.check_output(["ls", "-l", m / "json", m / "arrow"]), stats(m)["ckfs_decodes_total"]) == (first, before)


def test_an_altered_sealed_entry_is_left_out_once_it_failed(cache, mount, tmp):
    fill(cache)
    altered(cache, "good", payload=lambda p: flip(p, -1))
    m = mount(cache, named(cache, tmp), env=KEYED)
    assert (failure(m / "json/good.json"), listed(m, "json")) == ("EBADMSG", {"plain.json"})


@pytest.mark.parametrize("environment", [{}, KEYED], ids=["without a key", "with the key"])
@pytest.mark.parametrize("by_name", [False, True], ids=["hashes", "names"])
def test_every_listed_file_opens(cache, mount, tmp, environment, by_name):
    fill(cache)
    m = mount(cache, *([named(cache, tmp)] if by_name else []), env=environment)
    assert everything(m) == {}


@pytest.mark.parametrize("environment", [{}, KEYED], ids=["without a key", "with the key"])
@pytest.mark.parametrize("tool", [["grep", "-rc", SECRET], ["tar", "-cf", "/dev/null"], ["du", "-s"], ["ls", "-lR"], ["find"]], ids=lambda c: c[0])
def test_tools_work_over_the_directories(cache, mount, tmp, environment, tool):
    fill(cache)
    m = mount(cache, named(cache, tmp), env=environment)
    result = subprocess.run([*tool, "."], cwd=m, capture_output=True, text=True)
    assert (result.returncode in ((0, 1) if tool[0] == "grep" else (0,)), result.stderr) == (True, "")


def test_grep_finds_the_plaintext_in_the_decoded_views_alone(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp), env=KEYED)
    found = subprocess.run(["grep", "-rl", SECRET, "."], cwd=m, capture_output=True, text=True).stdout.split()
    assert set(found) == {"./json/good.json", "./msgpack/good.msgpack"}


def test_a_dataset_over_arrow_reads_every_table_that_opens(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp), env=KEYED)
    assert pyarrow.dataset.dataset(str(m / "arrow"), format="feather").count_rows() == 2 * len(TABLE)


# The key in a file


def key_file(tmp, content: str = MASTER, mode: int = 0o600) -> pathlib.Path:
    path = tmp / "master.key"
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [MASTER, MASTER + "\n", f"  {MASTER}\r\n"])
def test_the_master_key_comes_from_a_file(cache, mount, tmp, content):
    store(cache, KEY, DOCUMENT, sealing=seal())
    m = mount(cache, f"master_key_file={key_file(tmp, content)}")
    assert json.loads(read(m / f"json/{KEY}.json")) == DOCUMENT


def test_the_file_goes_with_previous_keys_of_the_environment(cache, mount, tmp):
    store(cache, KEY, DOCUMENT, sealing=seal(OTHER))
    m = mount(cache, f"master_key_file={key_file(tmp)}", env={"CACHEKIT_PREVIOUS_MASTER_KEYS": OTHER})
    assert failure(m / f"json/{KEY}.json") is None


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
def test_a_key_file_that_others_may_read_is_refused(command, tmp, mode):  # noqa: F811
    path = key_file(tmp, MASTER, mode)
    assert complaint(command("-o", f"master_key_file={path}", command.source, command.point), str(path)) == REFUSED


@pytest.mark.parametrize("content", ["", "no hex at all" * 8, MASTER[:-2], MASTER[:-1], MASTER + "\0", "5a " * 32 + "zz"])
def test_a_key_file_without_a_key_is_refused(command, tmp, content):  # noqa: F811
    path = key_file(tmp, content)
    result = command("-o", f"master_key_file={path}", command.source, command.point)
    assert (complaint(result), MASTER[:16] in result.stderr) == (REFUSED, False)


def test_a_key_file_that_is_missing_is_refused(command, tmp):  # noqa: F811
    assert complaint(command("-o", f"master_key_file={tmp / 'none'}", command.source, command.point), str(tmp / "none")) == REFUSED


BAD_KEYS = {
    "not hex": {"CACHEKIT_MASTER_KEY": "zz" * 32},
    "short": {"CACHEKIT_MASTER_KEY": "5a" * 31},
    "odd": {"CACHEKIT_MASTER_KEY": "5a" * 32 + "a"},
    "previous not hex": keys(MASTER, "zz" * 32),
    "previous short": keys(MASTER, "c3" * 31),
    "current among previous": keys(MASTER, OTHER, MASTER.upper()),
    "four previous": keys(MASTER, OTHER, THIRD, FOURTH, FIFTH),
    "deployment no uuid": {**KEYED, "CACHEKIT_DEPLOYMENT_UUID": "production"},
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_keys_that_the_sdk_refuses_are_refused_without_showing_them(command, case):  # noqa: F811
    result = command(command.source, command.point, env=BAD_KEYS[case])
    shown = [key for key in (MASTER, OTHER, THIRD, FOURTH, FIFTH, "zz" * 32, "5a" * 31) if key[:20].lower() in result.stderr.lower()]
    assert (complaint(result, "CACHEKIT_"), shown) == (REFUSED, [])


@pytest.mark.parametrize("case", [case for case in BAD_KEYS if case != "deployment no uuid"])
def test_the_sdk_refuses_these_keys_too(case):
    environment = {name.removeprefix("CACHEKIT_").lower(): value for name, value in BAD_KEYS[case].items()}
    with pytest.raises(Exception):
        settings = CachekitConfig(**environment)
        wrapper(settings.master_key.get_secret_value())


# What must not be shown


def proc(m, name: str) -> bytes:
    return pathlib.Path(f"/proc/{m.pid}/{name}").read_bytes()


def test_keys_are_in_no_place_that_others_look_at(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal())
    m = mount(cache, env=keys(MASTER, OTHER, THIRD))
    read(m / f"json/{KEY}.json")
    places = {name: proc(m, name) for name in ("environ", "cmdline", "mountinfo", "maps")} | {"log": m.log().encode()}
    assert [name for name, text in places.items() for key in (MASTER, OTHER, THIRD) if key[:20].encode() in text] == []


def test_the_daemon_leaves_no_core(keyed):
    limits = proc(keyed, "limits").decode()
    line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]


def test_plaintext_is_in_no_log(cache, mount):
    store(cache, KEY, DOCUMENT, sealing=seal())
    store(cache, "altered", DOCUMENT, sealing=seal())
    altered(cache, "altered", payload=lambda p: flip(p, -1))
    seal_by_hand(cache, "malformed", b"\xc1" + SECRET.encode(), sealed_metadata(compressed=False))
    m = mount(cache, env=KEYED)
    shown = [failure(m / f"json/{key}.json") for key in (KEY, "altered", "malformed")]
    assert (shown, SECRET in m.log()) == ([None, "EBADMSG", "EUCLEAN"], False)


@pytest.mark.parametrize("case", ["no key", "altered", "short"])
def test_a_sealed_entry_that_fails_is_logged_once(cache, mount, case):
    store(cache, KEY, DOCUMENT, sealing=seal(OTHER if case == "no key" else MASTER))
    if case != "no key":
        altered(cache, payload=(lambda p: flip(p, -1)) if case == "altered" else (lambda p: p[:20]))
    m = mount(cache, env=KEYED)
    for view in ("json", "msgpack", "json"):
        failure(m / f"{view}/{KEY}.{view}")
    assert len(m.log_lines(KEY)) == 1


def large() -> dict:
    return {"rows": [f"{SECRET} {i}" for i in range(300_000)]}


@pytest.mark.parametrize("view", ["json", "msgpack"])
def test_large_plaintext_of_a_sealed_entry_never_reaches_the_spool_directory(cache, mount, tmp, view):
    store(cache, KEY, large(), sealing=seal())
    (tmp / "spool").mkdir()
    m = mount(cache, "cache_size=1M", f"spool_dir={tmp / 'spool'}", env=KEYED)
    with open(m / f"{view}/{KEY}.{view}", "rb") as file:
        head = file.read(1000)
        assert (SECRET.encode() in head, spooled(m, tmp / "spool"), os.listdir(tmp / "spool")) == (True, [], [])


def test_a_sealed_table_never_reaches_the_spool_directory(cache, mount, tmp):
    store(cache, KEY, pd.DataFrame({"x": np.arange(2_000_000)}), ArrowSerializer(compression=None), seal())
    (tmp / "spool").mkdir()
    m = mount(cache, "cache_size=1M", f"spool_dir={tmp / 'spool'}", env=KEYED)
    with open(m / f"arrow/{KEY}.arrow", "rb") as file:
        assert (file.read(6), spooled(m, tmp / "spool")) == (b"ARROW1", [])


# One version at a time


def test_an_open_plaintext_outlives_its_entry(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    expected = document(cache)
    with open(keyed / f"msgpack/{KEY}.msgpack", "rb", buffering=0) as file:
        cache.backend.delete(KEY)
        assert (file.read(), failure(keyed / f"msgpack/{KEY}.msgpack")) == (expected, "ENOENT")


def test_what_the_sdk_reads_back_is_what_json_shows(cache, keyed):
    store(cache, KEY, DOCUMENT, "orjson", seal())
    assert json.loads(read(keyed / f"json/{KEY}.json")) == load(cache, KEY, "orjson", seal())


def test_a_plain_frame_in_place_of_a_sealed_one_is_a_new_version(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    read(keyed / f"json/{KEY}.json")
    cache.set(KEY, framed(envelope(b"\x81\xa1a\x01")))
    assert (json.loads(read(keyed / f"json/{KEY}.json")), meta(keyed, KEY)["seal"]["verified"]) == ({"a": 1}, False)


# Memory


def locked(pid: int) -> int:
    """Memory that cannot be swapped out, in bytes. A sanitizer lets none be locked."""
    return int(re.search(r"VmLck:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


@pytest.mark.memory
@pytest.mark.skipif(os.geteuid() != 0, reason="others may lock little memory")
def test_keys_are_in_locked_memory_after_the_fork_too(command):  # noqa: F811
    """A fork drops locks, and a daemon forks."""
    assert command(command.source, command.point, env=KEYED).returncode == 0
    assert [locked(pid) > 0 for pid in command.daemons()] == [True]


@pytest.mark.memory
@pytest.mark.skipif(os.geteuid() != 0, reason="others may lock little memory")
def test_plaintext_is_in_locked_memory_while_it_is_open(cache, keyed):
    store(cache, KEY, DOCUMENT, sealing=seal())
    before = locked(keyed.pid)
    with open(keyed / f"msgpack/{KEY}.msgpack", "rb") as file:
        file.read()
        assert locked(keyed.pid) > before
