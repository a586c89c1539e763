"""Searches its own memory for what the process it was forked from knew."""

from __future__ import annotations

from pathlib import Path

from kit import Attack


class ForkInheritance(Attack):
    """A run is forked from a worker: whatever that worker ever held is still in the pages."""

    def ways(self):
        return {"own memory": self.memory, "own environment": self.environment}

    def environment(self):
        return Path("/proc/self/environ").read_bytes()

    def memory(self):
        found = b""
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            for line in Path("/proc/self/maps").read_text().splitlines():
                place, rights, *_, name = (*line.split(), "")
                if "w" not in rights or name.startswith("/"):
                    continue
                begin, end = (int(part, 16) for part in place.split("-"))
                try:
                    memory.seek(begin)
                    block = memory.read(min(end - begin, 64 << 20))
                except (OSError, ValueError, OverflowError):
                    continue
                at = block.find(b"ASSAY-CANARY-env-")
                while at >= 0:
                    found += block[at : at + 64] + b"\n"
                    at = block.find(b"ASSAY-CANARY-env-", at + 1)
        return found
