"""Mounts, interleaved measurements, and the table they end in."""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

READ_AHEAD_KB = 512  # for the do-nothing filesystem: the kernel's 128 slow it down
GIVEN_BACK_SECONDS = 6  # Linux reports free pages to its host every 2 s, some at a time
SCALES = {"ms": 1e3, "µs": 1e6}  # times are kept in seconds; other units as they are
HEAD = "| figure | ckfs | baseline | ratio | goal |\n|---|---|---|---|---|"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the table: what ckfs took, what the baseline took, run by run."""

    name: str
    ckfs: Sequence[float]
    baseline: Sequence[float] = ()
    unit: str = "ms"
    goal: float | None = None
    goal_is_ratio: bool = True

    def ratio(self) -> float | None:
        """The median of the runs' own ratios, so that drift during the bench cancels out."""
        if not self.baseline:
            return None
        return statistics.median(a / b for a, b in zip(self.ckfs, self.baseline, strict=True))

    def row(self) -> str:
        goal = "–" if self.goal is None else f"≤ {self.goal:g}" if self.goal_is_ratio else f"< {SCALES.get(self.unit, 1) * self.goal:g} {self.unit}"
        ratio = self.ratio()
        cells = [
            self.name,
            self._cell(self.ckfs),
            self._cell(self.baseline) if self.baseline else "–",
            "–" if ratio is None else f"{ratio:.2f}",
            goal + self._verdict(ratio),
        ]
        return "| " + " | ".join(cells) + " |"

    def _verdict(self, ratio: float | None) -> str:
        if self.goal is None:
            return ""
        reached = ratio if self.goal_is_ratio else statistics.median(self.ckfs)
        return "" if reached is not None and reached <= self.goal else " **missed**"

    def _cell(self, values: Sequence[float]) -> str:
        scale = SCALES.get(self.unit, 1)
        low, middle, high = (_digits(scale * v) for v in (min(values), statistics.median(values), max(values)))
        return f"{middle} {self.unit} ({low}–{high})"


def _digits(value: float) -> str:
    """Three significant digits, and never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def sum_table(table) -> None:
    """All columns of an Arrow table."""
    import pyarrow.compute

    for column in table.columns:
        pyarrow.compute.sum(column)


def sum_columns(path: pathlib.Path) -> float:
    """Seconds to map an Arrow file and sum all its columns."""
    import pyarrow

    def total() -> None:
        with pyarrow.memory_map(str(path)) as source:
            sum_table(pyarrow.ipc.open_file(source).read_all())

    return seconds(total)


def interleaved(runs: int, *sides: Callable[[], float]) -> list[list[float]]:
    """Measure the sides in turn, `runs` times, the first one first in every second run only."""
    results: list[list[float]] = [[] for _ in sides]
    for run in range(runs):
        order = range(len(sides)) if run % 2 == 0 else reversed(range(len(sides)))
        for side in order:
            results[side].append(sides[side]())
    return results


def run_quietly(*command: str) -> float:
    """Seconds a command takes with its output thrown away."""
    env = {**os.environ, "LC_ALL": "C"}
    return seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=env))


def names_length(path: str) -> int:
    """Bytes of the names of a file's attributes: `ls` of Debian 13 asks again where they are too many for its buffer."""
    return sum(len(name) + 1 for name in os.listxattr(path))


class Mount:
    """A filesystem daemon in the foreground, and its private memory."""

    def __init__(self, command: list[str], path: pathlib.Path, environment: dict[str, str] | None = None):
        self.path = path
        self.process = subprocess.Popen([*command, str(path)], env=environment)
        deadline = time.monotonic() + 30
        while not os.path.ismount(path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                raise RuntimeError(f"{' '.join(command)} {path}: did not mount")
            time.sleep(0.005)

    def rss_anon(self) -> int:
        """Private memory of the daemon in bytes."""
        return status_bytes(self.process.pid, "RssAnon")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if os.path.ismount(self.path):
            subprocess.run(["umount", "-l", str(self.path)], check=False)


@contextlib.contextmanager
def mounted(command: list[str], where: pathlib.Path, environment: dict[str, str] | None = None) -> Iterator[Mount]:
    """A mount at a new directory under `where`, gone at the end."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="mnt-", dir=where))
    try:
        mount = Mount(command, path, environment)
        try:
            yield mount
        finally:
            mount.end()
    finally:
        path.rmdir()


def status_bytes(pid: int | str, field: str) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


class Peak:
    """The highest value that a probe shows while the block runs, sampled every 2 ms."""

    def __init__(self, probe: Callable[[], int]):
        self.probe = probe
        self.value = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._done.wait(0.002):
            self.value = max(self.value, self.probe())

    def __enter__(self) -> Peak:
        self.value = self.probe()
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        self._thread.join()
        self.value = max(self.value, self.probe())


@contextlib.contextmanager
def one_cpu() -> Iterator[None]:
    """Whatever is started in the block, and this process, shares one CPU.

    A request to a FUSE daemon is a wake-up there and back. Between the CPUs of a virtual
    machine that costs anything from 10 to 100 µs, by the mood of the scheduler, and hides
    what the programs themselves cost.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def touch_memory(size: int) -> None:
    """Use and free as much memory as the next measurement will need.

    A virtual machine gives memory that has been free for a while back to its host, and
    the first touch of such a page costs several times what reading into it does: cold
    reads then differ by a factor of 2 from run to run. Huge pages come from other free
    memory than small ones, so both are used.
    """
    for advice in (mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE):
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
            with contextlib.suppress(OSError):
                area.madvise(advice)
            for offset in range(0, size, mmap.PAGESIZE):
                area[offset] = 1


def give_back_memory(size: int) -> None:
    """The opposite: use and free it, and wait until a host that takes such pages back has done so. Users have that, too."""
    touch_memory(size)
    time.sleep(GIVEN_BACK_SECONDS)


def set_read_ahead(mountpoint: pathlib.Path, kilobytes: int) -> None:
    """Set the kernel's read-ahead of a mount, where we may."""
    device = os.stat(mountpoint).st_dev
    setting = pathlib.Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    with contextlib.suppress(PermissionError):
        setting.write_text(str(kilobytes))


def machine(where: pathlib.Path) -> str:
    """What the figures were taken on, without naming the machine."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    system = re.search(r'^PRETTY_NAME="(.+)"$', pathlib.Path("/etc/os-release").read_text(), re.MULTILINE)
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", str(where)], capture_output=True, text=True, check=True)
    fuse = subprocess.run(["fusermount3", "-V"], capture_output=True, text=True, check=True).stdout.split()[-1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cpu[1] if cpu else os.uname().machine}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {os.uname().release}, {system[1] if system else 'unknown system'}, libfuse {fuse}, "
        f"backing directory on {filesystem.stdout.strip()}, user {'root' if os.geteuid() == 0 else 'not root'}"
    )
