"""§9: rm and put do what rm and a write to frame/ do in a mount."""

import os
import time

import pytest

from caches import noise
from documents import seal, store
from helpers import name_of, read
from without_mount import SOME_WRITERS, commands  # noqa: F401 - a fixture
from writers import write

WRITE = ("write",)


@pytest.mark.on_http
@pytest.mark.parametrize("writer", SOME_WRITERS)
def test_what_was_copied_out_and_put_back_is_read_by_the_sdk(cache, commands, writer):
    write(cache, writer)
    value, payload = cache.value(cache.key), cache.payload(cache.key)
    c = commands(cache)
    frame = c.out("cat", f"frame/{cache.key}")
    assert frame == value
    c.out("rm", cache.key, options=WRITE)
    assert cache.backend.get(cache.key) is None
    c.out("put", cache.key, options=WRITE, input=frame)
    assert (cache.value(cache.key), cache.payload(cache.key)) == (value, payload)


@pytest.mark.parametrize("path", ["KEY", "frame/KEY", "./frame/KEY"])
def test_put_stores_under_the_key_that_a_name_spells(cache, commands, path):
    write(cache, "orjson-dict")
    value = cache.value(cache.key)
    commands(cache).out("put", path.replace("KEY", name_of(f"{cache.key}/%2")), options=WRITE, input=value)
    assert cache.value(f"{cache.key}/%2") == value


@pytest.mark.decoding_only
@pytest.mark.parametrize(
    "value, why",
    [
        (b"", "neither a frame of the SDK nor an envelope, nor under the key of an interop value"),
        (b"text", "neither a frame of the SDK nor an envelope, nor under the key of an interop value"),
        (b"CK\x01", ""),
    ],
)
def test_what_is_no_value_is_refused(cache, commands, value, why):
    write(cache, "orjson-dict")
    before = cache.contents()
    said = commands(cache).failure("put", cache.key, options=WRITE, input=value)
    assert said.startswith(f"ckfs: {cache.key}: Invalid argument: {why}") and said.count("\n") == 1
    assert {name: content[1] for name, content in cache.contents().items()} == {name: content[1] for name, content in before.items()}
    commands(cache).out("put", cache.key, options=("write", "unchecked"), input=value)
    assert cache.value(cache.key) == value


@pytest.mark.file_only
def test_in_the_directory_of_another_user_new_entries_are_ones_own(cache, commands, tmp):
    """As with the SDK. One that is there stays: its owner could not read what takes its place."""
    write(cache, "orjson-dict")
    value = cache.value(cache.key)
    tmp.chmod(0o755)
    cache.dir.chmod(0o777)
    other = {"user": 65534, "group": 65534, "extra_groups": []}
    commands(cache).out("put", "new", options=WRITE, input=value, **other)
    assert (cache.value("new"), os.stat(cache.path("new")).st_uid) == (value, 65534)
    assert commands(cache).failure("put", cache.key, options=WRITE, input=value, **other) == f"ckfs: {cache.key}: Permission denied\n"


@pytest.mark.parametrize("view", ["raw", "json", "meta"])
def test_decoded_views_take_no_value(cache, commands, view):
    said = commands(cache).failure("put", f"{view}/{cache.key}", options=WRITE, input=b"x")
    assert said == f"ckfs: {view}/{cache.key}: Read-only file system: values are stored in frame/\n"


@pytest.mark.parametrize("options", [(), ("write", "ro"), ("ro", "write")])
def test_nothing_changes_without_write(cache, commands, options):
    write(cache, "orjson-dict")
    before = cache.value(cache.key)
    for command in ("rm", "put"):
        assert commands(cache).failure(command, cache.key, options=options, input=b"x") == f"ckfs: {command}: Read-only file system: it changes entries only with -o write\n"
    assert cache.value(cache.key) == before


def test_what_is_new_lives_for_ttl_and_what_was_there_keeps_its_expiry(cache, commands):
    cache.put(cache.key, {"a": 1}, "orjson", ttl=3600)
    value, expiry, other = cache.value(cache.key), cache.expiry(cache.key), f"{cache.key}:other"
    commands(cache).out("put", cache.key, options=("write", "ttl=60"), input=value)
    assert abs(cache.expiry(cache.key) - expiry) <= 2 + cache.EXPIRY_WITHIN
    commands(cache).out("put", other, options=("write", "ttl=60"), input=value)
    assert 0 < cache.expiry(other) - time.time() <= 62 + cache.EXPIRY_WITHIN


@pytest.mark.decoding_only
def test_a_sealed_value_is_taken_as_it_is(cache, commands):
    store(cache, cache.key, {"a": 1}, sealing=seal())
    value = cache.value(cache.key)
    cache.delete(cache.key)
    commands(cache).out("put", cache.key, options=WRITE, input=value)
    assert cache.value(cache.key) == value


@pytest.mark.file_only
def test_a_hash_is_only_written_over(cache, commands):
    write(cache, "orjson-dict")
    value = cache.value(cache.key)
    commands(cache).out("put", cache.hash(cache.key), options=WRITE, input=value)
    said = commands(cache).failure("put", cache.hash("none"), options=WRITE, input=value)
    assert said == f"ckfs: {cache.hash('none')}: Operation not permitted: the name is a hash, and tells no key\n"


@pytest.mark.file_only
def test_a_value_over_the_limit_of_the_sdk_is_refused(cache, commands):
    c = commands(cache, {"CACHEKIT_FILE_MAX_VALUE_MB": "1"})
    said = c.failure("put", "k", options=("write", "unchecked"), input=noise(3 << 20))
    assert said.startswith("ckfs: k: File too large") and said.count("\n") == 1
    assert cache.names() == set()


def test_a_mount_shows_at_once_what_was_put_and_removed(cache, mnt, commands):
    write(cache, "orjson-dict")
    value, other = cache.value(cache.key), f"{cache.key}:other"
    c = commands(cache)
    c.out("put", other, options=WRITE, input=value)
    assert read(mnt / "frame" / other) == value
    c.out("rm", other, options=WRITE)
    assert not (mnt / "frame" / other).exists()


@pytest.mark.file_only
def test_a_standard_input_that_cannot_be_read_is_told(cache, commands):
    with open("/proc/self/mem", "rb") as unreadable:
        said = commands(cache).failure("put", "k", options=WRITE, stdin=unreadable)
    assert said == "ckfs: k: Input/output error: standard input cannot be read\n"
    assert cache.names() == set()
