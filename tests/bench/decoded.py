"""Rows of what has to be decoded: ByteStorage documents, their JSON, and sealed entries."""

from __future__ import annotations

import ctypes
import ctypes.util
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import random
import struct
from collections.abc import Callable, Iterator

import material
from harness import Figure, Peak, interleaved, mounted, seconds, status_bytes, touch_memory

MIB = 1 << 20
DOCUMENT_SIZE = 50 * MIB
SEALED_SIZE = 256 * MIB
KEY = "bench:decoded"
MASTER_KEY = "6b" * 32
OVERHEAD = 28  # nonce and tag


def records(size: int) -> list[dict]:
    """What applications cache: records of numbers and texts, some `size` bytes as MessagePack."""
    rng = random.Random(1)
    words = ["alpha", "beta", "gamma", "delta", "naïve", "Zürich", "a longer piece of text, with \"quotes\" in it"]
    return [
        {
            "id": i,
            "name": f"{rng.choice(words)} {rng.randrange(10**6)}",
            "score": rng.random() * 1000,
            "ratio": round(rng.random(), 3),
            "tags": [rng.choice(words) for _ in range(4)],
            "active": rng.random() < 0.5,
            "parent": None if i % 3 else i // 3,
            "stamp": 1_700_000_000_000 + rng.randrange(10**9),
        }
        for i in range(size // 190)
    ]


@dataclasses.dataclass(frozen=True)
class Stored:
    """One entry in a cache of its own, and its payload."""

    cache: pathlib.Path
    payload: bytes


def store(cache: pathlib.Path, payload: bytes, metadata, serializer: str) -> Stored:
    """Put a payload where the file backend would, in the frame that the SDK makes."""
    from cachekit.serializers.wrapper import SerializationWrapper

    cache.mkdir(mode=0o700)
    value = SerializationWrapper.wrap(payload, metadata.to_dict(), serializer)
    name = hashlib.blake2b(KEY.encode(), digest_size=16).hexdigest()
    material.write(cache / name, material.ENTRY_HEADER + bytes(value))
    return Stored(cache, payload)


def read_all(path: pathlib.Path) -> int:
    """Open, read from end to end, 1 MiB at a time into one buffer, close."""
    buffer, total = bytearray(MIB), 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while n := os.readv(descriptor, [buffer]):
            total += n
    finally:
        os.close(descriptor)
    return total


def document(bench) -> Iterator[Figure]:
    """A 50 MiB document in a ByteStorage envelope, against what the SDK's own reader does with the same bytes."""
    from cachekit._rust_serializer import ByteStorage
    from cachekit.serializers import get_serializer

    serializer = get_serializer("default")
    payload, metadata = serializer.serialize(records(DOCUMENT_SIZE))
    stored = store(bench.scratch / "document", payload, metadata, "default")
    storage = ByteStorage("msgpack")
    original = len(storage.retrieve(payload)[0])
    later: dict[str, list[float]] = {"msgpack": [], "json": []}
    private: dict[str, list[float]] = {"msgpack": [], "json": []}
    shared: dict[str, list[float]] = {"msgpack": [], "json": []}

    def first(view: str) -> float:
        with mounted([*bench.ckfs, str(stored.cache)], bench.scratch) as mount:
            path = mount.path / view / KEY
            touch_memory(4 * original)
            took = seconds(lambda: read_all(path))
            later[view].append(seconds(lambda: read_all(path)))
        return took

    def peak(view: str) -> None:
        with mounted([*bench.ckfs, str(stored.cache)], bench.scratch) as mount:
            pid = mount.process.pid
            before = status_bytes(pid, "RssAnon")
            with Peak(mount.rss_anon) as anon, Peak(lambda: status_bytes(pid, "RssShmem")) as shmem:
                read_all(mount.path / view / KEY)
            private[view].append((anon.value - before) / MIB)
            shared[view].append(shmem.value / MIB)

    retrieve = functools.partial(seconds, lambda: storage.retrieve(payload))
    dumps = functools.partial(seconds, lambda: json.dumps(serializer.deserialize(payload, metadata)))
    bytes_first, bytes_sdk = interleaved(bench.runs, lambda: first("msgpack"), retrieve)
    yield Figure("50 MiB document, `msgpack/`, first, against the SDK's retrieve", bytes_first, bytes_sdk, goal=1)
    text_first, text_sdk = interleaved(bench.runs, lambda: first("json"), dumps)
    yield Figure("50 MiB document, `json/`, first, against the SDK's decode and `json.dumps`", text_first, text_sdk, goal=0.12)
    for view in later:
        yield Figure(f"50 MiB document, `{view}/`, second read, against decode and `json.dumps`", later[view], text_sdk, goal=0.02)
    allowed = (original + len(payload)) / MIB + 16
    for view in private:
        for _ in range(bench.runs):
            peak(view)
        yield Figure(f"daemon's private memory for `{view}/` at most", private[view], unit="MiB", goal=round(allowed), goal_is_ratio=False)
        yield Figure(f"… and the decoded content (shared memory, within cache_size) for `{view}/`", shared[view], unit="MiB")


def decryption(payload: bytes, key: bytes) -> Callable[[], float]:
    """What libsodium takes to decrypt as many bytes in memory. The tag is right: it is made here."""
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
    size = len(payload) - OVERHEAD
    plain, sealed, nonce = ctypes.create_string_buffer(size), ctypes.create_string_buffer(size + 16), payload[:12]
    length = ctypes.c_ulonglong()
    sodium.sodium_init()
    done = sodium.crypto_aead_aes256gcm_encrypt(
        sealed, ctypes.byref(length), plain, ctypes.c_ulonglong(size), None, ctypes.c_ulonglong(0), None, nonce, key
    )
    assert done == 0, "this machine has no AES instructions"

    def decrypt() -> None:
        opened = sodium.crypto_aead_aes256gcm_decrypt(
            plain, ctypes.byref(length), None, sealed, ctypes.c_ulonglong(size + 16), None, ctypes.c_ulonglong(0), nonce, key
        )
        assert opened == 0

    return lambda: seconds(decrypt)


def sealed(bench) -> Iterator[Figure]:
    """A sealed 256 MiB Arrow table, against libsodium on as many bytes in memory."""
    import numpy
    import pyarrow
    from cachekit.serializers.arrow_serializer import ArrowSerializer
    from cachekit.serializers.encryption_wrapper import EncryptionWrapper

    rows = SEALED_SIZE // 64
    table = pyarrow.table({f"c{i}": numpy.random.default_rng(i).random(rows) for i in range(8)})
    wrapper = EncryptionWrapper(serializer=ArrowSerializer(compression=None), master_key=bytes.fromhex(MASTER_KEY))
    payload, metadata = wrapper.serialize(table, cache_key=KEY)
    stored = store(bench.scratch / "sealed", payload, metadata, "arrow")
    opens: list[float] = []
    reads: list[float] = []

    def open_and_read() -> float:
        environment = {**os.environ, "CACHEKIT_MASTER_KEY": MASTER_KEY}
        with mounted([*bench.ckfs, str(stored.cache)], bench.scratch, environment) as mount:
            path = mount.path / "arrow" / f"{KEY}.arrow"
            touch_memory(3 * SEALED_SIZE)
            opens.append(seconds(lambda: os.close(os.open(path, os.O_RDONLY))))
            reads.append(seconds(lambda: read_all(path)))
        return opens[-1] + reads[-1]

    both, decrypt = interleaved(bench.runs, open_and_read, decryption(payload, struct.pack("32x")))
    yield Figure("sealed 256 MiB table, open, against libsodium's decryption in memory", opens, decrypt, goal=1.8)
    yield Figure("… and open with the cold read", both, decrypt)


ROWS = {"document": document, "sealed": sealed}
