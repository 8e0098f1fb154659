"""The program that users build is a hardened one."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# A sanitizer has its own ways.
pytestmark = pytest.mark.memory


def output(*command) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def hardening_check() -> str:
    path = shutil.which("hardening-check") or str(ROOT / ".venv" / "hardening" / "hardening-check")
    assert os.path.exists(path), "hardening-check is missing: test.sh fetches it"
    return path


def is_x86() -> bool:
    return os.uname().machine == "x86_64"


def c_library_has_cf_protection() -> bool:
    """Of a program in which one part is without, the kernel believes none: the start of each is the C library's."""
    start = output("gcc", "-print-file-name=Scrt1.o").strip()
    return "IBT, SHSTK" in output("readelf", "-n", start)


def test_hardening_check_has_nothing_to_say(ckfs, hardening_check):
    options = [] if c_library_has_cf_protection() else ["--nocfprotection"]
    if is_x86() and "nobranchprotection" in subprocess.run([hardening_check, "--help"], capture_output=True, text=True).stdout:
        options.append("--nobranchprotection")  # that is the other CPU's
    result = subprocess.run([hardening_check, *options, ckfs], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout


def test_the_linker_has_hardened_it(ckfs):
    """Loaded anywhere; what is looked up once is read-only from then on; the stack holds no code."""
    header, segments, dynamic = (output("readelf", "-W", option, ckfs) for option in ("-h", "-l", "-d"))
    stack = re.search(r"GNU_STACK(?: +0x\w+){5} +(\w+)", segments)[1]
    assert ("DYN (" in header, "GNU_RELRO" in segments, "NOW" in dynamic, stack) == (True, True, True, "RW")


def test_the_compiler_has_hardened_it(ckfs):
    """Stacks are guarded, calls of the C library know how large a buffer is, and on x86 jumps arrive where they may."""
    symbols = output("readelf", "-W", "--dyn-syms", ckfs)
    assert ("__stack_chk_fail" in symbols, "__snprintf_chk" in symbols) == (True, True)
    assert not is_x86() or output("objdump", "-d", "--no-show-raw-insn", ckfs).count("endbr64") > 300
