"""The messages of the program, as its sources have them: each format of an error before the mount serves, or of a line of the log."""

from __future__ import annotations

import pathlib
import re

CALL = re.compile(r"\b(?:error_set|log_line|fputs|fprintf)\(")
DEFINE = re.compile(r'^#define ([A-Z_]+)\s+("(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*)$', re.M)
STRING = r'"(?:[^"\\]|\\.)*"'
CONVERSION = re.compile(r"%(?:[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z)?[a-zA-Z])")
ELLIPSIS = "…"


def arguments(text: str, start: int) -> list[str]:
    """The arguments of the call whose bracket opens just before `start`."""
    found, depth, at = [""], 0, start
    for token in re.finditer(rf"{STRING}|'(?:[^'\\]|\\.)'|.", text[start:], re.S):
        word = token[0]
        if word in "([{":
            depth += 1
        elif word in ")]}":
            depth -= 1
        if depth < 0:
            return [" ".join(argument.split()) for argument in found]
        if word == "," and depth == 0:
            found.append("")
        else:
            found[-1] += word
    raise AssertionError(text[start : start + 80])


def literal(expression: str, defines: dict[str, str]) -> str | None:
    """The text of an expression that is a string, or several in a row; None: it is none."""
    expanded = re.sub(rf"{STRING}|\b[A-Z_]+\b", lambda m: defines.get(m[0], m[0]), expression)
    if not re.fullmatch(rf"(?:{STRING}|PRI\w+|\s)+", expanded):
        return None
    return "".join(part[1:-1] for part in re.findall(STRING, expanded)).encode().decode("unicode_escape").encode("latin-1").decode()


def shown(format: str) -> str:
    """A format as a person sees it: what is filled in is an ellipsis."""
    text = CONVERSION.sub(ELLIPSIS, format.replace("%%", "\0")).replace("\0", "%")
    return re.sub(f"{ELLIPSIS}+", ELLIPSIS, text).strip().removeprefix("ckfs: ")


def is_telling(message: str) -> bool:
    """Whether it has words of its own, and is not all filled in."""
    return re.search(r"[a-z]{2}", message) is not None


def messages(root: pathlib.Path) -> set[str]:
    found = set()
    texts = {path: path.read_text().replace("\\\n", "") for room in ("fs", "backend", "include") for path in sorted((root / room).rglob("*.[ch]"))}
    shared = {name: text for path, source in texts.items() if path.suffix == ".h" for name, text in DEFINE.findall(source)}
    for text in texts.values():
        defines = shared | dict(DEFINE.findall(text))
        for call in CALL.finditer(text):
            given = arguments(text, call.end())
            # What only -d prints is a trace.
            if given[0] == "LOG_DEBUG" or call[0] == "fprintf(" and given[0] != "stderr":
                continue
            format = next((text for text in (literal(argument, defines) for argument in given) if text is not None), None)
            # What is written over, on a terminal, tells of progress.
            if format and not format.startswith("\r") and is_telling(shown(format)):
                found.add(shown(format))
    return found
