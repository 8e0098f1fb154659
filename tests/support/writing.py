"""What tests of writing have together: a value that the SDK reads, a write that goes on until all is written, and mounts that take it."""

from __future__ import annotations

import contextlib
import json
import threading

import numpy as np
import pytest
from cachekit.serializers.arrow_serializer import ArrowSerializer

from documents import TABLE, columnar, handler
from helpers import errno_name, metadata, read, v3

SERIALIZERS = {
    "default": ("default", {"a": [1, 2.5, "x"]}),
    "auto": ("auto", {"a": [1, 2.5, "x"]}),
    "auto, an array": ("auto", np.arange(700.0)),
    "auto, a dataframe": (columnar(), TABLE.head(20)),
    "orjson": ("orjson", {"a": [1, 2.5, "x"]}),
    "arrow": (ArrowSerializer(), TABLE.head(50)),
    "arrow, plain": (ArrowSerializer(compression=None), TABLE.head(50)),
}  # fmt: skip


def outcome(call, *args) -> str | None:
    """The name of the errno; None: it succeeds."""
    try:
        call(*args)
    except OSError as e:
        return errno_name(e.errno)
    return None


def write(path, value: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        while value:
            value = value[file.write(value) :]


def seen_while_it_is_written(m, times: int) -> list[bytes]:
    """How what readers saw that is no whole value began, while `k` was written over and over."""
    values = [frame(str(i), 40_000 * i) for i in range(6)]
    write(m / "frame/k", values[0])
    wrong, over = [], threading.Event()

    def read_on() -> None:
        while not over.is_set():
            if (got := read(m / "frame/k")) not in values:
                wrong.append(got[:100])

    threads = [threading.Thread(target=read_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(times):
        write(m / "frame/k", values[i % 6])
    over.set()
    for thread in threads:
        thread.join()
    return wrong


def read_back(value: bytes) -> bool:
    """Whether the SDK reads a value, with checksums or without."""
    for integrity in (True, False):
        with contextlib.suppress(Exception):
            handler("auto", integrity=integrity).deserialize_data(value, "k", (), {})
            return True
    return False


def frame(text: str = "v", size: int = 0) -> bytes:
    """A value that the SDK reads: an orjson document in a frame."""
    return v3(json.dumps({"text": text, "more": "x" * size}).encode(), metadata("orjson"), "orjson")


@pytest.fixture
def m(cache, mount):
    return mount(cache, "write")


@pytest.fixture
def unchecked(cache, mount):
    return mount(cache, "write", "unchecked")
