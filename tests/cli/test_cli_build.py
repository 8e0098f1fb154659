"""§9: a build with -Dfuse=disabled has the commands, and no libfuse."""

import pathlib
import re
import subprocess

import pytest

from without_mount import Commands

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.file_only


@pytest.fixture(scope="module")
def without_fuse(ckfs) -> str:
    """A build of its own, which test.sh makes for the build that users get."""
    if pathlib.Path(ckfs) != ROOT / "build" / "ckfs":
        pytest.skip("only beside the build that users get")
    return str(ROOT / "build-without-fuse" / "ckfs")


def symbols(program: str) -> str:
    return subprocess.run(["nm", "-D", program], capture_output=True, text=True, check=True).stdout


def test_a_build_without_fuse_has_no_libfuse(ckfs, without_fuse):
    assert re.search(r"\bfuse_session_new\b", symbols(ckfs))
    assert not re.search(r"\bfuse_", symbols(without_fuse))
    assert "libfuse" not in subprocess.run(["ldd", without_fuse], capture_output=True, text=True, check=True).stdout


def test_a_build_without_fuse_shows_a_cache(without_fuse, cache):
    cache.put("k", {"a": 1}, "orjson")
    c = Commands(without_fuse, cache.source, {})
    assert (c.names(), c.out("cat", "json/k")) == ([cache.hash("k")], b'{"a":1}')


def test_a_build_without_fuse_does_not_mount_and_says_so(without_fuse, cache, tmp):
    ended = subprocess.run([without_fuse, cache.source, str(tmp)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "ckfs: this build has no libfuse and cannot mount: use ckfs ls, cat, stat (ckfs --help)\n")
    version = subprocess.run([without_fuse, "-V"], capture_output=True, text=True, check=True).stdout
    assert "(no libfuse)" in version
