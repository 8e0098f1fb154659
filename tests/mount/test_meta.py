"""§2, meta/ and .ckfs/stats: what is known of an entry and of the mount."""

import json
import os
import re
import struct
import subprocess

import numpy as np
import pandas as pd
import pytest
from cachekit.serializers.wrapper import SerializationWrapper
from prometheus_client.parser import text_string_to_metric_families

from helpers import escaped, failure, flipped, legacy, meta, name_of, read, v3, xattrs

pytestmark = [pytest.mark.shared_mount, pytest.mark.on_http]

FRAME = pd.DataFrame({"a": [1, 2, 3]})
DOCUMENT = {"user": "Ada"}
SEALED = {"encryption": True, "master_key": "5a" * 32, "single_tenant_mode": True}
MEMBERS = {"key", "backend", "expires", "size", "frame", "seal", "envelope", "document", "checksum", "views"}
DECODED = {"arrow", "npy", "msgpack", "json"}
WRITERS = {
    "auto ndarray": (np.arange(5), "auto", {}),
    "auto ndarray unchecked": (np.arange(5), "auto", {"integrity_checking": False}),
    "auto dict": (DOCUMENT, "auto", {}),
    "default": (DOCUMENT, "default", {}),
    "default unchecked": (DOCUMENT, "default", {"integrity_checking": False}),
    "orjson": (DOCUMENT, "orjson", {}),
    "orjson unchecked": (DOCUMENT, "orjson", {"integrity_checking": False}),
    "arrow": (FRAME, "arrow", {}),
    "sealed": (DOCUMENT, "default", SEALED),
}
STORED = {
    "foreign": b"foreign",
    "empty": b"",
    "legacy": legacy(b"payload", {"format": "msgpack"}),
    "malformed": b"CK\x03\xff\xff\xff\xff",
    "header is no JSON": v3(b"", header=b"{"),
    "no serializer": v3(b"", header=b"{}"),
}
every_writer = pytest.mark.parametrize("writer", WRITERS)
every_value = pytest.mark.parametrize("value", [*WRITERS, *STORED])
checked = pytest.mark.parametrize("writer, view", [("arrow", "arrow/%s.arrow"), ("auto ndarray", "npy/%s.npy"), ("orjson", "json/%s.json")])


def write(cache, writer: str, ttl: int | None = 3600) -> None:
    if writer in STORED:
        cache.set(cache.key, STORED[writer], ttl)
        return
    obj, serializer, options = WRITERS[writer]
    cache.put(cache.key, obj, serializer, ttl, **options)


def corrupt(cache, writer: str) -> None:
    """The entry with its last byte altered, under the same key."""
    write(cache, writer)
    cache.set(cache.key, flipped(cache.value(cache.key)))


# Members


@every_value
def test_the_members_of_the_contract_are_there(cache, mnt, value):
    write(cache, value)
    assert MEMBERS - set(meta(mnt, cache.key)) == set()


@every_value
def test_the_text_is_json_for_jq(cache, mnt, value):
    write(cache, value)
    assert subprocess.run(["jq", "-e", ".", mnt / f"meta/{cache.key}.json"], capture_output=True).returncode == 0


@every_value
def test_the_size_of_the_open_file_is_the_length_of_the_text(cache, mnt, value):
    write(cache, value)
    with open(mnt / f"meta/{cache.key}.json", "rb") as file:
        assert os.fstat(file.fileno()).st_size == len(file.read())


@every_value
def test_the_text_is_one_that_ends_in_a_newline(cache, mnt, value):
    write(cache, value)
    assert read(mnt / f"meta/{cache.key}.json").endswith(b"}\n")


def test_key_is_the_key(cache, mnt):
    write(cache, "default")
    assert meta(mnt, cache.key)["key"] == cache.key


@pytest.mark.file_only
def test_key_is_null_while_only_the_hash_is_known(cache, mnt):
    write(cache, "default")
    assert meta(mnt, cache.hash(cache.key))["key"] is None


def test_backend_is_that_of_the_cache(cache, mnt):
    write(cache, "default")
    assert meta(mnt, cache.key)["backend"] == cache.KIND


@pytest.mark.parametrize("ttl", [None, 1000])
def test_expires_is_as_in_the_extended_attribute(cache, mnt, ttl):
    write(cache, "default", ttl)
    assert meta(mnt, cache.key)["expires"] == xattrs(mnt / cache.key)["expires"].decode()


@every_writer
def test_size_tells_the_lengths_of_entry_value_and_payload(cache, mnt, writer):
    write(cache, writer)
    expected = {"stored": cache.stored_size(cache.key), "frame": len(cache.value(cache.key)), "payload": len(cache.payload(cache.key))}
    assert meta(mnt, cache.key)["size"] == expected


def test_size_of_a_legacy_entry_has_the_decoded_length(cache, mnt):
    write(cache, "legacy")
    assert meta(mnt, cache.key)["size"]["payload"] == 7


@every_writer
def test_frame_header_is_the_stored_header(cache, mnt, writer):
    write(cache, writer)
    value = cache.value(cache.key)
    stored = json.loads(value[7 : 7 + struct.unpack(">I", value[3:7])[0]])
    assert meta(mnt, cache.key)["frame"] == {"kind": "v3", "header": stored}


@pytest.mark.parametrize("value, kind", [("legacy", "legacy"), ("foreign", "none"), ("empty", "none")])
def test_frame_kind_tells_other_values(cache, mnt, value, kind):
    write(cache, value)
    assert meta(mnt, cache.key)["frame"]["kind"] == kind


@pytest.mark.parametrize("value", ["foreign", "empty"])
def test_a_foreign_value_has_no_header(cache, mnt, value):
    write(cache, value)
    assert meta(mnt, cache.key)["frame"].get("header") is None


def test_a_sealed_entry_is_told_from_others(cache, mnt):
    write(cache, "sealed")
    cache.put(f"{cache.key}.plain", DOCUMENT, "default")
    assert meta(mnt, cache.key)["seal"] != meta(mnt, f"{cache.key}.plain")["seal"]


@pytest.mark.parametrize("one, other", [("orjson", "orjson unchecked"), ("auto ndarray", "auto ndarray unchecked"), ("default", "orjson")])
def test_envelopes_are_told_apart_once_a_view_was_opened(cache, mnt, one, other):
    shown = []
    for writer in (one, other):
        write(cache, writer)
        for view in ("npy/%s.npy", "json/%s.json"):
            failure(mnt / (view % cache.key))
        shown.append(meta(mnt, cache.key)["envelope"])
    assert shown[0] != shown[1]


@pytest.mark.parametrize("one, other", [("orjson", "arrow"), ("arrow", "auto ndarray"), ("default", "auto ndarray"), ("default", "orjson")])
def test_documents_are_told_apart(cache, mnt, one, other):
    shown = []
    for writer in (one, other):
        write(cache, writer)
        shown.append(meta(mnt, cache.key)["document"])
    assert shown[0] != shown[1]


@every_value
def test_views_say_true_or_the_reason_why_not(cache, mnt, value):
    write(cache, value)
    views = meta(mnt, cache.key)["views"]
    assert {name for name, view in views.items() if view is not True and not (isinstance(view, str) and view)} == set()


@every_value
def test_views_name_every_decoded_view(cache, mnt, value):
    write(cache, value)
    assert DECODED - set(meta(mnt, cache.key)["views"]) == set()


@pytest.mark.parametrize(
    "writer, shown",
    [("arrow", {"arrow"}), ("auto ndarray", {"npy"}), ("orjson", {"json"}), ("default", {"msgpack", "json"})]
    + [(value, set()) for value in ("sealed", "foreign", "malformed")],
)
def test_the_decoded_views_that_open_are_true(cache, mnt, writer, shown):
    write(cache, writer)
    views = meta(mnt, cache.key)["views"]
    assert {name for name in DECODED if views[name] is True} == shown


@checked
def test_a_view_that_failed_has_a_reason(cache, mnt, writer, view):
    corrupt(cache, writer)
    failure(mnt / (view % cache.key))
    assert "checksum" in meta(mnt, cache.key)["views"][view.split("/")[0]]


# Checksum


@pytest.mark.parametrize("writer", ["arrow", "auto ndarray"])
def test_checksum_is_unchecked_before_a_view_was_opened(cache, mnt, writer):
    write(cache, writer)
    assert meta(mnt, cache.key)["checksum"] == "unchecked"


@checked
def test_checksum_is_ok_after_a_view_was_opened(cache, mnt, writer, view):
    write(cache, writer)
    read(mnt / (view % cache.key))
    assert meta(mnt, cache.key)["checksum"] == "ok"


@checked
def test_checksum_is_mismatch_after_a_view_failed(cache, mnt, writer, view):
    corrupt(cache, writer)
    assert (failure(mnt / (view % cache.key)), meta(mnt, cache.key)["checksum"]) == ("EBADMSG", "mismatch")


@pytest.mark.parametrize("writer, view", [("auto ndarray unchecked", "npy/%s.npy"), ("orjson unchecked", "json/%s.json")])
def test_checksum_is_none_of_an_entry_without_one(cache, mnt, writer, view):
    write(cache, writer)
    read(mnt / (view % cache.key))
    assert meta(mnt, cache.key)["checksum"] == "none"


def test_checksum_is_none_of_a_foreign_value(cache, mnt):
    cache.set(cache.key, b"foreign")
    assert meta(mnt, cache.key)["checksum"] == "none"


@pytest.mark.parametrize("name", ["%s", "raw/%s", "frame/%s", "meta/%s.json"])
def test_views_that_do_not_verify_leave_it_unchecked(cache, mnt, name):
    write(cache, "arrow")
    read(mnt / (name % cache.key))
    assert meta(mnt, cache.key)["checksum"] == "unchecked"


def test_checksum_of_a_new_version_is_unchecked_again(cache, mnt):
    corrupt(cache, "arrow")
    failure(mnt / f"arrow/{cache.key}.arrow")
    write(cache, "arrow")
    assert meta(mnt, cache.key)["checksum"] == "unchecked"


@pytest.mark.parametrize("writer, view", [("arrow", "arrow/%s.arrow"), ("auto ndarray", "npy/%s.npy")])
def test_verify_never_leaves_it_unchecked(cache, mount, writer, view):
    write(cache, writer)
    mnt = mount(cache, "verify=never")
    read(mnt / (view % cache.key))
    assert meta(mnt, cache.key)["checksum"] == "unchecked"


def test_verify_never_serves_an_altered_table(cache, mount):
    corrupt(cache, "arrow")
    assert read(mount(cache, "verify=never") / f"arrow/{cache.key}.arrow") == cache.payload(cache.key)[8:]


# Hostile keys and headers


@pytest.mark.own_mount
@pytest.mark.parametrize("key", ['"', "\\", "a\n\x00\x1f\x7f", "</script>", "ключ 🦀", "\u2028\ufeff", "k" * 1000])
@pytest.mark.not_on_http("keys of other characters")
def test_the_key_of_a_hostile_entry_is_exact(cache, mount, tmp, key):
    cache.set(key, b"value")
    (tmp / "keys").write_bytes(escaped(key))
    assert meta(mount(cache, f"keys={tmp / 'keys'}"), key)["key"] == key


@pytest.mark.parametrize("key", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"])
@pytest.mark.not_on_http("keys of other characters")
def test_a_key_that_is_not_utf8_leaves_the_text_valid(cache, mnt, key):
    cache.write(key, b"value")
    assert isinstance(json.loads(read(mnt / f"meta/{name_of(key)}.json").decode())["key"], str)


HEADERS = {
    "duplicates": b'{"s":"a","m":{"format":"x","format":"y"},"s":"b"}',
    "an escape": b'{"s":"\\u0000\\n\\u001b\\"\\\\","m":{}}',
    "a lone surrogate": b'{"s":"\\ud800","m":{"format":"\\udfff"}}',
    "a number beyond all": b'{"s":"a","m":{"n":1e999999,"i":123456789012345678901234567890}}',
    "NaN": b'{"s":"a","m":{"n":NaN,"i":-Infinity}}',
    "wrong types": b'{"s":"a","m":[1,2],"v":{}}',
    "no metadata": b'{"s":"a"}',
    "metadata is null": b'{"s":"a","m":null}',
    "nesting": b'{"s":"a","m":' + b"[" * 200 + b"]" * 200 + b"}",
    "deep nesting": b'{"s":"a","m":' + b"[" * 900 + b"]" * 900 + b"}",
    "a megabyte": b'{"s":"a","m":{"t":"' + b"x" * (1 << 20) + b'"}}',
    "white space": b' {"s" : "a"\t,\r\n"m":{} }' + b" " * 100,
    "raw DEL and C1": '{"s":"a\x7f\u0085\u2028","m":{}}'.encode(),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_hostile_header_leaves_the_text_valid(cache, mnt, case):
    cache.set(cache.key, v3(b"payload", header=HEADERS[case]))
    assert MEMBERS - set(json.loads(read(mnt / f"meta/{cache.key}.json").decode())) == set()


@pytest.mark.parametrize("case", HEADERS)
def test_a_hostile_header_leaves_the_payload_readable(cache, mnt, case):
    cache.set(cache.key, v3(b"payload", header=HEADERS[case]))
    assert (read(mnt / cache.key), bytes(SerializationWrapper.unwrap(cache.value(cache.key))[0])) == (b"payload", b"payload")


@pytest.mark.parametrize("case", ["duplicates", "an escape", "wrong types", "nesting", "white space", "raw DEL and C1"])
def test_a_hostile_header_is_shown_as_json_reads_it(cache, mnt, case):
    cache.set(cache.key, v3(b"payload", header=HEADERS[case]))
    assert meta(mnt, cache.key)["frame"]["header"] == json.loads(HEADERS[case])


# .ckfs/stats


def stats(mnt) -> dict[tuple, float]:
    families = text_string_to_metric_families(read(mnt / ".ckfs/stats").decode())
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def test_stats_are_prometheus_text(mnt):
    assert stats(mnt)


def test_stats_carry_the_programs_name(mnt):
    assert {name for name, *_ in stats(mnt) if not re.fullmatch(r"ckfs_[a-z0-9_]+", name)} == set()


def test_every_statistic_has_a_type_and_a_help_line(mnt):
    families = list(text_string_to_metric_families(read(mnt / ".ckfs/stats").decode()))
    assert [f.name for f in families if f.type == "unknown" or not f.documentation] == []


@pytest.mark.own_mount
def test_stats_are_made_afresh_at_each_open(cache, mnt):
    write(cache, "arrow")
    before = stats(mnt)
    read(mnt / f"arrow/{cache.key}.arrow")
    assert stats(mnt) != before


@pytest.mark.own_mount
def test_counters_never_fall(cache, mnt):
    write(cache, "arrow")
    before = stats(mnt)
    read(mnt / cache.key)
    after = stats(mnt)
    assert {name for name in before if name[0].endswith("_total") and after[name] < before[name]} == set()


@pytest.mark.own_mount
@pytest.mark.not_on_http("listings")
def test_calls_of_the_backend_are_counted_by_operation_and_result(cache, mnt):
    def calls() -> dict[tuple, float]:
        return {labels: n for (name, *labels), n in stats(mnt).items() if name == "ckfs_backend_calls_total" for labels in [tuple(v for _, v in labels)]}

    def told(operation: str, result: str, deed) -> float:
        before = calls()
        deed()
        return calls().get((operation, result), 0) - before.get((operation, result), 0)

    write(cache, "arrow")
    assert {result for _, result in calls()} == {"ok"}
    assert told("find", "ok", lambda: read(mnt / cache.key)) >= 1
    assert told("find", "absent", lambda: failure(mnt / "nobody")) >= 1
    assert told("list", "ok", lambda: os.listdir(mnt / "raw")) == 1
    assert told("next", "ok", lambda: os.listdir(mnt / "raw")) >= 2, "an entry and the end"
    assert told("statfs", "ok", lambda: os.statvfs(mnt / "raw")) == 1
    assert {operation for operation, _ in calls()} == {"find", "resolve", "fetch", "expires", "list", "next", "changed", "statfs", "put", "remove", "expire"}


@pytest.mark.own_mount
def test_the_size_of_open_stats_is_their_length(mnt):
    with open(mnt / ".ckfs/stats", "rb") as file:
        assert os.fstat(file.fileno()).st_size == len(file.read())
