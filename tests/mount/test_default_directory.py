"""§1 of the contract: without SOURCE, $TMPDIR/cachekit is shown as long as it is a real directory of the user's own."""

import os
import pathlib

import pytest

from caches import FileCache
from commands import SELECTORS
from helpers import failure, lookup_failure, read


@pytest.fixture
def own(tmp, mount):
    """A mount of the default directory, and that directory: nobody has named it."""
    place = tmp / "tmp"
    place.mkdir(mode=0o1777)
    cache = FileCache(place / "cachekit")
    cache.set("k", b"mine")
    clean = {name: "" for name in SELECTORS | {"REDIS_URL": ""}}
    return mount(None, env={**clean, "TMPDIR": str(place)}), cache


def give_away(path):
    for name in [path, *path.iterdir()]:
        os.chown(name, 65534, 65534)


@pytest.mark.parametrize("way", ["made by another user", "a link"])
def test_what_others_put_in_the_place_of_the_default_directory_is_not_shown(own, way):
    m, cache = own
    path = pathlib.Path(cache.source)
    assert read(m / "k") == b"mine"
    path.rename(path.with_name("aside"))
    assert (os.listdir(m / "raw"), failure(m / "k")) == ([], "ENOENT")
    theirs = FileCache(path if way == "made by another user" else path.with_name("theirs"))
    theirs.set("k", b"theirs")
    give_away(pathlib.Path(theirs.source))
    if way == "a link":
        path.symlink_to(theirs.source)
    for _ in range(3):
        assert {lookup_failure(m / name) for name in ("k", "raw/k", "frame/k", "meta/k.json")} == {"EACCES"}
        with pytest.raises(PermissionError):
            os.listdir(m / "raw")
    assert len(m.log_lines("own")) == 1
    path.rename(path.with_name("away"))
    path.with_name("aside").rename(path)
    assert read(m / "k") == b"mine"


def test_the_default_directory_that_its_user_makes_again_is_shown(own):
    m, cache = own
    path = pathlib.Path(cache.source)
    assert read(m / "k") == b"mine"
    path.rename(path.with_name("aside"))
    FileCache(path).set("k", b"new")
    assert read(m / "k") == b"new" and not m.log_lines("own")


def test_a_directory_that_was_named_may_belong_to_anybody(tmp, mount):
    cache = FileCache(tmp / "cache")
    cache.set("k", b"value")
    m = mount(cache)
    (tmp / "cache").rename(tmp / "aside")
    again = FileCache(tmp / "cache")
    again.set("k", b"again")
    give_away(tmp / "cache")
    assert read(m / "k") == b"again"
