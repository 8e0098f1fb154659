"""What is stored during a soak. A seed and a number tell all of a value; only of a sealed one the stored bytes have to be kept."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import random

import msgpack
import numpy
import orjson
import pyarrow
from cachekit.cache_handler import CacheSerializationHandler
from cachekit.serializers.arrow_serializer import ArrowSerializer
from cachekit.serializers.wrapper import SerializationWrapper

MASTER = "5a" * 32
WHOLE = ("", "raw", "frame")  # views that look at nothing
DECODED = ("arrow", "npy", "msgpack", "json")

ABSENT = frozenset({"ENOENT"})
DAMAGED = frozenset({"EUCLEAN", "EBADMSG"})
FORGED = frozenset({"EBADMSG"})

ARROW = {"table": ArrowSerializer(), "plain table": ArrowSerializer(compression=None)}

# kind: its decoded views, what serializes it
KINDS = {
    "opaque": ((), None),
    "even": ((), None),
    "large": ((), None),
    "orjson": (("json",), "orjson"),
    "packed": (("msgpack", "json"), "default"),
    "array": (("npy",), "auto"),
    "table": (("arrow",), ARROW["table"]),
    "plain table": (("arrow",), ARROW["plain table"]),
}
SIZES = {"even": 3000, "large": 300_000}  # values of one size: it tells no version
OPAQUE = ("opaque", *SIZES)
SEALED = ("orjson", "packed", "table", "plain table")


@dataclasses.dataclass(frozen=True)
class Content:
    """What lies under a key. `cut`: only so many bytes of it are left; `altered`: a byte of it is another one."""

    kind: str
    number: int
    sealed_for: str | None = None
    cut: int | None = None
    altered: bool = False


class Values:
    """All values of one seed."""

    def __init__(self, seed: int):
        self.seed = seed
        self.sealed: dict[int, bytes] = {}  # by number
        self.whole = functools.lru_cache(64)(self._whole)
        self.shown = functools.lru_cache(128)(self._shown)
        self.digest = functools.lru_cache(100_000)(self._digest)

    def seal(self, content: Content) -> None:
        """Seal a value, once."""
        self.sealed[content.number] = handler(content.kind, True).serialize_data(
            self._object(content), (), {}, cache_key=content.sealed_for
        )

    def views(self, content: Content) -> tuple[str, ...]:
        """The views that apply to it."""
        return (*WHOLE, *KINDS[content.kind][0])

    def stored(self, content: Content) -> bytes:
        """The stored value, as it lies there."""
        value, payload_at, _ = self.whole(content.kind, content.number, content.sealed_for)
        if content.altered and content.kind == "packed" and not content.sealed_for:
            data, checksum, *rest = msgpack.unpackb(value[payload_at:])  # no checksum is of the envelope itself
            return value[:payload_at] + msgpack.packb([data, [checksum[0] ^ 1, *checksum[1:]], *rest])
        return value[:-1] + bytes([value[-1] ^ 1]) if content.altered else value[: content.cut]

    def _shown(self, content: Content, key: str, view: str) -> bytes | frozenset[str]:
        """What a view has to show of it under a key: the bytes, or the errors of which it has to be one."""
        stored = self.stored(content)
        if view == "frame":
            return stored
        if view in WHOLE:
            return stored[self.whole(content.kind, content.number, content.sealed_for)[1] :]
        if view not in self.views(content):
            return ABSENT
        if content.cut is not None:
            return DAMAGED
        if content.altered or content.sealed_for not in (None, key):
            return FORGED
        return self.whole(content.kind, content.number, content.sealed_for)[2][view]

    def _digest(self, content: Content, key: str, view: str) -> tuple[int, str] | frozenset[str]:
        """The same, as length and digest."""
        shown = self.shown(content, key, view)
        return shown if isinstance(shown, frozenset) else (len(shown), digest(shown))

    def size(self, content: Content, key: str, view: str) -> int | None:
        """How large a view is; None: what is damaged may tell any size."""
        if content.cut is not None and view not in WHOLE:
            return None
        if content.altered or content.sealed_for:  # only to be sealed for another key is no other size
            content = dataclasses.replace(content, altered=False)
            key = content.sealed_for or key
        shown = self.digest(content, key, view)
        return None if isinstance(shown, frozenset) else shown[0]

    def payload_at(self, content: Content) -> int:
        return self.whole(content.kind, content.number, content.sealed_for)[1]

    def _whole(self, kind: str, number: int, sealed_for: str | None) -> tuple[bytes, int, dict[str, bytes]]:
        """The stored value, where its payload begins, and its decoded views."""
        content = Content(kind, number, sealed_for)
        made = self._object(content)
        if kind in OPAQUE:
            return made, 0, {}
        value = self.sealed[number] if sealed_for else handler(kind, False).serialize_data(made, (), {}, cache_key="")
        payload = bytes(SerializationWrapper.unwrap(value)[0])
        assert value.endswith(payload)
        return bytes(value), len(value) - len(payload), documents(kind, made)

    def _object(self, content: Content):
        rng = random.Random(f"{self.seed} {content.number}")
        size = rng.choice([rng.randrange(1, 60), rng.randrange(60, 1000), rng.randrange(1000, 8000)])
        if content.kind in OPAQUE:
            size = SIZES.get(content.kind) or rng.choice([size, size, size * rng.choice([8, 8, 8, 200])])
            return (b"~" + words(content.number, size // 8 + 1).tobytes())[:size]
        if content.kind == "array":
            return words(content.number, size)
        if content.kind in ("table", "plain table"):
            numbers = words(content.number, size)
            return pyarrow.table({"word": numbers, "text": [f"row {word}" for word in numbers[: size // 2]] + [None] * (size - size // 2)})
        rows = [f"row {i} of {content.number}, née" for i in range(size // 4)]
        return {"number": content.number, "née": [None, True, -1, 2**40, 0.5], "rows": rows, "deep": {"a": {"b": []}}}


def words(number: int, count: int) -> numpy.ndarray:
    """Each word tells the number, and where it stands."""
    return numpy.arange(count, dtype="<i8") + (number << 24)


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@functools.cache
def handler(kind: str, sealing: bool) -> CacheSerializationHandler:
    """What stands between a decorated function and its backend."""
    options = {"master_key": MASTER, "single_tenant_mode": True} if sealing else {}
    return CacheSerializationHandler(KINDS[kind][1], encryption=sealing, **options)


def documents(kind: str, made) -> dict[str, bytes]:
    """The decoded views, as the libraries make them."""
    if kind == "orjson":
        return {"json": orjson.dumps(made, option=orjson.OPT_SORT_KEYS)}
    if kind == "packed":
        return {"msgpack": msgpack.packb(made), "json": orjson.dumps(made) + b"\n"}
    if kind == "array":
        out = io.BytesIO()
        numpy.save(out, made)
        return {"npy": out.getvalue()}
    document = bytes(ARROW[kind].serialize(made)[0][8:])
    assert pyarrow.ipc.open_file(document).read_all().equals(made)
    return {"arrow": document}
