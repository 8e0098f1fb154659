"""What runs beside a test: commands that read a mount, and its daemon."""

from __future__ import annotations

import contextlib
import subprocess
import time


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
