"""What `assay run` prints at the end: how the runs ended, the scores, and the next command."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import typer

from assay.commands.options import DEFAULT_RESULTS
from assay.engine.pipeline import CellProgress, Progress
from assay.engine.planning import RunRequest

INTERRUPTED, INCOMPLETE = 130, 4
"""Exit codes: ended by Ctrl-C or SIGTERM; some runs left no record, or a method failed in every
run of a task."""
MAX_SCORES = 40
"""Most lines of scores; the board shows all."""
MAX_TASKS = 4
"""Most tasks to name in the next command; without names it shows all."""


@dataclass(frozen=True)
class Score:
    """Mean test score of a method on a task, over the repetitions of its selected point."""

    task: str
    method: str
    metric: str
    direction: str
    test: float | None
    """None if no repetition completed."""
    n: int
    """Repetitions that completed."""
    repetitions: int
    """Repetitions that ended."""
    preliminary: bool
    """Whether they were made with --quick."""


def scores(progress: Progress) -> list[Score]:
    """Scores of the cells whose tuning is done, in the order of the cells."""
    return [_score(cell) for cell in progress.cells if cell.selected]


def _score(progress: CellProgress) -> Score:
    metric = progress.cell.task.card.metric
    tests = [progress.tests[run] for run in progress.selected if run in progress.tests]
    return Score(
        task=progress.task,
        method=progress.method,
        metric=metric.name,
        direction=metric.direction,
        test=statistics.fmean(tests) if tests else None,
        n=len(tests),
        repetitions=sum(run in progress.statuses for run in progress.selected),
        preliminary=progress.cell.preset == "quick",
    )


def next_commands(request: RunRequest, found: Sequence[Score]) -> list[str]:
    """The commands that show these scores: the board, and a comparison where there are two."""
    tasks = list(dict.fromkeys(score.task for score in found))
    methods = list(dict.fromkeys(score.method for score in found))
    rest = tasks if len(tasks) <= MAX_TASKS else []
    if request.results != DEFAULT_RESULTS:
        rest = [*rest, "--results", str(request.results)]
    commands = [["board", *rest]] if found else []
    if len(methods) > 1:
        commands.append(["compare", *methods[:2], *rest])
    return [shlex.join(["assay", *words]) for words in commands]


def summarise(
    request: RunRequest, progress: Progress, mirror_problem: str | None, *, with_next: bool
) -> int:
    """Print how a request ended; return the exit code.

    Args:
        request: what was run.
        progress: what came of it.
        mirror_problem: why the MLflow mirror is behind the records; None if it is not.
        with_next: whether to end with the command to give next.
    """
    if mirror_problem:
        typer.echo(mirror_warning(mirror_problem), err=True)
    for problem in dict.fromkeys(progress.problems):
        typer.echo(f"assay: {problem}", err=True)
    found = scores(progress)
    following = next_commands(request, found)
    if request.as_json:
        _print_json(request, progress, found, following)
    else:
        _print_runs(request, progress)
        _print_scores(found)
        if with_next and following and not progress.interrupted:
            typer.echo("next: " + ", or: ".join(following))
    if progress.interrupted:
        typer.echo("interrupted: give the same command again to continue", err=True)
        return INTERRUPTED
    return INCOMPLETE if progress.problems else 0


def _print_json(
    request: RunRequest, progress: Progress, found: list[Score], following: list[str]
) -> None:
    answer = {
        "done": progress.done,
        "reused": progress.reused,
        "by_status": progress.by_status,
        "problems": progress.problems,
        "failures": progress.failures,
        "interrupted": progress.interrupted,
        "scores": [asdict(score) for score in found],
        "next": following,
        "results": str(request.results),
    }
    typer.echo(json.dumps(answer, indent=1))


def _print_runs(request: RunRequest, progress: Progress) -> None:
    bad = {k: n for k, n in sorted(progress.by_status.items()) if k != "completed"}
    shown = "".join(f", {n} {status.replace('_', ' ')}" for status, n in bad.items())
    again = f" ({progress.reused} were recorded before)" if progress.reused else ""
    typer.echo(f"{count(progress.done, 'run')} done{again}{shown}; records in {request.results}")


def _print_scores(found: Sequence[Score]) -> None:
    """A line for each method and task, the methods of a task below each other."""
    if not found:
        return
    typer.echo("mean test scores of the tuned methods"
               + (", preliminary (--quick)" if found[0].preliminary else "") + ":")  # fmt: skip
    found = sorted(found, key=lambda score: score.task)
    shown = found[:MAX_SCORES]
    task, method = (max(len(getattr(s, name)) for s in shown) for name in ("task", "method"))
    for score in shown:
        ended = f"n = {score.n}" if score.n == score.repetitions else (
            f"n = {score.n} of {score.repetitions}; the others did not complete"
        )  # fmt: skip
        value = "no repetition completed" if score.test is None else f"{score.test:.4g} ({ended})"
        typer.echo(f"  {score.task:{task}}  {score.method:{method}}  {score.metric} {value}")
    if len(found) > len(shown):
        typer.echo(f"  and {len(found) - len(shown)} more")


def mirror_warning(problem: str) -> str:
    """What to say of a mirror that is behind the records."""
    return (
        f"warning: MLflow mirror incomplete ({problem}); the JSON records are safe, and the next "
        "command catches up"
    )


def count(n: int, noun: str) -> str:
    """`n` with its noun, in the plural where it is not one."""
    return f"{n} {noun}" + ("" if n == 1 else "s")
