"""§8 of the contract: what is written to a mount with `-o write`, on each backend, is stored, and removed."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import time

import msgpack
import numpy as np
import pytest
from cachekit._rust_serializer import ByteStorage

from documents import TABLE, handler, seal, store
from entries import stats
from helpers import legacy, metadata, name_of, read
from writing import SERIALIZERS, frame, m, outcome, unchecked, write  # noqa: F401 - fixtures

WRITES = 'ckfs_request_duration_seconds_count{operation="write"}'

pytestmark = [pytest.mark.shared_mount, pytest.mark.on_http]


class TestRoundTrips:
    @pytest.mark.parametrize("serializer, sealed", [(s, sealed) for s in SERIALIZERS for sealed in (False, True) if not (sealed and s.startswith("auto"))])
    def test_a_frame_that_was_copied_out_and_in_is_read_by_the_sdk(self, cache, m, serializer, sealed):
        made, obj = SERIALIZERS[serializer]
        sealing = seal() if sealed else None
        key = store(cache, cache.key, obj, made, sealing)
        before, out = cache.value(key), cache.home / f"copy{cache.number}"
        subprocess.run(["cp", m / f"frame/{key}", out], check=True)
        os.unlink(m / f"frame/{key}")
        assert cache.backend.get(key) is None
        subprocess.run(["cp", out, m / f"frame/{key}"], check=True)
        assert cache.value(key) == before
        expected = handler(made, sealing).deserialize_data(before, cache_key=key)
        found = handler(made, sealing).deserialize_data(cache.value(key), cache_key=key)
        assert msgpack.packb(repr(found)) == msgpack.packb(repr(expected))

    def test_a_legacy_frame_is_stored(self, cache, m):
        value = legacy(msgpack.packb({"a": 1}), metadata("msgpack") | {"compressed": False})
        write(m / f"frame/{cache.key}", value)
        assert cache.value(cache.key) == value

    def test_a_bare_envelope_is_stored(self, cache, m):
        value = bytes(ByteStorage("msgpack").store(msgpack.packb(["x"] * 900), "msgpack"))
        write(m / f"frame/{cache.key}", value)
        assert cache.value(cache.key) == value

    def test_a_document_under_an_interop_key_is_stored(self, cache, m):
        value = msgpack.packb({"name": "Ada"})
        write(m / f"frame/{cache.interop_key}", value)
        assert cache.value(cache.interop_key) == value

    def test_meta_of_a_written_entry_equals_that_of_the_sdks(self, cache, m):
        key = store(cache, cache.key, {"a": 1})
        told = json.loads(read(m / f"meta/{key}.json"))
        out = read(m / f"frame/{key}")
        os.unlink(m / key)
        write(m / f"frame/{key}", out)
        os.setxattr(m / key, "user.ckfs.expires", told["expires"].encode())
        assert json.loads(read(m / f"meta/{key}.json")) == told

    def test_what_was_stored_is_listed_by_its_key(self, cache, m):
        write(m / f"frame/{cache.key}", frame())
        assert cache.key in os.listdir(m)


class TestRemoving:
    @pytest.mark.parametrize("directory", ["", "raw/", "frame/"])
    def test_rm_removes_the_entry(self, cache, m, directory):
        cache.set(cache.key, b"poison")
        subprocess.run(["rm", m / f"{directory}{cache.key}"], check=True)
        assert (cache.backend.get(cache.key), outcome(os.stat, m / cache.key)) == (None, "ENOENT")

    @pytest.mark.parametrize("directory", ["arrow", "npy", "msgpack", "json", "meta"])
    def test_in_the_decoded_views_it_is_eperm(self, cache, m, directory):
        key = {"arrow": lambda: store(cache, cache.key, TABLE, "arrow"), "npy": lambda: store(cache, cache.key, np.arange(9.0), "auto")}.get(
            directory, lambda: store(cache, cache.key, {"a": 1}))()
        assert outcome(os.unlink, m / f"{directory}/{key}") == "EPERM"
        assert cache.backend.get(key) is not None

    def test_cleaning_up_exports_removes_no_entry(self, cache, m):
        key = store(cache, cache.key, {"a": 1})
        for directory in ("json", "arrow", "npy", "msgpack", "meta"):
            assert subprocess.run(["rm", "-rf", m / directory], capture_output=True).returncode == 1
        assert cache.backend.get(key) is not None

    def test_what_is_open_stays_whole(self, cache, m):
        cache.set(cache.key, b"value")
        with open(m / f"raw/{cache.key}", "rb") as held:
            os.unlink(m / f"frame/{cache.key}")
            assert held.read() == b"value"

    def test_what_is_not_there_is_enoent(self, cache, m):
        assert outcome(os.unlink, m / f"raw/{cache.key}") == "ENOENT"

    @pytest.mark.not_on_http("listings")
    def test_a_long_name_is_removed(self, cache, m):
        key = cache.key + "k" * 300
        cache.set(key, b"value")
        assert read(m / f"raw/{name_of(key)}") == b"value"
        os.unlink(m / f"raw/{name_of(key)}")
        assert cache.backend.get(key) is None


class TestStoring:
    def test_readers_see_the_old_value_until_it_is_closed_and_then_the_new_one(self, cache, m):
        old, new = frame("old", 5000), frame("new", 9)
        cache.set(cache.key, old)
        path = m / f"frame/{cache.key}"
        with open(path, "rb") as held:
            file = open(path, "wb", buffering=0)
            file.write(new)
            assert (read(path), os.stat(path).st_size, os.fstat(file.fileno()).st_size) == (old, len(old), len(new))
            file.close()
            assert (read(path), os.stat(path).st_size, cache.value(cache.key)) == (new, len(new), new)
            assert held.read() == old

    def test_every_view_has_the_new_value_at_once(self, cache, m):
        cache.set(cache.key, frame("old"))
        views = [m / f"json/{cache.key}.json", m / f"raw/{cache.key}", m / cache.key, m / f"meta/{cache.key}.json"]
        before = [read(view) for view in views]
        shown = [entry.path for directory in (m, m / "raw", m / "frame", m / "json") for entry in os.scandir(directory)]
        assert {outcome(os.stat, path) for path in shown} <= {None, "ENOENT"}  # a service is asked only then whether it still has what others removed
        assert shown
        write(m / f"frame/{cache.key}", frame("new!"))
        after = [read(view) for view in views]
        assert [a == b for a, b in zip(before, after)] == [False] * len(views)
        assert json.loads(after[0])["text"] == "new!"

    def test_fsync_stores_and_what_follows_is_stored_too(self, cache, m):
        first, second = frame("first"), frame("first", 70_000)
        with open(m / f"frame/{cache.key}", "wb", buffering=0) as file:
            file.write(first)
            os.fsync(file.fileno())
            assert cache.value(cache.key) == first
            file.seek(0)
            file.write(second)
            assert cache.value(cache.key) == first
        assert cache.value(cache.key) == second

    def test_the_writers_own_stat_shows_what_was_written(self, cache, m):
        value = frame("x", 300_000)
        with open(m / f"frame/{cache.key}", "wb", buffering=0) as file:
            shown = []
            for at in range(0, len(value), 100_000):
                file.write(value[at : at + 100_000])
                shown.append(os.fstat(file.fileno()).st_size)
        assert shown == [min(at + 100_000, len(value)) for at in range(0, len(value), 100_000)]

    @pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
    def test_who_writes_in_pieces_of_the_best_size_makes_few_requests(self, cache, m, there):
        """Python's files do, and cp, and what goes through stdio."""
        if there:
            cache.set(cache.key, frame("old"))
        value = frame("new", 700_000)
        before = stats(m).get(WRITES, 0)
        with open(m / f"frame/{cache.key}", "wb") as file:
            assert os.fstat(file.fileno()).st_blksize == 1 << 20
            for at in range(0, len(value), 1000):
                file.write(value[at : at + 1000])
        assert (cache.value(cache.key), stats(m)[WRITES] - before) == (value, 1)

    def test_a_part_is_written_over(self, cache, m):
        """Rewriting in place: what is not written stays, and nothing is stored until it is closed."""
        old = frame("aaaa", 200_000)
        cache.set(cache.key, old)
        fd = os.open(m / f"frame/{cache.key}", os.O_RDWR)
        at = old.index(b"aaaa")
        os.pwrite(fd, b"bbbb", at)
        assert (os.pread(fd, 4, at), cache.value(cache.key), os.fstat(fd).st_size) == (b"bbbb", old, len(old))
        os.close(fd)
        assert cache.value(cache.key) == old.replace(b"aaaa", b"bbbb")

    @pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]])
    def test_pieces_come_in_any_order(self, cache, m, order):
        value = frame("x", 700_000)
        fd = os.open(m / f"frame/{cache.key}", os.O_WRONLY | os.O_CREAT)
        for piece in order:
            os.pwrite(fd, value[piece * 250_000 : (piece + 1) * 250_000], piece * 250_000)
        os.close(fd)
        assert cache.value(cache.key) == value

    def test_it_can_be_made_shorter_and_longer(self, cache, m):
        value = frame("x")
        fd = os.open(m / f"frame/{cache.key}", os.O_WRONLY | os.O_CREAT)
        os.write(fd, value + b"garbage")
        os.ftruncate(fd, len(value))
        os.close(fd)
        assert cache.value(cache.key) == value

    def test_zeros_stand_where_nobody_wrote(self, cache, unchecked):
        fd = os.open(unchecked / f"frame/{cache.key}", os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, b"end", 100_000)
        assert os.pread(fd, 3, 50_000) == bytes(3)
        os.ftruncate(fd, 150_000)
        os.close(fd)
        assert cache.value(cache.key) == bytes(100_000) + b"end" + bytes(49_997)

    def test_of_two_writers_the_last_close_wins_whole(self, cache, m):
        one, two = frame("one", 150_000), frame("two", 90_000)
        path = m / f"frame/{cache.key}"
        first, second = open(path, "wb", buffering=0), open(path, "wb", buffering=0)
        for at in range(0, 200_000, 20_000):
            first.write(one[at : at + 20_000])
            second.write(two[at : at + 20_000])
        second.close()
        assert cache.value(cache.key) == two
        first.close()
        assert (cache.value(cache.key), read(path)) == (one, one)

    def test_a_shell_redirection_stores(self, cache, m):
        value = frame("x", 20_000)
        (cache.home / f"in{cache.number}").write_bytes(value)
        parts = f"head -c 100 in{cache.number}; tail -c +101 in{cache.number}"
        subprocess.run(["sh", "-c", f'{{ {parts}; }} >"$0"', m / f"frame/{cache.key}"], check=True, cwd=cache.home)
        assert cache.value(cache.key) == value

    def test_an_empty_value_is_stored_when_it_is_closed_and_not_over_a_later_one(self, cache, unchecked):
        path = unchecked / f"frame/{cache.key}"
        for i in range(40):
            with open(path, "wb"):
                pass
            assert (cache.value(cache.key), read(path)) == (b"", b"")
            with open(path, "wb", buffering=0) as file:
                file.write(b"later %d" % i)
            time.sleep(0.01)
            assert read(path) == b"later %d" % i

    def test_a_program_that_the_writer_starts_stores_nothing(self, cache, unchecked):
        """It has the descriptor from the writer, and closes it when it begins or ends."""
        cache.set(cache.key, frame("old"))
        path = unchecked / f"frame/{cache.key}"
        with open(path, "wb", buffering=0) as file:
            for part in (b"one ", b"two "):
                file.write(part)
                subprocess.run(["true"], check=True, pass_fds=[file.fileno()])
                if (child := os.fork()) == 0:
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
                assert read(path) == frame("old")
        assert read(path) == b"one two "

    def test_what_a_program_writes_is_stored_when_it_ends(self, cache, m):
        path, value = m / f"frame/{cache.key}", frame("x", 5000)
        (cache.home / f"in{cache.number}").write_bytes(value)
        with open(path, "wb") as file:
            subprocess.run(["cat", cache.home / f"in{cache.number}"], stdout=file, check=True)
            assert read(path) == value
        assert read(path) == value

    def test_a_writer_that_is_killed_leaves_what_it_wrote_to_whoever_closes_it_last(self, cache, unchecked):
        path = unchecked / f"frame/{cache.key}"
        with open(path, "wb", buffering=0) as file:
            writer = subprocess.Popen(["sh", "-c", "printf killed; kill -9 $$"], stdout=file)
            assert writer.wait() == -9
        assert read(path) == b"killed"

    def test_what_is_mapped_of_the_old_version_stays(self, cache, m):
        old = frame("old", 100_000)
        cache.set(cache.key, old)
        with open(m / f"frame/{cache.key}", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            write(m / f"frame/{cache.key}", frame("new"))
            assert mapped[:] == old

    def test_a_reader_that_opens_while_others_write_sees_whole_values(self, cache, m):
        path, values = m / f"frame/{cache.key}", [frame(str(i) * 9, 3000 * i) for i in range(9)]
        write(path, values[0])
        for i in range(60):
            with open(path, "wb", buffering=0) as file:
                file.write(values[i % 9][:700])
                assert read(path) in values
                file.write(values[i % 9][700:])
            assert read(path) == values[i % 9]
