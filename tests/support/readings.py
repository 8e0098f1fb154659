"""An independent reading of MessagePack and JSON documents, as trees to compare."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import msgpack


class Pairs(list):
    """A map as the list of its members."""


def tree(document: bytes) -> Any:
    """A MessagePack document as the contract (§2) writes it in JSON, markers as stored."""
    unpacker = msgpack.Unpacker(
        raw=False,
        strict_map_key=False,
        object_pairs_hook=Pairs,
        unicode_errors="strict",
        max_buffer_size=0,
        ext_hook=lambda code, data: ("ext", code, bytes(data)),
        timestamp=0,
    )
    unpacker.feed(document)
    value = unpacker.unpack()
    assert unpacker.tell() == len(document)
    return _json_form(value)


def _json_form(value):
    if isinstance(value, Pairs):
        return Pairs((key if isinstance(key, str) else Text(_json_form(key)), _json_form(member)) for key, member in value)
    if isinstance(value, list):
        return [_json_form(member) for member in value]
    if isinstance(value, bytes):
        return Pairs([("$base64", base64.b64encode(value).decode())])
    if isinstance(value, msgpack.Timestamp):
        value = ("ext", -1, value.to_bytes())
    if isinstance(value, tuple):
        return Pairs([("$ext", [value[1], base64.b64encode(value[2]).decode()])])
    if isinstance(value, float) and not math.isfinite(value):
        return Pairs([("$float", "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity")])
    return value


class Text:
    """A map's key that is the JSON text of a value, however it is spaced."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other) -> bool:
        return isinstance(other, str) and same(json.loads(other, object_pairs_hook=Pairs), self.value)

    def __repr__(self) -> str:
        return f"Text({self.value!r})"


def same(shown, expected) -> bool:
    """Equality that tells 1 from 1.0 and True, 0.0 from -0.0, and keeps the order of members."""
    if isinstance(expected, Text):
        return expected == shown
    if type(shown) is not type(expected):
        return False
    if isinstance(expected, Pairs):
        return len(shown) == len(expected) and all(same(k, l) and same(v, w) for (k, v), (l, w) in zip(shown, expected))
    if isinstance(expected, list):
        return len(shown) == len(expected) and all(map(same, shown, expected))
    if isinstance(expected, float):
        return struct.pack(">d", shown) == struct.pack(">d", expected)
    return shown == expected


def parsed(text: bytes):
    """JSON text as the tree to compare; strict: UTF-8, and no NaN."""

    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    return json.loads(text.decode(), object_pairs_hook=Pairs, parse_constant=refuse)
