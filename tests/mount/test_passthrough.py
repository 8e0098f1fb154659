"""§7: what begins a descriptor is read and mapped by the kernel itself, where libfuse, the kernel and root allow it (fs/fuse/passthrough.h)."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import hashlib
import mmap
import os
import pathlib
import platform
import random
import re
import signal
import subprocess

import pytest

from cachekit.serializers.arrow_serializer import ArrowSerializer
from documents import MASTER, seal, store
from entries import Mapping, flip, stats
from helpers import failure, read
from test_decoded_cache import noise, settled
from test_lacks import started_by  # noqa: F401 - a fixture
from test_readahead import table
from test_sandbox import unmounter
from waiting import until

MIB = 1 << 20
numbers = random.Random(20)
SYS_ADMIN = 21


def has_passthrough() -> bool:
    """As far as versions tell."""
    libfuse = subprocess.run(["fusermount3", "-V"], capture_output=True, text=True, check=True).stdout.split()[-1]
    status = pathlib.Path("/proc/self/status").read_text()
    is_root = int(re.search(r"^CapEff:\s+(\w+)$", status, re.M)[1], 16) >> SYS_ADMIN & 1
    is_first = pathlib.Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    versions = [[int(n) for n in re.findall(r"\d+", text)[:2]] for text in (libfuse, platform.release())]
    return versions[0] >= [3, 17] and versions[1] >= [6, 9] and is_root == 1 and is_first


passthrough = pytest.mark.skipif(not has_passthrough(), reason="this libfuse, this kernel or this user has no passthrough")


def arrow_table(cache, key: str = "k", mib: int = 2) -> str:
    return store(cache, key, table(mib), ArrowSerializer(compression=None))


class Opens:
    """What the mount counts from here on."""

    def __init__(self, m):
        self.m, self.before = m, stats(m)

    def counted(self, name: str) -> int:
        return int(stats(self.m)[name] - self.before[name])

    @property
    def by_kernel(self) -> int:
        """Files that the kernel reads by itself."""
        return self.counted("ckfs_passthrough_opens_total")

    @property
    def asked(self) -> int:
        """Bytes that the daemon was asked for; some of them are these counters."""
        return self.counted("ckfs_read_bytes_total")


def mapped(path) -> bytes:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as area:
        return bytes(area)


@contextlib.contextmanager
def mapping_alone(path):
    """The address of a mapping whose file is closed: Python's own keep it open."""
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        address = Mapping.libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    assert address != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
    yield address
    Mapping.libc.munmap(address, length)


# Which files are read so

VIEWS = {
    "arrow": ("arrow/{}.arrow", arrow_table),
    "json": ("json/{}.json", lambda cache, key: store(cache, key, noise(2))),
    "msgpack": ("msgpack/{}.msgpack", lambda cache, key: store(cache, key, noise(2))),
    "orjson": ("json/{}.json", lambda cache, key: store(cache, key, noise(2), "orjson")),
}


@passthrough
@pytest.mark.parametrize("view", VIEWS)
def test_the_kernel_reads_what_begins_a_descriptor(cache, mount, view):
    path, make = VIEWS[view]
    make(cache, "k")
    path = path.format("k")
    with_pages = mount(cache, "passthrough=no")
    expected, opens = read(with_pages / path), Opens(with_pages)
    assert (mapped(with_pages / path) == expected, opens.by_kernel) == (True, 0)
    m = mount(cache)
    opens = Opens(m)
    # A table in a file cache is read where it lies, behind the entry's header; and JSON that is stored as such.
    by_kernel = cache.FETCHES or view in ("json", "msgpack")
    assert (read(m / path) == expected, mapped(m / path) == expected) == (True, True)
    assert opens.by_kernel == (2 if by_kernel else 0)
    assert (opens.asked < MIB) == by_kernel
    assert (m / path).stat().st_size == len(expected)
    assert m.log() == ""


@passthrough
def test_the_other_views_of_the_same_value_show_the_same_bytes(cache, mount):
    """The head of a fetched value lies apart: what begins there is read by pages."""
    arrow_table(cache)
    cache.write("bare", value := b"~" + numbers.randbytes(2 * MIB))
    m, other = mount(cache), mount(cache, "passthrough=no")
    for path in ("k", "raw/k", "frame/k", "arrow/k.arrow", "bare", "raw/bare"):
        assert read(m / path) == read(other / path), path
    assert read(m / "raw/bare")[-len(value) :] == value


@passthrough
def test_what_is_small_comes_with_its_pages(cache, mount):
    cache.set("k", value := b"~" + numbers.randbytes(MIB - 2))
    m = mount(cache)
    opens = Opens(m)
    assert (read(m / "frame/k") == value, opens.by_kernel) == (True, 0)


@passthrough
@pytest.mark.parametrize("option", ["sandbox=on", "sandbox=off"])
@pytest.mark.file_only
def test_it_needs_no_privilege_of_the_daemon(cache, mount, option):
    store(cache, "k", noise(2))
    m = mount(cache, option)
    opens = Opens(m)
    read(m / "json/k.json")
    assert (opens.by_kernel, m.log()) == (1, "")


@passthrough
@pytest.mark.file_only
def test_what_was_sealed_is_read_by_pages(cache, mount):
    """It is wiped when it is let go, whoever has it mapped then."""
    store(cache, "k", noise(2), sealing=seal())
    m = mount(cache, env={"CACHEKIT_MASTER_KEY": MASTER})
    opens = Opens(m)
    assert (len(read(m / "json/k.json")) > 2 * MIB, opens.by_kernel) == (True, 0)


@passthrough
def test_nothing_is_read_of_what_fails_its_check(cache, mount):
    arrow_table(cache)
    cache.set("k", flip(cache.value("k"), -100))
    m = mount(cache)
    opens = Opens(m)
    assert (failure(m / "arrow/k.arrow"), opens.by_kernel) == ("EBADMSG", 0)


# One version


@passthrough
def test_an_open_file_stays_what_it_was(cache, mount):
    store(cache, "k", noise(2))
    m = mount(cache)
    path = m / "json/k.json"
    before = read(path)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as area:
        store(cache, "k", noise(3))
        after = read(path)
        os.kill(m.pid, signal.SIGHUP)
        assert read(path) == after != before
        assert (file.read() == before, area[:] == before, os.fstat(file.fileno()).st_size) == (True, True, len(before))
        cache.backend.delete("k")
        assert area[:] == before


@passthrough
def test_a_mapping_outlives_its_file_and_what_the_daemon_keeps(cache, mount):
    store(cache, "k", noise(2))
    m = mount(cache)
    before = read(m / "json/k.json")
    with mapping_alone(m / "json/k.json") as address:
        cache.backend.delete("k")
        os.kill(m.pid, signal.SIGHUP)
        assert settled(m) and until(lambda: stats(m)["ckfs_decoded_bytes"] == 0)
        assert ctypes.string_at(address, len(before)) == before


@passthrough
@pytest.mark.file_only
def test_nobody_can_write_to_it(cache, mount):
    store(cache, "k", noise(2))
    m = mount(cache, "write")
    with open(m / "json/k.json", "rb") as file:
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as area, pytest.raises(TypeError):
            area[0] = 0
        with pytest.raises(PermissionError):
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_WRITE)


# Never both ways at once


@passthrough
@pytest.mark.file_only
def test_content_that_is_made_again_is_read_as_before(cache, mount):
    """While the first is open, the kernel takes no other descriptor for the inode."""
    store(cache, "k", noise(2))
    m = mount(cache)
    path = m / "json/k.json"
    expected, opens = read(path), Opens(m)
    with contextlib.ExitStack() as stack:
        for n in range(1, 4):
            os.kill(m.pid, signal.SIGHUP)
            file = stack.enter_context(open(path, "rb", buffering=0))
            assert (file.readall() == expected, opens.by_kernel) == (True, n)
    assert (read(path) == expected, opens.by_kernel) == (True, 4)


@passthrough
@pytest.mark.file_only
def test_what_was_opened_by_pages_stays_so_until_it_is_closed(cache, mount, started_by):  # noqa: F811
    """The descriptors that content may keep are a share of those that the daemon may have."""
    names = [f"json/k{n}.json" for n in range(14)]
    for n in range(len(names)):
        store(cache, f"k{n}", noise(1.2))
    pages = mount(cache, "passthrough=no")
    expected = [read(pages / name) for name in names]
    m = started_by("ulimit -n 48; exec CKFS")(cache, "max_threads=2")
    opens = Opens(m)
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(m / name, "rb", buffering=0)) for name in names]
            assert [file.readall() for file in files] == expected
            assert [read(m / name) for name in names] == expected
    assert 0 < opens.by_kernel < 4 * len(names)
    assert m.log() == ""


@passthrough
def test_many_who_open_and_close_it_at_once_all_read_it(cache, mount):
    store(cache, "k", noise(2))
    m = mount(cache)
    path = m / "json/k.json"
    expected = read(path)

    def some(n: int) -> bool:
        if n % 8 == 0:
            os.kill(m.pid, signal.SIGHUP)
        return (mapped if n % 2 else read)(path) == expected

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(some, range(160)))
    assert m.log() == ""


@passthrough
def test_what_is_open_for_writing_is_read_by_pages(cache, mount):
    cache.set("k", value := b"~" + numbers.randbytes(2 * MIB))
    m = mount(cache, "write", "unchecked")
    with open(m / "frame/k", "rb", buffering=0) as reader, open(m / "frame/k", "r+b", buffering=0) as writer:
        writer.write(b"new")
        assert (reader.readall() == value, read(m / "raw/k") == value) == (True, True)
    assert read(m / "frame/k") == b"new" + value[3:]


# Where it turns out not to be possible


@passthrough
@pytest.mark.file_only
def test_without_the_process_that_has_privileges_files_are_read_by_pages(cache, mount):
    store(cache, "k", noise(2))
    store(cache, "l", noise(2))
    m = mount(cache)
    expected, opens = read(m / "json/k.json"), Opens(m)
    os.kill(unmounter(m.pid), signal.SIGKILL)
    assert (read(m / "json/k.json") == expected, len(read(m / "json/l.json")) > MIB, opens.by_kernel) == (True, True, 0)
    subprocess.run(["umount", m.path], check=True)


IN_CONTAINER = """
"$1" -f "$2" "$3" & pid=$!
until mountpoint -q "$3"; do sleep 0.05; done
sha256sum <"$3/json/k.json"
sha256sum <"$3/json/k.json"
grep "^ckfs_passthrough_opens_total" "$3/.ckfs/stats"
kill $pid
wait $pid
"""


@passthrough
@pytest.mark.file_only
def test_the_root_of_a_container_reads_by_pages_and_hears_nothing(cache, mount, ckfs, tmp):
    store(cache, "k", noise(2))
    expected = hashlib.sha256(read(mount(cache, "passthrough=no") / "json/k.json")).hexdigest()
    (tmp / "inside").mkdir()
    args = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-euc", IN_CONTAINER, "sh", ckfs, cache.source, tmp / "inside"]
    result = subprocess.run(args, capture_output=True, text=True, timeout=120)
    assert (result.stdout.split(), result.stderr) == ([expected, "-"] * 2 + ["ckfs_passthrough_opens_total", "0"], "")


# Everywhere


@pytest.mark.parametrize("options", [(), ("passthrough=auto",), ("passthrough=no",)], ids=str)
def test_where_it_is_not_possible_nothing_is_said(cache, mount, options):
    store(cache, "k", noise(2))
    m = mount(cache, *options)
    assert read(m / "json/k.json") == mapped(m / "json/k.json")
    assert m.log() == ""
