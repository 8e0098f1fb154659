"""File names of a mount: its directories, and the name that stands for a key."""

from __future__ import annotations

import hashlib
import os

FORMATS = ("raw", "frame", "arrow", "npy", "msgpack", "json", "meta")
EXTENSION = {"arrow": ".arrow", "npy": ".npy", "msgpack": ".msgpack", "json": ".json", "meta": ".json"}


def escaped(key: str | bytes) -> bytes:
    """The key with the contract's escapes, uncut."""
    raw = key.encode() if isinstance(key, str) else key
    out = b"".join(b"%%%02X" % c if c < 0x20 or c in b"/%\x7f" else bytes([c]) for c in raw)
    if raw in {b".", b"..", b".ckfs", *(name.encode() for name in FORMATS)}:
        out = b"%%%02X" % raw[0] + out[1:]
    return out


def name_of(key: str | bytes) -> str:
    """The file name of a key; a long one is cut before an escape or character that would pass byte 206."""
    raw = key.encode() if isinstance(key, str) else key
    name = escaped(raw)
    if len(name) > 240:
        cut = 206
        while name[cut] & 0xC0 == 0x80:
            cut -= 1
        for back in (1, 2):
            if name[cut - back : cut - back + 1] == b"%":
                cut -= back
                break
        name = name[:cut] + b"%~" + hashlib.blake2b(raw, digest_size=16).hexdigest().encode()
    return os.fsdecode(name)
