"""§2, §6: a listing that takes long ends with its reader, keeps nobody else waiting, and does not outlast the mount."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import time

import pytest

from entries import frame
from helpers import legacy
from redis_server import scripted  # noqa: F401 - a fixture
from waiting import PATIENCE, SOON, until

MIB = 1 << 20


@contextlib.contextmanager
def readers(*commands):
    """Processes that list; killed and gone at the end."""
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    try:
        yield processes
    finally:
        kill(processes)


def kill(processes) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait(PATIENCE)


def answers_soon(path) -> bool:
    """Whether a stat by another process is answered, while others list."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(["stat", path], capture_output=True, timeout=SOON).returncode == 0
    return False


class Scans:
    """A server whose keys are other people's: SCAN gives none of those asked for, and never ends."""

    def __init__(self, scripted):
        self.asked = 0
        value = {"STRLEN": b":1\r\n", "GET": b"$1\r\nx\r\n", "GETRANGE": b"$1\r\nx\r\n", "PTTL": b":-1\r\n", "PEXPIRETIME": b":-1\r\n"}
        self.server = scripted({"SCAN": self.page, "CLIENT": b"-ERR unknown command\r\n", **value})

    def page(self, words) -> bytes:
        self.asked += 1
        time.sleep(0.002)
        return b"*2\r\n$1\r\n7\r\n*0\r\n"

    def begin(self) -> bool:
        return until(lambda: self.asked > 50)

    def end(self) -> bool:
        """Whether nobody asks any more."""

        def quiet() -> bool:
            before = self.asked
            time.sleep(0.5)
            return self.asked == before

        return until(quiet)


@pytest.fixture
def scans(scripted):
    return Scans(scripted)


class TestAServerWithoutAnEnd:
    @pytest.mark.parametrize("directory", ["raw", "json", ""])
    def test_a_killed_reader_ends_its_listing(self, scans, mount, directory):
        m = mount(scans.server.url, "prefix=mine:")
        with readers(*[["ls", m / directory]] * 30):
            assert scans.begin()
        assert scans.end()

    def test_a_reader_that_gets_a_signal_is_told_at_once(self, scans, mount):
        m = mount(scans.server.url)
        with readers(["ls", m / "raw"]) as (reader,):
            assert scans.begin()
            reader.send_signal(signal.SIGTERM)
            assert reader.wait(PATIENCE) == -signal.SIGTERM

    def test_readers_keep_nobody_else_waiting(self, scans, mount):
        m = mount(scans.server.url)
        with readers(*[["ls", m / "raw"]] * 40):
            assert scans.begin()
            assert answers_soon(m / "key")

    def test_one_who_looks_for_a_cut_name_ends_with_its_process(self, scans, mount):
        """Which key it is, all keys have to be asked for."""
        m = mount(scans.server.url)
        with readers(*[["stat", m / ("k" * 206 + "%~" + "0" * 32)]] * 30):
            assert scans.begin()
        assert scans.end()

    def test_the_mount_ends_under_its_readers(self, scans, mount):
        m = mount(scans.server.url)
        with readers(*[["ls", m / "raw"]] * 30, *[["stat", m / ("k" * 206 + "%~" + "0" * 32)]] * 5):
            assert scans.begin()
            m.process.send_signal(signal.SIGTERM)
            m.process.wait(PATIENCE)
        assert scans.end()

    def test_a_listing_goes_on_after_a_reader_was_interrupted(self, scans, mount):
        """One handle of two processes: the one that is killed takes nothing away from the other."""
        m = mount(scans.server.url)
        fd = os.open(m / "raw", os.O_RDONLY | os.O_DIRECTORY)
        try:
            command = ["python3", "-c", f"import os; os.listdir({fd})"]
            process = subprocess.Popen(command, pass_fds=[fd], stderr=subprocess.DEVNULL)
            assert scans.begin()
            process.kill()
            process.wait(PATIENCE)
            scans.server.answers["SCAN"] = lambda words: b"*2\r\n$1\r\n0\r\n*1\r\n$4\r\nlast\r\n"
            os.lseek(fd, 0, os.SEEK_SET)
            assert os.listdir(fd) == ["last"]
        finally:
            os.close(fd)


@pytest.mark.file_only
class TestLegacyFrames:
    """Which of them a format directory shows, all of them have to be read for."""

    COUNT = 300

    @pytest.fixture
    def long(self, cache):
        """Some 10 GB of them, in one file with many names, and another entry."""
        value = legacy(os.urandom(24 * MIB), {"format": "msgpack"})
        cache.write("legacy:0", value)
        for n in range(1, self.COUNT):
            os.link(cache.path("legacy:0"), cache.path(f"legacy:{n}"))
        cache.set("other", frame({"s": "auto", "m": {"format": "orjson"}, "v": "2.0"}))
        return cache

    def rests(self, m) -> bool:
        """Whether the daemon comes to rest soon."""

        def idle() -> bool:
            before = m.cpu_ticks()
            time.sleep(0.5)
            return m.cpu_ticks() - before <= 2

        return until(idle, 8)

    def test_readers_keep_nobody_else_waiting(self, long, mount):
        m = mount(long, "max_threads=2")
        with readers(*[["ls", m / "json"]] * 4) as processes:
            time.sleep(0.5)
            assert [answers_soon(m / "other") for _ in range(3)] == [True] * 3
            assert [process.poll() for process in processes] == [None] * 4, "they list still"

    def test_a_killed_reader_ends_its_listing(self, long, mount):
        m = mount(long)
        with readers(*[["ls", m / "json"]] * 4):
            time.sleep(0.5)
        assert self.rests(m)

    def test_the_mount_ends_under_its_readers(self, long, mount):
        m = mount(long)
        with readers(*[["ls", m / "json"]] * 4):
            time.sleep(0.5)
            m.process.send_signal(signal.SIGTERM)
            m.process.wait(PATIENCE)

    @pytest.mark.memory
    def test_a_listing_makes_none_of_their_payloads(self, cache, mount):
        cache.write("legacy", legacy(os.urandom(64 * MIB), {"format": "msgpack"}))
        cache.write("foreign", b'{"data": "' + base64.b64encode(os.urandom(48 * MIB)) + b'"}')
        m = mount(cache)
        os.stat(m)
        with open(f"/proc/{m.pid}/clear_refs", "w") as clear:
            clear.write("5")
        status = open(f"/proc/{m.pid}/status")
        before = peak_kb(status)
        assert [os.listdir(m / d) for d in ("json", "arrow")] == [[cache.listed("legacy") + ".json"], []]
        assert peak_kb(status) - before < 16 << 10


def peak_kb(status) -> int:
    status.seek(0)
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
