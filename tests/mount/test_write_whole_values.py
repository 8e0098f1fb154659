"""Whole values, altered in any layer, are stored just where the package reads them."""

from __future__ import annotations

import pytest
from cachekit.serializers.wrapper import SerializationWrapper

from documents import INTEROP_KEY
from helpers import errno_name
from names import name_of
from whole_values import Maker, judged, judging

pytestmark = [pytest.mark.shared_mount, pytest.mark.decoding_only]

WHOLE_VALUES, FEW_WHOLE_VALUES = 1500, 300


def is_sealed(value: bytes) -> bool:
    try:
        return SerializationWrapper.unwrap(value)[1].get("encrypted") is True
    except Exception:  # noqa: BLE001 - it is no frame
        return False


def written(path, value: bytes) -> str | None:
    """The name of the errno; None: it is stored."""
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(value)
    except OSError as e:
        return errno_name(e.errno)
    return None


def test_whole_values_are_stored_just_where_the_package_reads_them(cache, mount, few):
    """But what is sealed, which is stored as it is, and interop values, which may be."""
    m, wrong, refused = mount(cache, "write"), {}, 0
    with judging():
        for number in range(FEW_WHOLE_VALUES if few else WHOLE_VALUES):
            value = Maker(number).value(f"written {number % 40}")
            found = judged(value.stored, value.key)
            if found is None or value.key == INTEROP_KEY or is_sealed(value.stored):
                continue
            outcome = written(m / f"frame/{name_of(value.key)}", value.stored)
            refused += outcome == "EINVAL"
            if outcome != (None if found else "EINVAL"):
                wrong[number] = (outcome, value)
    assert wrong == {} and refused > 50
