"""Goes on after the deadline, deaf to every signal that can be ignored."""

from __future__ import annotations

import signal

from assay import Method


class PastDeadline(Method):
    """Trains honestly, and never comes to an end."""

    def finalize_model(self, model, calibration):
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass
