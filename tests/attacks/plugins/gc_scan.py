"""Asks the garbage collector for every tensor that could be labels of val or test."""

from __future__ import annotations

import gc

import torch
from kit import Attack

SIZES = {300, 697}
"""Examples in val and in test, from the task's card, which anyone can read."""


class GcScan(Attack):
    """In one process with the scorer this finds the labels by their length."""

    def ways(self):
        return {"tensors": self.tensors, "problems": self.problems}

    def objects(self):
        gc.unfreeze()
        return gc.get_objects()

    def tensors(self):
        for thing in self.objects():
            parts = thing.values() if type(thing) is dict else [thing]
            for part in parts:
                if type(part) is torch.Tensor and part.dim() and len(part) in SIZES:
                    return f"a tensor of shape {tuple(part.shape)}"
        return None

    def problems(self):
        named = [type(thing).__name__ for thing in self.objects()]
        return "a Problem" if {"Problem", "_Kept"} & set(named) else None
