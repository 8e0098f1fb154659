"""doc/python.md: its blocks run, as they stand."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "doc" / "python.md").read_text(), re.M | re.S)
FILES = {block.splitlines()[0].removeprefix("# "): block for block in BLOCKS if block.startswith("# ")}


@pytest.fixture
def there(ckfs, tmp):
    """A directory with a cache, and what runs in it."""
    (tmp / "bin").mkdir()
    (tmp / "bin" / "ckfs").symlink_to(ckfs)
    env = {**os.environ, "PATH": f"{tmp}/bin:{os.environ['PATH']}", "HOME": str(tmp)}
    env.pop("PYTEST_ADDOPTS", None)

    def run(*command) -> str:
        done = subprocess.run(command, cwd=tmp, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield run
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        if (mnt := line.split()[1]).startswith(f"{tmp}/"):
            subprocess.run(["fusermount3", "-u", "-z", mnt], check=True)


def test_the_blocks_run_one_after_the_other(there):
    there(sys.executable, ROOT / "tests" / "tour" / "fill.py", "cache")
    said = there(sys.executable, "-c", "\n".join(block for block in BLOCKS if block not in FILES.values()))
    assert said.splitlines() == [
        "['arrow', 'frame', 'json', 'meta', 'msgpack', 'npy', 'raw']",
        "1000 [('price', 'double'), ('amount', 'int64'), ('day', 'date32[day]')]",
        str(sum(range(1000))),
        "(3, 4)",
        "1000",
        "Ada",
    ]


def test_the_fixture_works(there, tmp):
    assert set(FILES) == {"conftest.py", "test_report.py"}
    (tmp / "tests").mkdir()
    for name, block in FILES.items():
        (tmp / "tests" / name).write_text(block)
    assert "1 passed" in there(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "tests", "--basetemp", "base", "tests")
