"""Small things that several tests of the mount need: stored bytes, names, errors."""

from __future__ import annotations

import base64
import ctypes
import errno
import json
import os
import pathlib
import re
import subprocess

import xxhash

from names import EXTENSION, FORMATS, escaped, name_of  # noqa: F401 - for the tests


def v3(payload: bytes, metadata: dict | None = None, serializer: str = "auto", header: bytes | None = None) -> bytes:
    """A v3 frame; `header` replaces the whole header JSON."""
    if header is None:
        header = json.dumps({"s": serializer, "m": metadata or {}, "v": "2.0"}, ensure_ascii=False).encode()
    return b"CK\x03" + len(header).to_bytes(4, "big") + header + payload


def legacy(payload: bytes, metadata: dict | None = None, serializer: str = "default") -> bytes:
    """A legacy frame, as the SDK wrote it before v3."""
    data = base64.b64encode(payload).decode()
    return json.dumps({"data": data, "metadata": metadata or {}, "serializer": serializer, "version": "2.0"}).encode()


def prefixed(document: bytes) -> bytes:
    """The document behind its 8-byte xxh3 prefix."""
    return xxhash.xxh3_64_digest(document) + document


def metadata(kind: str, **more) -> dict:
    """Frame metadata as cachekit writes it for `arrow`, `orjson`, `numpy`, `msgpack`."""
    form = "msgpack" if kind == "numpy" else kind
    return {"format": form, "encoding": "utf-8", "compressed": kind == "msgpack", "original_type": kind, **more}


def flipped(value: bytes, at: int = -1) -> bytes:
    """The value with one byte altered."""
    changed = bytearray(value)
    changed[at] ^= 1
    return bytes(changed)


def read(path) -> bytes:
    """A file's bytes, through one descriptor and plain reads."""
    with open(path, "rb", buffering=0) as file:
        pieces = []
        while piece := file.read(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)


def errno_name(number: int) -> str:
    return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]


def failure(path) -> str | None:
    """The name of the errno that opening and reading the path gives; None when it succeeds."""
    try:
        read(path)
    except OSError as e:
        return errno_name(e.errno)
    return None


def lookup_failure(path) -> str | None:
    """The name of the errno of a stat by path; None when it succeeds."""
    try:
        os.stat(path)
    except OSError as e:
        return errno_name(e.errno)
    return None


def listing(path) -> set[str]:
    return set(os.listdir(path))


def xattrs(path) -> dict[str, bytes]:
    """All extended attributes, without `user.ckfs.`."""
    return {name.removeprefix("user.ckfs."): os.getxattr(path, name) for name in os.listxattr(path)}


def list_xattrs(path, room: int) -> int:
    """llistxattr() of a caller with so much room; 0: who asks how much it takes. Its length, or -errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.llistxattr.restype = ctypes.c_ssize_t
    buffer = ctypes.create_string_buffer(room) if room else None
    n = libc.llistxattr(os.fsencode(path), buffer, ctypes.c_size_t(room))
    return n if n >= 0 else -ctypes.get_errno()


def meta(mnt, key: str) -> dict:
    return json.loads(read(mnt / f"meta/{name_of(key)}.json"))


def memory(m, *fields: str) -> int:
    """Bytes that the daemon's status tells, summed up: VmHWM, RssAnon, RssShmem…"""
    status = pathlib.Path(f"/proc/{m.pid}/status").read_text()
    return sum(int(re.search(rf"^{field}:\s+(\d+) kB", status, re.M)[1]) * 1024 for field in fields)


def peak(m) -> int:
    """The most memory the daemon has had since reset_peak()."""
    return memory(m, "VmHWM")


def reset_peak(m) -> int:
    pathlib.Path(f"/proc/{m.pid}/clear_refs").write_text("5")
    return peak(m)


def birth_ns(path) -> int:
    """When a file was made, in nanoseconds."""
    seconds, fraction = subprocess.check_output(["stat", "-c", "%.9W", path], text=True).strip().split(".")
    return int(seconds) * 1_000_000_000 + int(fraction)
