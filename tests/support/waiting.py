"""How long tests wait: with patience for what has to come, and by a number only for what must not come or is promised by then.

More tests run at once than there are processors, and a sanitizer makes a program several times slower: what takes a moment may take seconds.
"""

from __future__ import annotations

import contextlib
import pathlib
import signal
import subprocess
import time

PATIENCE = 60  # seconds: what has not come by then does not come
SOON = 20  # seconds in which a loaded machine does what takes a moment; what a test must not wait for takes longer (`timeout=60`)


def until(condition, seconds: float = PATIENCE):
    """Wait for what has to come; it returns at once when that holds. The condition's last value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return value


def state(pid: int | str, task: int | str) -> str:
    return pathlib.Path(f"/proc/{pid}/task/{task}/stat").read_text().rsplit(")", 1)[1].split()[0]


def stop_process(process: subprocess.Popen) -> None:
    """By SIGSTOP. Each of its threads stops a moment later, and may answer until then."""
    process.send_signal(signal.SIGSTOP)
    tasks = pathlib.Path(f"/proc/{process.pid}/task")
    assert until(lambda: all(state(process.pid, task.name) == "T" for task in tasks.iterdir()))


@contextlib.contextmanager
def taking(least: float = 0, most: float = SOON):
    """What is done here takes so many seconds."""
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    assert least <= took < most, f"it took {took:.2f} s"


def all_wait(*processes: subprocess.Popen) -> bool:
    """Whether these programs, which read files, all come to wait for an answer of the mount."""

    def asleep(process) -> bool:
        """Or ended."""
        return process.poll() is not None or pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "SD"

    def all_sleep() -> bool:
        return all(map(asleep, processes))

    def for_a_while() -> bool:
        return all_sleep() and (time.sleep(0.3), all_sleep())[1]

    return until(for_a_while) and all(process.poll() is None for process in processes)


def sleep_until(moment: float) -> None:
    """A moment as time.time() tells it."""
    time.sleep(max(0, moment - time.time()))
