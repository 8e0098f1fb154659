"""A document's kind is told by several marks: header, envelope, structure. Where they disagree, the package is the judge."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
import pytest
from cachekit.serializers import ArrowSerializer, AutoSerializer
from cachekit.serializers.wrapper import SerializationWrapper

from documents import SMALL, columnar, envelope, load, seal, seal_by_hand, sealed_metadata
from helpers import EXTENSION, failure, listing, meta

pytestmark = pytest.mark.shared_mount

TYPES = [None, "msgpack", "dataframe", "series", "numpy", "arrow", "orjson", "other", ""]


@functools.cache
def payloads() -> dict[str, tuple[str, bytes]]:
    """name: (format, payload)"""
    table = bytes(columnar().serialize(pd.DataFrame({"a": [1, 2]}))[0])
    arrow = bytes(ArrowSerializer().serialize(pd.DataFrame({"a": [1, 2]}))[0])
    array = bytes(AutoSerializer().serialize(np.arange(5))[0])
    return {
        "msgpack": ("msgpack", envelope(SMALL)),
        "dataframe": ("msgpack", table),
        "series": ("msgpack", bytes(AutoSerializer().serialize(pd.Series([1.5]))[0])),
        "of another format": ("msgpack", envelope(SMALL, "other")),
        "of arrays": ("msgpack", envelope(SMALL, "numpy")),
        "bare": ("msgpack", SMALL),
        "array": ("msgpack", array),
        "bare array": ("msgpack", array[8:]),
        "arrow": ("arrow", arrow),
        "bare arrow": ("arrow", arrow[8:]),
    }


def readable(cache, key: str, serializer: str) -> bool:
    """Whether the package reads it, in one of its two configurations."""
    for integrity in (True, False):
        try:
            load(cache, key, serializer, integrity=integrity)
            return True
        except Exception:
            pass
    return False


def shown(mnt, key: str) -> list[str]:
    return [view for view in ("arrow", "npy", "msgpack", "json") if failure(mnt / f"{view}/{key}{EXTENSION[view]}") is None]


def is_left_to_readers(name: str, original_type: str | None, compressed: bool | None) -> bool:
    """What the package tells by trying: whether a bare document has columns; an array that claims to be compressed."""
    return (name == "bare" and original_type in ("dataframe", "series")) or ("array" in name and compressed is True)


@pytest.mark.parametrize("compressed", [True, False, None])
@pytest.mark.parametrize("name", list(payloads()))
def test_what_auto_wrote_is_shown_just_where_auto_reads_it(cache, mnt, name, compressed):
    wrong = {}
    form, payload = payloads()[name]
    for original_type in TYPES:
        if is_left_to_readers(name, original_type, compressed):
            continue
        metadata = {"format": form, "original_type": original_type, "compressed": compressed}
        metadata = {member: value for member, value in metadata.items() if value is not None}
        key = f"{cache.key} {original_type}"
        cache.write(key, SerializationWrapper.wrap(payload, metadata, "auto"))
        if readable(cache, key, "auto") != bool(shown(mnt, key)):
            wrong[original_type] = shown(mnt, key)
    assert wrong == {}


@pytest.mark.parametrize("serializer, readers", [("auto", []), ("AutoSerializer", []), ("default", ["msgpack", "json"]), ("Mine", ["msgpack", "json"])])
@pytest.mark.parametrize("name", ["msgpack", "series", "of another format"])
def test_only_auto_refuses_an_envelope_of_another_format(cache, mnt, name, serializer, readers):
    metadata = {"format": "msgpack", "original_type": "dataframe", "compressed": True}
    cache.write(cache.key, SerializationWrapper.wrap(payloads()[name][1], metadata, serializer))
    assert shown(mnt, cache.key) == readers


def test_marks_that_disagree_are_told_and_not_listed(cache, mnt):
    metadata = {"format": "msgpack", "original_type": "dataframe", "compressed": True}
    cache.write(cache.key, SerializationWrapper.wrap(payloads()["series"][1], metadata, "auto"))
    assert [failure(mnt / f"{view}/{cache.key}{EXTENSION[view]}") for view in ("msgpack", "json")] == ["EUCLEAN"] * 2
    assert (listing(mnt / "msgpack"), listing(mnt / "json")) == (set(), set())
    assert meta(mnt, cache.key)["views"]["json"] == "the header's original_type is not what the envelope says"
    assert failure(mnt / cache.key) is None


@pytest.mark.parametrize("original_type, readers", [("series", ["msgpack", "json"]), ("dataframe", [])])
def test_marks_that_disagree_under_a_seal_are_no_document_either(cache, mount, original_type, readers):
    m = mount(cache, env={"CACHEKIT_MASTER_KEY": seal()["master_key"]})
    key = seal_by_hand(cache, cache.key, payloads()["series"][1], sealed_metadata(original_type=original_type), serializer="auto")
    assert shown(m, key) == readers
