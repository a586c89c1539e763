"""Hands in weights in other formats: NumPy's, TorchScript, a shell script, nothing."""

from __future__ import annotations

import io

import numpy
import targets
import torch
from assay import Method
from kit import forge


class OtherFormats(Method):
    """A loader that guesses the format is as unsafe as the worst of them."""

    def configure_optimizer(self, model):
        forge(model, self.snapshot)

    def snapshot(self, state):
        file = io.BytesIO()
        match targets.VARIANT:
            case "npz":
                numpy.savez(file, **{name: value.numpy() for name, value in state.items()})
            case "npy of objects":
                numpy.save(file, numpy.array([state], dtype=object), allow_pickle=True)
            case "script":
                file.write(b"#!/bin/sh\nid\n")
            case "torchscript":
                torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
            case "empty":
                pass
        return file.getvalue()
