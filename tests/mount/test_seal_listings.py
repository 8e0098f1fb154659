"""§2: which sealed entries the directories show, and tools over them."""

from __future__ import annotations

import json
import os
import subprocess

import pyarrow.dataset
import pytest

from documents import INTEROP, OTHER, TABLE, seal, store
from entries import everything, flip, stats
from helpers import FORMATS, failure
from sealed import DOCUMENT, KEYED, SECRET, altered, keyed, keys  # noqa: F401 - a fixture

# Listings


def fill(cache) -> None:
    """Sealed entries that open, that do not, and plain ones."""
    store(cache, "good", DOCUMENT, sealing=seal())
    store(cache, "foreign", DOCUMENT, sealing=seal(OTHER))
    store(cache, "table", TABLE, "arrow", seal())
    store(cache, "foreign table", TABLE, "arrow", seal(OTHER))
    store(cache, "plain", {"plain": 1})
    store(cache, "plain table", TABLE, "arrow")


def named(cache, tmp) -> str:
    (tmp / "keys").write_text("good\nforeign\ntable\nforeign table\nplain\nplain table\n")
    return f"keys={tmp / 'keys'}"


def listed(m, directory: str) -> set[str]:
    return set(os.listdir(m / directory))


def test_format_directories_leave_out_what_no_key_opens(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp), env=KEYED)
    shown = {view: listed(m, view) for view in ("json", "msgpack", "arrow")}
    assert shown == {
        "json": {"good.json", "plain.json"},
        "msgpack": {"good.msgpack", "plain.msgpack"},
        "arrow": {"table.arrow", "plain table.arrow"},
    }


def test_without_a_key_format_directories_list_just_plain_entries(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp))
    assert {view: listed(m, view) for view in ("json", "arrow")} == {"json": {"plain.json"}, "arrow": {"plain table.arrow"}}


@pytest.mark.file_only
def test_sealed_entries_known_by_their_hash_alone_are_left_out(cache, keyed):  # noqa: F811
    fill(cache)
    assert listed(keyed, "json") == {cache.listed("plain") + ".json"}


def test_the_undecoded_directories_list_all(cache, keyed):  # noqa: F811
    fill(cache)
    names = {cache.listed(key) for key in ("good", "foreign", "table", "foreign table", "plain", "plain table")}
    assert [listed(keyed, directory) for directory in ("raw", "frame")] + [listed(keyed, ".") - set(FORMATS)] == [names] * 3


def test_interop_values_are_listed_by_the_keys_that_are_known(cache, mount, tmp):
    store(cache, cache.interop_key, INTEROP, sealing=seal(), interop=True)
    (tmp / "keys").write_text(cache.interop_key + "\n")
    m = mount(cache, f"keys={tmp / 'keys'}", env=KEYED)
    assert [listed(m, view) for view in ("json", "msgpack")] == [{f"{cache.interop_key}.json"}, {f"{cache.interop_key}.msgpack"}]


def test_a_second_ls_of_sealed_entries_decodes_nothing(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp), "cache_size=1K", env=KEYED)
    first = subprocess.check_output(["ls", "-l", m / "json", m / "arrow"])
    before = stats(m)["ckfs_decodes_total"]
    assert (subprocess.check_output(["ls", "-l", m / "json", m / "arrow"]), stats(m)["ckfs_decodes_total"]) == (first, before)


def test_an_altered_sealed_entry_is_left_out_once_it_failed(cache, mount, tmp):
    fill(cache)
    altered(cache, "good", payload=lambda p: flip(p, -1))
    m = mount(cache, named(cache, tmp), env=KEYED)
    assert (failure(m / "json/good.json"), listed(m, "json")) == ("EBADMSG", {"plain.json"})


@pytest.mark.parametrize("environment", [{}, KEYED], ids=["without a key", "with the key"])
@pytest.mark.parametrize("by_name", [False, True], ids=["hashes", "names"])
def test_every_listed_file_opens(cache, mount, tmp, environment, by_name):
    fill(cache)
    m = mount(cache, *([named(cache, tmp)] if by_name else []), env=environment)
    assert everything(m) == {}


@pytest.mark.parametrize("environment", [{}, KEYED], ids=["without a key", "with the key"])
@pytest.mark.parametrize("tool", [["grep", "-rc", SECRET], ["tar", "-cf", "/dev/null"], ["du", "-s"], ["ls", "-lR"], ["find"]], ids=lambda c: c[0])
def test_tools_work_over_the_directories(cache, mount, tmp, environment, tool):
    fill(cache)
    m = mount(cache, named(cache, tmp), env=environment)
    result = subprocess.run([*tool, "."], cwd=m, capture_output=True, text=True)
    assert (result.returncode in ((0, 1) if tool[0] == "grep" else (0,)), result.stderr) == (True, "")


def test_grep_finds_the_plaintext_in_the_decoded_views_alone(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp), env=KEYED)
    found = subprocess.run(["grep", "-rl", SECRET, "."], cwd=m, capture_output=True, text=True).stdout.split()
    assert set(found) == {"./json/good.json", "./msgpack/good.msgpack"}


def test_a_dataset_over_arrow_reads_every_table_that_opens(cache, mount, tmp):
    fill(cache)
    m = mount(cache, named(cache, tmp), env=KEYED)
    assert pyarrow.dataset.dataset(str(m / "arrow"), format="feather").count_rows() == 2 * len(TABLE)
