"""§6: what errors do to readers, to the log, and not to anything else."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from entries import (  # noqa: F401 - fixtures
    DIRECTORIES,
    FORMATS,
    MALFORMED,
    TABLE,
    broken,  # noqa: F401 - fixtures
    entries_of,
    everything,
    flip,
    frame,
    malformed,
    opening,
    outcome,
    slurp,
    store_broken,
)
from mounts import mounted
from waiting import until

pytestmark = pytest.mark.on_http


@pytest.mark.file_only
class TestTruncatedUnderAnOpenFile:
    SIZE = 1 << 20

    @pytest.fixture
    def cut(self, cache, mnt):
        """A descriptor over an entry whose file lost its second half."""
        cache.set("k", b"\x01" * self.SIZE)
        fd = os.open(mnt / "k", os.O_RDONLY)
        os.truncate(cache.path("k"), self.SIZE // 2)
        yield fd
        os.close(fd)

    def test_reading_what_is_gone_gives_eio(self, cut):
        assert outcome(os.pread, cut, 4096, self.SIZE - 8192) == "EIO"

    def test_no_zeros_are_read(self, cut):
        seen = set()
        for offset in range(0, self.SIZE, 65536):
            if outcome(lambda: seen.update(os.pread(cut, 65536, offset))) != "OK":
                break
        assert seen <= {1}

    def test_the_mount_goes_on(self, cut, cache, mnt):
        outcome(os.pread, cut, 4096, self.SIZE - 8192)
        cache.set("other", b"value")
        assert slurp(mnt / "other") == b"value"


@pytest.mark.shared_mount
class TestReadOnly:
    ATTEMPTS = {
        "open to write": lambda f, d: os.open(f, os.O_WRONLY),
        "open to read and write": lambda f, d: os.open(f, os.O_RDWR),
        "open to append": lambda f, d: os.open(f, os.O_WRONLY | os.O_APPEND),
        "open and truncate": lambda f, d: os.open(f, os.O_WRONLY | os.O_TRUNC),
        "truncate": lambda f, d: os.truncate(f, 0),
        "create": lambda f, d: os.open(d / "new", os.O_WRONLY | os.O_CREAT),
        "unlink": lambda f, d: os.unlink(f),
        "mkdir": lambda f, d: os.mkdir(d / "new"),
        "rmdir": lambda f, d: os.rmdir(d),
        "rename": lambda f, d: os.rename(f, d / "new"),
        "link": lambda f, d: os.link(f, d / "new"),
        "symlink": lambda f, d: os.symlink("target", d / "new"),
        "mknod": lambda f, d: os.mkfifo(d / "new"),
        "chmod": lambda f, d: os.chmod(f, 0o644),
        "chmod of the directory": lambda f, d: os.chmod(d, 0o755),
        "chown": lambda f, d: os.chown(f, os.getuid(), os.getgid()),
        "utime": lambda f, d: os.utime(f, (0, 0)),
        "setxattr": lambda f, d: os.setxattr(f, "user.ckfs.ttl", b"60"),
        "setxattr of a foreign name": lambda f, d: os.setxattr(f, "user.mine", b"1"),
        "removexattr": lambda f, d: os.removexattr(f, "user.ckfs.format"),
    }

    @pytest.mark.parametrize("attempt", ATTEMPTS)
    def test_a_change_gives_erofs(self, cache, mnt, attempt):
        cache.put(cache.key, TABLE, "arrow")
        files = {"raw": f"raw/{cache.key}", "frame": f"frame/{cache.key}", "arrow": f"arrow/{cache.key}.arrow", "meta": f"meta/{cache.key}.json"}
        results = {d: outcome(self.ATTEMPTS[attempt], mnt / f, mnt / d) for d, f in files.items()}
        assert results == dict.fromkeys(files, "EROFS")

    def test_a_change_in_the_root_gives_erofs(self, cache, mnt):
        cache.set(cache.key, b"value")
        attempts = {name: call for name, call in self.ATTEMPTS.items() if name != "rmdir"}
        results = {name: outcome(call, mnt / cache.key, mnt.path) for name, call in attempts.items()}
        assert results == dict.fromkeys(attempts, "EROFS")

    def test_the_entry_stays_as_it_was(self, cache, mnt):
        cache.set(cache.key, b"value")
        before = cache.contents()
        for call in self.ATTEMPTS.values():
            outcome(call, mnt / f"raw/{cache.key}", mnt / "raw")
        assert (len(before), cache.contents()) == (1, before)


class TestLog:
    def lines(self, m, cache, key: str) -> list[str]:
        """What was logged of an entry, once something was."""
        marks = (key, cache.listed(key))
        return until(lambda: [line for line in m.log().splitlines() if any(mark in line for mark in marks)])

    def test_an_error_is_logged_once_however_often_it_is_met(self, cache, mnt):
        cache.set("malformed", b"CK\x02 and more")
        for view in ("", "raw/") * 5:
            opening(mnt / f"{view}malformed")
        assert len(self.lines(mnt, cache, "malformed")) == 1

    def test_a_mismatch_is_logged_once_however_often_it_is_met(self, cache, mnt):
        cache.put("altered", TABLE, "arrow")
        cache.set("altered", flip(cache.value("altered"), -100))
        for _ in range(5):
            opening(mnt / "arrow/altered.arrow")
        assert len(self.lines(mnt, cache, "altered")) == 1

    def test_a_new_version_is_logged_again(self, cache, mnt):
        for content in (b"CK\x02 and more", b"CK\x04 and even more", b"CK\x05 and still more"):
            cache.set("malformed", content)
            opening(mnt / "malformed")
            opening(mnt / "malformed")
        assert until(lambda: len(self.lines(mnt, cache, "malformed")) == 3), mnt.log()

    def test_a_ttl_rewritten_in_place_logs_nothing_again(self, cache, mnt):
        cache.set("malformed", b"CK\x02 and more", ttl=3600)
        opening(mnt / "malformed")
        assert cache.refresh_ttl("malformed", 7200)
        opening(mnt / "malformed")
        cache.set("second", b"CK\x02 and more")
        opening(mnt / "second")
        self.lines(mnt, cache, "second")
        assert len(self.lines(mnt, cache, "malformed")) == 1

    @pytest.mark.not_on_http("keys of other characters")
    def test_a_hostile_key_stays_in_one_line_without_control_bytes(self, cache, mnt):
        key = "evil\nckfs: all is well\x1b[2J\r\x07\x7f"
        cache.set(key, b"CK\x02 and more")
        opening(mnt / "evil%0Ackfs: all is well%1B[2J%0D%07%7F")
        until(lambda: mnt.log())
        assert re.search(rb"[^\n\x20-\x7e]|^ckfs: all is well", mnt.stderr.read_bytes(), re.M) is None

    def test_bytes_that_are_not_utf_8_are_escaped(self, cache, mnt):
        cache.set("malformed", frame(b'{"s": "\xff\x1b[2J\xc2\x9b", "m": {}}'))
        opening(mnt / "malformed")
        until(lambda: mnt.log())
        assert re.search(rb"[^\n\x20-\x7e]", mnt.stderr.read_bytes()) is None

    @pytest.mark.not_on_http("keys of other characters")
    def test_a_line_is_bounded(self, cache, mnt):
        cache.set("long" * 3000, frame({"s": "x" * 100_000, "m": {"format": "f" * 100_000}}))
        cache.set("malformed", MALFORMED["megabytes-of-no-json"])
        for name in (cache.listed("long" * 3000), "malformed"):
            opening(mnt / name)
            opening(mnt / f"json/{name}")
        self.lines(mnt, cache, "malformed")
        assert max(map(len, mnt.log().splitlines())) <= 2048

    @pytest.mark.not_on_http("listings")
    def test_a_good_entry_logs_nothing(self, cache, mnt):
        cache.put("good", TABLE, "arrow")
        for name in ("good", "raw/good", "frame/good", "arrow/good.arrow", "meta/good.json"):
            slurp(mnt / name)
        os.listdir(mnt)
        assert mnt.log() == ""


GOOD = {"arrow": {"good-arrow"}, "npy": {"good-npy"}, "msgpack": {"good-msgpack"}, "json": {"good-orjson", "good-msgpack"}}


@pytest.fixture(scope="module")
def known(ckfs, shared_cache):
    """A mount of a broken cache in which every bad entry was met in every view, and the good ones were opened by name."""
    store_broken(shared_cache)
    with mounted(ckfs, shared_cache) as m:
        for name in shared_cache.names():
            opening(m / name)
            for directory in DIRECTORIES:
                opening(m / directory / name)
        assert {opening(m / key) for keys in GOOD.values() for key in keys} == {"OK"}
        yield m


class TestNothingElseIsHarmed:
    def test_good_entries_are_served_among_bad_ones(self, known):
        names = ("good-npy", "npy/good-npy.npy", "json/good-orjson.json", "arrow/good-arrow.arrow", "good-foreign")
        assert {name: opening(known / name) for name in names} == dict.fromkeys(names, "OK")

    @pytest.mark.parametrize("directory", ["", *DIRECTORIES])
    def test_ls_l_exits_0_once_the_bad_ones_are_known(self, known, directory):
        done = subprocess.run(["ls", "-l", known / directory], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")

    @pytest.mark.parametrize("directory", ["", "raw", "frame", "arrow", "npy", "meta"])
    def test_ls_l_exits_0_at_first_sight(self, broken, mount, directory):
        done = subprocess.run(["ls", "-l", mount(broken) / directory], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")

    def test_what_failed_is_left_out_of_the_format_directories(self, known):
        listed = {format: {os.path.splitext(name)[0] for name in os.listdir(known / format)} for format in FORMATS}
        assert listed == GOOD

    def test_what_failed_still_gives_its_errno_by_name(self, known):
        os.listdir(known / "arrow")
        assert opening(known / "arrow/arrow-altered.arrow") == "EBADMSG"

    @pytest.mark.not_on_http("listings")
    def test_a_repaired_entry_is_listed_again(self, broken, mount):
        m = mount(broken)
        opening(m / "arrow/arrow-altered.arrow")
        broken.set("arrow-altered", broken.value("good-arrow"))
        assert {f"{broken.listed('arrow-altered')}.arrow", "arrow-altered.arrow"} & set(os.listdir(m / "arrow"))

    @pytest.mark.parametrize("directory", ["", "raw", "frame", "meta"])
    @pytest.mark.not_on_http("listings")
    def test_the_root_raw_frame_and_meta_list_all(self, broken, mount, directory):
        m = mount(broken)
        names = {os.path.splitext(name)[0] for name in entries_of(m / directory)}
        assert names == broken.names() - {broken.listed(key) for key in broken.write_misses("miss-")}

    def test_all_that_the_format_directories_list_opens_once_the_bad_ones_are_known(self, known):
        plain = tuple(os.path.join(known, name) for name in ("raw", *entries_of(known)))
        assert {path: result for path, result in everything(known).items() if not path.startswith(plain)} == {}

    def test_the_daemon_lives_on(self, known):
        assert known.process.poll() is None
