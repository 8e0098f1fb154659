"""§6: where keys come from, and that neither they nor plaintext are seen anywhere."""

from __future__ import annotations

import json
import os
import pathlib
import re

import numpy as np
import pandas as pd
import pytest
from cachekit.config.settings import CachekitConfig
from cachekit.serializers.arrow_serializer import ArrowSerializer

from commands import REFUSED, command, complaint  # noqa: F401 - a fixture
from documents import MASTER, OTHER, THIRD, seal, seal_by_hand, sealed_metadata, store, wrapper
from entries import flip, spilled
from helpers import failure, read
from sealed import DOCUMENT, FIFTH, FOURTH, KEYED, SECRET, altered, keyed, keys  # noqa: F401 - a fixture

# The key in a file


def key_file(tmp, content: str = MASTER, mode: int = 0o600) -> pathlib.Path:
    path = tmp / "master.key"
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [MASTER, MASTER + "\n", f"  {MASTER}\r\n"])
def test_the_master_key_comes_from_a_file(cache, mount, tmp, content):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    m = mount(cache, f"master_key_file={key_file(tmp, content)}")
    assert json.loads(read(m / f"json/{cache.key}.json")) == DOCUMENT


def test_the_file_goes_with_previous_keys_of_the_environment(cache, mount, tmp):
    store(cache, cache.key, DOCUMENT, sealing=seal(OTHER))
    m = mount(cache, f"master_key_file={key_file(tmp)}", env={"CACHEKIT_PREVIOUS_MASTER_KEYS": OTHER})
    assert failure(m / f"json/{cache.key}.json") is None


@pytest.mark.parametrize("mode", [0o644, 0o641, 0o604, 0o620, 0o666])
def test_a_key_file_that_others_may_read_is_refused(command, tmp, mode):  # noqa: F811
    path = key_file(tmp, MASTER, mode)
    assert complaint(command("-o", f"master_key_file={path}", command.source, command.point), str(path)) == REFUSED


@pytest.mark.parametrize("content", ["", "no hex at all" * 8, MASTER[:-2], MASTER[:-1], MASTER + "\0", "5a " * 32 + "zz"])
def test_a_key_file_without_a_key_is_refused(command, tmp, content):  # noqa: F811
    path = key_file(tmp, content)
    result = command("-o", f"master_key_file={path}", command.source, command.point)
    assert (complaint(result), MASTER[:16] in result.stderr) == (REFUSED, False)


def test_a_key_file_that_is_missing_is_refused(command, tmp):  # noqa: F811
    assert complaint(command("-o", f"master_key_file={tmp / 'none'}", command.source, command.point), str(tmp / "none")) == REFUSED


BAD_KEYS = {
    "not hex": {"CACHEKIT_MASTER_KEY": "zz" * 32},
    "short": {"CACHEKIT_MASTER_KEY": "5a" * 31},
    "odd": {"CACHEKIT_MASTER_KEY": "5a" * 32 + "a"},
    "previous not hex": keys(MASTER, "zz" * 32),
    "previous short": keys(MASTER, "c3" * 31),
    "current among previous": keys(MASTER, OTHER, MASTER.upper()),
    "four previous": keys(MASTER, OTHER, THIRD, FOURTH, FIFTH),
    "deployment no uuid": {**KEYED, "CACHEKIT_DEPLOYMENT_UUID": "production"},
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_keys_that_the_sdk_refuses_are_refused_without_showing_them(command, case):  # noqa: F811
    result = command(command.source, command.point, env=BAD_KEYS[case])
    shown = [key for key in (MASTER, OTHER, THIRD, FOURTH, FIFTH, "zz" * 32, "5a" * 31) if key[:20].lower() in result.stderr.lower()]
    assert (complaint(result, "CACHEKIT_"), shown) == (REFUSED, [])


@pytest.mark.parametrize("case", [case for case in BAD_KEYS if case != "deployment no uuid"])
@pytest.mark.once
def test_the_sdk_refuses_these_keys_too(case):
    environment = {name.removeprefix("CACHEKIT_").lower(): value for name, value in BAD_KEYS[case].items()}
    with pytest.raises(Exception):
        settings = CachekitConfig(**environment)
        wrapper(settings.master_key.get_secret_value())


# What must not be shown


def proc(m, name: str) -> bytes:
    return pathlib.Path(f"/proc/{m.pid}/{name}").read_bytes()


def test_keys_are_in_no_place_that_others_look_at(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    m = mount(cache, env=keys(MASTER, OTHER, THIRD))
    read(m / f"json/{cache.key}.json")
    places = {name: proc(m, name) for name in ("environ", "cmdline", "mountinfo", "maps")} | {"log": m.log().encode()}
    assert [name for name, text in places.items() for key in (MASTER, OTHER, THIRD) if key[:20].encode() in text] == []


def test_the_daemon_leaves_no_core(keyed):  # noqa: F811
    limits = proc(keyed, "limits").decode()
    line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]


def test_plaintext_is_in_no_log(cache, mount):
    store(cache, cache.key, DOCUMENT, sealing=seal())
    store(cache, "altered", DOCUMENT, sealing=seal())
    altered(cache, "altered", payload=lambda p: flip(p, -1))
    seal_by_hand(cache, "malformed", b"\xc1" + SECRET.encode(), sealed_metadata(compressed=False))
    m = mount(cache, env=KEYED)
    shown = [failure(m / f"json/{key}.json") for key in (cache.key, "altered", "malformed")]
    assert (shown, SECRET in m.log()) == ([None, "EBADMSG", "EUCLEAN"], False)


@pytest.mark.parametrize("case", ["no key", "altered", "short"])
def test_a_sealed_entry_that_fails_is_logged_once(cache, mount, case):
    store(cache, cache.key, DOCUMENT, sealing=seal(OTHER if case == "no key" else MASTER))
    if case != "no key":
        altered(cache, payload=(lambda p: flip(p, -1)) if case == "altered" else (lambda p: p[:20]))
    m = mount(cache, env=KEYED)
    for view in ("json", "msgpack", "json"):
        failure(m / f"{view}/{cache.key}.{view}")
    assert len(m.log_lines(cache.key)) == 1


def large() -> dict:
    return {"rows": [f"{SECRET} {i}" for i in range(300_000)]}


def only_ciphertext(spilled: list[bytes], cache) -> bool:
    """Whether nothing was spilled but, where it has to be fetched, the stored value."""
    if not cache.FETCHES:
        return spilled == []
    value = cache.value(cache.key)
    return [content[: len(value)] for content in spilled] == [value] and not any(spilled[0][len(value) :])


@pytest.mark.parametrize("view", ["json", "msgpack"])
def test_large_plaintext_of_a_sealed_entry_never_reaches_the_spool_directory(cache, mount, tmp, view):
    store(cache, cache.key, large(), sealing=seal())
    (tmp / "spool").mkdir()
    m = mount(cache, "cache_size=1M", f"spool_dir={tmp / 'spool'}", env=KEYED)
    with open(m / f"{view}/{cache.key}.{view}", "rb") as file:
        head = file.read(1000)
        assert (SECRET.encode() in head, os.listdir(tmp / "spool")) == (True, [])
        assert only_ciphertext(spilled(m, tmp / "spool"), cache)


def test_a_sealed_table_never_reaches_the_spool_directory(cache, mount, tmp):
    store(cache, cache.key, pd.DataFrame({"x": np.arange(2_000_000)}), ArrowSerializer(compression=None), seal())
    (tmp / "spool").mkdir()
    m = mount(cache, "cache_size=1M", f"spool_dir={tmp / 'spool'}", env=KEYED)
    with open(m / f"arrow/{cache.key}.arrow", "rb") as file:
        assert file.read(6) == b"ARROW1"
        assert only_ciphertext(spilled(m, tmp / "spool"), cache)


# Memory


def locked(pid: int) -> int:
    """Memory that cannot be swapped out, in bytes. A sanitizer lets none be locked."""
    return int(re.search(r"VmLck:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


@pytest.mark.memory
@pytest.mark.skipif(os.geteuid() != 0, reason="others may lock little memory")
def test_keys_are_in_locked_memory_after_the_fork_too(command):  # noqa: F811
    """A fork drops locks, and a daemon forks."""
    assert command(command.source, command.point, env=KEYED).returncode == 0
    assert locked(command.daemon()) > 0


@pytest.mark.memory
@pytest.mark.skipif(os.geteuid() != 0, reason="others may lock little memory")
def test_plaintext_is_in_locked_memory_while_it_is_open(cache, keyed):  # noqa: F811
    store(cache, cache.key, DOCUMENT, sealing=seal())
    before = locked(keyed.pid)
    with open(keyed / f"msgpack/{cache.key}.msgpack", "rb") as file:
        file.read()
        assert locked(keyed.pid) > before
