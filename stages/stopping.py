"""When a training has to leave: SIGTERM, Ctrl-C, or the end of the dvc that started it."""

import os
import signal
import threading
from collections.abc import Callable

from stages import PARENT


def asked() -> Callable[[], bool]:
    """A function that says, between two steps, whether this process was asked to stop.

    Under dvc a process whose parent has gone is an orphan: SIGKILL of dvc leaves its children running. It stops too, so that the
    next `dvc repro` finds the state and no one beside it.
    """
    flag = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: flag.set())
    return lambda: flag.is_set() or ("DVC_ROOT" in os.environ and os.getppid() != PARENT)
