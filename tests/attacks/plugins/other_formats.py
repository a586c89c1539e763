"""Hands in weights in other formats: NumPy's, TorchScript, a shell script, nothing."""

from __future__ import annotations

import numpy
import targets
import torch
from assay import Method
from kit import forge


class OtherFormats(Method):
    """A loader that guesses the format is as unsafe as the worst of them."""

    def configure_optimizer(self, model):
        forge(model, self.write)

    def write(self, path, state):
        match targets.VARIANT:
            case "npz":
                with path.open("wb") as file:
                    numpy.savez(file, **{name: value.numpy() for name, value in state.items()})
            case "npy of objects":
                with path.open("wb") as file:
                    numpy.save(file, numpy.array([state], dtype=object), allow_pickle=True)
            case "script":
                path.write_text("#!/bin/sh\nid\n")
            case "torchscript":
                torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
            case "empty":
                path.write_bytes(b"")
