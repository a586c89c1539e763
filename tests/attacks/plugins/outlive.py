"""Leaves a process behind that goes on when the run has ended."""

from __future__ import annotations

import os
import signal
import sys

import targets
from assay import Method
from kit import Denied


class Outlive(Method):
    """It would see the next run's files, and cost every later run time."""

    def configure_optimizer(self, model):
        if os.fork() == 0:
            os.setsid()
            for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            if os.fork() == 0:
                code = "import time; time.sleep(60)"
                os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code, targets.SERIAL])
            os._exit(0)
        raise Denied("DENIED nothing was asked for; whether the process lives shows outside")
