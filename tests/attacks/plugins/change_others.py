"""Changes the limits, the priority and the processors of processes beside its own."""

from __future__ import annotations

import os
import resource

import targets
from kit import Attack


class ChangeOthers(Attack):
    """A worker that may open no file fails every honest run after this one."""

    def ways(self):
        ways = {}
        for pid in (1, os.getppid(), targets.BYSTANDER):
            ways |= {
                f"limits of {pid}": lambda pid=pid: self.limit(pid),
                f"priority of {pid}": lambda pid=pid: self.priority(os.PRIO_PROCESS, pid),
                f"processors of {pid}": lambda pid=pid: self.processors(pid),
                f"scheduling of {pid}": lambda pid=pid: self.scheduling(pid),
            }
        if targets.SANDBOXED:  # elsewhere it would slow everything down
            ways["priority of all"] = lambda: self.priority(os.PRIO_USER, 0)
        return ways

    def limit(self, pid):
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)  # harmless, and needs the right
        return "its limits"

    def priority(self, which, who):
        os.setpriority(which, who, os.getpriority(which, who))
        return "its priority"

    def processors(self, pid):
        os.sched_setaffinity(pid, os.sched_getaffinity(pid))
        return "its processors"

    def scheduling(self, pid):
        os.sched_setscheduler(pid, os.sched_getscheduler(pid), os.sched_param(0))
        return "its scheduling"
