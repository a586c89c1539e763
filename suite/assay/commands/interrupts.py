"""How commands end when they are told to: Ctrl-C, SIGTERM and, where a terminal closes, SIGHUP."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
"""Exit code after a signal, as shells have it for Ctrl-C."""
CLEANING_SECONDS = 15.0
"""How long after the first signal further ones are ignored."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first signal, and let the cleaning up be done undisturbed.

    A signal that the caller ignores (nohup) stays ignored. Signals reach the main thread alone:
    elsewhere, do nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted_at: list[float] = []

    def interrupt(*_: object) -> None:
        if interrupted_at and time.monotonic() - interrupted_at[-1] < CLEANING_SECONDS:
            return
        interrupted_at.append(time.monotonic())
        raise KeyboardInterrupt

    previous = {
        number: signal.signal(number, interrupt)
        for number in SIGNALS
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
