"""Envelopes that went wrong where the header does not say that there is one. The serializer `auto` is the judge, with checksums and without."""

from __future__ import annotations

import msgpack
import pytest
from cachekit.serializers.wrapper import SerializationWrapper

from documents import COLUMNS, OBJECTS, SERIES, SMALL, columnar, envelope_by_hand, framed, handler, literals
from entries import flip
from helpers import failure, read

pytestmark = [pytest.mark.shared_mount, pytest.mark.decoding_only]


def reads(value: bytes, integrity: bool) -> bool:
    """Whether `auto` makes anything of a value."""
    try:
        handler("auto", integrity=integrity).deserialize_data(value, "k", (), {})
    except Exception:  # noqa: BLE001 - whatever it says, the value is not read
        return False
    return True


DAMAGES = {
    "checksum": {"checksum": [0] * 8},
    "data": {"data": flip(literals(SMALL), -1)},
    "size": {"size": len(SMALL) + 1},
    "all": {"checksum": 7, "format": None, "size": -1},
}


@pytest.mark.parametrize("original_type", ["dataframe", "series", "msgpack"])
@pytest.mark.parametrize("compressed", [None, False, True])
def test_an_envelope_of_any_form_that_went_wrong_is_no_column(cache, mnt, original_type, compressed):
    """A map with an envelope's names as well, which `auto` returns as it is where it looks for no columns. Names may be what went wrong."""
    wrong = {}
    for damage, fields in DAMAGES.items():
        named = envelope_by_hand(SMALL, map=True, **{"format": original_type, **fields})
        for payload in (named, named.replace(b"compressed_data", b"compressed_datb"), named.replace(b"format", b"formau")):
            value = framed(payload, original_type, compressed, "auto")
            cache.set(cache.key, value)
            found = failure(mnt / f"msgpack/{cache.key}.msgpack")
            read_back = any(reads(value, integrity) for integrity in (True, False))
            if (found is None) != read_back or (found and found not in ("EUCLEAN", "EBADMSG")):
                wrong[damage, payload] = (found, read_back)
    assert wrong == {}


@pytest.mark.parametrize("damage", ["checksum", "data", "size"])
def test_a_long_envelope_of_integers_that_went_wrong_is_no_document_of_auto(cache, mnt, damage):
    document = msgpack.packb(list(range(3000)))
    fields = {"checksum": [0] * 8, "data": list(flip(literals(document), -1)), "size": len(document) + 1}
    payload = envelope_by_hand(document, **{"data": list(literals(document)), damage: fields[damage]})
    value = framed(payload, compressed=False, serializer="auto")
    assert not reads(value, True) and not reads(value, False)
    cache.set(cache.key, value)
    assert failure(mnt / f"msgpack/{cache.key}.msgpack") == "EUCLEAN"


@pytest.mark.parametrize("obj", [COLUMNS, SERIES, OBJECTS, SERIES.iloc[:0], COLUMNS.iloc[:0], OBJECTS.rename("x" * 5000), SERIES.repeat(5000)], ids=range(7))
def test_columns_without_an_envelope_are_shown(cache, mnt, obj):
    document, metadata = columnar(integrity=False).serialize(obj)
    cache.set(cache.key, SerializationWrapper.wrap(document, metadata.to_dict(), "auto"))
    assert read(mnt / f"msgpack/{cache.key}.msgpack") == document
