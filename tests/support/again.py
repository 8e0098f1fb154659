"""
--failed FILE notes what has failed, and --again FILE runs that once more by itself.

More tests run at once than there are processors, so that one of thousands may have to wait for longer than it can; all that it said is still printed. What
is no question of time counts at once: that a sanitizer has reported something, or how a daemon has ended, which is looked at when its mount is taken down.
"""

from __future__ import annotations

import pathlib
import re

import pytest

REPORTED = re.compile("Sanitizer|runtime error:")

COUNTS = " (counts)"


def add_options(parser) -> None:
    parser.addoption("--failed", type=pathlib.Path, help="a file to which the names of failed tests are added")
    parser.addoption("--again", type=pathlib.Path, help="such a file: runs only the tests that are in it")


class Notes:
    """Of the process that hears of all tests."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            counts = report.when not in ("setup", "call") or REPORTED.search(report.longreprtext) is not None
            with open(self.path, "a") as file:
                print(report.nodeid, end=f"{COUNTS * counts}\n", file=file)


def configure(config) -> None:
    path = config.getoption("--failed")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Notes(path))


def named(config) -> set[str] | None:
    """The tests to run; None: all."""
    path = config.getoption("--again")
    return None if path is None else set(path.read_text().splitlines())
