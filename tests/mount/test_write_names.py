"""§3 of the contract: keys of a file cache in an attribute of the entries' files."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from documents import MASTER, seal, store
from helpers import read
from writing import frame, write

pytestmark = pytest.mark.file_only

NAME = "user.ckfs.key"

# After so long a listing relies on the time of a file.
TICK = 0.05


def names(path) -> set[str]:
    return {entry.name for entry in os.scandir(path) if entry.is_file()}


@pytest.mark.parametrize("options", [(), ("write",)], ids=["read", "write"])
def test_an_entry_whose_file_carries_its_key_is_listed_by_it(cache, mount, options):
    for key in ("a", "b/c", "d"):
        cache.set(key, frame())
        if key != "d":
            os.setxattr(cache.path(key), NAME, key.encode())
    time.sleep(TICK)
    m = mount(cache, *options)
    expected = {"a", "b%2Fc", cache.hash("d")}
    for _ in range(3):
        assert (names(m), names(m / "frame"), set(os.listdir(m / "raw"))) == (expected, expected, expected)


@pytest.mark.parametrize("length", [255, 256, 3000])
def test_a_long_key_that_a_file_carries_is_known_whole(cache, mount, length):
    key = "k" * length
    cache.set(key, frame())
    os.setxattr(cache.path(key), NAME, key.encode())
    m = mount(cache)
    (name,) = names(m)
    assert os.getxattr(m / name, NAME) == key.encode()


def test_a_key_that_does_not_hash_to_the_files_name_is_not_believed(cache, mount):
    cache.set("a", frame())
    for told in (b"b", b"", b"a\0", b"x" * 3500):
        os.setxattr(cache.path("a"), NAME, told)
        assert names(mount(cache)) == {cache.hash("a")}


def test_an_attribute_that_comes_and_goes_is_seen(cache, mount):
    cache.set("a", frame())
    time.sleep(TICK)
    m = mount(cache)
    assert names(m) == {cache.hash("a")}
    os.setxattr(cache.path("a"), NAME, b"a")
    assert names(m) == {"a"}


def test_who_only_reads_leaves_no_attribute(cache, mount):
    cache.set("a", frame())
    assert read(mount(cache) / "frame/a") == frame()
    assert os.listxattr(cache.path("a")) == []


def test_a_mount_that_writes_leaves_it_on_what_it_stores_and_on_what_was_opened_by_key(cache, mount):
    cache.set("opened", frame())
    cache.set("not opened", frame())
    m = mount(cache, "write")
    write(m / "frame/stored", frame())
    before = os.stat(m / "opened")
    read(m / "frame/opened")
    read(m / f"frame/{cache.hash('not opened')}")
    told = {key: os.listxattr(cache.path(key)) and os.getxattr(cache.path(key), NAME) for key in ("opened", "stored", "not opened")}
    assert told == {"opened": b"opened", "stored": b"stored", "not opened": []}
    assert os.stat(m / "opened").st_ino == before.st_ino
    m.unmount()
    assert names(mount(cache)) == {"opened", "stored", cache.hash("not opened")}


def test_a_sealed_entry_opens_by_what_the_listing_shows(cache, mount):
    key = store(cache, "secret key", {"a": 1}, sealing=seal())
    os.setxattr(cache.path(key), NAME, key.encode())
    m = mount(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    assert names(m) == {key}
    assert read(m / f"json/{key}.json") == b'{"a":1}\n'


def test_a_filesystem_without_attributes_is_asked_once(cache, tmp, mount):
    """Ramfs has none."""
    from caches import FileCache

    where = tmp / "ramfs"
    where.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "none", where], check=True)
    try:
        other = FileCache(where / "cache")
        other.set("a", frame())
        m = mount(str(other.dir), "write")
        write(m / "frame/b", frame())
        assert (names(m), read(m / "frame/b")) == ({other.hash("a"), "b"}, frame())
        m.unmount()
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def test_the_recipe_for_applications(cache, mount):
    """doc/named_backend.py, with the real package."""
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../doc"))
    from named_backend import NamedFileBackend

    from cachekit import cache as cached
    from cachekit.backends.file.config import FileBackendConfig

    named = NamedFileBackend(FileBackendConfig(cache_dir=cache.dir))
    calls = []

    @cached(backend=named, ttl=60)
    def load(x):
        calls.append(x)
        return {"x": x}

    assert [load(1), load(1), load(2)] == [{"x": 1}, {"x": 1}, {"x": 2}] and calls == [1, 2]
    m = mount(cache)
    shown = names(m)
    assert len(shown) == 2 and all(name.startswith("func:") or ":func:" in name for name in shown)
    assert {read(m / f"json/{name}.json") for name in shown} == {b'{"x":1}\n', b'{"x":2}\n'}
