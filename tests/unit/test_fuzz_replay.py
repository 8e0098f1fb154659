"""Every case that fuzzing found, and the seeds, through each fuzz target."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGETS = sorted(path.stem for path in (ROOT / "tests" / "fuzz").glob("fuzz_*.c"))


@pytest.mark.parametrize("target", TARGETS)
def test_corpus(ckfs, target):
    program = pathlib.Path(ckfs).parent / "tests" / "fuzz" / f"{target}_replay"
    assert program.exists(), f"{program} is missing: build with -Dfuzz=enabled"
    run = subprocess.run([program, ROOT / "tests" / "vectors" / target], capture_output=True, text=True, errors="replace")
    assert run.returncode == 0, run.stdout[-500:] + run.stderr
