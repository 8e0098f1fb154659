"""§4: extended attributes, the same in every view of an entry."""

import errno
import os
import subprocess
import time
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from cachekit.serializers.wrapper import SerializationWrapper

from helpers import escaped, failure, flipped, legacy, metadata, name_of, prefixed, v3, xattrs

KEY = "ns:users:func:app.load"
FRAME = pd.DataFrame({"a": [1, 2, 3]})
DOCUMENT = {"user": "Ada"}
SEALED = {"encryption": True, "master_key": "5a" * 32, "single_tenant_mode": True, "deployment_uuid": "0f0e0d0c-0b0a-4908-8706-050403020100"}
OF_HEADER = ("serializer", "format", "original_type", "encoding", "compressed", "tenant_id", "key_fingerprint")
WRITERS = {
    "auto ndarray": (np.arange(5), "auto", {}),
    "auto dataframe": (FRAME, "auto", {}),
    "auto dict": (DOCUMENT, "auto", {}),
    "auto series": (pd.Series([1, 2]), "auto", {}),
    "default": (DOCUMENT, "default", {}),
    "default unchecked": (DOCUMENT, "default", {"integrity_checking": False}),
    "orjson": (DOCUMENT, "orjson", {}),
    "arrow": (FRAME, "arrow", {}),
    "default sealed": (DOCUMENT, "default", SEALED),
    "orjson sealed": (DOCUMENT, "orjson", SEALED),
}
every_writer = pytest.mark.parametrize("writer", WRITERS)


def write(cache, writer: str, ttl: int | None = 3600) -> None:
    obj, serializer, options = WRITERS[writer]
    cache.put(KEY, obj, serializer, ttl, **options)


def text(value) -> bytes | None:
    """A header member as an attribute says it."""
    return None if value is None else {True: b"true", False: b"false"}.get(value) or value.encode()


def absent(path, name: str) -> bool:
    try:
        os.getxattr(path, name)
    except OSError as e:
        assert e.errno == errno.ENODATA
        return True
    return False


# What they say


@every_writer
def test_the_attributes_of_the_header_are_its_members(cache, mnt, writer):
    write(cache, writer)
    _, header, serializer = SerializationWrapper.unwrap(cache.value(KEY))
    shown = xattrs(mnt / KEY)
    assert {n: shown.get(n) for n in OF_HEADER} == {n: text({"serializer": serializer, **header}.get(n)) for n in OF_HEADER}


@every_writer
def test_the_key_is_the_whole_key(cache, mnt, writer):
    write(cache, writer)
    assert xattrs(mnt / KEY)["key"] == KEY.encode()


@every_writer
def test_size_frame_is_the_length_of_the_stored_value(cache, mnt, writer):
    write(cache, writer)
    assert int(xattrs(mnt / KEY)["size.frame"]) == len(cache.value(KEY))


@every_writer
def test_size_payload_is_the_length_of_the_payload(cache, mnt, writer):
    write(cache, writer)
    assert int(xattrs(mnt / KEY)["size.payload"]) == len(cache.payload(KEY))


@pytest.mark.parametrize("writer, shown", [("default sealed", {b"true"}), ("default", {None, b"false"})])
def test_encrypted_tells_a_sealed_entry(cache, mnt, writer, shown):
    write(cache, writer)
    assert xattrs(mnt / KEY).get("encrypted") in shown


def test_compressed_is_false_for_an_array(cache, mnt):
    write(cache, "auto ndarray")
    assert os.getxattr(mnt / KEY, "user.ckfs.compressed") == b"false"


@pytest.mark.parametrize("key", ["a/b\n\x01%", "ключ", "k" * 300, "é" * 2000, "raw", "k" * 60_000])
def test_the_key_is_unescaped_and_uncut(cache, mount, tmp, key):
    cache.set(key, b"value")
    (tmp / "keys").write_bytes(escaped(key))
    assert xattrs(mount(cache, f"keys={tmp / 'keys'}") / name_of(key))["key"] == key.encode()


@pytest.mark.file_only
def test_the_key_is_absent_while_only_the_hash_is_known(cache, mnt):
    write(cache, "default")
    assert absent(mnt / cache.hash(KEY), "user.ckfs.key")


@pytest.mark.file_only
def test_everything_but_the_key_is_known_by_hash(cache, mnt):
    write(cache, "arrow", ttl=None)
    by_hash = xattrs(mnt / cache.hash(KEY))
    assert by_hash == {name: value for name, value in xattrs(mnt / KEY).items() if name != "key"}


@pytest.mark.parametrize("value", [b"", b"foreign", b"{"])
def test_a_foreign_value_has_a_key_an_expiry_and_sizes(cache, mnt, value):
    cache.set(KEY, value)
    assert xattrs(mnt / KEY) == {
        "key": KEY.encode(),
        "expires": b"never",
        "size.frame": b"%d" % len(value),
        "size.payload": b"%d" % len(value),
    }


def test_a_legacy_entry_has_the_attributes_of_its_frame(cache, mnt):
    value = legacy(b"payload", {"format": "msgpack", "compressed": True}, "old")
    cache.set(KEY, value)
    expected = {
        "key": KEY.encode(),
        "expires": b"never",
        "serializer": b"old",
        "format": b"msgpack",
        "compressed": b"true",
        "size.frame": b"%d" % len(value),
        "size.payload": b"7",
    }
    assert expected.items() <= xattrs(mnt / KEY).items()


@pytest.mark.parametrize("member", ["format", "original_type", "encoding", "compressed", "tenant_id", "key_fingerprint"])
@pytest.mark.parametrize("value", [None, 5, [], {"a": "b"}, "missing"], ids=str)
def test_a_member_that_is_absent_or_of_another_type_has_no_attribute(cache, mnt, member, value):
    header = metadata("msgpack", tenant_id="t", key_fingerprint="f") | {member: value}
    if value == "missing" and member != "compressed":
        del header[member]
    cache.set(KEY, v3(b"payload", header))
    assert absent(mnt / KEY, f"user.ckfs.{member}")


@pytest.mark.parametrize("value", ["tenant ä", "a\nb", "🦀", "x" * 200])
def test_a_member_is_shown_as_utf8(cache, mnt, value):
    cache.set(KEY, v3(b"payload", metadata("msgpack", tenant_id=value)))
    assert os.getxattr(mnt / KEY, "user.ckfs.tenant_id") == value.encode()


def test_of_a_duplicate_member_the_last_wins(cache, mnt):
    cache.set(KEY, v3(b"", header=b'{"s":"a","m":{"format":"x"},"m":{"format":"y","format":"z"},"s":"b"}'))
    shown = xattrs(mnt / KEY)
    assert (shown["serializer"], shown["format"]) == (b"b", b"z")


# Expiry


def test_expires_is_the_stored_time_as_rfc_3339(cache, mnt):
    write(cache, "default", ttl=1000)
    shown = datetime.fromisoformat(os.getxattr(mnt / KEY, "user.ckfs.expires").decode())
    assert (shown.timestamp(), shown.utcoffset() is not None) == (cache.expiry(KEY), True)


def test_expires_is_in_utc(cache, mount):
    write(cache, "default", ttl=1000)
    shown = os.getxattr(mount(cache, env={"TZ": "Asia/Tokyo"}) / KEY, "user.ckfs.expires")
    assert datetime.fromisoformat(shown.decode()).utcoffset() == timedelta(0)


def test_expires_is_never_without_a_ttl(cache, mnt):
    write(cache, "default", ttl=None)
    assert os.getxattr(mnt / KEY, "user.ckfs.expires") == b"never"


def test_ttl_is_the_seconds_that_are_left(cache, mnt):
    write(cache, "default", ttl=1000)
    shown = int(os.getxattr(mnt / KEY, "user.ckfs.ttl"))
    assert cache.expiry(KEY) - time.time() - 1 <= shown <= 1000


def test_ttl_is_absent_for_never(cache, mnt):
    write(cache, "default", ttl=None)
    assert absent(mnt / KEY, "user.ckfs.ttl")


@pytest.mark.parametrize("ttl, shown", [(50_000, lambda v: 49_990 < int(v) <= 50_000), (0, lambda v: v is None)])
def test_a_rewritten_ttl_shows_at_once(cache, mnt, ttl, shown):
    write(cache, "default", ttl=1000)
    xattrs(mnt / KEY)
    cache.refresh_ttl(KEY, ttl)
    assert shown(xattrs(mnt / KEY).get("ttl"))


def test_a_rewritten_ttl_shows_in_expires(cache, mnt):
    write(cache, "default", ttl=1000)
    xattrs(mnt / KEY)
    cache.refresh_ttl(KEY, 50_000)
    assert datetime.fromisoformat(xattrs(mnt / KEY)["expires"].decode()).timestamp() == cache.expiry(KEY)


@pytest.mark.parametrize("ttl", [None, 1000])
@pytest.mark.parametrize("first, second", [(b"a", b"ab"), (b"old", b"new"), (b"x" * 200_000 + b"1", b"x" * 200_000 + b"2"), (b"", b"a")])
def test_an_open_version_keeps_its_expiry(cache, mnt, first, second, ttl):
    """The last that it had, when its key has another one or is gone."""

    def shown():
        lasts = absent(file.fileno(), "user.ckfs.ttl") or int(os.getxattr(file.fileno(), "user.ckfs.ttl")) > 500
        return os.getxattr(file.fileno(), "user.ckfs.expires"), lasts

    cache.set(KEY, first, ttl=ttl and 3000)
    with open(mnt / KEY, "rb") as file:
        assert file.read() == first
        if ttl:
            cache.refresh_ttl(KEY, ttl)
        own = shown()
        assert (own[0] == b"never", own[1]) == (not ttl, True)
        cache.set(KEY, second, ttl=100)
        assert (shown(), int(xattrs(mnt / KEY)["ttl"]) <= 100) == (own, True)
        cache.delete(KEY)
        assert shown() == own


def test_a_version_that_is_gone_and_held_by_nobody_has_no_attributes(cache, mnt):
    cache.set(KEY, b"old", ttl=1000)
    fd = os.open(mnt / KEY, os.O_PATH)
    try:
        time.sleep(1.5)  # until it is not kept any more
        cache.set(KEY, b"newer", ttl=1000)
        for _ in range(3):
            assert absent(f"/proc/self/fd/{fd}", "user.ckfs.expires")
    finally:
        os.close(fd)
    assert xattrs(mnt / KEY)["size.frame"] == b"5"


@pytest.mark.file_only  # a server takes no such moment
@pytest.mark.parametrize("expires", [2**63, 2**64 - 1, 253402300800])
def test_an_expiry_past_the_year_9999_harms_nothing(cache, mnt, expires):
    cache.write_file(KEY, cache.entry_header(expires) + b"value")
    assert int(xattrs(mnt / KEY).get("ttl", b"1")) > 0


# Where they are


@every_writer
def test_they_are_the_same_in_every_view(cache, mnt, writer):
    write(cache, writer, ttl=None)
    views = {"orjson": ["json/%s.json"], "arrow": ["arrow/%s.arrow", "arrow/%s"], "auto ndarray": ["npy/%s.npy"]}.get(writer, [])
    shown = [xattrs(mnt / (view % KEY)) for view in ["%s", "raw/%s", "frame/%s", "meta/%s.json", *views]]
    assert shown == [shown[0]] * len(shown)


@pytest.mark.parametrize("path", ["", "raw", "arrow", ".ckfs", ".ckfs/stats"])
def test_what_is_no_entry_has_none(mnt, path):
    assert os.listxattr(mnt / path) == []


@pytest.mark.parametrize("name", ["security.selinux", "trusted.x", "user.other", "user.ckfs.other", "user.ckfs.", "user.ckfs.KEY"])
@pytest.mark.parametrize("path", ["", "raw", f"{KEY}", f"meta/{KEY}.json", ".ckfs/stats"])
def test_any_other_name_is_enodata(cache, mnt, path, name):
    write(cache, "default")
    assert absent(mnt / path, name)


def test_every_listed_attribute_can_be_read_with_a_buffer_of_its_size(cache, mnt):
    write(cache, "default sealed")
    shown = subprocess.check_output(["getfattr", "--absolute-names", "-d", mnt / KEY], text=True)
    assert {line.split("=")[0] for line in shown.splitlines() if "=" in line} == {f"user.ckfs.{n}" for n in xattrs(mnt / KEY)}


def test_getfattr_shows_them_as_text(cache, mnt):
    write(cache, "default", ttl=None)
    shown = subprocess.check_output(["getfattr", "--absolute-names", "-d", mnt / KEY], text=True)
    assert 'user.ckfs.expires="never"' in shown.splitlines()


def test_they_cannot_be_set_on_a_read_only_mount(cache, mnt):
    write(cache, "default")
    with pytest.raises(OSError) as e:
        os.setxattr(mnt / KEY, "user.ckfs.ttl", b"60")
    assert e.value.errno == errno.EROFS


# .error


@pytest.mark.parametrize("writer", ["auto ndarray", "orjson", "arrow"])
def test_an_entry_whose_views_all_open_has_no_error(cache, mnt, writer):
    write(cache, writer)
    assert absent(mnt / KEY, "user.ckfs.error")


@pytest.mark.parametrize("view", ["%s", "raw/%s", "frame/%s", "arrow/%s.arrow", "meta/%s.json"])
def test_error_says_why_a_view_failed(cache, mnt, view):
    cache.set(KEY, v3(flipped(prefixed(b"ARROW1 a table ARROW1")), metadata("arrow"), "arrow"))
    assert failure(mnt / f"arrow/{KEY}.arrow") == "EBADMSG"
    assert b"checksum" in os.getxattr(mnt / (view % KEY), "user.ckfs.error")


def test_error_is_one_bounded_line(cache, mnt):
    cache.set(KEY, v3(b"NUMPY_RAW\x04\x00i\n\x1b4\x00\x00", metadata("numpy")))
    failure(mnt / f"npy/{KEY}.npy")
    error = os.getxattr(mnt / KEY, "user.ckfs.error")
    assert (len(error) < 1000, error.decode().isprintable()) == (True, True)


def test_a_new_version_of_the_entry_has_no_error(cache, mnt):
    cache.set(KEY, v3(flipped(prefixed(b"ARROW1 a table ARROW1")), metadata("arrow"), "arrow"))
    failure(mnt / f"arrow/{KEY}.arrow")
    write(cache, "arrow")
    assert absent(mnt / KEY, "user.ckfs.error")


def test_a_malformed_frame_has_an_error(cache, mnt):
    cache.set(KEY, b"CK\x03\xff\xff\xff\xff")
    failure(mnt / KEY)
    assert os.getxattr(mnt / KEY, "user.ckfs.error")
