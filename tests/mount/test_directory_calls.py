"""§2, §5: readdir, seekdir and their like, as C programs call them, and match=."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess

import pytest

from entries import DIRECTORIES, entries_of, frame, opening

VALUE = frame({"s": "default", "m": {"format": "msgpack"}, "v": "2.0"}, b"\xc0")


class Directory:
    """The C library's view of a directory."""

    class Entry(ctypes.Structure):
        _fields_ = [
            ("d_ino", ctypes.c_uint64),
            ("d_off", ctypes.c_int64),
            ("d_reclen", ctypes.c_uint16),
            ("d_type", ctypes.c_uint8),
            ("d_name", ctypes.c_char * 256),
        ]

    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.restype = ctypes.POINTER(Entry)
    libc.telldir.restype = ctypes.c_long
    libc.readdir.argtypes = libc.telldir.argtypes = libc.rewinddir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
    libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]

    def __init__(self, path):
        self.dir = self.libc.opendir(os.fsencode(path))
        assert self.dir, os.strerror(ctypes.get_errno())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.libc.closedir(self.dir)

    def read(self):
        """(name, inode, type) of the next entry, or None at the end."""
        ctypes.set_errno(0)
        entry = self.libc.readdir(self.dir)
        assert ctypes.get_errno() == 0, os.strerror(ctypes.get_errno())
        return (os.fsdecode(entry.contents.d_name), entry.contents.d_ino, entry.contents.d_type) if entry else None

    def rest(self) -> list[str]:
        return [entry[0] for entry in iter(self.read, None)]

    def tell(self) -> int:
        return self.libc.telldir(self.dir)

    def seek(self, position: int) -> None:
        self.libc.seekdir(self.dir, position)

    def rewind(self) -> None:
        self.libc.rewinddir(self.dir)


class TestTheDirectoryCalls:
    @pytest.fixture
    def names(self, cache):
        return cache.fill((f"k{n}" for n in range(1500)), VALUE)

    def test_rewinddir_begins_again(self, names, mnt):
        with Directory(mnt) as d:
            first = d.rest()
            d.rewind()
            assert d.rest() == first

    def test_rewinddir_in_the_middle_begins_again(self, names, mnt):
        with Directory(mnt / "raw") as d:
            [d.read() for _ in range(700)]
            d.rewind()
            assert sorted(d.rest()) == sorted(names | {".", ".."})

    def test_rewinddir_shows_what_is_new(self, names, cache, mnt):
        with Directory(mnt) as d:
            d.rest()
            cache.set("new", b"value")
            d.rewind()
            assert cache.listed("new") in d.rest()

    @pytest.mark.parametrize("directory", ["", "raw", "meta"])
    def test_seekdir_goes_to_where_telldir_was(self, names, mnt, directory):
        with Directory(mnt / directory) as d:
            places = []
            while True:
                place, entry = d.tell(), d.read()
                if entry is None:
                    break
                places.append((place, entry[0]))
            wrong = []
            for place, name in places[::-37] + places[::41]:
                d.seek(place)
                if (entry := d.read()) is None or entry[0] != name:
                    wrong.append((name, entry))
            assert wrong == []

    def test_after_seekdir_the_rest_follows(self, names, mnt):
        with Directory(mnt) as d:
            [d.read() for _ in range(500)]
            place = d.tell()
            rest = d.rest()
            d.seek(place)
            assert d.rest() == rest

    def test_two_listings_interleave(self, names, mnt):
        with Directory(mnt) as a, Directory(mnt) as b:
            seen: tuple[list, list] = ([], [])
            while (x := a.read()) is not None:
                seen[0].append(x[0])
                if len(seen[0]) % 3 == 0 and (y := b.read()) is not None:
                    seen[1].append(y[0])
            assert sorted(seen[0]) == sorted(seen[1] + b.rest())

    def test_the_type_of_each_name_is_told(self, names, mnt):
        with Directory(mnt) as d:
            types = {name: kind for name, _, kind in iter(d.read, None)}
        regular, directory = stat.S_IFREG >> 12, stat.S_IFDIR >> 12
        assert types == dict.fromkeys(names, regular) | dict.fromkeys((*DIRECTORIES, ".", ".."), directory)

    @pytest.mark.file_only  # names alone are asked of a server, and the inode is that of a version
    def test_the_inode_in_the_listing_is_that_of_stat(self, names, mnt):
        with Directory(mnt / "raw") as d:
            inodes = {name: inode for name, inode, _ in iter(d.read, None) if name not in (".", "..")}
        assert {name: os.stat(mnt / f"raw/{name}").st_ino for name in names} == inodes

    @pytest.mark.parametrize("directory", ["", *DIRECTORIES])
    def test_dot_and_dot_dot_are_listed_once(self, cache, mnt, directory):
        with Directory(mnt / directory) as d:
            names = d.rest()
        assert (names.count("."), names.count("..")) == (1, 1)

    def test_the_root_lists_the_format_directories(self, cache, mnt):
        assert sorted(os.listdir(mnt)) == sorted(DIRECTORIES)

    def test_ckfs_is_there_though_not_listed(self, cache, mnt):
        assert os.listdir(mnt / ".ckfs") == ["stats"]

    @pytest.mark.file_only
    def test_names_that_share_all_but_a_few_digits_are_all_listed(self, cache, mnt):
        names = {"a" * n + "b" + "a" * (31 - n) for n in range(32)} | {"a" * 32, "a" * 16 + "b" * 16, "b" * 16 + "a" * 16}
        for name in names:
            (cache.dir / name).write_bytes(cache.entry_header() + VALUE)
        assert sorted(entries_of(mnt)) == sorted(names)

    def test_an_empty_directory_of_another_process_lists_nothing(self, cache, mnt):
        assert subprocess.run(["ls", "-A", mnt / "raw"], capture_output=True, check=True).stdout == b""


class TestMatch:
    @pytest.fixture
    def named(self, cache, tmp):
        for key in ("user:1", "user:2", "post:1", "user*"):
            cache.put(key, {"a": 1}, "orjson")
        cache.set("unnamed", b"value")
        (tmp / "keys").write_text("user:1\nuser:2\npost:1\nuser*\n")
        return cache, f"keys={tmp / 'keys'}"

    def test_a_listing_shows_what_the_glob_matches(self, named, mount):
        cache, keys = named
        assert sorted(entries_of(mount(cache, keys, "match=user:*"))) == ["user:1", "user:2"]

    def test_a_format_directory_shows_what_the_glob_matches(self, named, mount):
        cache, keys = named
        assert sorted(os.listdir(mount(cache, keys, "match=user:*") / "json")) == ["user:1.json", "user:2.json"]

    @pytest.mark.parametrize(
        "glob, names", [("*:1", ["post:1", "user:1"]), ("user:[2-9]", ["user:2"]), ("?ser:1", ["user:1"]), ("user[*]", ["user*"])]
    )
    def test_the_glob_is_a_glob(self, named, mount, glob, names):
        cache, keys = named
        assert sorted(entries_of(mount(cache, keys, f"match={glob}"))) == names

    def test_the_directories_are_listed_all_the_same(self, named, mount):
        cache, keys = named
        assert set(DIRECTORIES) <= set(os.listdir(mount(cache, keys, "match=user:*")))

    def test_what_is_not_listed_still_opens(self, named, mount):
        cache, keys = named
        assert opening(mount(cache, keys, "match=user:*") / "post:1") == "OK"

    @pytest.mark.file_only
    def test_it_matches_hashes_too(self, named, mount):
        cache, _ = named
        first = cache.hash("unnamed")[:4]
        assert entries_of(mount(cache, f"match={first}*")) == [cache.hash("unnamed")]
