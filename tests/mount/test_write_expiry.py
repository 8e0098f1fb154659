"""§8 of the contract: expiries that are set, on each backend."""

from __future__ import annotations

import datetime
import os
import subprocess
import time

import pytest

from documents import store
from writing import frame, m, outcome, write  # noqa: F401 - a fixture

pytestmark = [pytest.mark.shared_mount, pytest.mark.on_http]


class TestExpiry:
    @pytest.mark.own_mount
    @pytest.mark.parametrize("option, seconds", [("ttl=100", 100), ("ttl=never", None), (None, None)])
    def test_a_new_entry_lives_for_ttl(self, cache, mount, option, seconds):
        m = mount(cache, "write", *([option] if option else []))
        write(m / f"frame/{cache.key}", frame())
        left = cache.expiry(cache.key) - time.time() if cache.expiry(cache.key) else None
        assert left is None if seconds is None else seconds - 20 < left <= seconds + cache.EXPIRY_WITHIN

    def test_one_that_is_written_over_keeps_its_own(self, cache, mount):
        cache.set(cache.key, frame("old"), 5000)
        before = cache.expiry(cache.key)
        write(mount(cache, "write", "ttl=77") / f"frame/{cache.key}", frame("new"))
        assert (cache.value(cache.key), abs(cache.expiry(cache.key) - before) <= 1 + cache.EXPIRY_WITHIN) == (frame("new"), True)

    @pytest.mark.parametrize("directory", ["", "raw/", "frame/"])
    def test_setfattr_sets_it(self, cache, m, directory):
        cache.set(cache.key, frame(), 5000)
        path = m / f"{directory}{cache.key}"
        subprocess.run(["setfattr", "-n", "user.ckfs.ttl", "-v", "60", path], check=True)
        assert 50 < cache.expiry(cache.key) - time.time() <= 60 + cache.EXPIRY_WITHIN
        assert 50 < int(os.getxattr(path, "user.ckfs.ttl")) <= 60 + cache.EXPIRY_WITHIN
        day = int(time.time()) // 86400 * 86400 + 20 * 86400
        for hours, zone in ((0, "Z"), (2, "+02:00")):
            os.setxattr(path, "user.ckfs.expires", (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(day + hours * 3600)) + zone).encode())
            shown = datetime.datetime.fromisoformat(os.getxattr(path, "user.ckfs.expires").decode()).timestamp()
            assert (abs(cache.expiry(cache.key) - day) <= cache.EXPIRY_WITHIN, abs(shown - day) <= cache.EXPIRY_WITHIN) == (True, True)

    def test_it_may_be_far_away_where_the_store_knows_no_limit(self, cache, m):
        cache.set(cache.key, frame(), 5000)
        if cache.LIFE_MAX is None:
            os.setxattr(m / cache.key, "user.ckfs.expires", b"2033-01-01T00:00:00Z")
            assert (cache.expiry(cache.key), os.getxattr(m / cache.key, "user.ckfs.expires")) == (1988150400, b"2033-01-01T00:00:00Z")

    def test_never_and_removing_it_are_for_ever(self, cache, m):
        if cache.KIND == "http":
            return  # test_write_http.py
        cache.set(cache.key, frame(), 5000)
        os.setxattr(m / cache.key, "user.ckfs.ttl", b"never")
        assert (cache.expiry(cache.key), os.getxattr(m / cache.key, "user.ckfs.expires")) == (0, b"never")
        cache.set(cache.key, frame(), 5000)
        os.removexattr(m / cache.key, "user.ckfs.ttl")
        assert cache.expiry(cache.key) == 0

    def test_a_changed_expiry_is_no_new_version(self, cache, m):
        cache.set(cache.key, frame(), 5000)
        before = os.stat(m / cache.key)
        os.setxattr(m / cache.key, "user.ckfs.ttl", b"60")
        after = os.stat(m / cache.key)
        assert (before.st_ino, before.st_mtime, cache.value(cache.key)) == (after.st_ino, after.st_mtime, frame())

    BAD = [b"", b"soon", b"-1", b"0", b"1.5", b" 60", b"60 ", b"999999999999", b"6\x000", b"2027-02-29T00:00:00Z", b" 2027-1-01T00:00:00Z", b"2027-01-01T00:00:00.Z", b"2027-01-01T00:00:00"]

    @pytest.mark.parametrize("value", BAD)
    def test_what_is_no_time_is_einval(self, cache, m, value):
        cache.set(cache.key, frame(), 5000)
        before = cache.expiry(cache.key)
        assert outcome(os.setxattr, m / cache.key, "user.ckfs.ttl", value) == "EINVAL"
        assert outcome(os.setxattr, m / cache.key, "user.ckfs.expires", value) == "EINVAL"
        assert cache.expiry(cache.key) == before

    def test_what_is_told_of_an_entry_cannot_be_set(self, cache, m):
        cache.set(cache.key, frame())
        assert outcome(os.setxattr, m / cache.key, "user.ckfs.format", b"arrow") == "EPERM"
        assert outcome(os.setxattr, m / cache.key, "user.mine", b"1") == "EOPNOTSUPP"
        assert outcome(os.setxattr, m / f"meta/{cache.key}.json", "user.ckfs.ttl", b"60") == "EROFS"

    def test_what_is_being_written_gets_it_with_its_value(self, cache, m):
        with open(m / f"frame/{cache.key}", "wb", buffering=0) as file:
            file.write(frame())
            os.setxattr(file.fileno(), "user.ckfs.ttl", b"333")
            assert cache.backend.get(cache.key) is None
        assert 300 < cache.expiry(cache.key) - time.time() <= 333

    @pytest.mark.parametrize("stored", [False, True], ids=["only opened", "stored before"])
    def test_what_is_open_and_not_being_written_gets_it_at_once(self, cache, m, stored):
        cache.set(cache.key, frame("old"))
        with open(m / f"frame/{cache.key}", "r+b", buffering=0) as file:
            if stored:
                file.truncate(0)
                file.write(frame("new"))
                os.fsync(file.fileno())
            os.setxattr(file.fileno(), "user.ckfs.ttl", b"333")
            assert 300 < cache.expiry(cache.key) - time.time() <= 333
        assert 300 < cache.expiry(cache.key) - time.time() <= 333
        assert cache.value(cache.key) == frame("new" if stored else "old")

    def test_attributes_are_copied_without_a_value(self, cache, m):
        store(cache, cache.key, {"a": 1})
        (cache.home / f"copy{cache.number}").write_bytes(b"")
        os.setxattr(cache.home / f"copy{cache.number}", "user.ckfs.ttl", b"444")
        before = cache.value(cache.key)
        command = ["cp", "--attributes-only", "--preserve=xattr", cache.home / f"copy{cache.number}", m / f"frame/{cache.key}"]
        subprocess.run(command, check=True)
        assert 400 < cache.expiry(cache.key) - time.time() <= 444
        assert cache.value(cache.key) == before
