"""§6: a value of many pieces is checked as one, where two threads read it."""

import numpy as np
import pandas as pd
import pytest

from helpers import failure, flipped, meta, read
from writers import PLAIN

pytestmark = [pytest.mark.file_only, pytest.mark.shared_mount]

MIB = 1 << 20
PIECE = 256 << 10
OBJECTS = {
    "arrow": (pd.DataFrame({"x": np.random.default_rng(1).random(2 << 20)}), PLAIN),
    "json": (["é" * 50] * 160_000, "orjson"),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A view: the value that the SDK stores, and where its payload begins."""
    from caches import FileCache

    cache = FileCache(tmp_path_factory.mktemp("large"))
    values = {}
    for view, (obj, serializer) in OBJECTS.items():
        key = cache.put(view, obj, serializer)
        values[view] = cache.value(key), len(cache.value(key)) - len(cache.payload(key))
    return values


def name(view: str, key: str) -> str:
    return f"{view}/{key}.{view}"


@pytest.mark.parametrize("view", OBJECTS)
def test_a_right_one_is_shown(cache, mnt, stored, view):
    value, start = stored[view]
    assert len(value) > 12 * MIB
    cache.set(cache.key, value)
    assert read(mnt / name(view, cache.key)) == value[start + 8 :]
    assert meta(mnt, cache.key)["checksum"] == "ok"


@pytest.mark.parametrize("view", OBJECTS)
@pytest.mark.parametrize("at", [0, 7, 16, PIECE - 1, PIECE, PIECE + 7, PIECE + 8, 2 * PIECE, 31 * PIECE + 5, -PIECE, -1])
def test_one_wrong_bit_anywhere_is_ebadmsg(cache, mnt, stored, view, at):
    value, start = stored[view]
    cache.set(cache.key, flipped(value, start + at if at >= 0 else at))
    assert failure(mnt / name(view, cache.key)) == "EBADMSG"
