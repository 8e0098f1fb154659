"""What names a version of a Redis value (backend/redis/value/version_rules.h), by tables of cases and by random histories of a key.

Hashes are numbers here: two values have the same bytes when their numbers are equal.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import Probe, probe  # noqa: F401 - a fixture

HEAD = 512  # REDIS_LISTED_HEAD
SMALL = 64 << 10  # REDIS_SMALL: up to this a lookup reads the whole value
NO_CHANGE = 2**64 - 1
KEY, OTHER_KEY = "11" * 16, "22" * 16
V, W = "aa" * 16, "bb" * 16

NUMBERS = {"same": 0, "claimed": 1, "by content": 2, "by change": 3, "by number": 4, "nameless": 5}


def ask(probe: Probe, question: str, known: dict | None = None, **facts) -> dict:
    words = {"ask": question, "key": KEY, **facts}
    if known is not None:
        words |= {"known": 1, **{f"known.{name}": value for name, value in known.items()}}
    return probe("v", " ".join(f"{name}={value if isinstance(value, str) else int(value)}" for name, value in words.items()).encode())


def named(probe: Probe, rule: str, known: dict | None = None, **facts) -> dict:
    return ask(probe, "name", known, rule=NUMBERS[rule], **facts)


# --- what was seen. Change 5 is the last one, and a fence proves it ---

ANNOUNCED = {"announced": 1, "change": 5, "still_announced": 1, "looks": 1, "fenced": 1, "now": 5, "written": 50}
SILENT = {"change": 5, "looks": 1, "asked_whole": 1, "whole": 1, "written": 50}

# A lookup reads the head of a large value, and all of a smaller one.
LARGE = {**ANNOUNCED, "size": 100_000, "head": 1}
MEDIUM = {**ANNOUNCED, "size": 5000, "head": 1, "whole": 1, "content": 2}
TINY = {**ANNOUNCED, "size": 100, "head": 2, "whole": 1, "content": 2}
EMPTY = {**ANNOUNCED, "size": 0, "head": 9, "whole": 1, "content": 9}
LARGE_WHOLE = {**LARGE, "whole": 1, "asked_whole": 1, "content": 2}

LARGE_SILENT = {**SILENT, "size": 100_000, "head": 1, "content": 2}
TINY_SILENT = {**SILENT, "size": 100, "head": 2, "content": 2}

# A listing reads a head, which is the whole of a tiny value.
LISTED = {"by_listing": 1, **ANNOUNCED, "size": 100_000, "head": 1, "still_announced": 0}
LISTED_TINY = {**LISTED, "size": 100, "head": 2, "whole": 1, "content": 2}
LISTED_SILENT = {"by_listing": 1, "change": 5, "size": 100_000, "head": 1, "written": 50}

# --- what is known ---

READ = {"version": V, "change": 5, "written": 30, "size": 100_000, "head": 1, "content_known": 1, "content": 2}
HEAD_ONLY = {**READ, "content_known": 0, "content": 0}
READ_BEFORE = {**READ, "change": 4}
READ_SILENT = {**READ, "change": NO_CHANGE}
LISTED_BEFORE = {**HEAD_ONLY, "change": NO_CHANGE}
NOTHING = {"change": NO_CHANGE}  # of a record that holds nothing


def of(record: dict, seen: dict) -> dict:
    """That record, for a value of another size."""
    return {**record, **{name: seen[name] for name in ("size", "head") if name in seen}}


RULES = {
    # A lookup, with announcements.
    "large, never seen: size, head and change": (LARGE, None, "by change"),
    "large, seen, nothing has changed: same version": (LARGE, HEAD_ONLY, "same"),
    "large, read before, nothing has changed: same version": (LARGE, READ, "same"),
    "large, only its head was seen, then changed: another version": (LARGE, {**HEAD_ONLY, "change": 4}, "by change"),
    "large, read before, changed, begins the same: must be read whole": (LARGE, READ_BEFORE, "read whole"),
    "large, read before, changed, begins differently: another version": ({**LARGE, "head": 7}, READ_BEFORE, "by change"),
    "large, read before, changed, of another size: another version": ({**LARGE, "size": 100_001}, READ_BEFORE, "by change"),
    "large, read before, changed, begins the same, a hash left of an earlier look: must be read whole": ({**LARGE, "content": 2}, READ_BEFORE, "read whole"),
    "large, only its TTL has changed, read whole: same version": (LARGE_WHOLE, READ_BEFORE, "same"),
    "large, its end has changed, read whole: hash of content": ({**LARGE_WHOLE, "content": 7}, READ_BEFORE, "by content"),
    "large, its end has changed, read whole, listed: size, head and change": ({**LARGE_WHOLE, "content": 7, "listed": 1}, READ_BEFORE, "by change"),
    "large, a server that contradicts itself by another head: another version": ({**LARGE, "head": 7}, READ, "by change"),
    "large, a server that contradicts itself by another size: another version": ({**LARGE, "size": 100_001}, READ, "by change"),
    "large, a change during the look: ask again": ({**LARGE, "now": 6}, None, "look again"),
    "large, a change during the look, though it begins as what is known: ask again": ({**LARGE, "now": 6}, READ, "look again"),
    "large, changes at each look: must be read whole": ({**LARGE, "now": 6, "looks": 3}, None, "read whole"),
    "large, no fence was answered: ask again": ({**LARGE, "fenced": 0}, None, "look again"),
    "large, size and head of two versions: ask again": ({**LARGE, "torn": 1}, HEAD_ONLY, "look again"),
    "medium, no listing has shown it: hash of content": (MEDIUM, None, "by content"),
    "medium, a listing has shown it: size, head and change": ({**MEDIUM, "listed": 1}, None, "by change"),
    "medium, a listing has shown it, but a change during the look: hash of content": ({**MEDIUM, "listed": 1, "now": 6}, None, "by content"),
    "medium, written again unchanged: same version": (MEDIUM, of(READ_BEFORE, MEDIUM), "same"),
    "medium, written again unchanged, listed meanwhile: same version": ({**MEDIUM, "listed": 1}, of(READ_BEFORE, MEDIUM), "same"),
    "medium, other bytes that begin the same: hash of content": ({**MEDIUM, "content": 7}, of(READ_BEFORE, MEDIUM), "by content"),
    "tiny: hash of content": (TINY, None, "by content"),
    "tiny, a listing has shown it: hash of content": ({**TINY, "listed": 1}, None, "by content"),
    "tiny, only its TTL has changed: same version": (TINY, of(READ_BEFORE, TINY), "same"),
    "tiny, other bytes: hash of content": ({**TINY, "head": 7, "content": 7}, of(READ_BEFORE, TINY), "by content"),
    "512 bytes are tiny": ({**TINY, "size": 512, "listed": 1}, None, "by content"),
    "513 bytes are not": ({**MEDIUM, "size": 513, "listed": 1}, None, "by change"),
    "empty, by two commands: may be a key that was just created": (EMPTY, None, "read whole"),
    "empty, by two commands, known as empty: may be a key that was just created": (EMPTY, {**of(READ, EMPTY), "content": 9}, "read whole"),
    "empty, by one command: hash of content": ({**EMPTY, "asked_whole": 1}, None, "by content"),
    "a record of nothing is none": (LARGE, NOTHING, "by change"),
    "a record of nothing is none for an empty value": ({**EMPTY, "asked_whole": 1}, NOTHING, "by content"),
    # A lookup, without announcements.
    "no announcements: hash of content": (LARGE_SILENT, None, "by content"),
    "no announcements, tiny: hash of content": (TINY_SILENT, None, "by content"),
    "no announcements, tiny, a record that knows no content: hash of content": (TINY_SILENT, of(LISTED_BEFORE, TINY_SILENT), "by content"),
    "no announcements, the same content: same version": (LARGE_SILENT, READ_SILENT, "same"),
    "no announcements, the same content as with announcements: same version": (LARGE_SILENT, READ_BEFORE, "same"),
    "no announcements, content that nobody knows is not the same": ({**LARGE_SILENT, "content": 0}, HEAD_ONLY, "by content"),
    "no announcements, other content: hash of content": ({**LARGE_SILENT, "content": 7}, READ_SILENT, "by content"),
    "no announcements, listed before, nobody has read it: that version becomes what is read": (LARGE_SILENT, LISTED_BEFORE, "claimed"),
    "no announcements, listed before, of another size: hash of content": ({**LARGE_SILENT, "size": 100_001}, LISTED_BEFORE, "by content"),
    "no announcements, listed before, begins or ends differently: hash of content": ({**LARGE_SILENT, "head": 7}, LISTED_BEFORE, "by content"),
    "no announcements, listed before, others have read something else: hash of content": ({**LARGE_SILENT, "content": 7}, READ_SILENT, "by content"),
    "no announcements, only its head was seen while there were: hash of content": (LARGE_SILENT, HEAD_ONLY, "by content"),
    # A listing, with announcements.
    "a listing, tiny: hash of content": (LISTED_TINY, None, "by content"),
    "a listing, tiny, no fence was answered: hash of content": ({**LISTED_TINY, "fenced": 0}, None, "by content"),
    "a listing, tiny, only its TTL has changed: same version": (LISTED_TINY, of(READ_BEFORE, LISTED_TINY), "same"),
    "a listing, tiny, no fence was answered, the same content: same version": ({**LISTED_TINY, "fenced": 0}, of(READ_BEFORE, LISTED_TINY), "same"),
    "a listing, tiny, other bytes: hash of content": ({**LISTED_TINY, "head": 7, "content": 7}, of(READ_BEFORE, LISTED_TINY), "by content"),
    "a listing, never seen: size, head and change": (LISTED, None, "by change"),
    "a listing, nothing has changed: same version": (LISTED, READ, "same"),
    "a listing, nothing has changed, only the head was seen: same version": (LISTED, HEAD_ONLY, "same"),
    "a listing, read before, changed, begins the same: nameless": (LISTED, READ_BEFORE, "nameless"),
    "a listing, read before, changed, begins differently: another version": ({**LISTED, "head": 7}, READ_BEFORE, "by change"),
    "a listing, only the head was seen, then changed: another version": (LISTED, {**HEAD_ONLY, "change": 4}, "by change"),
    "a listing, a change during the look: nameless": ({**LISTED, "now": 6}, READ, "nameless"),
    "a listing, no fence was answered: nameless": ({**LISTED, "fenced": 0}, READ, "nameless"),
    "a listing, size and head of two versions: nameless": ({**LISTED, "torn": 1}, None, "nameless"),
    "a listing, listed before without announcements, now there are: size, head and change": (LISTED, LISTED_BEFORE, "by change"),
    "a listing, listed before without announcements, no fence: nameless": ({**LISTED, "fenced": 0}, LISTED_BEFORE, "nameless"),
    # A listing, without announcements.
    "a listing without announcements, never seen: a number of its own": (LISTED_SILENT, None, "by number"),
    "a listing without announcements: size, first and last bytes equal: same version": (LISTED_SILENT, LISTED_BEFORE, "same"),
    "a listing without announcements: equal to what was read: same version": (LISTED_SILENT, READ_SILENT, "same"),
    "a listing without announcements, first or last bytes differ: a number of its own": ({**LISTED_SILENT, "head": 7}, LISTED_BEFORE, "by number"),
    "a listing without announcements, of another size: a number of its own": ({**LISTED_SILENT, "size": 100_001}, READ_SILENT, "by number"),
    "a listing without announcements, known by its change: a number of its own": (LISTED_SILENT, HEAD_ONLY, "by number"),
    "a listing without announcements, read while there were: a number of its own": (LISTED_SILENT, READ, "by number"),
    "a listing without announcements, size and head of two versions: nameless": ({**LISTED_SILENT, "torn": 1}, LISTED_BEFORE, "nameless"),
    "a listing without announcements, tiny: hash of content": ({**LISTED_SILENT, "size": 100, "head": 2, "whole": 1, "content": 2}, None, "by content"),
    "a listing without announcements, a record of nothing is none": (LISTED_SILENT, NOTHING, "by number"),
}


def choose(probe, seen: dict, known: dict | None, **more) -> dict:
    """As a lookup does, which asks for a fence only where that can help; a listing has one for all that it reads."""
    seen = {**seen, **more}
    answer = ask(probe, "choose", known, **{name: seen[name] for name in seen if name not in ("fenced", "now")})
    return ask(probe, "choose", known, **seen) if answer["needs_fence"] or seen.get("by_listing") else answer


@pytest.mark.parametrize("rule", RULES)
def test_rule(probe, rule):
    seen, known, expected = RULES[rule]
    assert choose(probe, seen, known)["rule"] == expected


FENCES = {
    "large": (LARGE, True),
    "large, of two versions": ({**LARGE, "torn": 1}, False),
    "large, read whole": (LARGE_WHOLE, False),
    "large, read whole, listed": ({**LARGE_WHOLE, "listed": 1}, True),
    "medium": (MEDIUM, False),
    "medium, listed": ({**MEDIUM, "listed": 1}, True),
    "tiny, listed": ({**TINY, "listed": 1}, False),
    "nothing is announced": ({**LARGE_SILENT, "listed": 1}, False),
}


@pytest.mark.parametrize("case", FENCES)
def test_a_fence_is_asked_for_only_where_it_can_help(probe, case):
    seen, needed = FENCES[case]
    assert ask(probe, "choose", **seen)["needs_fence"] == needed


@pytest.mark.parametrize(
    "changed, settled",
    [({}, True), ({"fenced": 0}, False), ({"now": 6}, False), ({"torn": 1}, False), ({"announced": 0}, False)],
    ids=["nothing has changed", "no fence", "a change", "two versions", "nothing is announced"],
)
def test_what_is_settled(probe, changed, settled):
    assert ask(probe, "choose", **{**LARGE, **changed})["settled"] == settled


# --- what a version is called, and what is known of it then ---


def test_a_version_by_content_depends_on_key_and_content_alone(probe):
    def version(**facts):
        return named(probe, "by content", **{**LARGE_SILENT, **facts})["version"]

    assert version() == version(size=5, head=7, change=9, announced=1, number=4)
    assert len({version(), version(content=7), version(key=OTHER_KEY), version(seed=1)}) == 4


def test_a_version_by_change_depends_on_key_size_head_and_change_alone(probe):
    def version(**facts):
        return named(probe, "by change", **{**LARGE, **facts})["version"]

    assert version() == version(content=7, whole=1, by_listing=1, number=4)
    assert len({version(), version(size=1), version(head=7), version(change=6), version(key=OTHER_KEY), version(seed=1)}) == 6


@pytest.mark.parametrize("rule", ["by number", "nameless"])
def test_a_version_by_number_depends_on_key_size_head_and_number_alone(probe, rule):
    def version(**facts):
        return named(probe, rule, **{**LISTED_SILENT, "number": 8, **facts})["version"]

    assert version() == version(content=7, change=9)
    assert len({version(), version(size=1), version(head=7), version(number=9), version(key=OTHER_KEY)}) == 5


def test_no_content_is_taken_for_a_head(probe):
    facts = {"size": 0, "head": 1, "content": 1, "change": 0}
    assert named(probe, "by content", **facts)["version"] != named(probe, "by change", **facts)["version"]


def test_rules_that_need_a_number(probe):
    answers = [choose(probe, seen, known) for seen, known, _ in RULES.values()]
    assert {a["rule"] for a in answers if a["needs_number"]} == {"by number", "nameless"}
    assert {a["rule"] for a in answers if not a["needs_number"]} >= {"same", "claimed", "by content", "by change"}


KNOWN_AFTER = {
    "another version: written when its change was announced": ("by change", LARGE, READ, {"written": 50, "content_known": False, "change": 5}),
    "another version, read whole: its content": ("by content", LARGE_WHOLE, READ, {"written": 50, "content_known": True, "content": 2}),
    "same version: written as it was": ("same", LARGE, READ, {"version": V, "written": 30, "change": 5}),
    "same version, of which the head was read: its content stays known": ("same", LARGE, READ, {"content_known": True, "content": 2}),
    "same version, of which nobody knows the content": ("same", LARGE, HEAD_ONLY, {"content_known": False}),
    "same version, now read whole: its content": ("same", LARGE_WHOLE, HEAD_ONLY, {"content_known": True, "content": 2}),
    "same version, after a change: its new number": ("same", MEDIUM, of(READ_BEFORE, MEDIUM), {"version": V, "change": 5, "size": 5000}),
    "the version of a listing becomes what is read": ("claimed", LARGE_SILENT, LISTED_BEFORE, {"version": V, "written": 30, "content_known": True, "content": 2}),
    "nothing is announced: no number counts": ("by content", LARGE_SILENT, None, {"change": NO_CHANGE}),
    "announcements have ended meanwhile: no number counts": ("by change", {**LARGE, "still_announced": 0}, None, {"change": NO_CHANGE}),
    "listed without announcements: no number counts": ("by number", LISTED_SILENT, None, {"change": NO_CHANGE, "content_known": False, "written": 50}),
}


@pytest.mark.parametrize("case", KNOWN_AFTER)
def test_what_is_known_afterwards(probe, case):
    rule, seen, known, expected = KNOWN_AFTER[case]
    answer = named(probe, rule, known, **seen)
    assert {name: answer[name] for name in expected} == expected
    assert (answer["size"], answer["head"]) == (seen["size"], seen["head"])


# --- the rest of a value that was found by its head; what is known ---

FETCHED = {**LARGE_WHOLE, "settled": 1}
FETCHED_RULES = {
    "nothing has changed since it was found": (FETCHED, READ, V, "same"),
    "nothing has changed, only its head was known": (FETCHED, HEAD_ONLY, V, "same"),
    "only its TTL has changed": (FETCHED, READ_BEFORE, V, "same"),
    "only its TTL has changed, but nobody knew its content": (FETCHED, {**HEAD_ONLY, "change": 4}, V, "other"),
    "it was written": ({**FETCHED, "content": 7}, READ_BEFORE, V, "other"),
    "a change during the fetch": ({**FETCHED, "settled": 0}, HEAD_ONLY, V, "other"),
    "a change during the fetch, but the content is known": ({**FETCHED, "settled": 0}, READ, V, "same"),
    "another version is known by now": (FETCHED, READ, W, "other"),
    "nothing is known": (FETCHED, None, V, "other"),
    "listed without announcements: what is read first": ({**LARGE_SILENT, "settled": 0}, LISTED_BEFORE, V, "claimed"),
    "listed without announcements, begins or ends differently": ({**LARGE_SILENT, "head": 7}, LISTED_BEFORE, V, "other"),
    "listed without announcements, of another size": ({**LARGE_SILENT, "size": 100_001}, LISTED_BEFORE, V, "other"),
    "listed without announcements, others have read it": (LARGE_SILENT, READ_SILENT, V, "same"),
    "listed without announcements, others have read something else": ({**LARGE_SILENT, "content": 7}, READ_SILENT, V, "other"),
    "a server that contradicts itself by another head": ({**FETCHED, "head": 7, "content": 7}, READ, V, "other"),
}


def fetched(probe, seen: dict, known: dict | None, version: str) -> str:
    return ask(probe, "fetched", known, version=version, **{n: seen[n] for n in seen if n not in ("fenced", "now")})["rule"]


@pytest.mark.parametrize("case", FETCHED_RULES)
def test_what_was_fetched(probe, case):
    seen, known, version, expected = FETCHED_RULES[case]
    assert fetched(probe, seen, known, version) == expected


def test_what_was_fetched_is_known_by_its_change_without_a_record(probe):
    """The least recently used records go: a version that its change names is told all the same."""
    version = named(probe, "by change", **LARGE)["version"]
    assert fetched(probe, FETCHED, None, version) == fetched(probe, FETCHED, READ_BEFORE, version) == "same"
    assert fetched(probe, {**FETCHED, "settled": 0}, None, version) == "other"
    assert fetched(probe, {**FETCHED, "change": 6}, None, version) == "other"


CLAIMS = {
    "nobody has read it": (LISTED_BEFORE, V, 2, True),
    "others have read the same": (READ_SILENT, V, 2, True),
    "others have read something else": (READ_SILENT, V, 7, False),
    "another version is known by now": (LISTED_BEFORE, W, 2, False),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_a_version_has_one_content(probe, case):
    known, version, content, takes = CLAIMS[case]
    assert ask(probe, "takes", known, version=version, content=content)["is"] == takes


BELIEFS = {
    "nothing has changed": (READ, 1, 5, True),
    "it has changed": (READ, 1, 6, False),
    "nothing is announced": (READ, 0, 5, False),
    "nothing was announced when it was read": (READ_SILENT, 1, 5, False),
}


@pytest.mark.parametrize("case", BELIEFS)
def test_what_is_known_is_believed_until_it_changes(probe, case):
    known, announced, change, current = BELIEFS[case]
    assert ask(probe, "current", known, announced=announced, change=change)["is"] == current


# --- heads ---


def head_of(probe, value: bytes, ends: bool = False, **facts) -> str:
    more = {"last": value[-HEAD:].hex()} if ends and len(value) >= HEAD else {}
    return ask(probe, "head", size=len(value), first=value[:HEAD].hex(), **more, **facts)["hash"]


def test_a_head_is_made_of_the_first_bytes_and_without_announcements_of_the_last(probe):
    value = bytes(range(256)) * 20
    for at, in_first, in_ends in [(0, True, True), (511, True, True), (512, False, False), (4607, False, False), (4608, False, True), (5119, False, True)]:
        changed = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        assert (head_of(probe, changed) != head_of(probe, value)) == in_first, at
        assert (head_of(probe, changed, ends=True) != head_of(probe, value, ends=True)) == in_ends, at
    assert head_of(probe, value) != head_of(probe, value, ends=True)
    assert head_of(probe, value) != head_of(probe, value, seed=1)


@pytest.mark.parametrize("size", [0, 1, 511, 512])
def test_the_head_of_a_tiny_value_is_the_same_with_and_without_announcements(probe, size):
    """As all of it was read, a listing and a lookup name it alike; and nothing that stands behind it counts."""
    value = bytes(range(1, 256)) * 3
    head = head_of(probe, value[:size])
    assert head == ask(probe, "head", size=size, first=value[:size].hex(), last=bytes(HEAD).hex())["hash"]
    assert head == ask(probe, "head", size=size, first=value[:HEAD].hex())["hash"]


# --- histories ---

# (size, first bytes, all bytes): some begin alike, some differ in size alone.
VALUES = [
    *((100, n, n) for n in (1, 2)),
    *((5000, first, content) for first, content in [(3, 3), (3, 4), (5, 5)]),
    (5001, 3, 6),
    *((100_000, first, content) for first, content in [(7, 7), (7, 8), (9, 9)]),
    (100_001, 7, 10),
]


class Mount:
    """One key on a server, and a mount that looks at it as find.c and heads.c do."""

    def __init__(self, probe: Probe):
        self.probe, self.numbers = probe, itertools.count(1)
        self.value = VALUES[0]
        self.change, self.announced, self.record, self.listed = next(self.numbers), True, None, False
        self.found = None  # a version of which only the head was read
        self.heads, self.contents = {}, {}  # of each version
        self.expected = None  # the version of what is there now, where the next look has to find the same one

    # what happens to the key

    def set(self, value):
        if value == self.value:
            self.touch()
            return
        self.value, self.expected = value, None
        self.announce()

    def touch(self):
        """Another TTL, or the same bytes once more: a version of which the content is known stays."""
        if not (self.record and self.record["content_known"]) and self.value[0] > HEAD:
            self.expected = None
        self.announce()

    def announce(self):
        if self.announced:
            self.change = next(self.numbers)

    def hush(self):
        """Announcements end, or begin."""
        self.announced, self.change, self.expected = not self.announced, next(self.numbers), None

    def forget(self):
        """The record was the least recently used one."""
        self.record, self.expected = None, None

    # what the mount sees of it

    def sighting(self, whole: bool, by_listing: bool = False) -> dict:
        size, first, content = self.value
        by_ends = not self.announced and size > HEAD
        seen = {"size": size, "head": 1000 * content + first if by_ends else first, "announced": self.announced, "change": self.change, "written": 1}
        seen |= {"by_listing": 1} if by_listing else {"listed": self.listed}
        return {**seen, "whole": 1, "content": content} if whole else seen

    def known(self, answer: dict):
        self.record = {name: answer[name] for name in ("version", "change", "written", "size", "head", "content_known", "content")}

    def check(self, answer: dict, value, whole: bool):
        """A value was seen, and got this version."""
        size, first, content = value
        version = answer["version"]
        assert self.heads.setdefault(version, (size, first)) == (size, first), "no two heads or sizes have one version"
        if whole or size <= HEAD:
            self.read(version, content)
        if self.expected:
            assert version == self.expected, "the same bytes keep their version"
        if size <= HEAD:
            assert version == named(self.probe, "by content", content=content)["version"], "tiny values have their content for a name"

    def read(self, version: str, content: int):
        assert self.contents.setdefault(version, content) == content, "a version has one content"

    def find(self, fenced: bool = True, between=None):
        """`between`: what happens between the first look and its fence."""
        asked_whole = False
        for looks in itertools.count(1):
            assert looks < 9, "it ends"
            asked_whole |= not self.announced
            value, announced = self.value, self.announced
            whole = asked_whole or value[0] <= SMALL
            seen = {**self.sighting(whole), "asked_whole": asked_whole, "looks": looks}
            if between:
                between = between(self)
            seen["still_announced"] = announced and self.announced
            answer = choose(self.probe, seen, self.record, fenced=fenced and seen["still_announced"], now=self.change)
            if answer["rule"] == "read whole":
                asked_whole = True
            elif answer["rule"] != "look again":
                break
        if not fenced or value != self.value:
            self.expected = None
        self.check(answer, value, whole)
        self.known(answer)
        self.expected = answer["version"] if (value, announced) == (self.value, self.announced) else None
        self.found = None if whole else answer["version"]

    def fetch(self):
        if not self.found:
            return
        seen = self.sighting(True)
        rule = fetched(self.probe, {**seen, "settled": self.announced, "asked_whole": 1}, self.record, self.found)
        if rule == "other":
            return
        claimed = self.record and ask(self.probe, "takes", self.record, version=self.found, content=self.value[2])["is"]
        if rule == "claimed":
            assert claimed
        if claimed:
            self.record |= {"content_known": True, "content": self.value[2]}
        self.read(self.found, self.value[2])

    def list(self, fenced: bool = True):
        seen = self.sighting(self.value[0] <= HEAD, by_listing=True)
        answer = choose(self.probe, seen, self.record, fenced=fenced, now=self.change)
        if answer["rule"] == "nameless":
            return
        if answer["needs_number"]:
            answer = named(self.probe, answer["rule"], self.record, **seen, number=next(self.numbers)) | {"rule": answer["rule"]}
        self.listed |= answer["rule"] in ("by number", "by change")
        if answer["rule"] == "by number":
            self.known(answer)
        elif answer["rule"] == "by change":
            self.record = None
        self.check(answer, self.value, False)
        self.expected = answer["version"]


EVENTS = st.one_of(
    st.sampled_from(VALUES).map(lambda value: lambda m: m.set(value)),
    st.sampled_from([Mount.touch, Mount.hush, Mount.forget, Mount.find, Mount.fetch, Mount.fetch, Mount.list, Mount.list]),
    st.sampled_from([lambda m: m.find(fenced=False), lambda m: m.list(fenced=False)]),
    st.one_of(st.just(Mount.touch), st.just(Mount.hush), st.sampled_from(VALUES).map(lambda value: lambda m: m.set(value))).map(
        lambda between: lambda m: m.find(between=between)
    ),
)


@given(st.lists(EVENTS, max_size=40))
def test_in_any_history_the_same_bytes_keep_their_version_and_no_others_get_it(probe, events):
    m = Mount(probe)
    for event in events:
        event(m)
