"""What runs beside a test: commands that read a mount, its daemon, and waiting for either."""

from __future__ import annotations

import contextlib
import subprocess
import time


def until(condition, seconds: float = 5):
    """Wait for what takes a moment. Returns the condition's last value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return value


def is_idle(m) -> bool:
    before = m.cpu_ticks()
    time.sleep(0.2)
    return m.cpu_ticks() - before <= 1


@contextlib.contextmanager
def processes(*commands):
    """Run commands; those that still live are killed at the end."""
    with contextlib.ExitStack() as stack:
        running = []
        for command in commands:
            process = subprocess.Popen([str(arg) for arg in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            stack.callback(lambda p=process: (p.kill(), p.wait(), p.stderr.close()))
            running.append(process)
        yield running
