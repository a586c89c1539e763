"""What the kernel says of processes that it ended because the machine had no memory left."""

from __future__ import annotations

import contextlib
from pathlib import Path

COUNTERS = (
    Path("/proc/vmstat"),
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)
"""Files with a line `oom_kill N`: of the whole machine, and of a container where it shows its own
(cgroup v2 and v1). No run sees the last two, and none can be ended for its own limits this way:
those are not cgroups."""


def oom_kills() -> int:
    """How many processes the kernel has ended for want of memory so far; grows, from any start."""
    found = 0
    for path in COUNTERS:
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    found += int(count)
    return found
