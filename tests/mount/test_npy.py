"""§2, npy/: a made header, then the array as it is stored."""

import os
import struct

import numpy as np
import pytest
from cachekit.serializers.base import SerializationError

from documents import load
from helpers import failure, legacy, listing, lookup_failure, meta, metadata, prefixed, read, v3

pytestmark = pytest.mark.shared_mount

DTYPES = [
    *["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "longlong", "ulonglong"],
    *["float16", "float32", "float64", "float128", "complex64", "complex128", "complex256"],
    *[">i2", ">i4", ">i8", ">u2", ">u4", ">u8", ">f2", ">f4", ">f8", ">f16", ">c8", ">c16", ">c32"],
    *["<U1", "<U3", "<U1000", ">U2", ">U7", "S1", "S5", "S300", "V1", "V3", "V64"],
    *[f"<M8[{unit}]" for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "25s", "7D", "1000000ns")],
    *["M8", ">M8", ">M8[us]", ">M8[25s]", "m8", ">m8", ">m8[ns]", "m8[D]", "m8[ns]", "m8[3M]", "m8[as]", "m8[12Y]"],
]
SHAPES = [(), (0,), (1,), (7,), (0, 3), (3, 0, 2), (1, 1, 1), (2, 3), (4, 1, 5, 2), (1,) * 32, (1,) * 63 + (2,), (100_000,)]


def filled(dtype: str, shape=(2, 3)) -> np.ndarray:
    """An array of the dtype whose bytes are not all the same; text holds valid characters."""
    wanted = np.dtype(dtype)
    count = int(np.prod(shape))
    if wanted.kind == "U":
        text = np.array(["", *(chr(0x1F980 + i % 9) * (1 + i % 3) for i in range(count))])
        return text.astype(wanted)[1:].reshape(shape)
    if wanted.kind == "b":
        return (np.arange(count) % 2).astype(wanted).reshape(shape)
    octets = (np.arange(count * wanted.itemsize) % 120).astype(np.uint8)
    return octets.view(wanted).reshape(shape)


def same(shown: np.ndarray, stored: np.ndarray) -> bool:
    return (shown.dtype, shown.shape, shown.tobytes()) == (stored.dtype, stored.shape, stored.tobytes())


def document(dtype: bytes, shape: tuple[int, ...], array: bytes) -> bytes:
    """A NUMPY_RAW document; nothing needs to agree."""
    dimensions = b"".join(struct.pack("<I", n) for n in shape)
    return b"NUMPY_RAW" + struct.pack("<H", len(dtype)) + dtype + struct.pack("<H", len(dimensions)) + dimensions + array


def forge(cache, payload: bytes) -> None:
    cache.set(cache.key, v3(payload, metadata("numpy")))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_opens_mapped(cache, mnt, dtype):
    array = filled(dtype)
    cache.put(cache.key, array)
    assert same(np.load(mnt / f"npy/{cache.key}.npy", mmap_mode="r"), array)


@pytest.mark.decoding_only
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_read_without_a_mapping(cache, mnt, dtype):
    array = filled(dtype)
    cache.put(cache.key, array)
    assert same(np.load(mnt / f"npy/{cache.key}.npy"), array)


@pytest.mark.parametrize("dtype", ["float64", "<U3", "S5", "M8[ns]", ">i4"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_opens_mapped(cache, mnt, shape, dtype):
    array = filled(dtype, shape)
    cache.put(cache.key, array)
    assert same(np.load(mnt / f"npy/{cache.key}.npy", mmap_mode="r"), array)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_is_read_without_a_mapping(cache, mnt, shape):
    array = filled("float32", shape)
    cache.put(cache.key, array)
    assert same(np.load(mnt / f"npy/{cache.key}.npy"), array)


@pytest.mark.parametrize("dtype", ["bool", "complex256", "<U3", ">M8[us]", "V3"])
def test_an_array_without_a_prefix_opens(cache, mnt, dtype):
    array = filled(dtype)
    cache.put(cache.key, array, integrity_checking=False)
    assert same(np.load(mnt / f"npy/{cache.key}.npy", mmap_mode="r"), array)


@pytest.mark.parametrize(
    "array",
    [np.asfortranarray(filled("i4", (3, 4))), filled("i4", (3, 4)).T, filled("i4", (30,))[::-3], np.broadcast_to(np.int16(7), (2, 2))],
    ids=["fortran", "transposed", "strided", "broadcast"],
)
def test_an_array_of_another_memory_order_has_its_values_at_their_places(cache, mnt, array):
    cache.put(cache.key, array)
    assert same(np.load(mnt / f"npy/{cache.key}.npy", mmap_mode="r"), np.ascontiguousarray(array))


@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", ["<U0", ">U0", "|S0", "|V0"])
def test_an_array_of_items_without_bytes_is_shown_no_more_than_the_sdk_reads_it(cache, mnt, dtype, shape):
    forge(cache, document(dtype.encode(), shape, b""))
    with pytest.raises(SerializationError):
        load(cache, cache.key, "auto")
    assert failure(mnt / f"npy/{cache.key}.npy") == "EOPNOTSUPP"
    assert (listing(mnt / "npy"), meta(mnt, cache.key)["views"]["npy"]) == (set(), "array's dtype has no plain .npy form")


SPELLINGS = ["f8", "d", "=f8", "|f8", "double", "float", ">d", ">f 08", "b1", "<b1", "?", "<i1", "bool_", "L", "p", "intc", "c", "S5", "<S5", "U3", ">V3"]
SPELLINGS += ["M8", "M", "datetime64[generic]", "datetime64[ 025s]", "|M8[us]", ">datetime64[1us]", "=m8[\u03bcs]", "timedelta64[+5D]"]


@pytest.mark.parametrize("dtype", SPELLINGS)
def test_an_array_whose_dtype_is_spelled_otherwise_is_the_one_that_the_sdk_reads(cache, mnt, dtype):
    forge(cache, document(dtype.encode(), (3,), bytes(range(1, 3 * np.dtype(dtype).itemsize + 1))))
    assert same(np.load(mnt / f"npy/{cache.key}.npy"), load(cache, cache.key, "auto"))


@pytest.mark.decoding_only
@pytest.mark.parametrize("dtype", DTYPES[::4])
@pytest.mark.parametrize("shape", [(), (3,), (1,) * 64], ids=["0-d", "1-d", "64-d"])
def test_the_header_is_a_multiple_of_64_bytes(cache, mnt, shape, dtype):
    array = filled(dtype, shape)
    cache.put(cache.key, array)
    assert (os.stat(mnt / f"npy/{cache.key}.npy").st_size - array.nbytes) % 64 == 0


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_the_header_is_one_that_numpy_reads_as_version_1_in_c_order(cache, mnt, shape):
    cache.put(cache.key, filled("f8", shape))
    with open(mnt / f"npy/{cache.key}.npy", "rb") as file:
        version = np.lib.format.read_magic(file)
        assert (version, np.lib.format.read_array_header_1_0(file)) == ((1, 0), (shape, False, np.dtype("f8")))


@pytest.mark.parametrize("dtype", DTYPES[::5])
def test_st_size_is_exact_before_the_first_read(cache, mnt, dtype):
    cache.put(cache.key, filled(dtype))
    size = os.stat(mnt / f"npy/{cache.key}.npy").st_size
    assert size == len(read(mnt / f"npy/{cache.key}.npy"))


def test_a_read_across_the_end_of_the_header_is_whole(cache, mnt):
    cache.put(cache.key, filled("i8", (100_000,)))
    whole = read(mnt / f"npy/{cache.key}.npy")
    with open(mnt / f"npy/{cache.key}.npy", "rb") as file:
        assert [os.pread(file.fileno(), n, at) for at, n in [(1, 300), (63, 2), (127, 2), (60, 131072)]] == [
            whole[at : at + n] for at, n in [(1, 300), (63, 2), (127, 2), (60, 131072)]
        ]


def test_the_array_of_a_legacy_entry_opens(cache, mnt):
    cache.set(cache.key, legacy(prefixed(document(b"<U2", (2,), "añb\0".encode("utf-32-le"))), metadata("numpy")))
    assert np.load(mnt / f"npy/{cache.key}.npy").tolist() == ["añ", "b"]


# What has no .npy

REFUSED = {
    "object": np.array([{"a": 1}, None], object),
    "StringDType": np.array(["a", "b" * 40], np.dtypes.StringDType()),
    "StringDType with a null": np.array(["a", None], np.dtypes.StringDType(na_object=None)),
    "structured": np.array([(1, 2.0)], [("a", "<i4"), ("b", "<f8")]),
    "structured, aligned": np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "record": np.zeros(2, np.dtype((np.record, [("a", "i4")]))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_array_of_objects_strings_or_structures_is_not_supported(cache, mnt, case):
    cache.put(cache.key, REFUSED[case])
    assert failure(mnt / f"npy/{cache.key}.npy") == "EOPNOTSUPP"


@pytest.mark.parametrize("case", REFUSED)
def test_meta_says_why_such_an_array_has_no_npy(cache, mnt, case):
    cache.put(cache.key, REFUSED[case])
    failure(mnt / f"npy/{cache.key}.npy")
    reason = meta(mnt, cache.key)["views"]["npy"]
    assert isinstance(reason, str) and reason


@pytest.mark.parametrize("case", REFUSED)
def test_the_payload_of_such_an_array_is_served(cache, mnt, case):
    cache.put(cache.key, REFUSED[case])
    assert read(mnt / cache.key) == cache.payload(cache.key)


def test_an_array_that_was_refused_is_left_out_of_the_listing(cache, mnt):
    cache.put(cache.key, REFUSED["object"])
    cache.put(f"{cache.key}.good", np.arange(3))
    failure(mnt / f"npy/{cache.key}.npy")
    assert listing(mnt / "npy") == {cache.listed(f"{cache.key}.good") + ".npy"}


MALFORMED = {
    "one byte too few": document(b"int32", (3,), bytes(11)),
    "one byte too many": document(b"int32", (3,), bytes(13)),
    "no array": document(b"int32", (3,), b""),
    "bytes after an empty array": document(b"int32", (0,), b"x"),
    "bytes of a 0-d array missing": document(b"float64", (), b""),
    "two items in a 0-d array": document(b"float64", (), bytes(16)),
    "shape of half a dimension": b"NUMPY_RAW\x05\x00int32\x02\x00\x01\x00" + bytes(4),
    "shape past the end": b"NUMPY_RAW\x05\x00int32\xff\xff\x01\x00\x00\x00",
    "dtype past the end": b"NUMPY_RAW\xff\xffint32\x00\x00",
    "only the magic": b"NUMPY_RAW",
    "cut in the dtype length": b"NUMPY_RAW\x05",
    "no shape": b"NUMPY_RAW\x05\x00int32",
    "product past 64 bits": document(b"float64", (2**32 - 1,) * 4, bytes(8)),
    "product that wraps to the length": document(b"int8", (2**31, 2**31, 4), b""),
    "bytes past 64 bits": document(b"complex128", (2**31, 2**31), b""),
    "65 dimensions": document(b"int8", (1,) * 65, b"x"),
    "no dtype": document(b"", (1,), b"x"),
    "dtype with a NUL": document(b"int8\0", (1,), b"x"),
    "dtype that is not UTF-8": document(b"\xff\xfe", (1,), b"x"),
}
UNKNOWN = ["bfloat16", "float8_e4m3fn", "float31", "int8', 'x': '", "datetime64[parsec]", "datetime64[0ns]", "<U99999999999999999999", "<Ux", "<i3"]


@pytest.mark.parametrize("dtype", UNKNOWN)
def test_a_dtype_unknown_to_this_build_is_not_supported(cache, mnt, dtype):
    forge(cache, prefixed(document(dtype.encode(), (1,), bytes(4))))
    assert failure(mnt / f"npy/{cache.key}.npy") == "EOPNOTSUPP"


@pytest.mark.decoding_only
@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("wrap", [prefixed, bytes], ids=["prefixed", "bare"])
def test_dtype_shape_and_length_that_do_not_agree_are_malformed(cache, mnt, case, wrap):
    forge(cache, wrap(MALFORMED[case]))
    assert failure(mnt / f"npy/{cache.key}.npy") == "EUCLEAN"


@pytest.mark.parametrize("payload", [b"", b"x", b"NUMPY_RA", bytes(8) + b"NUMPY_RA", bytes(100), b"ARROW1", bytes(9) + b"NUMPY_RAW"])
def test_a_payload_without_the_magic_is_malformed(cache, mnt, payload):
    forge(cache, payload)
    assert failure(mnt / f"npy/{cache.key}.npy") == "EUCLEAN"


@pytest.mark.parametrize("at", [0, 7, 17, 20, 26, 28, -1], ids="prefix prefix dtype-length dtype shape-length shape array".split())
def test_a_prefix_that_does_not_hash_the_array_is_a_checksum_mismatch(cache, mnt, at):
    payload = bytearray(prefixed(document(b"int64", (4,), bytes(range(32)))))
    payload[at] ^= 1
    forge(cache, bytes(payload))
    assert failure(mnt / f"npy/{cache.key}.npy") == "EBADMSG"


def test_a_failing_array_fails_never_after_the_first_byte(cache, mnt):
    payload = bytearray(prefixed(document(b"int64", (1 << 18,), bytes(8 << 18))))
    payload[-1] ^= 1
    forge(cache, bytes(payload))
    assert lookup_failure(mnt / f"npy/{cache.key}.npy") in (None, "EBADMSG")
    with pytest.raises(OSError):
        os.close(os.open(mnt / f"npy/{cache.key}.npy", os.O_RDONLY))
