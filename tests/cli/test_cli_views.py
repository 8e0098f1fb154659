"""§9: each view, name and error without a mount is that of a mount."""

import json
import os
import re

import pytest

from caches import noise
from documents import MASTER, OTHER, seal, store
from entries import DIRECTORIES, MALFORMED
from helpers import EXTENSION, FORMATS, listing, read
from without_mount import SOME_WRITERS, commands  # noqa: F401 - a fixture
from writers import every_writer, write

pytestmark = pytest.mark.shared_mount

VIEWS = ("", *FORMATS)


def path_of(view: str, name: str) -> str:
    return f"{view}/{name}{EXTENSION.get(view, '')}" if view else name


def shown(read, path):
    """What reading a file ends in: its bytes, or the text of its error."""
    try:
        return read(path)
    except OSError as e:
        return os.strerror(e.errno)


def printed(c, path):
    """The same of `ckfs cat`."""
    ended = c.run("cat", path)
    if ended.returncode == 0:
        return ended.stdout
    lines = ended.stderr.decode().splitlines()
    assert (ended.returncode, ended.stdout, len(lines)) == (1, b"", 1), ended
    assert lines[0].startswith(f"ckfs: {path}: ")
    return lines[0].removeprefix(f"ckfs: {path}: ").split(": ")[0]


# Where the store tells how many seconds are left, two who ask may make two times of that.
EXPIRES = re.compile(rb'"expires": "[^"]*"')


def assert_equal(c, mnt, name: str) -> None:
    # What is checked once is known to a mount from then on: meta/ tells that.
    for view in ("meta", "", "raw", "frame", "arrow", "npy", "msgpack", "json"):
        path = path_of(view, name)
        ours, theirs = printed(c, path), shown(lambda p: read(mnt / p), path)
        if view == "meta" and isinstance(ours, bytes) and isinstance(theirs, bytes):
            ours, theirs = EXPIRES.sub(b"", ours), EXPIRES.sub(b"", theirs)
        assert ours == theirs, path


@pytest.mark.decoding_only
@every_writer
def test_each_view_has_the_bytes_of_the_mount(cache, mnt, commands, writer):
    write(cache, writer)
    assert_equal(commands(cache), mnt, cache.key)


@pytest.mark.on_http
@pytest.mark.parametrize("writer", SOME_WRITERS)
def test_each_store_has_the_bytes_of_the_mount(cache, mnt, commands, writer):
    write(cache, writer)
    assert_equal(commands(cache), mnt, cache.key)


@pytest.mark.decoding_only
@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_fails_as_in_the_mount(cache, mnt, commands, case):
    cache.write(cache.key, MALFORMED[case])
    assert_equal(commands(cache), mnt, cache.key)


@pytest.mark.decoding_only
@pytest.mark.parametrize("at", [40, -1])
def test_what_was_altered_fails_as_in_the_mount(cache, mnt, commands, at):
    write(cache, "orjson-dict")
    value = bytearray(cache.value(cache.key))
    value[at] ^= 1
    cache.write(cache.key, bytes(value))
    assert_equal(commands(cache), mnt, cache.key)


def test_what_is_no_entry_fails_as_in_the_mount(cache, mnt, commands):
    cache.write(cache.key, b"opaque " * 10)
    assert_equal(commands(cache), mnt, cache.key)
    assert_equal(commands(cache), mnt, f"{cache.key}:none")


def test_a_value_that_is_empty_and_one_that_is_large(cache, mnt, commands):
    cache.write(cache.key, b"")
    assert_equal(commands(cache), mnt, cache.key)
    value = noise(3 << 20)
    cache.write(f"{cache.key}:large", value)
    assert commands(cache).out("cat", f"{cache.key}:large", f"frame/{cache.key}:large") == 2 * value


@pytest.mark.decoding_only
@pytest.mark.parametrize("env", [{}, {"CACHEKIT_MASTER_KEY": MASTER}, {"CACHEKIT_MASTER_KEY": OTHER}], ids=["no-key", "key", "other-key"])
def test_a_sealed_entry_shows_what_it_shows_in_the_mount(cache, mount, commands, env):
    store(cache, cache.key, {"a": [1, "x"]}, sealing=seal())
    assert_equal(commands(cache, env), mount(cache, env=env), cache.key)


@pytest.mark.decoding_only
def test_a_sealed_entry_is_opened_with_the_key_of_a_file(cache, commands, tmp):
    store(cache, cache.key, {"a": 1}, sealing=seal())
    key = tmp / "key"
    key.touch(0o600)
    key.write_text(MASTER)
    assert commands(cache).out("cat", f"json/{cache.key}", options=(f"master_key_file={key}",)) == b'{"a":1}\n'


@pytest.mark.own_mount
def test_each_listing_has_the_names_of_the_mount(cache, mount, commands):
    for writer in ("arrow-plain", "orjson", "numpy", "default"):
        cache.put(f"ns/{writer}%", {"a": 1} if writer in ("orjson", "default") else _table(writer), {"arrow-plain": "arrow", "numpy": "auto"}.get(writer, writer))
    cache.write("opaque", b"opaque " * 10)
    cache.write("malformed", b"CK\x01")
    c, m = commands(cache), mount(cache)
    for view in VIEWS:
        names = c.names(view) if view else c.names()
        assert len(names) == len(set(names))
        assert set(names) == (listing(m / view) if view else listing(m) - set(DIRECTORIES)), view
    assert set(c.names("raw")) == {cache.listed(key) for key in ("ns/arrow-plain%", "ns/orjson%", "ns/numpy%", "ns/default%", "opaque", "malformed")}


def _table(writer):
    import numpy
    import pyarrow

    return pyarrow.table({"a": [1, 2]}) if writer == "arrow-plain" else numpy.arange(5)


def test_stat_is_meta_in_one_line(cache, mnt, commands):
    write(cache, "orjson-dict")
    lines = commands(cache).out("stat", cache.key, f"frame/{cache.key}", f"meta/{cache.key}.json").splitlines()
    meta = EXPIRES.sub(b"", read(mnt / f"meta/{cache.key}.json"))
    assert [EXPIRES.sub(b"", line) + b"\n" for line in lines] == [meta] * 3


@pytest.mark.decoding_only
def test_stat_is_one_line_also_of_a_header_that_has_many(cache, commands):
    header = b'{\n "s": "auto",\r\n "m": {"format": "msgpack"},\n "v": "2.0"\n}'
    cache.write(cache.key, b"CK\x03" + len(header).to_bytes(4, "big") + header + b"x")
    text = commands(cache).out("stat", cache.key)
    assert (text.count(b"\n"), text.count(b"\r"), json.loads(text)["frame"]["header"]["s"]) == (1, 0, "auto")


@pytest.mark.own_mount
def test_long_lines_tell_size_expiry_and_serializer(cache, mount, commands):
    key = cache.put(None, {"a": 1}, "orjson")
    cache.write("forever", b"opaque " * 10)
    c, m = commands(cache), mount(cache)
    for view in ("", "raw", "meta", "json"):  # what a view has checked is known to the mount from then on, and meta/ tells it
        rows = {os.fsdecode(line.split(b" ", 3)[3]): line.split(b" ", 3)[:3] for line in c.out("ls", "-l", *([view] if view else [])).splitlines()}
        name = path_of(view, cache.listed(key)).rpartition("/")[2]
        size = os.stat(m / view / name).st_size
        expires = os.getxattr(m / view / name, "user.ckfs.expires")
        assert rows[name][::2] == [b"%d" % size, b"orjson"], view
        assert abs(int(rows[name][1][17:19]) - int(expires[17:19])) in (0, 1, 59)
        if view != "json":
            assert rows[path_of(view, cache.listed("forever")).rpartition("/")[2]][1:] == [b"never", b"-"]
