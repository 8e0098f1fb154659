"""§8 of the contract: what is not stored, and where nothing is written, on each backend."""

from __future__ import annotations

import contextlib
import os

import msgpack
import numpy as np
import pytest
from cachekit.serializers.base import SerializationMetadata
from cachekit.serializers.wrapper import SerializationWrapper

from documents import TABLE, handler, store
from entries import numpy_raw
from helpers import flipped, metadata, prefixed, v3
from waiting import until
from writing import SERIALIZERS, frame, m, outcome, read_back, unchecked, write  # noqa: F401 - fixtures

pytestmark = [pytest.mark.shared_mount, pytest.mark.on_http]


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
