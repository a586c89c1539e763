"""What `assay run` prints at the end: how the runs ended, the scores, and the next command."""

from __future__ import annotations

import json
import os
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from assay.cards import TaskCard
from assay.commands.interrupts import INTERRUPTED
from assay.commands.options import DEFAULT_RESULTS
from assay.engine.cells import extent
from assay.engine.pipeline import CellProgress, Progress
from assay.engine.planning import RunRequest
from assay.plugins.registry import task_argument
from assay.records.selection import scores as scores_of
from assay.ruleset import RULESET, Preset

State = Literal["complete", "preliminary", "incomplete"]
INCOMPLETE = 4
"""Exit code: some runs left no record, or a method failed in every run of a task."""
UNSEALED = "unsealed (on a GPU or in no full sandbox): they never rank on the published board"
MAX_SCORES = 40
"""Most lines of scores; the board shows all."""
MAX_TASKS = 4
"""Most tasks to name in the next command; without names it shows all."""


@dataclass(frozen=True)
class Score:
    """Mean test score of a method on a task, over its whole repetitions."""

    task: str
    method: str
    metric: str
    direction: str
    test: float
    """Of each repetition's selected point: the best on validation."""
    defaults: float
    """The same of the defaults."""
    n: int
    """Whole repetitions: all their points are recorded."""
    k: int
    """Points in each."""
    n_chance: int
    """Repetitions none of whose points completed, scored as chance."""
    state: State
    """Complete, preliminary (what --quick asks for is there) or incomplete."""
    control: bool
    """Whether this is the second arm of the A/A control."""


def scores(progress: Progress) -> list[Score]:
    """Scores of the cells that have a whole repetition, in the order of the cells."""
    return [score for cell in progress.cells if (score := _score(cell)) is not None]


def _score(progress: CellProgress) -> Score | None:
    cell, card = progress.cell, progress.cell.task.card
    k = min(len(cell.points(number)) for number in cell.extent.repetitions)
    whole = [number for number, n in progress.n_points.items() if n == k]
    if not whole:
        return None
    best = [progress.selected[number] for number in whole]
    return Score(
        task=progress.task,
        method=progress.method,
        metric=card.metric.name,
        direction=card.metric.direction,
        test=statistics.fmean(scores_of(run, card.metric)[1] for run in best),
        defaults=statistics.fmean(
            scores_of(progress.defaults[number], card.metric)[1] for number in whole
        ),
        n=len(whole),
        k=k,
        n_chance=sum(run.result is None for run in best),
        state=_state(len(whole), cell.extent.k, card),
        control=cell.extent.repetitions[0] >= RULESET.control_repetition,
    )


def _state(n: int, k: int, card: TaskCard) -> State:
    """What `n` whole repetitions of `k` points are; the board says the same (evidence.cells)."""
    states: dict[Preset, State] = {"full": "complete", "quick": "preliminary"}
    for preset, state in states.items():
        wanted = extent(card, preset)
        if n >= len(wanted.repetitions) and k >= wanted.k:
            return state
    return "incomplete"


def next_commands(request: RunRequest, found: Sequence[Score]) -> list[str]:
    """The commands that show these scores: the board, and a comparison where there are two.

    Under the hidden seeds of an epoch it is the board alone: only that shows them.
    """
    shown = {score.task for score in found}
    tasks = [task_argument(task) for task in request.tasks if task.card.slug in shown]
    methods = list(dict.fromkeys(score.method for score in found))
    rest = tasks if len(tasks) <= MAX_TASKS else []
    if request.results != Path(os.environ.get("ASSAY_RESULTS") or DEFAULT_RESULTS):
        rest = [*rest, "--results", str(request.results)]
    under = ["--epoch", request.epoch.name] if request.epoch else []
    commands = [["board", *rest, *under]] if found else []
    if len(methods) > 1 and not under:
        commands.append(["compare", *methods[:2], *rest])
    return [shlex.join(["assay", *words]) for words in commands]


def summarise(
    request: RunRequest, progress: Progress, mirror_warnings: Sequence[str], *, with_next: bool
) -> int:
    """Print how a request ended; return the exit code.

    Args:
        request: what was run.
        progress: what came of it.
        mirror_warnings: what the MLflow mirror repaired, left out or put off.
        with_next: whether to end with the command to give next.
    """
    for line in mirror_warnings:
        typer.echo(f"warning: {line}", err=True)
    if progress.n_unsealed:
        typer.echo(f"note: {count(progress.n_unsealed, 'run')} {UNSEALED}", err=True)
    for note in dict.fromkeys(progress.notes):
        typer.echo(f"note: {note}", err=True)
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
        "notes": progress.notes,
        "unsealed": progress.n_unsealed,
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
    typer.echo("mean test scores (of each repetition the best point on validation):")
    found = sorted(found, key=lambda score: score.task)
    shown = [(score, score.method + ", control" * score.control) for score in found[:MAX_SCORES]]
    task_width = max(len(score.task) for score, _ in shown)
    name_width = max(len(name) for _, name in shown)
    for score, name in shown:
        size = count(score.n, "repetition") + (f" of {count(score.k, 'point')}" * (score.k > 1))
        beside = f"defaults {score.defaults:.4g}, " * (score.k > 1)
        chance = f", {score.n_chance} of them at chance: no point completed" * bool(score.n_chance)
        typer.echo(
            f"  {score.task:{task_width}}  {name:{name_width}}  {score.metric} {score.test:.4g} "
            f"({beside}{size}{chance}{'' if score.state == 'complete' else f', {score.state}'})"
        )
    if len(found) > len(shown):
        typer.echo(f"  and {len(found) - len(shown)} more")


def count(n: int, noun: str) -> str:
    """`n` with its noun, in the plural where it is not one."""
    return f"{n} {noun}" + ("" if n == 1 else "s")
