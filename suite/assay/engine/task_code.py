"""What the scorer asks of a task's own code, and whose fault it is where that fails.

A task at fault stops with one line and charges no method with it. Whether it is at fault is found
out without the method: a task that cannot train one untrained batch, or cannot score the weights
that it starts from, is broken, whatever a method made of them.
"""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from assay.errors import AssayError, BadWeights, PluginError
from assay.plugins.loading import describe
from assay.records.schema import MAX_NUMBER, MAX_STARTS
from assay.task import Problem, Scores, Snapshot, Task, untrained_runs

TRIED_EXAMPLES = 8
MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Numbers of OSErrors that say nothing of the code that met them."""


class _NoScores(Exception):
    """What a task returned are no scores."""


@contextmanager
def task_code(task: Task, step: str) -> Iterator[None]:
    """Make what a task's own code raises the task's fault, told in one line.

    Args:
        task: whose code it is.
        step: what it does, as "prepare".

    Raises:
        PluginError: it raised something.
    """
    try:
        yield
    except AssayError:
        raise
    except Exception as error:
        if is_of_the_machine(error):
            raise
        traceback.print_exc()
        raise PluginError(
            f"task {task.card.slug}: its {step} raised {_said(task, error)}; "
            "the task is at fault, no method is charged with it"
        ) from error


def is_of_the_machine(error: Exception) -> bool:
    """Whether it lacked memory, disk or descriptors, which says nothing of the code."""
    if isinstance(error, OSError):
        return error.errno in MACHINE_ERRORS
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _said(task: Task, error: Exception) -> str:
    if isinstance(error, AssayError | _NoScores):
        return str(error)
    return describe(error, Path(str(sys.modules[type(task).__module__].__file__)))


def try_out(task: Task, problem: Problem) -> None:
    """Train one small batch without a method: what raises here would fail every method.

    Raises:
        PluginError: the task cannot do that; says at which step.
    """
    import torch

    slug, size = task.card.slug, task.card.budget.batch_size
    with task_code(task, "prepare"):
        n = len(problem.train["targets"])
        inputs, targets = (problem.train[key][:TRIED_EXAMPLES] for key in ("inputs", "targets"))
    if n < size:
        raise PluginError(
            f"task {slug} has {n} training examples, expected at least one batch of {size}"
        )
    if not 1 <= len(problem.starts) <= MAX_STARTS:
        raise PluginError(
            f"task {slug} has {len(problem.starts)} starts, expected 1 to {MAX_STARTS}"
        )
    with torch.random.fork_rng(devices=[]):
        with task_code(task, "decode"):
            decoded = task.decode(inputs)
        with task_code(task, "augment"):
            batch = task.augment(decoded, torch.Generator().manual_seed(0))
        with task_code(task, "model_for"):
            model = task.model_for(problem, 0)
            model.load_state_dict(dict(problem.starts[0]))
        with task_code(task, "transform_model"):
            model = task.transform_model(model.train())
        with task_code(task, "model"):
            outputs = model(batch)
        with task_code(task, "loss"):
            task.loss(outputs, targets).backward()  # type: ignore[no-untyped-call]
        with task_code(task, "project"):
            task.project(model)
        # Torch's optimizers take a second to import; those of our families are known to work.
        if not type(task).reference_optimizer.__module__.startswith("assay."):
            with task_code(task, "reference_optimizer"):
                task.reference_optimizer(model.parameters(), task.Reference()).step()
        with task_code(task, "export"):
            task.export(model)


def scores_of(task: Task, problem: Problem, runs: Sequence[Sequence[Snapshot]]) -> Scores:
    """The scores of a run's snapshots (one sequence per start).

    Raises:
        BadWeights: these cannot be scored.
        PluginError: the task could score no others either, or a further metric has no value for
            weights that the task itself can score.
    """
    try:
        scores = _checked(task.score(problem, runs), sum(map(len, runs)))
    except BadWeights:
        raise
    except Exception as error:
        if is_of_the_machine(error):
            raise
        traceback.print_exc()
        _blame(task, problem, _said(task, error))
    for name, value in scores.secondary.items():
        if not _is_sound(value):
            raise PluginError(
                f"task {task.card.slug}: its metric {name!r} is {value!r:.40}, expected a finite "
                "number for all weights: give it one, or leave the metric out of the dictionary"
            )
    return scores


def _checked(scores: Scores, n: int) -> Scores:
    """`scores` of `n` snapshots, whose main numbers are finite."""
    if not isinstance(scores, Scores):
        raise _NoScores(f"`score` returned {type(scores).__name__}, expected Scores")
    if len(scores.curve) != n:
        raise _NoScores(f"`score` gave {len(scores.curve)} points of {n} snapshots")
    for name in ("val", "test", "test_last", "test_oracle"):
        if not _is_sound(getattr(scores, name)):
            raise _NoScores(f"{name} is {getattr(scores, name)!r:.40}, expected a finite number")
    for point in scores.curve:
        for split in ("val", "test"):
            if not _is_sound(point.get(split)):
                raise _NoScores(
                    f"{split} of a point of the curve is {point.get(split)!r:.40}, expected a "
                    "finite number"
                )
    return scores


def _is_sound(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= MAX_NUMBER  # which NaN is not


def _blame(task: Task, problem: Problem, said: str) -> NoReturn:
    """Raise the error for weights whose scoring ended in `said`.

    Raises:
        PluginError: untrained weights end alike.
        BadWeights: they do not.
    """
    try:
        runs = untrained_runs(task, problem)
        _checked(task.score(problem, runs), len(runs))
    except Exception as error:
        traceback.print_exc()
        raise PluginError(
            f"task {task.card.slug} cannot score the weights that it starts from: "
            f"{_said(task, error)}; mend its `score`"
        ) from error
    raise BadWeights(f"its weights cannot be scored: {said}")
