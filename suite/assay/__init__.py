"""Assay: does this training method really beat what people already use?

A plugin imports from `assay`, `assay.families.<family>`, `assay.models` and `assay.quantization`,
and from nothing else of this package. Names are loaded when they are first used, so that `import
assay` is quick and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.method import Batch, Calibration, Method, Plan, Step, TrainingSet
    from assay.space import Choice, Hyperparameters, IntUniform, LogUniform, Uniform
    from assay.task import Problem, Scores, Seeds, Snapshot, Task, TaskLoss, Tensors

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("Batch", "Calibration", "Method", "Plan", "Step", "TrainingSet"), "method"),
    **dict.fromkeys(("Choice", "Hyperparameters", "IntUniform", "LogUniform", "Uniform"), "space"),
    **dict.fromkeys(
        ("Problem", "Scores", "Seeds", "Snapshot", "Task", "TaskLoss", "Tensors"), "task"
    ),
}

__all__ = [
    "Batch", "Calibration", "Choice", "Hyperparameters", "IntUniform", "LogUniform", "Method",
    "Plan", "Problem", "Scores", "Seeds", "Snapshot", "Step", "Task", "TaskLoss", "Tensors",
    "TrainingSet", "Uniform",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    return getattr(importlib.import_module(f"assay.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
