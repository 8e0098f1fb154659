"""§6: malformed frames and entry headers, judged by the package too."""

from __future__ import annotations

import json
import os

import pytest

from caches import BAD_ENTRY_HEADERS
from entries import (
    DIRECTORIES,
    FORMATS,
    MALFORMED,
    ODD,
    entries_of,
    fails_in_the_package,
    frame,
    framed,
    malformed,  # noqa: F401 - a fixture
    opening,
    prefixed,
    slurp,
)


class TestMalformedFrames:
    @pytest.mark.once
    @pytest.mark.parametrize("case", MALFORMED)
    def test_what_is_malformed_here_fails_in_the_package_too(self, case):
        assert fails_in_the_package(MALFORMED[case])

    def test_opening_one_in_the_root_gives_euclean(self, malformed, mount):
        m = mount(malformed)
        assert {key: opening(m / key) for key in MALFORMED} == dict.fromkeys(MALFORMED, "EUCLEAN")

    def test_opening_one_in_raw_gives_euclean(self, malformed, mount):
        m = mount(malformed)
        assert {key: opening(m / f"raw/{key}") for key in MALFORMED} == dict.fromkeys(MALFORMED, "EUCLEAN")

    @pytest.mark.file_only
    def test_opening_one_by_its_hash_gives_euclean(self, malformed, mount):
        m = mount(malformed)
        assert {key: opening(m / malformed.hash(key)) for key in MALFORMED} == dict.fromkeys(MALFORMED, "EUCLEAN")

    @pytest.mark.parametrize("format", FORMATS)
    def test_opening_one_in_a_decoded_view_gives_euclean(self, malformed, mount, format):
        m = mount(malformed)
        assert {key: opening(m / f"{format}/{key}.{format}") for key in MALFORMED} == dict.fromkeys(MALFORMED, "EUCLEAN")

    def test_frame_serves_one_whole(self, malformed, mount):
        m = mount(malformed)
        assert [key for key, value in MALFORMED.items() if slurp(m / f"frame/{key}") != value] == []

    def test_meta_says_why(self, malformed, mount):
        m = mount(malformed)
        views = {key: json.loads(slurp(m / f"meta/{key}.json"))["views"]["raw"] for key in MALFORMED}
        assert {key: reason for key, reason in views.items() if not (isinstance(reason, str) and reason)} == {}

    @pytest.mark.parametrize("directory", ["", "raw", "frame"])
    def test_the_listing_has_them(self, malformed, mount, directory):
        names = entries_of(mount(malformed) / directory)
        assert sorted(names) == sorted(malformed.listed(key) for key in MALFORMED)

    def test_no_format_directory_lists_them(self, malformed, mount):
        m = mount(malformed)
        assert {format: os.listdir(m / format) for format in FORMATS} == {format: [] for format in FORMATS}


@pytest.mark.shared_mount
class TestOddFrames:
    @pytest.mark.parametrize("case", ODD)
    def test_the_payload_is_what_unwrap_returns(self, cache, mnt, case):
        cache.set(cache.key, ODD[case])
        assert slurp(mnt / cache.key) == cache.payload(cache.key)

    def test_of_a_duplicate_member_the_last_wins(self, cache, mnt):
        payload = prefixed(b"[1, 2, 3, 4]")
        cache.set(cache.key, frame(b'{"s":"x","m":{"format":"arrow"},"m":{"format":"arrow","format":"orjson"}}', payload))
        assert slurp(mnt / f"json/{cache.key}.json") == payload[8:]

    def test_duplicate_metadata_is_not_merged(self, cache, mnt):
        cache.set(cache.key, frame(b'{"s":"x","m":{"format":"orjson"},"m":{}}', prefixed(b"[1, 2, 3, 4]")))
        assert opening(mnt / f"json/{cache.key}.json") == "EUCLEAN"

    @pytest.mark.parametrize("case", ["metadata-missing", "metadata-null", "metadata-of-wrong-types"])
    def test_without_a_usable_format_decoded_views_give_euclean(self, cache, mnt, case):
        cache.set(cache.key, ODD[case])
        assert {f: opening(mnt / f"{f}/{cache.key}.{f}") for f in FORMATS} == dict.fromkeys(FORMATS, "EUCLEAN")

    @pytest.mark.parametrize("length", [64 << 10, (64 << 10) + 1, 3 << 20, 16 << 20])
    def test_a_long_header_is_one_as_any_other(self, cache, mnt, length):
        payload = prefixed(b"[1, 2, 3, 4]")
        begin, end = b'{"s": "auto", "x": "', b'", "m": {"format": "orjson"}}'
        filler = b"x" * (length - len(begin) - len(end))
        good, bad = f"{cache.key}.good", f"{cache.key}.bad"
        cache.set(good, frame(begin + filler + end, payload))
        cache.set(bad, frame(begin + b"\xff" + filler[1:] + end, payload))
        assert sorted(os.listdir(mnt / "raw")) == sorted(map(cache.listed, [good, bad]))
        assert os.listdir(mnt / "json") == [cache.listed(good) + ".json"]
        assert (slurp(mnt / good), slurp(mnt / f"json/{good}.json"), os.stat(mnt / f"raw/{good}").st_size) == (payload, payload[8:], len(payload))
        assert (opening(mnt / bad), opening(mnt / f"json/{bad}.json"), opening(mnt / f"frame/{bad}")) == ("EUCLEAN", "EUCLEAN", "OK")

    def test_a_header_over_16_mib_gives_efbig(self, cache, mnt):
        cache.set(cache.key, frame(b'{"s": "auto"}' + b" " * (17 << 20)))
        assert opening(mnt / cache.key) == "EFBIG"

    def test_a_format_unknown_to_this_build_gives_eopnotsupp(self, cache, mnt):
        cache.set(cache.key, framed(b"payload", "protobuf", "message"))
        assert {f: opening(mnt / f"{f}/{cache.key}.{f}") for f in FORMATS} == dict.fromkeys(FORMATS, "EOPNOTSUPP")

    def test_the_payload_of_an_unknown_format_is_served(self, cache, mnt):
        cache.set(cache.key, framed(b"payload", "protobuf", "message"))
        assert slurp(mnt / cache.key) == b"payload"


@pytest.mark.file_only
class TestEntryHeaders:
    @pytest.mark.once
    @pytest.mark.parametrize("case", BAD_ENTRY_HEADERS)
    def test_a_bad_entry_header_is_a_miss_in_the_package(self, cache, case):
        cache.write_file(case, BAD_ENTRY_HEADERS[case])
        assert cache.backend.get(case) is None

    def test_a_bad_entry_header_is_enoent(self, cache, mnt):
        for case, content in BAD_ENTRY_HEADERS.items():
            cache.write_file(case, content)
        places = ("", "raw/", "frame/", "meta/", "arrow/")
        results = {place + case: opening(mnt / (place + case)) for case in BAD_ENTRY_HEADERS for place in places}
        assert results == dict.fromkeys(results, "ENOENT")

    def test_a_bad_entry_header_is_enoent_by_its_hash(self, cache, mnt):
        for case, content in BAD_ENTRY_HEADERS.items():
            cache.write_file(case, content)
        results = {case: opening(mnt / cache.hash(case)) for case in BAD_ENTRY_HEADERS}
        assert results == dict.fromkeys(BAD_ENTRY_HEADERS, "ENOENT")

    def test_a_bad_entry_header_is_not_listed(self, cache, mnt):
        for case, content in BAD_ENTRY_HEADERS.items():
            cache.write_file(case, content)
        listed = {directory: entries_of(mnt / directory) for directory in ("", *DIRECTORIES)}
        assert listed == {directory: [] for directory in ("", *DIRECTORIES)}

    def test_an_entry_of_just_its_header_is_an_empty_value(self, cache, mnt):
        cache.write_file("k", cache.entry_header())
        assert slurp(mnt / "frame/k") == b""

    def test_a_bad_entry_header_is_left_in_place(self, cache, mnt):
        path = cache.write_file("k", BAD_ENTRY_HEADERS["bad-magic"])
        opening(mnt / "k")
        os.listdir(mnt)
        assert path.read_bytes() == BAD_ENTRY_HEADERS["bad-magic"]
