"""NUMPY_RAW and the .npy header against NumPy."""

from __future__ import annotations

import errno
import io
import itertools
import struct
import warnings

import numpy as np
import pytest
from cachekit.serializers import get_serializer
from cachekit.serializers.base import SerializationError
from hypothesis import example, given
from hypothesis import strategies as st

from layers import probe  # noqa: F401 - a fixture
from layers import (
    differs_by_version,
    differs_composed_dtype,
    mutated,
)

NUMBERS = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 longdouble complex64 complex128 clongdouble"
UNITS = "Y M W D h m s ms us ns ps fs as".split()
NATIVE = [np.dtype(name) for name in [*NUMBERS.split(), "<U3", "S5", "V3", "M8", "m8"]]
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
        "<U0",
        ">U0",
        "|S0",
        "|V0",
        "V",
        "datetime64[0s]",
        "a8",
        "M8[25generic]",
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


def is_read(name: str) -> bool:
    """Whether NumPy makes an array of such numbers, of bytes, as the package does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dtype = np.dtype(name)
            np.frombuffer(bytes(dtype.itemsize), dtype=dtype).reshape(1)
    except Exception:  # noqa: BLE001 - whatever it says
        return False
    return np.datetime_data(dtype)[1] > 0 if dtype.kind in "Mm" else True


@pytest.mark.parametrize("name", ["f4,f4", "f4,", "i4, f8", "1f8", "<1i4", "M8[D/2]", "datetime64[D/25]", "timedelta64[s/5]", "a8", "|a8"])
def test_numpy_dtype_that_numpy_alone_reads(probe, name):
    assert is_read(name) or name.endswith("a8")
    assert probe("d", name.encode())["may_read"]


REFUSED = ["object", "object_", "O", "|O", "|O8", "T", "V", "<U0", "|S0", "str", "bytes", "void", "unicode", "floatX4", "float_", "<i3", "int128", "a", "a8 ", "datetime64[parsec]"]


@pytest.mark.parametrize("name", [*REFUSED, *(str(dtype) for dtype in (np.dtypes.StringDType(), np.dtype([("a", "<i4"), ("b", "<f8")])))])
def test_numpy_dtype_that_nobody_reads(probe, name):
    assert not is_read(name)
    assert not probe("d", name.encode())["may_read"]


@given(st.sampled_from([str(d).encode() for d in PLAIN] + [b"a8", b"object", b"1f8"]).flatmap(mutated))
def test_numpy_dtype_that_is_read_is_never_called_unreadable(probe, name):
    answer = probe("d", name)
    if answer["errno"] == errno.EOPNOTSUPP and not differs_composed_dtype(name.decode()) and is_read(name.decode()):
        assert answer["may_read"]


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


def read_by_cachekit(document: bytes) -> np.ndarray | None:
    """The array that the package reads; None when it refuses it."""
    try:
        return get_serializer("auto", enable_integrity_checking=False).deserialize(document)
    except SerializationError:
        return None


def check_document(probe, document: bytes) -> None:
    """The layer shows the array that the package reads, and no other."""
    answer = probe("n", document)
    expect = read_by_cachekit(document)
    assert (answer["errno"] == 0) == (expect is not None), (answer, expect)
    if expect is not None:
        shown = np.load(io.BytesIO(bytes.fromhex(answer["header"]) + document[answer["data_offset"] :]))
        assert (shown.dtype, shown.shape, shown.tobytes()) == (expect.dtype, expect.shape, expect.tobytes())


def itemsize_of(name: str) -> int:
    try:
        return np.dtype(name).itemsize
    except Exception:
        return 8


ORDERS = ["", "<", ">", "=", "|", "<<", " "]
LETTERS = [chr(c) for c in range(0x21, 0x7F)]
SIZES = "0 1 2 3 4 8 16 32 64 08 +8 -1 -8 8_ 8. 2147483647 2147483648 536870911 536870912 4294967304 18446744073709551624".split() + [" 8", "8 ", "\t\n\v\f\r8"]
NAMES = sorted({str(name) for name in np._core.numerictypes.sctypeDict} | set("float96 bool8 int0 Float64 float_ numpy.float64 str_ T".split()))
NAMES += ["datetime", "timedelta64", "float64 ", " float64", "float64[]"]
TIME_NAMES = "M8 m8 M m M4 m16 datetime64 timedelta64 datetime".split()
COUNTS = ["", "1", "25", "0", "025", "+5", " 5", "-1", "- 1", "2147483647", "2147483648", "1.5"]
UNIT_TEXTS = [f"[{count}{unit}]" for count in COUNTS for unit in (*UNITS, "B", "generic", "\u03bcs", "\u00b5s", "parsec", "S", "")]
UNIT_TEXTS += ["[]", "[", "]", "[s", "s]", "[s]]", "[[s]", "[ s]", "[s ]", "[s] ", "[s]x", " [s]", "[s][s]", "[25 s]"]


@pytest.mark.parametrize("order", ORDERS, ids=repr)
@pytest.mark.parametrize("form", ["letter", "sized", "name", "time"])
def test_a_dtype_is_shown_just_where_cachekit_reads_it(probe, form, order):
    texts = {
        "letter": LETTERS,
        "sized": map("".join, itertools.product(LETTERS, SIZES)),
        "name": NAMES,
        "time": map("".join, itertools.product(TIME_NAMES, UNIT_TEXTS)),
    }
    for name in (order + text for text in texts[form]):
        if differs_composed_dtype(name) or differs_by_version(name) or "generic" in name and name[-9:] != "[generic]":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            size = itemsize_of(name)
            check_document(probe, numpy_document(name.encode(), (0 if size > 1000 else 2,), bytes(2 * size if size <= 1000 else 0)))


@given(name=st.text("<>=|biufcUSVMmL?[]0123456789sn +-", max_size=12))
def test_any_text_as_dtype(probe, name):
    if not differs_composed_dtype(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            size = itemsize_of(name)
            check_document(probe, numpy_document(name.encode(), (0 if size > 1000 else 1,), bytes(size if size <= 1000 else 0)))


@given(
    dtype=st.sampled_from(["int8", "float64", "<U3", "|V2147483647", "complex256", "<U0", "|S0", "|V0"]),
    shape=st.lists(st.integers(0, 4) | st.sampled_from([2**16, 2**31, 2**32 - 1]), max_size=6),
    surplus=st.sampled_from([0, 0, 0, 1, -1, 8]),
)
@example("int8", [2**31, 2**31, 2], 0)
@example("int8", [0, 2**31, 2**31, 2], 0)
@example("|V2147483647", [2**32 - 1, 1], 0)
@example("|V0", [3], 0)
@example("|V0", [0], 0)
@example("<U0", [], 0)
def test_numpy_shape(probe, dtype, shape, surplus):
    """Shapes that NumPy cannot make are refused; of the others only the length decides."""
    size = int(np.prod([*shape, np.dtype(dtype).itemsize], dtype=object))
    data = bytes(max(0, size + surplus)) if size < 10_000 else b"x"
    check_document(probe, numpy_document(dtype.encode(), tuple(shape), data))


def test_numpy_cut_short(probe):
    document = numpy_document(b">M8[us]", (3, 2), bytes(48))
    assert probe("n", document)["errno"] == 0
    for length in range(len(document)):
        assert probe("n", document[:length])["errno"] == errno.EUCLEAN
    assert probe("n", document + b"x")["errno"] == errno.EUCLEAN
