"""§6: what ckfs itself lacks (a spool, descriptors, memory) is never told as a property of an entry, and is over when the lack is."""

import json
import os
import subprocess

import pytest

from commands import until
from helpers import failure, listing, meta, read
from test_decoded_cache import fill, opened

pytestmark = pytest.mark.file_only

MSGPACK = "msgpack/k.msgpack"
JSON = "json/k.json"


@pytest.fixture
def stored(cache):
    """A value that is decoded into more than cache_size=1M."""
    fill(cache, "k", mib=8)
    cache.set("other", b"value")
    return cache


@pytest.fixture
def spool(tmp):
    path = tmp / "spool"
    path.mkdir()
    return path


def without_powers(*words) -> list[str]:
    """A command without root's powers over modes."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    return [*drop, *map(str, words)]


class Taken:
    """Ways to take the spool directory away, and to give it back."""

    def __init__(self, spool):
        self.spool, self.kept = spool, spool.with_name("kept")

    def removed(self):
        self.spool.rename(self.kept)
        yield
        self.kept.rename(self.spool)

    def closed(self):
        self.spool.chmod(0)
        yield
        self.spool.chmod(0o700)

    def a_file(self):
        self.spool.rename(self.kept)
        self.spool.write_bytes(b"")
        yield
        self.spool.unlink()
        self.kept.rename(self.spool)

    def read_only(self):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", self.spool], capture_output=True).returncode:
            pytest.skip("only root may mount a file system that is full")
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", self.spool], check=True)


@pytest.fixture
def ckfs(ckfs, tmp):
    wrapper = tmp / "ckfs"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(without_powers(ckfs))} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


@pytest.mark.parametrize("how", ["removed", "closed", "a_file", "read_only"])
def test_a_spool_that_is_lost_is_eio_and_a_line_that_names_it(stored, mount, spool, how):
    m = mount(stored, "cache_size=1M", f"spool_dir={spool}")
    taken = getattr(Taken(spool), how)()
    next(taken)
    assert (failure(m / MSGPACK), failure(m / JSON)) == ("EIO", "EIO")
    assert failure(m / MSGPACK) == "EIO"
    assert len(m.log_lines(f"spool_dir {spool}: ")) == 1
    assert read(m / "other") == b"value"
    # It is no property of the entry.
    shown = meta(m, "k")
    assert (shown["views"]["msgpack"], shown["views"]["json"], shown["checksum"]) == (True, True, "unchecked")
    assert "user.ckfs.error" not in os.listxattr(m / "k")
    assert "k.msgpack" in listing(m / "msgpack") and "k.json" in listing(m / "json")
    next(taken, None)
    assert read(m / MSGPACK) == opened(stored.payload("k"))
    assert len(json.loads(read(m / JSON))) == 8 * 1024
    assert meta(m, "k")["checksum"] == "ok"


def test_each_loss_of_the_spool_is_logged_once(stored, mount, spool):
    m = mount(stored, "cache_size=1M", f"spool_dir={spool}")
    for lost in range(1, 4):
        taken = Taken(spool).removed()
        next(taken)
        assert (failure(m / MSGPACK), failure(m / MSGPACK)) == ("EIO", "EIO")
        assert len(m.log_lines("spool_dir")) == lost
        next(taken, None)
        assert failure(m / MSGPACK) is None


@pytest.mark.parametrize("how", ["removed", "closed", "a_file"])
def test_a_spool_that_is_asked_for_has_to_work(stored, ckfs, tmp, spool, how):
    (tmp / "mnt").mkdir()
    next(taken := getattr(Taken(spool), how)())
    done = subprocess.run([ckfs, "-o", f"spool_dir={spool}", stored.source, tmp / "mnt"], capture_output=True, text=True)
    next(taken, None)
    assert (done.returncode, done.stderr.count("\n"), str(spool) in done.stderr) == (1, 1, True)
    assert not os.path.ismount(tmp / "mnt")


# In a namespace where the default directory is not there.
WITHOUT = 'mount -t tmpfs tmpfs /var; exec "$@"'


def test_without_the_default_spool_it_mounts_says_so_and_does_without(stored, ckfs, tmp):
    point = tmp / "mnt"
    point.mkdir()
    log = open(tmp / "log", "w+")
    args = ["unshare", "--mount", "sh", "-euc", WITHOUT, "sh", ckfs, "-f", "-o", "cache_size=1M", stored.source, point]
    process = subprocess.Popen(args, stderr=log)
    try:
        inside = f"/proc/{process.pid}/root{point}"
        assert until(lambda: os.path.exists(f"{inside}/.ckfs/stats"))
        assert (tmp / "log").read_text().count("spool_dir /var/tmp: No such file or directory") == 1
        # The namespace's own view of the mount.
        cat = subprocess.run(["nsenter", f"--mount=/proc/{process.pid}/ns/mnt", "cat", point / MSGPACK], capture_output=True, text=True)
        assert cat.stderr.endswith("Input/output error\n")
        cat = subprocess.run(["nsenter", f"--mount=/proc/{process.pid}/ns/mnt", "cat", point / "other"], capture_output=True, text=True)
        assert cat.stdout == "value"
    finally:
        process.terminate()
        process.wait()
        log.close()


def test_a_filesystem_without_unnamed_files_will_do(stored, mount, spool, tmp):
    """bindfs has none."""
    (tmp / "below").mkdir()
    server = subprocess.Popen(["bindfs", "-f", tmp / "below", spool])
    try:
        assert until(lambda: os.path.ismount(spool))
        with pytest.raises(OSError):
            os.close(os.open(spool, os.O_TMPFILE | os.O_RDWR))
        m = mount(stored, "cache_size=1M", f"spool_dir={spool}")
        assert read(m / MSGPACK) == opened(stored.payload("k"))
        assert [name for name in os.listdir(spool) if not name.startswith(".fuse_hidden")] == []
        m.unmount()
        assert until(lambda: os.listdir(spool) == [])
    finally:
        subprocess.run(["umount", "-l", spool], check=True)
        server.wait()


def limited(ckfs, tmp, kib: int, *args) -> subprocess.Popen:
    """In the foreground, with a limit of file sizes that it cannot raise."""
    wrapper = tmp / "limited"
    wrapper.write_text(f'#!/bin/sh\nulimit -S -f {kib}\nulimit -H -f {kib}\nexec "{ckfs}" "$@"\n')
    wrapper.chmod(0o755)
    process = subprocess.Popen([wrapper, "-f", *map(str, args)], stderr=subprocess.PIPE, text=True)
    assert until(lambda: os.path.ismount(args[-1]) or process.poll() is not None)
    return process


@pytest.mark.parametrize("kib", [50, 5000])
def test_a_limit_of_file_sizes_is_none_of_what_is_kept_in_memory(stored, spool, ckfs, kib, tmp):
    point = tmp / "mnt"
    point.mkdir()
    process = limited(ckfs, tmp, kib, "-o", f"cache_size=64M,spool_dir={spool}", stored.source, point)
    try:
        assert read(point / MSGPACK) == opened(stored.payload("k"))
        assert len(json.loads(read(point / JSON))) == 8 * 1024
    finally:
        process.terminate()
        assert process.communicate()[1] == ""


def test_a_spool_that_no_page_goes_into_does_not_work(stored, spool, ckfs, tmp):
    (tmp / "mnt").mkdir()
    process = limited(ckfs, tmp, 0, "-o", f"spool_dir={spool}", stored.source, tmp / "mnt")
    assert (process.wait(), "File too large" in process.stderr.read()) == (1, True)
    process.stderr.close()


def test_a_limit_of_file_sizes_on_the_spool_is_not_the_entrys(stored, spool, ckfs, tmp):
    """EFBIG would say that the value is over a limit of the format."""
    point = tmp / "mnt"
    point.mkdir()
    process = limited(ckfs, tmp, 100, "-o", f"cache_size=1M,spool_dir={spool}", stored.source, point)
    try:
        assert (failure(point / MSGPACK), failure(point / JSON)) == ("EIO", "EIO")
        assert json.loads(read(point / "meta/k.json"))["views"]["json"] is True
        assert read(point / "other") == b"value"
    finally:
        process.terminate()
        text = process.communicate()[1]
    assert text.count(f"spool_dir {spool}: File too large") == 1


def test_a_full_spool_is_enospc_and_a_line_that_names_it(stored, mount, spool):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", spool], capture_output=True).returncode:
        pytest.skip("only root may mount a file system that is full")
    try:
        m = mount(stored, "cache_size=1M", f"spool_dir={spool}")
        assert failure(m / MSGPACK) == "ENOSPC"
        assert len(m.log_lines(f"spool_dir {spool}: No space left on device")) == 1
        assert meta(m, "k")["views"]["msgpack"] is True
        subprocess.run(["mount", "-o", "remount,size=64M", spool], check=True)
        assert read(m / MSGPACK) == opened(stored.payload("k"))
        m.unmount()
    finally:
        subprocess.run(["umount", "-l", spool], check=True)
