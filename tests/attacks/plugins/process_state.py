"""Leaves bits for the next run in the process that forks them: its limits, priority, processors."""

from __future__ import annotations

import os
import resource

from kit import Attack

LIMIT = 123_457
"""A soft limit on open files that nobody else would choose."""


class ProcessState(Attack):
    """A limit of the parent is inherited by every later run."""

    def ways(self):
        return {
            "limits of the parent": lambda: self.limits(os.getppid()),
            "limits of the first process": lambda: self.limits(1),
            "own limits": self.inherited,
            "process ids": self.counter,
        }

    def limits(self, pid):
        _, hard = resource.prlimit(pid, resource.RLIMIT_CPU)
        resource.prlimit(pid, resource.RLIMIT_CPU, (LIMIT, hard))
        return "a limit that later runs inherit"

    def inherited(self):
        if resource.getrlimit(resource.RLIMIT_CPU)[0] == LIMIT:
            return "a limit of the run before"

    def counter(self):
        for _ in range(30):
            pid = os.posix_spawn("/bin/true", ["/bin/true"], {})
            os.waitpid(pid, 0)
        if os.getpid() > 30:
            return f"a process id that counts the processes of earlier runs ({os.getpid()})"
