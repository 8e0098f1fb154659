"""§6: only what is known to be absent is ENOENT. A SOURCE that fails is that error everywhere, never an empty cache."""

import errno
import os
import shutil
import subprocess
import time

import pytest

from caches import FileCache
from helpers import failure, listing, read

pytestmark = pytest.mark.file_only

KEYS = {f"key{i}": f"value {i}".encode() for i in range(40)}


class Bindfs:
    """A filesystem whose server can die: it shows a directory in another place."""

    def __init__(self, below, point):
        self.below, self.point = below, point
        point.mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(["bindfs", "-f", "-o", "attr_timeout=0,entry_timeout=0", self.below, self.point])
        while not os.path.ismount(self.point):
            assert self.process.poll() is None
            time.sleep(0.01)

    def die(self) -> None:
        """Leaves a mount that answers all with ENOTCONN."""
        self.process.kill()
        self.process.wait()

    def clear(self) -> None:
        subprocess.run(["umount", "-l", self.point], check=True)

    def restart(self) -> None:
        self.clear()
        self.start()


@pytest.fixture
def served(cache, tmp):
    """A cache on such a filesystem."""
    for key, value in KEYS.items():
        cache.set(key, value)
    b = Bindfs(cache.dir, tmp / "served")
    yield b
    b.die()
    subprocess.run(["umount", "-l", b.point], capture_output=True)


@pytest.fixture
def ckfs(ckfs, tmp):
    """The binary without root's powers over modes."""
    if os.geteuid() != 0:
        return ckfs
    wrapper = tmp / "ckfs"
    wrapper.write_text(f'#!/bin/sh\nexec setpriv --bounding-set=-dac_override,-dac_read_search "{ckfs}" "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


@pytest.fixture
def above(cache, tmp):
    """A directory above the cache, which may be closed."""
    for key, value in KEYS.items():
        cache.set(key, value)
    top = tmp / "above"
    top.mkdir()
    shutil.move(cache.dir, top / "cache")
    yield top
    top.chmod(0o700)


VIEWS = ["", "raw", "frame", "meta", "json", "arrow"]


def all_fail(m, number: int) -> None:
    """Whatever is asked of the entries is this error."""
    name = errno.errorcode[number]
    for view in VIEWS:
        with pytest.raises(OSError) as caught:
            os.listdir(m / view)
        assert caught.value.errno == number
        done = subprocess.run(["ls", m / view], capture_output=True, text=True)
        assert done.returncode != 0 and os.strerror(number) in done.stderr
    for path in ("raw/key1", "key1", "frame/key1", "meta/key1.json", "raw/nobody"):
        assert failure(m / path) == name
    with pytest.raises(OSError) as caught:
        os.statvfs(m)
    assert caught.value.errno == number
    assert subprocess.run(["find", m / "raw", "-type", "f"], capture_output=True).returncode != 0


def rsync(m, copy) -> int:
    return subprocess.run(["rsync", "-a", "--delete", f"{m}/raw/", f"{copy}/"], capture_output=True).returncode


def test_a_source_whose_server_has_died_is_no_empty_cache(served, mount, tmp):
    m = mount(served.point)
    assert rsync(m, tmp / "copy") == 0
    before = listing(tmp / "copy")
    assert len(before) == len(KEYS)
    served.die()
    all_fail(m, errno.ENOTCONN)
    assert rsync(m, tmp / "copy") != 0
    assert listing(tmp / "copy") == before


def test_a_source_that_comes_back_is_served_again(served, mount):
    m = mount(served.point)
    assert read(m / "raw/key1") == KEYS["key1"]
    served.die()
    assert failure(m / "raw/key1") == "ENOTCONN"
    served.restart()
    assert read(m / "raw/key1") == KEYS["key1"]
    assert len(os.listdir(m / "raw")) == len(KEYS)


def test_an_open_file_fails_and_nothing_else_is_shown(served, mount):
    """The page cache may have what was read; the rest is an error, not an end."""
    m = mount(served.point)
    with open(m / "raw/key1", "rb", buffering=0) as file:
        served.die()
        try:
            assert file.read() == KEYS["key1"]
        except OSError as e:
            assert e.errno in (errno.ENOTCONN, errno.EIO)


def test_a_listing_that_was_begun_ends_in_an_error(served, mount, cache):
    for i in range(5000):
        cache.set(f"more{i}", b"")
    m = mount(served.point)
    iterator = os.scandir(m / "raw")
    next(iterator)
    served.die()
    with pytest.raises(OSError) as caught:
        shown = [e.name for e in iterator]
        pytest.fail(f"{len(shown)} names and no error")
    assert caught.value.errno == errno.ENOTCONN


def test_attributes_of_a_dead_source_are_an_error_not_absent(served, mount):
    m = mount(served.point)
    os.stat(m / "raw/key1")
    served.die()
    with pytest.raises(OSError) as caught:
        os.getxattr(m / "raw/key1", "user.ckfs.expires")
    assert caught.value.errno == errno.ENOTCONN


def test_a_mount_over_a_dead_source_is_alive(served, mount, ckfs):
    """A second one must not take it for the rest of a dead ckfs, and clear it away."""
    m = mount(served.point)
    served.die()
    done = subprocess.run([ckfs, str(served.below), str(m)], capture_output=True, text=True)
    assert (done.returncode, "serves here already" in done.stderr) == (1, True)
    served.restart()
    assert read(m / "raw/key1") == KEYS["key1"]


def test_a_dead_source_is_one_clear_line_at_the_start(served, ckfs, tmp):
    served.die()
    (tmp / "mnt").mkdir()
    done = subprocess.run([ckfs, str(served.point), str(tmp / "mnt")], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert str(served.point) in done.stderr and "not connected" in done.stderr


def test_a_directory_above_that_may_not_be_passed_is_no_empty_cache(above, mount, tmp):
    m = mount(above / "cache")
    assert rsync(m, tmp / "copy") == 0
    before = listing(tmp / "copy")
    above.chmod(0o600)
    all_fail(m, errno.EACCES)
    assert rsync(m, tmp / "copy") != 0
    assert listing(tmp / "copy") == before
    above.chmod(0o700)
    assert read(m / "raw/key1") == KEYS["key1"]
    assert len(os.listdir(m / "raw")) == len(KEYS)


@pytest.mark.parametrize("mode", [0o600, 0o000])
def test_a_cache_directory_that_may_not_be_read_is_no_empty_cache(above, mount, mode):
    m = mount(above / "cache")
    (above / "cache").chmod(mode)
    try:
        assert failure(m / "raw/key1") == "EACCES"
        done = subprocess.run(["ls", "-l", m / "raw"], capture_output=True, text=True)
        assert done.returncode != 0 and "Permission denied" in done.stderr
    finally:
        (above / "cache").chmod(0o700)
    assert read(m / "raw/key1") == KEYS["key1"]


def test_something_else_in_its_place_is_no_empty_cache(above, mount):
    m = mount(above / "cache")
    (above / "cache").rename(above / "elsewhere")
    (above / "cache").write_bytes(b"")
    all_fail(m, errno.ENOTDIR)


def test_a_link_that_leads_in_circles_is_no_empty_cache(above, mount):
    m = mount(above / "cache")
    (above / "cache").rename(above / "elsewhere")
    (above / "cache").symlink_to("cache")
    all_fail(m, errno.ELOOP)


def test_a_directory_that_is_known_to_be_absent_is_an_empty_cache(above, mount):
    """As before the application has made it; and it is picked up when it is made again."""
    m = mount(above / "cache")
    (above / "cache").rename(above / "elsewhere")
    assert (os.listdir(m / "raw"), failure(m / "raw/key1")) == ([], "ENOENT")
    made = FileCache(above / "cache")
    made.set("new", b"value")
    assert read(m / "raw/new") == b"value"


def test_an_entry_of_somebody_else_is_listed_and_says_why_it_does_not_open(above, mount):
    names = os.listdir(above / "cache")
    (above / "cache" / names[0]).chmod(0)
    m = mount(above / "cache")
    for view in ("raw", "frame", "json", ""):
        assert names[0] in {name.removesuffix(".json") for name in os.listdir(m / view)}
        assert failure(m / view / names[0]) == "EACCES"


def test_a_default_directory_that_may_not_be_seen_is_told(above, ckfs, tmp):
    (above / "cache").rename(above / "cachekit")
    (tmp / "mnt").mkdir()
    above.chmod(0o600)
    env = {k: v for k, v in os.environ.items() if not k.startswith("CACHEKIT_") and k != "REDIS_URL"}
    done = subprocess.run([ckfs, str(tmp / "mnt")], capture_output=True, text=True, env={**env, "TMPDIR": str(above)})
    assert (done.returncode, "Permission denied" in done.stderr) == (1, True)
