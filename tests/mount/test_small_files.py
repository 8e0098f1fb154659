"""A small file's bytes come with its first open: right to the last byte, once, and whoever else opens it meanwhile."""

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import time

import pytest

from entries import stats
from helpers import read, v3
from waiting import PATIENCE

SIZES = [1, 511, 4095, 4096, 4097, 12_345, 65_535, 65_536]
# Comes before libfuse's own, and has the kernel get the pages a second later.
LATE = r"""
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>
int fuse_lowlevel_notify_store(void *session, unsigned long inode, off_t at, void *pages, int flags)
{
	int (*store)(void *, unsigned long, off_t, void *, int) = dlsym(RTLD_NEXT, "fuse_lowlevel_notify_store");
	sleep(1);
	return store(session, inode, at, pages, flags);
}
"""
# Reads the file some time after it has opened it.
LATER = "import sys, time; f = open(sys.argv[1], 'rb'); time.sleep(float(sys.argv[2])); f.read()"

CROWD = 8
NAMES = 400

READER = """
import hashlib, os, sys
seen = hashlib.sha256()
for name in sys.argv[2].split():
    with open(os.path.join(sys.argv[1], name), "rb", buffering=0) as f:
        seen.update(f.readall())
print(seen.hexdigest())
"""


@contextlib.contextmanager
def counted(m):
    """Counts the READ requests in a block: its only item, afterwards."""
    counts = []
    first, before = (stats(m)["ckfs_reads_total"] for _ in range(2))
    yield counts
    own = before - first  # of looking at the counters
    counts.append(stats(m)["ckfs_reads_total"] - before - own)


def value(size: int) -> bytes:
    return bytes((7 * i + i // 251) % 255 + 1 for i in range(size))


@pytest.mark.parametrize("view", ["", "raw/"])
@pytest.mark.parametrize("size", SIZES)
def test_the_first_read_sends_no_request(cache, mnt, size, view):
    cache.write("k", v3(value(size)))
    with counted(mnt) as requests:
        assert read(mnt / view / "k") == value(size)
    assert requests == [0]


def test_a_single_thread_gives_the_bytes_as_well(cache, mount):
    m = mount(cache, "max_threads=1")
    cache.write("k", v3(value(5000)))
    with counted(m) as requests:
        assert read(m / "k") == value(5000)
    assert requests == [0]


@pytest.fixture
def late(tmp) -> dict[str, str]:
    """The environment of a daemon whose pages come late."""
    library = tmp / "late.so"
    command = ["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"]
    subprocess.run(command, input=LATE, text=True, check=True)
    return {"LD_PRELOAD": str(library)}


@pytest.mark.file_only
def test_the_daemon_ends_while_a_file_is_given_that_others_read(cache, mount, late):
    m = mount(cache, "max_threads=4", env=late)
    cache.write("k", v3(value(5000)))

    crowd = []
    for wait in ("0", "0.4"):
        crowd.append(subprocess.Popen([sys.executable, "-c", LATER, str(m / "k"), wait], stderr=subprocess.DEVNULL))
        time.sleep(0.2)
    m.process.send_signal(signal.SIGTERM)
    try:
        m.process.wait(PATIENCE)
    finally:
        subprocess.run(["umount", "-f", str(m)], stderr=subprocess.DEVNULL, check=False)
        for process in crowd:
            process.wait()


@pytest.mark.parametrize("size", SIZES)
def test_a_mapping_has_zeros_behind_the_end(cache, mnt, size):
    cache.write("k", v3(value(size)))
    with open(mnt / "k", "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        assert m[:] == value(size)
        page = os.pread(f.fileno(), 8192, size // 4096 * 4096)
        assert page == value(size)[size // 4096 * 4096 :]


def test_a_larger_file_is_read(cache, mnt):
    cache.write("k", v3(value(65_537)))
    with counted(mnt) as requests:
        assert read(mnt / "k") == value(65_537)
    assert requests[0] > 0


def test_what_the_kernel_gave_up_is_read_again(cache, mnt):
    cache.write("k", v3(value(5000)))
    with open(mnt / "k", "rb", buffering=0) as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with counted(mnt) as requests:
            assert f.read() == value(5000)
        assert requests[0] > 0
    assert read(mnt / "k") == value(5000)


def test_a_new_version_comes_with_its_own(cache, mnt):
    for number in range(1, 20):
        cache.write("k", v3(value(number * 997)))
        assert read(mnt / "k") == value(number * 997)


@pytest.mark.parametrize("options", [(), ("max_threads=1",), ("max_threads=2",)])
def test_a_crowd_opens_the_same_files_at_once(cache, mount, options):
    m = mount(cache, *options)
    for i in range(NAMES):
        cache.write(f"k{i}", v3(value(1000 + 37 * i)))
    names = " ".join(f"k{i}" for i in range(NAMES))
    command = [sys.executable, "-c", READER, str(m.path), names]
    crowd = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CROWD)]
    assert len({process.communicate(timeout=PATIENCE)[0] for process in crowd}) == 1
    assert all(process.returncode == 0 for process in crowd)
    assert b"".join(read(m / f"k{i}") for i in range(NAMES)) == b"".join(value(1000 + 37 * i) for i in range(NAMES))
