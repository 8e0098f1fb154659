"""doc/ARCHITECTURE.md, "Rooms": each file is in a room, and includes nothing that its room may not."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.once
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


class Rooms:
    """The table: a room a row, `folder` | what it is | contracts in include/ckfs | the rooms that it may include."""

    def __init__(self, page: str):
        self.may, self.contracts = {}, {}
        table = page.split("## Rooms")[1].split("\n## ")[0]
        for row in re.findall(r"^\| `([\w/.]+)` \| [^|]*\| ([^|]*)\| ([^|]*)\|$", table, re.MULTILINE):
            room, contracts, includes = row[0], row[1].split(), re.findall(r"`([\w/.]+)`", row[2])
            self.may[room] = {room, *includes}
            for contract in contracts:
                assert self.contracts.setdefault(contract, room) == room, f"{contract}.h is of two rooms"

    def of(self, path: str) -> str | None:
        """A contract is of the room that names it, a private file of the folder that it lies in."""
        if path.startswith("include/ckfs/"):
            return self.contracts.get(path.removeprefix("include/ckfs/").removesuffix(".h"))
        return path if path in self.may else next((room for room in self.may if path.rpartition("/")[0] == room), None)

    def faults(self, files: dict[str, str]) -> list[str]:
        """What is wrong with sources: their texts by their paths."""
        found = [f"{path} is in no room" for path in files if not self.of(path)]
        for path, text in files.items():
            for included in INCLUDE.findall(text):
                beside = f"{path.rpartition('/')[0]}/{included}"
                target = next((p for p in (beside, f"include/{included}", included) if p in files), None)
                room = self.of(path)
                if target is None:
                    found.append(f"{path}: {included} is nowhere")
                elif room and self.of(target) not in self.may[room]:
                    found.append(f"{path} includes {included}: {room} may not include {self.of(target)}")
        return found

    def circle(self) -> list[str]:
        """The rooms that are left when one after the other of those goes that include only what has gone."""
        left = {room: may - {room} for room, may in self.may.items()}
        while free := [room for room, may in left.items() if not may & left.keys()]:
            for room in free:
                del left[room]
        return sorted(left)


@pytest.fixture(scope="module")
def rooms():
    return Rooms((ROOT / "doc" / "ARCHITECTURE.md").read_text())


@pytest.fixture(scope="module")
def files():
    return {str(path.relative_to(ROOT)): path.read_text() for top in ("fs", "backend", "include") for path in sorted((ROOT / top).rglob("*.[ch]"))}


def test_nothing_is_included_that_a_room_may_not_include(rooms, files):
    assert rooms.faults(files) == []


def test_no_room_includes_itself_by_way_of_others(rooms):
    assert rooms.circle() == []


def test_the_table_has_nothing_that_is_not_there(rooms, files):
    used = {rooms.of(path) for path in files}
    assert set(rooms.may) == used
    assert {f"include/ckfs/{contract}.h" for contract in rooms.contracts} <= files.keys()


@pytest.mark.parametrize(
    "path, text, fault",
    [
        ("fs/layer/document.c", '#include "ckfs/entry.h"\n', "fs/layer/document.c includes ckfs/entry.h: fs/layer may not include fs/entry"),
        ("fs/view/json.c", '#include "fs/fuse/mount.h"\n', "fs/view/json.c includes fs/fuse/mount.h: fs/view may not include fs/fuse"),
        ("fs/new/x.c", "", "fs/new/x.c is in no room"),
        ("include/ckfs/new.h", "", "include/ckfs/new.h is in no room"),
        ("fs/view/x.c", '#include "gone.h"\n', "fs/view/x.c: gone.h is nowhere"),
    ],
)
def test_what_a_room_may_not_include_is_told(rooms, files, path, text, fault):
    assert rooms.faults({**files, path: text}) == [fault]


def test_a_circle_is_told():
    row = "| `{}` | x | | `{}` |\n"
    assert Rooms("## Rooms\n" + row.format("fs/a", "fs/b") + row.format("fs/b", "fs/a") + row.format("fs/c", "fs/a")).circle() == ["fs/a", "fs/b", "fs/c"]
