"""§8 of the contract: what is written to a mount with `-o write`, on each backend."""

from __future__ import annotations

import contextlib
import datetime
import json
import mmap
import os
import subprocess
import threading
import time

import msgpack
import numpy as np
import pytest
from cachekit._rust_serializer import ByteStorage
from cachekit.serializers.arrow_serializer import ArrowSerializer
from cachekit.serializers.base import SerializationMetadata
from cachekit.serializers.wrapper import SerializationWrapper

from documents import TABLE, columnar, handler, seal, store
from entries import numpy_raw
from helpers import errno_name, flipped, legacy, metadata, name_of, prefixed, read, v3
from waiting import until

pytestmark = [pytest.mark.shared_mount, pytest.mark.on_http]

SERIALIZERS = {
    "default": ("default", {"a": [1, 2.5, "x"]}),
    "auto": ("auto", {"a": [1, 2.5, "x"]}),
    "auto, an array": ("auto", np.arange(700.0)),
    "auto, a dataframe": (columnar(), TABLE.head(20)),
    "orjson": ("orjson", {"a": [1, 2.5, "x"]}),
    "arrow": (ArrowSerializer(), TABLE.head(50)),
    "arrow, plain": (ArrowSerializer(compression=None), TABLE.head(50)),
}  # fmt: skip


def outcome(call, *args) -> str | None:
    """The name of the errno; None: it succeeds."""
    try:
        call(*args)
    except OSError as e:
        return errno_name(e.errno)
    return None


def write(path, value: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        while value:
            value = value[file.write(value) :]


def seen_while_it_is_written(m, times: int) -> list[bytes]:
    """How what readers saw that is no whole value began, while `k` was written over and over."""
    values = [frame(str(i), 40_000 * i) for i in range(6)]
    write(m / "frame/k", values[0])
    wrong, over = [], threading.Event()

    def read_on() -> None:
        while not over.is_set():
            if (got := read(m / "frame/k")) not in values:
                wrong.append(got[:100])

    threads = [threading.Thread(target=read_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(times):
        write(m / "frame/k", values[i % 6])
    over.set()
    for thread in threads:
        thread.join()
    return wrong


def read_back(value: bytes) -> bool:
    """Whether the SDK reads a value, with checksums or without."""
    for integrity in (True, False):
        with contextlib.suppress(Exception):
            handler("auto", integrity=integrity).deserialize_data(value, "k", (), {})
            return True
    return False


def frame(text: str = "v", size: int = 0) -> bytes:
    """A value that the SDK reads: an orjson document in a frame."""
    return v3(json.dumps({"text": text, "more": "x" * size}).encode(), metadata("orjson"), "orjson")


@pytest.fixture
def m(cache, mount):
    return mount(cache, "write")


@pytest.fixture
def unchecked(cache, mount):
    return mount(cache, "write", "unchecked")


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
        listed = [os.stat(entry.path) for directory in (m, m / "raw", m / "frame", m / "json") for entry in os.scandir(directory)]
        assert listed
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


class TestRefusing:
    BAD = {
        "nothing": b"",
        "text": b"hello\n",
        "a frame cut in its header": frame()[:12],
        "a truncated document": frame("x", 900)[:-10],
        "an altered checksum": None,
        "an altered envelope": None,
        "a document under another key": msgpack.packb({"a": 1}),
    }

    @pytest.mark.parametrize("case", BAD)
    def test_what_the_sdk_does_not_read_is_einval_and_the_entry_stays(self, cache, m, case):
        bad = self.BAD[case]
        if bad is None:
            bad = flipped(handler("arrow" if "checksum" in case else "default").serialize_data(TABLE if "checksum" in case else ["x"] * 999, (), {}, cache_key="k"), -40)
        old = frame("old")
        cache.set(cache.key, old)
        assert outcome(write, m / f"frame/{cache.key}", bad) == "EINVAL"
        assert cache.value(cache.key) == old
        assert until(lambda: len(m.log_lines("not stored")) == (case != "nothing"))

    def test_a_new_entry_is_not_made_of_it(self, cache, m):
        assert outcome(write, m / f"frame/{cache.key}", b"hello") == "EINVAL"
        assert (cache.backend.get(cache.key), outcome(os.stat, m / f"frame/{cache.key}")) == (None, "ENOENT")

    def test_trailing_bytes_under_an_interop_key_are_einval(self, cache, m):
        assert outcome(write, m / f"frame/{cache.interop_key}", msgpack.packb({"a": 1}) + b"x") == "EINVAL"

    @pytest.mark.parametrize("value", [b"", b"hello", b"CK\x03"], ids=["empty", "text", "cut"])
    def test_unchecked_takes_any_bytes(self, cache, unchecked, value):
        write(unchecked / f"frame/{cache.key}", value)
        assert until(lambda: cache.backend.get(cache.key) == value)

    def test_fsync_tells_it_too(self, cache, m):
        with contextlib.suppress(OSError), open(m / f"frame/{cache.key}", "wb", buffering=0) as file:
            file.write(b"hello")
            assert outcome(os.fsync, file.fileno()) == "EINVAL"

    DTYPES = [
        "float64", "<U1", "M8[us]", "f4,f4", "M8[D/2]", "1i8", "object", "|O", "[('a', '<i4')]", "{'names': ['a'], 'formats': ['<i4']}", "StringDType()",
        "floatX4", "<i3", "V", "datetime64[0ns]", "datetime64[parsec]", "(numpy.record, [('a', '<i4')])",
    ]  # fmt: skip

    @pytest.mark.decoding_only
    @pytest.mark.parametrize("integrity", [True, False], ids=["checked", "bare"])
    def test_an_array_is_stored_where_the_sdk_reads_it(self, cache, m, integrity):
        """Also one that this build has no view for. An altered byte is found whatever the dtype is."""
        wrong = {}
        for dtype in self.DTYPES:
            size = 1
            with contextlib.suppress(Exception):
                size = np.dtype(dtype).itemsize
            document = numpy_raw(dtype, (1,), bytes(size))
            value = v3(prefixed(document) if integrity else document, metadata("numpy"))
            for stored in [value, flipped(value)] if integrity else [value]:
                expected = None if read_back(stored) else "EINVAL"
                if (found := outcome(write, m / f"frame/{cache.key}", stored)) != expected:
                    wrong[dtype, stored == value] = found
        assert wrong == {}

    @pytest.mark.decoding_only
    @pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float6_e2m3fn", "float4_e2m1fn", "int4", "uint2"])
    def test_an_array_of_an_added_dtype_is_stored_if_its_checksum_matches(self, cache, m, dtype):
        """The SDK reads it where the application has the package that adds it."""
        value = v3(prefixed(numpy_raw(dtype, (2,), bytes(4))), metadata("numpy"))
        assert outcome(write, m / f"frame/{cache.key}", flipped(value)) == "EINVAL"
        write(m / f"frame/{cache.key}", value)
        assert cache.value(cache.key) == value

    @pytest.mark.decoding_only
    @pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
    @pytest.mark.parametrize("format", ["x", "MSGPACK", "pickle", ""])
    def test_a_format_that_is_none_is_einval_unless_it_is_sealed(self, cache, m, format, sealed):
        more = {"encrypted": True, "tenant_id": "default", "encryption_algorithm": "AES-256-GCM", "key_fingerprint": "00" * 16} if sealed else {}
        value = v3(prefixed(b'{"a": 1}') * 4, metadata("orjson") | more | {"format": format}, "orjson")
        with pytest.raises(ValueError):
            SerializationMetadata.from_dict(SerializationWrapper.unwrap(value)[1])
        assert outcome(write, m / f"frame/{cache.key}", value) == (None if sealed else "EINVAL")

    @pytest.mark.own_mount
    @pytest.mark.file_only
    @pytest.mark.parametrize("serializer", ["arrow", "arrow, plain", "auto, an array", "auto, a dataframe"])
    def test_verify_never_still_checks_what_is_written(self, cache, mount, serializer):
        made, obj = SERIALIZERS[serializer]
        value = handler(made).serialize_data(obj, (), {}, cache_key="k")
        m = mount(cache, "write", "verify=never")
        assert outcome(write, m / f"frame/{cache.key}", flipped(value, -40)) == "EINVAL"
        write(m / f"frame/{cache.key}", value)
        assert cache.value(cache.key) == value

    ELSEWHERE = {
        "the root": "", "raw": "raw/", "json": "json/", "msgpack": "msgpack/", "meta": "meta/",
    }  # fmt: skip

    @pytest.mark.parametrize("directory", ELSEWHERE)
    @pytest.mark.parametrize("there", [True, False], ids=["old", "new"])
    def test_elsewhere_nothing_is_written(self, cache, m, directory, there):
        if there:
            store(cache, cache.key, {"a": 1})
        assert outcome(os.open, m / f"{self.ELSEWHERE[directory]}{cache.key}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC) == "EROFS"

    @pytest.mark.own_mount
    def test_the_log_names_where_one_can_write(self, cache, m):
        for _ in range(2):
            outcome(os.open, m / f"json/{cache.key}", os.O_WRONLY | os.O_CREAT)
        assert len(m.log_lines("frame/")) == 1

    def test_appending_is_eperm(self, cache, m):
        cache.set(cache.key, frame())
        path = m / f"frame/{cache.key}"
        assert (outcome(os.open, path, os.O_WRONLY | os.O_APPEND), outcome(os.open, f"{path}-new", os.O_WRONLY | os.O_APPEND | os.O_CREAT)) == ("EPERM", "EPERM")

    def test_a_new_name_is_exdev(self, cache, m):
        cache.set(cache.key, frame())
        assert outcome(os.rename, m / f"frame/{cache.key}", m / f"frame/{cache.key}-new") == "EXDEV"

    OTHERS = {
        "mkdir": lambda m, f: os.mkdir(m / "frame/new"),
        "rmdir": lambda m, f: os.rmdir(m / "json"),
        "link": lambda m, f: os.link(f, m / "frame/new"),
        "symlink": lambda m, f: os.symlink("target", m / "frame/new"),
        "mknod": lambda m, f: os.mkfifo(m / "frame/new"),
        "chmod": lambda m, f: os.chmod(f, 0o644),
        "chown": lambda m, f: os.chown(f, 12345, 12345),
        "truncate": lambda m, f: os.truncate(f, 0),
    }

    @pytest.mark.parametrize("call", OTHERS)
    def test_all_else_is_eperm(self, cache, m, call):
        value = frame()
        cache.set(cache.key, value)
        assert outcome(self.OTHERS[call], m, m / f"frame/{cache.key}") == "EPERM"
        assert cache.value(cache.key) == value

    def test_what_changes_nothing_or_only_times_succeeds(self, cache, m):
        cache.set(cache.key, frame())
        path = m / f"frame/{cache.key}"
        os.chmod(path, 0o600)
        os.chown(path, os.getuid(), os.getgid())
        os.utime(path, (0, 0))
        os.truncate(path, len(frame()))
        os.utime(m / "frame")
        assert cache.value(cache.key) == frame()


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


class TestTools:
    def fill(self, cache) -> dict[str, bytes]:
        return {store(cache, f"{cache.key}-{i}", {"i": i, "more": "x" * (i * 40_000)}): None for i in range(4)}

    RESTORE = {
        "cp": "cp \"$0\"/* \"$1\"/",
        "cp -a": "cp -a \"$0\"/* \"$1\"/",
        "cp -r": "cp -r \"$0\"/. \"$1\"/",
        "tar x": "tar -C \"$0\" -c . | tar -C \"$1\" -x",
        "rsync --inplace": "rsync -r --inplace \"$0\"/ \"$1\"/",
        "rsync -a --inplace": "rsync -a --inplace \"$0\"/ \"$1\"/",
        "rsync": "rsync -r \"$0\"/ \"$1\"/",
        "rsync -a": "rsync -a \"$0\"/ \"$1\"/",
        "mv": "mv \"$0\"/* \"$1\"/",
        "dd": "for f in \"$0\"/*; do dd if=\"$f\" of=\"$1/${f##*/}\" bs=7k status=none; done",
        "python": None,
    }  # fmt: skip

    @pytest.mark.own_mount
    @pytest.mark.parametrize("there", [False, True], ids=["removed", "there"])
    @pytest.mark.parametrize("tool", RESTORE)
    def test_a_copy_of_frame_is_restored(self, cache, mount, tool, there):
        m = mount(cache, "write", "listed_ttl=0")
        keys = list(self.fill(cache))
        before = {key: cache.value(key) for key in keys}
        backup = cache.home / f"backup{cache.number}"
        for key in keys:
            read(m / f"frame/{key}")
        subprocess.run(["cp", "-a", m / "frame", backup], check=True)
        for key in keys:
            if there:
                cache.set(key, frame("another"), 900)
            else:
                os.unlink(m / key)
        if script := self.RESTORE[tool]:
            done = subprocess.run(["sh", "-ec", script, backup, m / "frame"], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
        else:
            for key in keys:
                with open(m / f"frame/{key}", "wb") as file:
                    file.write((backup / key).read_bytes())
        assert {key: cache.value(key) for key in keys} == before
        assert set(cache.names()) == {cache.listed(key) for key in keys}
        assert m.log_lines("not stored") == []

    def test_copied_from_one_cache_to_another(self, cache, m, mount, tmp):
        """From production to a laptop."""
        from caches import FileCache

        laptop = FileCache(tmp / "laptop")
        there = mount(str(laptop.dir), "write")
        key = store(cache, cache.key, {"a": [1] * 900})
        subprocess.run(["cp", m / f"frame/{key}", there / f"frame/{key}"], check=True)
        assert laptop.value(key) == cache.value(key)
