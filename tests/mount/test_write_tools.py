"""§8 of the contract: the tools with which one restores a copy of frame/, on each backend."""

from __future__ import annotations

import os
import subprocess

import pytest

from documents import store
from helpers import read
from writing import frame, m, write  # noqa: F401 - a fixture

pytestmark = [pytest.mark.shared_mount, pytest.mark.on_http]


class TestTools:
    def fill(self, cache) -> dict[str, bytes]:
        return {store(cache, f"{cache.key}-{i}", {"i": i, "more": "x" * (i * 40_000)}): None for i in range(4)}

    RESTORE = {
        "cp": "cp \"$0\"/* \"$1\"/",
        "cp -a": "cp -a \"$0\"/* \"$1\"/",
        "cp -r": "cp -r \"$0\"/. \"$1\"/",
        "tar x": "tar -C \"$0\" -c . | tar -C \"$1\" -x",
        "rsync --inplace": "rsync -r --inplace \"$0\"/ \"$1\"/",
        "rsync -a --inplace": "rsync -a --inplace \"$0\"/ \"$1\"/",
        "rsync": "rsync -r \"$0\"/ \"$1\"/",
        "rsync -a": "rsync -a \"$0\"/ \"$1\"/",
        "mv": "mv \"$0\"/* \"$1\"/",
        "dd": "for f in \"$0\"/*; do dd if=\"$f\" of=\"$1/${f##*/}\" bs=7k status=none; done",
        "python": None,
    }  # fmt: skip

    @pytest.mark.own_mount
    @pytest.mark.parametrize("there", [False, True], ids=["removed", "there"])
    @pytest.mark.parametrize("tool", RESTORE)
    def test_a_copy_of_frame_is_restored(self, cache, mount, tool, there):
        m = mount(cache, "write", "listed_ttl=0")
        keys = list(self.fill(cache))
        before = {key: cache.value(key) for key in keys}
        backup = cache.home / f"backup{cache.number}"
        for key in keys:
            read(m / f"frame/{key}")
        subprocess.run(["cp", "-a", m / "frame", backup], check=True)
        for key in keys:
            if there:
                cache.set(key, frame("another"), 900)
            else:
                os.unlink(m / key)
        if script := self.RESTORE[tool]:
            done = subprocess.run(["sh", "-ec", script, backup, m / "frame"], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
        else:
            for key in keys:
                with open(m / f"frame/{key}", "wb") as file:
                    file.write((backup / key).read_bytes())
        assert {key: cache.value(key) for key in keys} == before
        assert set(cache.names()) == {cache.listed(key) for key in keys}
        assert m.log_lines("not stored") == []

    def test_copied_from_one_cache_to_another(self, cache, m, mount, tmp):
        """From production to a laptop."""
        from caches import FileCache

        laptop = FileCache(tmp / "laptop")
        there = mount(str(laptop.dir), "write")
        key = store(cache, cache.key, {"a": [1] * 900})
        subprocess.run(["cp", m / f"frame/{key}", there / f"frame/{key}"], check=True)
        assert laptop.value(key) == cache.value(key)
