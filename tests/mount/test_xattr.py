"""§4: extended attributes, the same in every view of an entry."""

import errno
import json
import os
import signal
import subprocess
import time
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from cachekit.serializers.wrapper import SerializationWrapper

from entries import stats
from helpers import escaped, failure, flipped, legacy, list_xattrs, metadata, name_of, prefixed, read, v3, xattrs

pytestmark = [pytest.mark.shared_mount, pytest.mark.on_http]

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
    cache.put(cache.key, obj, serializer, ttl, **options)


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
    _, header, serializer = SerializationWrapper.unwrap(cache.value(cache.key))
    shown = xattrs(mnt / cache.key)
    assert {n: shown.get(n) for n in OF_HEADER} == {n: text({"serializer": serializer, **header}.get(n)) for n in OF_HEADER}


@every_writer
def test_the_key_is_the_whole_key(cache, mnt, writer):
    write(cache, writer)
    assert xattrs(mnt / cache.key)["key"] == cache.key.encode()


@every_writer
def test_size_frame_is_the_length_of_the_stored_value(cache, mnt, writer):
    write(cache, writer)
    assert int(xattrs(mnt / cache.key)["size.frame"]) == len(cache.value(cache.key))


@every_writer
def test_size_payload_is_the_length_of_the_payload(cache, mnt, writer):
    write(cache, writer)
    assert int(xattrs(mnt / cache.key)["size.payload"]) == len(cache.payload(cache.key))


@pytest.mark.parametrize("writer, shown", [("default sealed", {b"true"}), ("default", {None, b"false"})])
def test_encrypted_tells_a_sealed_entry(cache, mnt, writer, shown):
    write(cache, writer)
    assert xattrs(mnt / cache.key).get("encrypted") in shown


def test_compressed_is_false_for_an_array(cache, mnt):
    write(cache, "auto ndarray")
    assert os.getxattr(mnt / cache.key, "user.ckfs.compressed") == b"false"


@pytest.mark.own_mount
@pytest.mark.parametrize("key", ["a/b\n\x01%", "ключ", "k" * 300, "é" * 2000, "raw", "k" * 60_000])
@pytest.mark.not_on_http("keys of other characters")
def test_the_key_is_unescaped_and_uncut(cache, mount, tmp, key):
    cache.set(key, b"value")
    (tmp / "keys").write_bytes(escaped(key))
    assert xattrs(mount(cache, f"keys={tmp / 'keys'}") / name_of(key))["key"] == key.encode()


@pytest.mark.file_only
def test_the_key_is_absent_while_only_the_hash_is_known(cache, mnt):
    write(cache, "default")
    assert absent(mnt / cache.hash(cache.key), "user.ckfs.key")


@pytest.mark.file_only
def test_everything_but_the_key_is_known_by_hash(cache, mnt):
    write(cache, "arrow", ttl=None)
    by_hash = xattrs(mnt / cache.hash(cache.key))
    assert by_hash == {name: value for name, value in xattrs(mnt / cache.key).items() if name != "key"}


@pytest.mark.parametrize("value", [b"", b"foreign", b"{"])
def test_a_foreign_value_has_a_key_an_expiry_and_sizes(cache, mnt, value):
    cache.set(cache.key, value)
    assert xattrs(mnt / cache.key) == {
        "key": cache.key.encode(),
        "expires": b"never",
        "size.frame": b"%d" % len(value),
        "size.payload": b"%d" % len(value),
    }


def test_a_legacy_entry_has_the_attributes_of_its_frame(cache, mnt):
    value = legacy(b"payload", {"format": "msgpack", "compressed": True}, "old")
    cache.set(cache.key, value)
    expected = {
        "key": cache.key.encode(),
        "expires": b"never",
        "serializer": b"old",
        "format": b"msgpack",
        "compressed": b"true",
        "size.frame": b"%d" % len(value),
        "size.payload": b"7",
    }
    assert expected.items() <= xattrs(mnt / cache.key).items()


@pytest.mark.parametrize("member", ["format", "original_type", "encoding", "compressed", "tenant_id", "key_fingerprint"])
@pytest.mark.parametrize("value", [None, 5, [], {"a": "b"}, "missing"], ids=str)
def test_a_member_that_is_absent_or_of_another_type_has_no_attribute(cache, mnt, member, value):
    header = metadata("msgpack", tenant_id="t", key_fingerprint="f") | {member: value}
    if value == "missing" and member != "compressed":
        del header[member]
    cache.set(cache.key, v3(b"payload", header))
    assert absent(mnt / cache.key, f"user.ckfs.{member}")


@pytest.mark.parametrize("value", ["tenant ä", "a\nb", "🦀", "x" * 200])
def test_a_member_is_shown_as_utf8(cache, mnt, value):
    cache.set(cache.key, v3(b"payload", metadata("msgpack", tenant_id=value)))
    assert os.getxattr(mnt / cache.key, "user.ckfs.tenant_id") == value.encode()


def test_of_a_duplicate_member_the_last_wins(cache, mnt):
    cache.set(cache.key, v3(b"", header=b'{"s":"a","m":{"format":"x"},"m":{"format":"y","format":"z"},"s":"b"}'))
    shown = xattrs(mnt / cache.key)
    assert (shown["serializer"], shown["format"]) == (b"b", b"z")


# Expiry


def test_expires_is_the_stored_time_as_rfc_3339(cache, mnt):
    write(cache, "default", ttl=1000)
    shown = datetime.fromisoformat(os.getxattr(mnt / cache.key, "user.ckfs.expires").decode())
    assert shown.utcoffset() is not None and abs(shown.timestamp() - cache.expiry(cache.key)) <= cache.EXPIRY_WITHIN


def test_expires_is_in_utc(cache, mount):
    write(cache, "default", ttl=1000)
    shown = os.getxattr(mount(cache, env={"TZ": "Asia/Tokyo"}) / cache.key, "user.ckfs.expires")
    assert datetime.fromisoformat(shown.decode()).utcoffset() == timedelta(0)


def test_expires_is_never_without_a_ttl(cache, mnt):
    write(cache, "default", ttl=None)
    assert os.getxattr(mnt / cache.key, "user.ckfs.expires") == b"never"


def test_ttl_is_the_seconds_that_are_left(cache, mnt):
    write(cache, "default", ttl=1000)
    shown = int(os.getxattr(mnt / cache.key, "user.ckfs.ttl"))
    assert cache.expiry(cache.key) - time.time() - 1 <= shown <= 1000


def test_ttl_is_absent_for_never(cache, mnt):
    write(cache, "default", ttl=None)
    assert absent(mnt / cache.key, "user.ckfs.ttl")


@pytest.mark.parametrize("ttl, shown", [(50_000, lambda v: 49_990 < int(v) <= 50_000), (0, lambda v: v is None)])
@pytest.mark.not_on_http("what tells an expiry is asked once a second, and of the newest version")
def test_a_rewritten_ttl_shows_at_once(cache, mnt, ttl, shown):
    write(cache, "default", ttl=1000)
    xattrs(mnt / cache.key)
    cache.refresh_ttl(cache.key, ttl)
    assert shown(xattrs(mnt / cache.key).get("ttl"))


@pytest.mark.not_on_http("what tells an expiry is asked once a second, and of the newest version")
def test_a_rewritten_ttl_shows_in_expires(cache, mnt):
    write(cache, "default", ttl=1000)
    xattrs(mnt / cache.key)
    cache.refresh_ttl(cache.key, 50_000)
    assert abs(datetime.fromisoformat(xattrs(mnt / cache.key)["expires"].decode()).timestamp() - cache.expiry(cache.key)) <= cache.EXPIRY_WITHIN


@pytest.mark.parametrize("ttl", [None, 1000])
@pytest.mark.parametrize("first, second", [(b"a", b"ab"), (b"old", b"new"), (b"x" * 200_000 + b"1", b"x" * 200_000 + b"2"), (b"", b"a")])
@pytest.mark.not_on_http("what tells an expiry is asked once a second, and of the newest version")
def test_an_open_version_keeps_its_expiry(cache, mnt, first, second, ttl):
    """The last that it had, when its key has another one or is gone."""

    def shown():
        lasts = absent(file.fileno(), "user.ckfs.ttl") or int(os.getxattr(file.fileno(), "user.ckfs.ttl")) > 500
        return os.getxattr(file.fileno(), "user.ckfs.expires"), lasts

    cache.set(cache.key, first, ttl=ttl and 3000)
    with open(mnt / cache.key, "rb") as file:
        assert file.read() == first
        if ttl:
            cache.refresh_ttl(cache.key, ttl)
        own = shown()
        assert (own[0] == b"never", own[1]) == (not ttl, True)
        cache.set(cache.key, second, ttl=100)
        assert (shown(), int(xattrs(mnt / cache.key)["ttl"]) <= 100) == (own, True)
        cache.delete(cache.key)
        assert shown() == own


def test_a_version_that_is_gone_and_held_by_nobody_has_no_attributes(cache, mnt):
    cache.set(cache.key, b"old", ttl=1000)
    fd = os.open(mnt / cache.key, os.O_PATH)
    try:
        time.sleep(1.5)  # until it is not kept any more
        cache.set(cache.key, b"newer", ttl=1000)
        for _ in range(3):
            assert absent(f"/proc/self/fd/{fd}", "user.ckfs.expires")
    finally:
        os.close(fd)
    assert xattrs(mnt / cache.key)["size.frame"] == b"5"


@pytest.mark.own_mount
@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.not_on_http("listings")
def test_an_open_version_keeps_its_attributes_when_all_is_dropped(cache, mount, listed):
    cache.set(cache.key, b"old", ttl=1000)
    m = mount(cache, "listed_ttl=60")
    if listed:
        path = next(entry.path for entry in os.scandir(m / "raw") if entry.stat().st_size)
    else:
        path = m / cache.key
    with open(path, "rb") as file:
        cache.set(cache.key, b"newer", ttl=1000)
        before = read(m / cache.key)
        m.process.send_signal(signal.SIGHUP)
        for _ in range(20):
            assert os.getxattr(file.fileno(), "user.ckfs.size.frame") == b"3"
            assert "user.ckfs.expires" in os.listxattr(file.fileno())
            time.sleep(0.02)
        assert (before, file.read()) == (b"newer", b"old")


@pytest.mark.own_mount
@pytest.mark.parametrize("size", [100, 100_000])
@pytest.mark.not_on_http("listings")
def test_of_a_name_that_was_listed_the_newest_attributes_are_told(cache, mount, size):
    """The kernel may have the version that the listing has shown."""
    cache.set(cache.key, b"o" * size, ttl=1000)
    m = mount(cache, "listed_ttl=60")
    for newest in (b"n" * (size + 1), b"m" * (size + 2)):
        [name] = [entry.path for entry in os.scandir(m / "raw") if entry.stat().st_size]
        time.sleep(1.5)  # until it is not kept any more
        cache.set(cache.key, newest, ttl=2000)
        assert int(os.getxattr(name, "user.ckfs.ttl")) > 1900
        assert os.getxattr(name, "user.ckfs.size.frame") == str(len(newest)).encode()
        assert "user.ckfs.size.frame" in os.listxattr(name)


@pytest.mark.file_only  # a server takes no such moment
@pytest.mark.parametrize("expires", [2**63, 2**64 - 1, 253402300800])
def test_an_expiry_past_the_year_9999_harms_nothing(cache, mnt, expires):
    """No such year can be written, so it is told as never, everywhere alike: a TTL beside it would say otherwise."""
    cache.write_file(cache.key, cache.entry_header(expires) + b"value")
    shown = xattrs(mnt / cache.key)
    assert (shown["expires"], shown.get("ttl")) == (b"never", None)
    assert json.loads(read(mnt / "meta" / cache.key))["expires"] == "never"
    assert read(mnt / cache.key) == b"value"


@pytest.mark.file_only
def test_the_last_second_of_the_year_9999_is_told(cache, mnt):
    cache.write_file(cache.key, cache.entry_header(253402300799) + b"value")
    shown = xattrs(mnt / cache.key)
    assert shown["expires"] == b"9999-12-31T23:59:59Z"
    assert abs(int(shown["ttl"]) - (253402300799 - time.time())) <= 2


@every_writer
@pytest.mark.parametrize("after", ["another question", "another version"])
def test_the_list_fits_the_length_that_was_told(cache, mnt, writer, after):
    """As of `cp -a` and `getfattr`, which ask for the length, then for the list, and do not ask again."""
    path = mnt / cache.key
    if after == "another version":
        cache.set(cache.key, b"bare", None)
        room = list_xattrs(path, 0)
        write(cache, writer)
    else:
        write(cache, writer)
        room = list_xattrs(path, 0)
    assert int(os.getxattr(path, "user.ckfs.ttl")) > 3500
    listed = os.listxattr(path)
    assert "user.ckfs.ttl" in listed and list_xattrs(path, room) == sum(len(name) + 1 for name in listed)


def test_a_list_that_the_room_is_too_small_for_is_erange(cache, mnt):
    write(cache, "default")
    assert list_xattrs(mnt / cache.key, 8) == -errno.ERANGE


# Where they are


@every_writer
def test_they_are_the_same_in_every_view(cache, mnt, writer):
    write(cache, writer, ttl=None)
    views = {"orjson": ["json/%s.json"], "arrow": ["arrow/%s.arrow", "arrow/%s"], "auto ndarray": ["npy/%s.npy"]}.get(writer, [])
    shown = [xattrs(mnt / (view % cache.key)) for view in ["%s", "raw/%s", "frame/%s", "meta/%s.json", *views]]
    assert shown == [shown[0]] * len(shown)


@pytest.mark.parametrize("path", ["", "raw", "arrow", ".ckfs", ".ckfs/stats"])
def test_what_is_no_entry_has_none(mnt, path):
    assert os.listxattr(mnt / path) == []


@pytest.mark.parametrize("name", ["security.selinux", "trusted.x", "user.other", "user.ckfs.other", "user.ckfs.", "user.ckfs.KEY"])
@pytest.mark.parametrize("path", ["", "raw", "{}", "meta/{}.json", ".ckfs/stats"])
def test_any_other_name_is_enodata(cache, mnt, path, name):
    write(cache, "default")
    assert absent(mnt / path.format(cache.key), name)


@pytest.mark.not_on_http("the TTL is listed once it is known")
def test_every_listed_attribute_can_be_read_with_a_buffer_of_its_size(cache, mnt):
    write(cache, "default sealed")
    shown = subprocess.check_output(["getfattr", "--absolute-names", "-d", mnt / cache.key], text=True)
    assert {line.split("=")[0] for line in shown.splitlines() if "=" in line} == {f"user.ckfs.{n}" for n in xattrs(mnt / cache.key)}


def test_getfattr_shows_them_as_text(cache, mnt):
    write(cache, "default", ttl=None)
    shown = subprocess.check_output(["getfattr", "--absolute-names", "-d", mnt / cache.key], text=True)
    assert 'user.ckfs.expires="never"' in shown.splitlines()


def test_they_cannot_be_set_on_a_read_only_mount(cache, mnt):
    write(cache, "default")
    with pytest.raises(OSError) as e:
        os.setxattr(mnt / cache.key, "user.ckfs.ttl", b"60")
    assert e.value.errno == errno.EROFS


# .error


@pytest.mark.parametrize("writer", ["auto ndarray", "orjson", "arrow"])
def test_an_entry_whose_views_all_open_has_no_error(cache, mnt, writer):
    write(cache, writer)
    assert absent(mnt / cache.key, "user.ckfs.error")


@pytest.mark.parametrize("view", ["%s", "raw/%s", "frame/%s", "arrow/%s.arrow", "meta/%s.json"])
def test_error_says_why_a_view_failed(cache, mnt, view):
    cache.set(cache.key, v3(flipped(prefixed(b"ARROW1 a table ARROW1")), metadata("arrow"), "arrow"))
    assert failure(mnt / f"arrow/{cache.key}.arrow") == "EBADMSG"
    assert b"checksum" in os.getxattr(mnt / (view % cache.key), "user.ckfs.error")


def test_error_is_one_bounded_line(cache, mnt):
    cache.set(cache.key, v3(b"NUMPY_RAW\x04\x00i\n\x1b4\x00\x00", metadata("numpy")))
    failure(mnt / f"npy/{cache.key}.npy")
    error = os.getxattr(mnt / cache.key, "user.ckfs.error")
    assert (len(error) < 1000, error.decode().isprintable()) == (True, True)


@pytest.mark.not_on_http("a stat may be as old as listed_ttl")
def test_a_new_version_of_the_entry_has_no_error(cache, mnt):
    cache.set(cache.key, v3(flipped(prefixed(b"ARROW1 a table ARROW1")), metadata("arrow"), "arrow"))
    failure(mnt / f"arrow/{cache.key}.arrow")
    write(cache, "arrow")
    assert absent(mnt / cache.key, "user.ckfs.error")


def test_a_malformed_frame_has_an_error(cache, mnt):
    cache.set(cache.key, b"CK\x03\xff\xff\xff\xff")
    failure(mnt / cache.key)
    assert os.getxattr(mnt / cache.key, "user.ckfs.error")


def test_noxattr_asks_for_nothing_more(cache, mount):
    for i in range(50):
        cache.set(f"{cache.key}{i}", v3(b"payload"), 3600)
    m = mount(cache, "noxattr")
    for _ in range(2):
        assert subprocess.run(["ls", "-l", m], capture_output=True, text=True).stderr == ""
    for ask in (lambda: os.getxattr(m / f"{cache.key}0", "user.ckfs.key"), lambda: os.listxattr(m / f"{cache.key}0")):
        with pytest.raises(OSError) as e:
            ask()
        assert e.value.errno == errno.EOPNOTSUPP
    assert stats(m)["ckfs_getxattrs_total"] <= 1
    assert read(m / f"{cache.key}0") == b"payload"
