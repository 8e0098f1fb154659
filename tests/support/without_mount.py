"""Commands that show a cache without a mount."""

from __future__ import annotations

import os
import subprocess

import pytest

from caches import Cache

# Writers (writers.py) of each kind of document, as large as every store takes.
SOME_WRITERS = ("auto-ndarray", "auto-dict", "orjson-dict", "orjson-large", "arrow-plain")


class Commands:
    """ckfs ls, cat, … over one cache."""

    def __init__(self, program: str, source: str | None, env: dict[str, str]):
        self.program, self.source, self.env = program, source, {**os.environ, **env}

    def line(self, command: str, *words, options: tuple[str, ...] = ()) -> list:
        """The arguments of a command. Words that begin with a dash go before SOURCE."""
        own = [word for word in words if isinstance(word, str) and word.startswith("-") and len(word) > 1]
        rest = [word for word in words if word not in own]
        source = [] if self.source is None else [self.source]
        return [self.program, command, *own, *(part for option in options for part in ("-o", option)), *source, *rest]

    def run(self, command: str, *words, options: tuple[str, ...] = (), **more) -> subprocess.CompletedProcess:
        return subprocess.run(self.line(command, *words, options=options), capture_output=True, env=self.env, timeout=120, check=False, **more)

    def out(self, command: str, *words, options: tuple[str, ...] = (), **more) -> bytes:
        """What a command prints that succeeds, and says nothing else."""
        ended = self.run(command, *words, options=options, **more)
        assert (ended.returncode, ended.stderr.decode(errors="replace")) == (0, ""), ended.stderr
        return ended.stdout

    def names(self, *words, options: tuple[str, ...] = ()) -> list[str]:
        return [os.fsdecode(name) for name in self.out("ls", "-0", *words, options=options).split(b"\0")[:-1]]

    def failure(self, command: str, *words, options: tuple[str, ...] = (), **more) -> str:
        """What a command says that fails with 1."""
        ended = self.run(command, *words, options=options, **more)
        assert ended.returncode == 1, ended
        return ended.stderr.decode(errors="replace")


@pytest.fixture
def commands(ckfs):
    """commands(source, env={}) -> Commands. `source` may be a Cache, a path, a URL or None."""

    def make(source, env: dict[str, str] | None = None) -> Commands:
        if isinstance(source, Cache):
            source, env = source.source, {**source.env, **(env or {})}
        return Commands(ckfs, None if source is None else str(source), env or {})

    return make
