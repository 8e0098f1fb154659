"""What readers do while a server does not answer, or is restarted."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time

from helpers import failure, read
from waiting import PATIENCE, all_wait, taking, until


def ends_on_a_signal(*command, sent: signal.Signals = signal.SIGINT) -> None:
    """Ctrl-C ends a command that waits for a stopped server, which it would do for longer than this takes."""
    waiting = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert all_wait(waiting), "it has to wait"
    with taking():
        waiting.send_signal(sent)
        assert waiting.wait(PATIENCE) == -sent


def interrupt_a_reader(path) -> None:
    """Ctrl-C ends a cat that waits for a stopped server at once."""
    ends_on_a_signal("cat", path)


def restart_under_load(server, path, key: str, value: bytes) -> None:
    """Readers of a server that is killed and comes back three times meet errors or whole values."""
    stop, wrong, right = threading.Event(), [], []

    def reader():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                (right if read(path) == value else wrong).append(1)

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.5)
        server.kill()
        server.start()
        server.client().set(key, value)
    time.sleep(1.2)
    stop.set()
    for thread in threads:
        thread.join()
    assert right and not wrong
    assert until(lambda: failure(path) is None) and read(path) == value
