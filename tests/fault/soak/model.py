"""
The model: for each key the states it went through, and whether what was seen of it is explained by one of them.

All moments are seconds of the monotonic clock, which all processes share. A state becomes current at some moment of its change, which began at
`begin` and was done at `end`; it is current until some moment of the next one's. Changes of one key follow each other, so what was looked at from
b to e may be any state that had begun by e, and whose successor was not done before b. All of an open file is one such state.
"""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import time
from collections import Counter

from names import EXTENSION, FORMATS, name_of

from .values import DAMAGED, DECODED, Content, Values

CLOCK = time.time() - time.monotonic()  # what the wall clock is ahead

EXPIRED_AFTER = 1.0  # §5: an expired key is gone within a second
FOUND_AGAIN_AFTER = 1.5  # a server that was lost is asked again after a second
SLOW = 0.8  # what a look-up has found is held for about a second
UPSET = 1.0  # what was found before is named for so long as it was then
LISTING_LATE = 0.5  # between a line of a listing and the kernel's note of it, on a machine with much to do


@dataclasses.dataclass(frozen=True)
class State:
    begin: float
    end: float
    content: Content | None
    expires: int = 0  # seconds since 1970; 0: never
    file: int = 0  # the file of a cache directory: what is linked shares it

    def may_be_seen(self, begin: float) -> bool:
        return self.content is not None and (not self.expires or begin < self.expires + EXPIRED_AFTER - CLOCK)

    def may_be_absent(self, end: float) -> bool:
        return self.content is None or (self.expires > 0 and end >= self.expires - CLOCK)

    def __str__(self):
        expires = f", expires at {self.expires - CLOCK:.4f}" if self.expires else ""
        return f"{self.begin:.4f} .. {self.end:.4f}  {self.content or 'absent'}{expires}{f', file {self.file}' if self.file else ''}"


class Key:
    """A key, its names, and what it went through."""

    def __init__(self, key: str, hash: str | None, now: float):
        self.key, self.name, self.hash = key, name_of(key), hash
        self.states = [State(now, now, None)]
        self.begins = [now]

    def add(self, state: State) -> None:
        self.states.append(state)
        self.begins.append(state.begin)

    @property
    def now(self) -> State:
        return self.states[-1]

    def current(self, begin: float, end: float) -> list[State]:
        """The states that may have been current at some moment from begin to end."""
        last = bisect.bisect_right(self.begins, end)
        first = last - 1
        while first > 0 and self.states[first].end >= begin:
            first -= 1
        return self.states[max(first, 0) : last]


class Model:
    def __init__(self, keys: list[Key], steady: list[str], values: Values, stores_keys: bool, listed_ttl: float):
        self.steady = frozenset(steady)  # names of what nothing happens to, but that the server forgets all
        self.refills: list[tuple[float, float]] = []  # when that was, until all was there again
        self.keys, self.values, self.stores_keys, self.listed_ttl = keys, values, stores_keys, listed_ttl
        self.outages: list[tuple[float, float]] = []  # of the server
        self.upsets: list[float] = []  # when what is known of versions was dropped: by SIGHUP, or a lost connection
        self.truncations: dict[int, list[tuple[float, float]]] = {}  # of a file
        self.failures: list[str] = []
        self.counts: Counter = Counter()
        self.named = {}
        for number, key in enumerate(keys):
            self.named |= {name: number for name in (key.name, key.hash) if name}

    # --- what explains it

    def visible(self, key: Key, begin: float, end: float) -> list[State]:
        """What may have been seen from begin to end."""
        return [state for state in key.current(begin, end) if state.may_be_seen(begin)]

    def errors(self, key: Key, view: str, begin: float, end: float, name: str) -> set[str]:
        """The errors that an open or a stat from begin to end may have come to."""
        errors = self.server_errors(begin, end)
        for state in key.current(begin, end):
            if state.may_be_absent(end):
                errors.add("ENOENT")
            if state.may_be_seen(begin) and isinstance(answer := self.values.digest(state.content, key.key, view), frozenset):
                errors |= answer
            if self.was_truncated(state, begin, end):
                errors |= DAMAGED | {"EIO"}
            if self.is_hash(key, name) and state.content and state.content.sealed_for and view in DECODED:
                errors.add("ENOKEY")
        return errors

    def is_hash(self, key: Key, name: str) -> bool:
        """Whether a name does not tell the key: only what is there, or was opened by its key, does then."""
        return not self.stores_keys and (name == key.hash or "%~" in name)

    def was_truncated(self, state: State, begin: float, end: float) -> bool:
        return any(b <= end and begin <= e for b, e in self.truncations.get(state.file, ()))

    def server_errors(self, begin: float, end: float) -> set[str]:
        """What a server that is lost explains. That it ended a connection explains nothing: another one is made."""
        is_lost = any(b <= end and begin <= e + FOUND_AGAIN_AFTER for b, e in self.outages)
        return {"ECONNREFUSED"} if is_lost else set()

    # --- what was seen

    def check(self, seen: dict) -> None:
        what = seen["o"]
        self.counts[what] += 1
        if "error" in seen:
            self.counts[seen["error"]] += 1
        problem = getattr(self, f"check_{what}")(seen)
        if problem:
            history = ""
            if "k" in seen:
                key = self.keys[seen["k"]]
                around = key.current(seen["t"][0] - 1, seen["t"][-1] + 0.2)
                history = f"\n  what {key.key!r} was, from a second before on:\n    " + "\n    ".join(map(str, around[-40:]))
            self.failures.append(f"{problem}\n  seen: {seen}{history}")

    def check_whole(self, seen) -> str | None:
        return self.check_opened(seen, self.explains_whole)

    def explains_whole(self, content: Content, key: Key, seen) -> bool:
        return seen["size"] == seen["length"] and self.values.digest(content, key.key, seen["v"]) == (seen["length"], seen["digest"])

    def check_windows(self, seen) -> str | None:
        return self.check_opened(seen, self.explains_windows)

    def explains_windows(self, content: Content, key: Key, seen) -> bool:
        shown = self.values.shown(content, key.key, seen["v"])
        return isinstance(shown, bytes) and len(shown) == seen["size"] and all(shown[at : at + n].hex() == read for at, n, read in seen["windows"])

    def check_opened(self, seen, explains) -> str | None:
        """An open file: opened from t[0] to t[1], and looked at until t[2]."""
        key, (begin, opened, end) = self.keys[seen["k"]], seen["t"]
        if not (error := seen.get("error")):
            explained = any(explains(state.content, key, seen) for state in self.visible(key, begin, opened))
            return None if explained else "no version explains it"
        if seen["at"] == "open":
            allowed = self.errors(key, seen["v"], begin, opened, seen["n"])
        else:
            was_truncated = any(self.was_truncated(state, begin, end) for state in key.current(begin, opened))
            allowed = {"EIO"} if was_truncated else set()
        return None if error in allowed else f"{error} at {seen['at']}, where only {sorted(allowed) or 'success'} may be"

    def check_stat(self, seen) -> str | None:
        """By path: what a listing has told may serve for listed_ttl."""
        key, (begin, end) = self.keys[seen["k"]], seen["t"]
        begin -= self.listed_ttl and self.listed_ttl + LISTING_LATE
        if error := seen.get("error"):
            allowed = self.errors(key, seen["v"], begin, end, seen["n"])
            return None if error in allowed else f"{error} of stat, where only {sorted(allowed) or 'success'} may be"
        if seen["blocks"] != -(-seen["size"] // 512):
            return "st_blocks is not st_size"
        contents = [state.content for state in self.visible(key, begin, end)]
        sizes = [self.values.size(content, key.key, seen["v"]) for content in contents if seen["v"] in self.values.views(content)]
        return None if seen["size"] in sizes or None in sizes else f"size {seen['size']}, where only {sorted(set(sizes))} may be"

    def check_xattr(self, seen) -> str | None:
        key, (begin, end) = self.keys[seen["k"]], seen["t"]
        begin -= self.listed_ttl and self.listed_ttl + LISTING_LATE
        allowed = self.server_errors(begin, end)
        states = key.current(begin, end)
        # Nothing is known of a version that has another name since all was dropped, nor of one that went while its look-up was slow.
        slow = seen["t"][1] - seen["t"][0] > SLOW
        if (slow and len(states) > 1) or any(begin - UPSET <= upset <= end for upset in self.upsets):
            allowed.add("ENODATA")
        for state in states:
            if state.may_be_absent(end):
                allowed |= {"ENOENT", "ENODATA"}
            if self.was_truncated(state, begin, end):
                allowed |= DAMAGED | {"EIO", "ENODATA"}
            if state.may_be_seen(begin):
                for same in self.same_file(state, begin, end):
                    allowed |= self.attribute(key, same, seen["name"], begin, end, self.is_hash(key, seen["n"]))
        value = seen.get("error") or seen["value"]
        return None if value in allowed else f"{seen['name']} is {value}, where only {sorted(allowed)} may be"

    def same_file(self, state: State, begin: float, end: float) -> list[State]:
        """A state, and what else happened to its file under other names: an expiry is written in place."""
        linked = [] if self.stores_keys else [other for key in self.keys for other in key.current(begin, end) if other.file == state.file]
        return [state, *(other for other in linked if other.content == state.content)]

    def attribute(self, key: Key, state: State, name: str, begin: float, end: float, by_hash: bool) -> set[str]:
        stored = self.values.size(state.content, key.key, "frame")
        if name == "key":
            return {key.key} | ({"ENODATA"} if by_hash else set())
        if name == "size.frame":
            return {str(stored)}
        if name == "size.payload":
            return {str(self.values.size(state.content, key.key, "raw"))}
        if name == "expires":
            return {rfc3339(state.expires)}
        if not state.expires:
            return {"ENODATA"}
        left = [int(state.expires - CLOCK - at) for at in (end, begin)]
        return {str(max(n, 0)) for n in range(left[0] - 1, left[1] + 2)}

    def check_meta(self, seen) -> str | None:
        """Made afresh when it is opened."""
        key, (begin, end) = self.keys[seen["k"]], seen["t"]
        states = key.current(begin, end)
        if error := seen.get("error"):
            allowed = self.server_errors(begin, end)
            for state in states:
                allowed |= {"ENOENT"} if state.may_be_absent(end) else set()
                allowed |= {"EIO"} if self.was_truncated(state, begin, end) else set()
            return None if error in allowed else f"{error} of meta/, where only {sorted(allowed) or 'success'} may be"
        told = (seen["size"], seen["expires"])
        sizes = [self.values.size(state.content, key.key, "frame") for state in states if state.may_be_seen(begin)]
        expiries = [rfc3339(state.expires) for state in states if state.may_be_seen(begin)]
        return None if told[0] in sizes and told[1] in expiries else f"meta/ says {told}, where only {sizes}, {expiries} may be"

    def check_list(self, seen) -> str | None:
        begin, end = seen["t"]
        if error := seen.get("error"):
            allowed = self.server_errors(begin, end)
            return None if error in allowed else f"{error} of a listing, where only {sorted(allowed) or 'success'} may be"
        view, extension = seen["d"], EXTENSION.get(seen["d"], "")
        listed: Counter = Counter()
        steady: Counter = Counter()
        for name in seen["names"]:
            if not view and name in FORMATS:
                continue
            if name.removesuffix(extension) in self.steady:
                steady[name] += 1
                continue
            number = self.named.get(name.removesuffix(extension))
            if number is None or not name.endswith(extension):
                return f"{name!r} is listed, which no key has"
            listed[number] += 1
        if steady and max(steady.values()) > 1:
            return f"{steady.most_common(3)}: names are listed that often"
        expected = 0 if view in DECODED else len(self.steady)
        if len(steady) != expected and not any(b <= end and begin <= e for b, e in self.refills):
            return f"of {expected} steady names {len(steady)} are listed"
        wrong = []
        for number, key in enumerate(self.keys):
            if why := self.listed_wrongly(key, view, listed[number], begin, end):
                wrong += [f"{key.key!r} {why}", *(f"  {state}" for state in key.current(begin, end))]
        return f"a listing of {view or 'the root'}:\n    " + "\n    ".join(wrong) if wrong else None

    def listed_wrongly(self, key: Key, view: str, times: int, begin: float, end: float) -> str | None:
        may_be_out = may_be_in = False
        for state in key.current(begin, end):
            may_be_out |= state.may_be_absent(end) or (view in DECODED and self.was_truncated(state, begin, end))
            if state.may_be_seen(begin):
                applies = view == "meta" or view in self.values.views(state.content)
                may_be_in |= applies
                may_be_out |= not applies or (view in DECODED and self.may_be_left_out(key, state, view))
        if times > 1 and not may_be_out:
            return f"is listed {times} times"
        if times and not may_be_in:
            return "is listed, and was absent throughout"
        if not times and not may_be_out:
            return "is missing, and was there throughout"
        return None

    def may_be_left_out(self, key: Key, state: State, view: str) -> bool:
        """What is known to fail; where keys are hashes, what is sealed opens by a key that may not be known."""
        fails = isinstance(self.values.digest(state.content, key.key, view), frozenset)
        return fails or (state.content.sealed_for is not None and not self.stores_keys)


def rfc3339(seconds: int) -> str:
    """As attributes and meta/ say it."""
    if not seconds:
        return "never"
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
