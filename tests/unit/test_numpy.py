"""NUMPY_RAW and the .npy header against NumPy."""

from __future__ import annotations

import errno
import io
import struct

import numpy as np
import pytest
from cachekit.serializers import get_serializer
from hypothesis import example, given
from hypothesis import strategies as st

from layers import probe  # noqa: F401 - a fixture
from layers import (
    mutated,
)

NUMBERS = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 longdouble complex64 complex128 clongdouble"
UNITS = "Y M W D h m s ms us ns ps fs as".split()
NATIVE = [np.dtype(name) for name in [*NUMBERS.split(), "<U3", "S5", "V3", "M8", "m8", "U0", "S0", "V0"]]
TIMES = [np.dtype(f"{kind}8[{count}{unit}]") for kind in "Mm" for unit in UNITS for count in ("", 25, 2**31 - 1)]
LARGE = [np.dtype("U536870911"), np.dtype("S2147483647"), np.dtype("V2147483647")]
PLAIN = list({d.str: d for base in NATIVE + TIMES + LARGE for d in (base, base.newbyteorder())}.values())


def test_numpy_dtype(probe):
    """Each dtype that .npy has a plain form for, by the name NumPy's str() gives it."""
    for dtype in PLAIN:
        answer = probe("d", str(dtype).encode())
        expect = {"errno": 0, "descr": np.lib.format.dtype_to_descr(dtype), "itemsize": dtype.itemsize}
        assert answer == expect, dtype


@pytest.mark.parametrize(
    "dtype",
    [
        "object",
        "bfloat16",
        "float8_e4m3",
        "<U536870912",
        np.dtypes.StringDType(),
        np.dtypes.StringDType(na_object=None),
        [("é", "<i4"), ("b", "S3", 2)],
        {"names": ["a"], "formats": ["<i4"], "offsets": [4], "itemsize": 16},
    ],
    ids=repr,
)
def test_numpy_dtype_without_plain_form(probe, dtype):
    name = dtype if isinstance(dtype, str) else str(np.dtype(dtype))
    assert probe("d", name.encode())["errno"] == errno.EOPNOTSUPP


@pytest.mark.parametrize("name", [b"", b"\xfffloat64", b"float64\0", b"float64\n"], ids=repr)
def test_numpy_no_dtype(probe, name):
    assert probe("d", name)["errno"] == errno.EUCLEAN


@given(st.sampled_from([str(d).encode() for d in PLAIN]).flatmap(mutated))
def test_numpy_dtype_never_other_than_numpys(probe, name):
    """What is taken for a dtype is one, and NumPy's descr of it opens with the same item size."""
    answer = probe("d", name)
    if answer["errno"] == 0:
        dtype = np.dtype(name.decode())
        assert np.lib.format.descr_to_dtype(answer["descr"]) == dtype
        assert answer["itemsize"] == dtype.itemsize


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3,), (2, 3), (0, 5), (2, 0, 3), (1,) * 64, (70000,)], ids=str)
def test_npy(probe, shape):
    """Header and array are what numpy.save writes, byte for byte, and load as the array that was stored."""
    serializer = get_serializer("auto", enable_integrity_checking=False)
    for dtype in (d for d in PLAIN if d.itemsize < 100):
        array = np.ndarray(shape, dtype, buffer=bytes(range(251)) * (int(np.prod(shape)) * dtype.itemsize // 251 + 1))
        document = bytes(serializer.serialize(array)[0])
        answer = probe("n", document)
        assert answer["errno"] == 0, (dtype, probe.text(answer, "reason"))
        header = bytes.fromhex(answer["header"])
        data = document[answer["data_offset"] :]
        assert len(header) % 64 == 0 and len(data) == answer["data_length"]
        saved = io.BytesIO()
        np.save(saved, array)
        assert header + data == saved.getvalue(), dtype
        saved.seek(0)
        if dtype.itemsize > 0:  # the others numpy.load cannot read back itself
            assert np.load(saved).tobytes() == array.tobytes(), dtype


def test_npy_header_of_every_length(probe):
    """The padding is numpy.save's too, wherever the 64 bytes happen to end."""
    for dimensions in range(1, 65):
        for first in (1, 100, 20_000):
            array = np.zeros((first,) + (1,) * (dimensions - 1), dtype="int8")
            answer = probe("n", numpy_document(b"int8", array.shape, array.tobytes()))
            saved = io.BytesIO()
            np.save(saved, array)
            assert bytes.fromhex(answer["header"]) + array.tobytes() == saved.getvalue(), array.shape


def numpy_document(dtype: bytes, shape: tuple[int, ...], data: bytes = b"") -> bytes:
    dims = b"".join(struct.pack("<I", dim) for dim in shape)
    return b"NUMPY_RAW" + struct.pack("<H", len(dtype)) + dtype + struct.pack("<H", len(dims)) + dims + data


@given(
    dtype=st.sampled_from(["int8", "float64", "<U3", "|V2147483647", "complex256", "<U0"]),
    shape=st.lists(st.integers(0, 4) | st.sampled_from([2**16, 2**31, 2**32 - 1]), max_size=6),
)
@example("int8", [2**31, 2**31, 2])
@example("int8", [0, 2**31, 2**31, 2])
@example("|V2147483647", [2**32 - 1, 1])
def test_numpy_shape(probe, dtype, shape):
    """Shapes that NumPy cannot make are refused; of the others only the length decides."""
    itemsize = np.dtype(dtype).itemsize
    size = int(np.prod([*shape, itemsize], dtype=object))
    largest = int(np.prod([*(dim for dim in shape if dim), itemsize or 1], dtype=object))
    data = bytes(size) if size < 10_000 else b"x"
    answer = probe("n", numpy_document(dtype.encode(), tuple(shape), data))
    assert (answer["errno"] == 0) == (size == len(data) and largest < 2**63)


def test_numpy_cut_short(probe):
    document = numpy_document(b">M8[us]", (3, 2), bytes(48))
    assert probe("n", document)["errno"] == 0
    for length in range(len(document)):
        assert probe("n", document[:length])["errno"] == errno.EUCLEAN
    assert probe("n", document + b"x")["errno"] == errno.EUCLEAN
