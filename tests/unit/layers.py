"""The layers against the packages that define them: cachekit, json, orjson, numpy.

Each layer answers through `layer-probe` (tests/unit/probe.c, built with -Dfuzz=enabled beside the binary under
test). What a package accepts, the layer must read alike; what it refuses, the layer must refuse. Where they are
meant to differ, a function named `differs_…` of this file says so.

`CKFS_HYPOTHESIS=long` searches at random instead of repeating the same cases; `few` repeats a fifth of them.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import struct
import subprocess
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from waiting import PATIENCE

set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), "ckfs-hypothesis"))
settings.register_profile("ckfs", max_examples=500, deadline=None, derandomize=True, database=None)
settings.register_profile("few", max_examples=100, deadline=None, derandomize=True, database=None)
settings.register_profile("long", max_examples=20_000, deadline=None, database=None)
settings.load_profile(os.environ.get("CKFS_HYPOTHESIS", "ckfs"))

STRING_MAX = 4096  # FRAME_STRING_MAX
SURROGATE = re.compile("[\ud800-\udfff]")


class Probe:
    """The running layer-probe."""

    def __init__(self, path: pathlib.Path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, mode: str, data: bytes) -> dict:
        self.process.stdin.write(mode.encode() + struct.pack(">I", len(data)) + data)
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def text(self, answer: dict, name: str) -> str | None:
        return None if answer[name] is None else bytes.fromhex(answer[name]).decode()

    def close(self) -> int:
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def probe(request):
    directory = pathlib.Path(request.config.getoption("--ckfs")).resolve().parent
    path = directory / "tests" / "fuzz" / "layer-probe"
    assert os.access(path, os.X_OK), f"{path}: build it first (meson configure {directory} -Dfuzz=enabled && ninja -C {directory})"
    probe = Probe(path)
    yield probe
    assert probe.close() == 0, "layer-probe did not end well"


# --- where the layers are meant to differ from the packages ---


def differs_other_encoding(header: bytes) -> bool:
    """Python guesses UTF-16 and UTF-32 in a v3 header; the format says UTF-8."""
    return json.detect_encoding(header) not in ("utf-8", "utf-8-sig")


def differs_encoded_surrogates(header: bytes) -> bool:
    """Python takes surrogates written as UTF-8 bytes in a v3 header; that is not UTF-8."""
    try:
        header.decode("utf-8")
    except UnicodeDecodeError:
        return re.search(rb"\xed[\xa0-\xbf]", header) is not None
    return False


def differs_behind_padding(text: str) -> str:
    """The part of a base64 text that counts: a padding that completes its group of four ends the data.

    So it is in Python up to 3.12; later ones go on behind it. Up to there, all of them read it alike.
    """
    place = pads = 0
    for at, c in enumerate(text if text.isascii() else ""):
        if c.isalnum() or c in "+/":
            place, pads = (place + 1) % 4, 0
        elif c == "=" and place >= 2:
            pads += 1
            if place + pads >= 4:
                return text[: at + 1]
    return text


def differs_by_version(name: str) -> bool:
    """NumPy before 2.5 reads "a8" as "S8"; ckfs never does."""
    return re.match(r"[<>=|]?a\s*\+?\d+$", name) is not None


def differs_composed_dtype(name: str) -> bool:
    """NumPy reads fields and sub-arrays ("f4,f4", "(2,3)f4", "2f8") and units with a divisor ("M8[D/2]").

    Nobody writes such names for arrays of plain numbers. They are left out also since a divisor of 0 ends NumPy's process.
    """
    return "," in name or "/" in name or re.match(r"[<>=|]?[(\[{\d]", name) is not None


# Nesting: where Python gives up (RecursionError) depends on how deep its callers are. Such cases are left out where it is caught, but in
# test_frames.py, which asks an interpreter of its own.


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=12),
    st.text(st.characters(codec=None), max_size=4),
    st.sampled_from(["auto", "arrow", "x" * 4096, "x" * 4097, "é" * 2049, "a\0b", "\ud83d", ""]),
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12
)
META_NAMES = ["format", "encoding", "original_type", "tenant_id", "encryption_algorithm", "key_fingerprint", "compressed", "encrypted"]


@st.composite
def spelled(draw, document) -> str:
    """One of the ways in which a document can be written as JSON."""
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, None, 1])))
    return SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


@st.composite
def objects(draw, names: list[str], values) -> str:
    """A JSON object with some of these members, perhaps twice, perhaps with escapes in their names."""
    members = []
    for name in draw(st.lists(st.sampled_from(names), max_size=6)):
        if draw(st.integers(0, 9)) == 0:
            at = draw(st.integers(0, len(name) - 1))
            name = f"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"
        members.append(f'"{name}":{draw(st.sampled_from(["", " "]))}{draw(values)}')
    return "{" + ",".join(members) + "}"


metadatas = objects([*META_NAMES, "other"], documents.flatmap(spelled)) | documents.flatmap(spelled)


@st.composite
def mutated(draw, text: bytes) -> bytes:
    """The text, in half the cases with some bytes changed, added or cut."""
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        at = draw(st.integers(0, len(text)))
        insert = draw(st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"{", b"}", b",", b"0", b" ", b"=", b"\\u", b"\xed\xa0\x80"]))
        text = text[:at] + insert + text[at + draw(st.integers(0, 2)) :]
    return text
