"""§2: what stat shows of the files, and the ways to read them."""

import io
import mmap
import os
import subprocess

import pytest

from helpers import FORMATS, birth_ns, metadata, read, v3
from writers import (
    every_writer,
    views_of,
    write,
)

pytestmark = pytest.mark.shared_mount

# Attributes


@every_writer
def test_st_size_is_exact_before_the_first_read(cache, mnt, writer):
    write(cache, writer)
    before = {name: os.stat(mnt / name).st_size for name in views_of(cache, writer)}
    assert before == {name: len(read(mnt / name)) for name in before}


@every_writer
def test_st_size_of_meta_is_exact_before_the_first_read(cache, mnt, writer):
    write(cache, writer)
    size = os.stat(mnt / f"meta/{cache.key}.json").st_size
    assert size == len(read(mnt / f"meta/{cache.key}.json"))


@every_writer
def test_st_blocks_is_the_size_in_512_byte_blocks_rounded_up(cache, mnt, writer):
    write(cache, writer)
    stats = [os.stat(mnt / name) for name in views_of(cache, writer)]
    assert [s.st_blocks for s in stats] == [-(-s.st_size // 512) for s in stats]


def shapes(cache, mnt) -> dict[str, tuple[int, int, int]]:
    """(mode, owner, group) of every kind of node."""
    names = ["", *FORMATS, ".ckfs", ".ckfs/stats", cache.key, f"raw/{cache.key}", f"frame/{cache.key}", f"arrow/{cache.key}.arrow", f"meta/{cache.key}.json"]
    return {n: (s.st_mode, s.st_uid, s.st_gid) for n in names for s in [os.stat(mnt / n)]}


def expected_shapes(shown, file: int, directory: int, uid: int, gid: int):
    return {n: (0o100000 | file if mode & 0o100000 else 0o040000 | directory, uid, gid) for n, (mode, _, _) in shown.items()}


@pytest.mark.parametrize(
    "options, file, directory",
    [
        ([], 0o600, 0o700),
        (["umask=022"], 0o644, 0o755),
        (["umask=0"], 0o666, 0o777),
        (["umask=027"], 0o640, 0o750),
        (["umask=077"], 0o600, 0o700),
        (["umask=0222"], 0o444, 0o555),
        (["umask=0777"], 0, 0),
    ],
)
def test_modes_are_0600_and_0700_of_the_mounting_user_or_as_umask_says(cache, mount, options, file, directory):
    write(cache, "arrow")
    shown = shapes(cache, mount(cache, *options))
    assert shown == expected_shapes(shown, file, directory, os.geteuid(), os.getegid())


def test_uid_and_gid_options_set_the_owner(cache, mount):
    write(cache, "arrow")
    shown = shapes(cache, mount(cache, "uid=1234,gid=2345"))
    assert shown == expected_shapes(shown, 0o600, 0o700, 1234, 2345)


@pytest.mark.file_only
@pytest.mark.parametrize("name", ["{}", "raw/{}", "frame/{}", "arrow/{}.arrow"])
def test_st_mtime_is_the_birth_time_of_the_entry(cache, mnt, name):
    write(cache, "arrow")
    os.utime(cache.path(cache.key), (10**9, 10**9))
    assert os.stat(mnt / name.format(cache.key)).st_mtime_ns == birth_ns(cache.path(cache.key))


@pytest.mark.file_only
def test_a_ttl_refresh_does_not_move_st_mtime(cache, mnt):
    write(cache, "arrow")
    before = os.stat(mnt / cache.key).st_mtime_ns
    assert (cache.refresh_ttl(cache.key, 9), os.stat(mnt / cache.key).st_mtime_ns) == (True, before)


def test_the_attributes_of_an_open_file_are_those_of_its_name(cache, mnt):
    write(cache, "arrow")
    path = mnt / f"arrow/{cache.key}.arrow"
    with open(path, "rb") as file:
        by_handle, by_name = os.fstat(file.fileno()), os.stat(path)
    assert (by_handle.st_ino, by_handle.st_size, by_handle.st_mtime_ns) == (by_name.st_ino, by_name.st_size, by_name.st_mtime_ns)


# Ways to read


@pytest.mark.parametrize("writer", ["arrow-plain-batches", "orjson-large", "auto-ndarray"])
def test_a_mapping_shows_the_bytes_of_the_view(cache, mnt, writer):
    write(cache, writer)
    for name in views_of(cache, writer):
        with open(mnt / name, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == read(mnt / name), name


@pytest.mark.parametrize("view", ["", "frame", "json"])
def test_a_read_at_any_offset_gives_the_bytes_there(cache, mnt, view):
    write(cache, "orjson-large")
    frame = cache.value(cache.key)
    payload = cache.payload(cache.key)
    whole = {"": payload, "frame": frame, "json": payload[8:]}[view]
    ranges = [(0, 1), (1, 7), (4095, 2), (4097, 4096), (131071, 131073), (len(whole) - 3, 10), (len(whole), 10), (1 << 40, 10)]
    with open(mnt / view / cache.key, "rb") as file:
        assert [os.pread(file.fileno(), n, at) for at, n in ranges] == [whole[at : at + n] for at, n in ranges]


def test_a_direct_read_gives_the_same_bytes(cache, mnt):
    write(cache, "arrow-plain-batches")
    shown = subprocess.run(["dd", f"if={mnt / cache.key}", "iflag=direct", "bs=1M", "status=none"], capture_output=True)
    assert (shown.returncode, shown.stdout) == (0, cache.payload(cache.key))


@pytest.mark.file_only  # a Redis value has at most 512 MiB
def test_a_value_over_4_gib_is_read_at_its_end(cache, mnt):
    path = cache.write_file(cache.key, cache.entry_header() + v3(b"begin", metadata("arrow")))
    with open(path, "r+b") as file:
        file.truncate(5 << 30)
        file.seek(-3, io.SEEK_END)
        file.write(b"end")
    size = os.stat(mnt / cache.key).st_size
    with open(mnt / cache.key, "rb") as file:
        shown = os.pread(file.fileno(), 9, 0), os.pread(file.fileno(), 9, size - 5)
    assert (size, *shown) == (os.stat(path).st_size - 14 - len(v3(b"", metadata("arrow"))), b"begin" + bytes(4), b"\0\0end")
