"""Walks up the stack and through every module for labels of val or test."""

from __future__ import annotations

import sys

from kit import Attack, frames

SEALED = {"sealed", "val_targets", "test_targets", "test_inputs", "clean_targets"}


class FrameWalk(Attack):
    """In one process with the scorer this finds the sealed tensors in the second frame."""

    def ways(self):
        return {"stack": self.stack, "modules": self.modules}

    def stack(self):
        return self.name_in(frames())

    def modules(self):
        return self.name_in([dict(vars(module)) for module in list(sys.modules.values()) if module])

    def name_in(self, namespaces):
        for variables in namespaces:
            for value in (variables, *variables.values()):
                held = value if isinstance(value, dict) else getattr(value, "__dict__", {})
                names = SEALED & {key for key in held if isinstance(key, str)}
                if any(not callable(held[n]) and not isinstance(held[n], property) for n in names):
                    return f"variables {sorted(names)}"
        return None
