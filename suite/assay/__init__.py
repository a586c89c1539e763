"""Assay: does this training method really beat what people already use?

Plugins import their names from here, from `assay.families`, `assay.models` and
`assay.quantization`, and from nowhere else. Scripts and notebooks use `run`, `board`, `compare`,
`judge`, `translate`, `diagnose` and `Results`. A name is loaded when it is first used: `import
assay` imports no library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.api.diagnose import diagnose
    from assay.api.questions import board, compare, judge, translate
    from assay.api.results import Results
    from assay.api.run import run
    from assay.method import Batch, Calibration, Method, Plan, Step, TrainingSet
    from assay.space import Choice, Hyperparameters, IntUniform, LogInt, LogUniform, Uniform
    from assay.task import Problem, Scores, Seeds, Snapshot, Task, TaskLoss, Tensors

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("board", "compare", "judge", "translate"), "api.questions"),
    "diagnose": "api.diagnose",
    "run": "api.run",
    "Results": "api.results",
    **dict.fromkeys(("Batch", "Calibration", "Method", "Plan", "Step", "TrainingSet"), "method"),
    **dict.fromkeys(
        ("Choice", "Hyperparameters", "IntUniform", "LogInt", "LogUniform", "Uniform"), "space"
    ),
    **dict.fromkeys(
        ("Problem", "Scores", "Seeds", "Snapshot", "Task", "TaskLoss", "Tensors"), "task"
    ),
}

__all__ = [
    "Batch", "Calibration", "Choice", "Hyperparameters", "IntUniform", "LogInt", "LogUniform",
    "Method", "Plan", "Problem", "Results", "Scores", "Seeds", "Snapshot", "Step", "Task",
    "TaskLoss", "Tensors", "TrainingSet", "Uniform", "board", "compare", "diagnose", "judge", "run",
    "translate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    return getattr(importlib.import_module(f"assay.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
