"""doc/TROUBLESHOOTING.md has each message of the program, and no others."""

from __future__ import annotations

import pathlib
import re

import pytest

from messages import arguments, literal, messages, shown

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "doc" / "TROUBLESHOOTING.md").read_text()


def told() -> list[str]:
    return [line for block in re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S) for line in block.splitlines()]


def test_each_message_of_the_program_is_there_and_no_other():
    assert set(told()) == messages(ROOT)


def test_each_message_is_there_once():
    assert len(told()) == len(set(told()))


def test_its_contents_are_its_headings():
    headings = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^## (.*)$", PAGE, re.M)]
    linked = re.findall(r"\]\(#([^)]*)\)", PAGE)
    assert linked[: len(headings)][0] == headings[0] and set(linked) <= set(headings)
    assert re.findall(r"^\* \[.*\]\(#(.*)\)$", PAGE, re.M) == headings


@pytest.mark.parametrize(
    "call, message",
    [
        ('error, -EINVAL, "%.300s: not a %s", path, what)', "…: not a …"),
        ('error, -EINVAL, "100 %% of " NAME, "other")', "100 % of all"),
        ('error, r, "%s%s", a, b)', "…"),
        ('LOG_WARNING, "%llu MiB, %d\\", (x)", n, f("a, b"))', '… MiB, …", (x)'),
        ("error, r, format)", None),
    ],
)
def test_a_message_is_read_from_its_call(call, message):
    texts = [literal(argument, {"NAME": '"all"'}) for argument in arguments(call, 0)]
    format = next((text for text in texts if text is not None), None)
    assert (format and shown(format)) == message
