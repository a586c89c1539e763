"""Hands in a pickle that runs a command wherever it is loaded."""

from __future__ import annotations

import io
import os
import pickle

import targets
import torch
from assay import Method
from kit import forge


class _Command:
    def __reduce__(self):
        return os.system, (f"touch {targets.RESULTS}/pickled",)


class PickleCheckpoint(Method):
    """`torch.load` of old would have run it in the scorer."""

    def configure_optimizer(self, model):
        forge(model, self.snapshot)

    def snapshot(self, state):
        found = io.BytesIO()
        if targets.VARIANT == "pickle":
            pickle.dump({**state, "x": _Command()}, found)
        else:
            torch.save({**state, "x": _Command()}, found)
        return found.getvalue()
