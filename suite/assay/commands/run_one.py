"""Single runs of a cell, or runs at hyperparameters chosen by hand, one after the other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import typer

from assay.commands.interrupts import INTERRUPTED, terminable
from assay.commands.run_many import cells_of, locked, open_pool, say
from assay.commands.summary import INCOMPLETE
from assay.engine.cells import Cell
from assay.engine.planning import Pairs, RunRequest, by_device, chosen_pairs
from assay.engine.pool import Pool
from assay.errors import AssayError, MachineError, RunHung, UnknownName
from assay.publication.replay import judged
from assay.records.log import ReplayVerdict
from assay.records.schema import MAX_COUNT, RunRecord, RunSpec
from assay.records.store import Store
from assay.ruleset import MAX_REPETITIONS, RULESET
from assay.space import Value

REMARKS: dict[ReplayVerdict, str] = {
    "identical": "bit-identical to its record",
    "within tolerance": "within tolerance of its record",
    "chaotic": "cannot be compared with its record",
    "differs": "DIFFERS from its record",
    "cannot": "cannot be compared with its record",
}
Ending = Literal["good", "differs", "failed", "unrecorded"]
"""How a run ended for this command: "differs" from its record, "failed", "unrecorded" (it hung, or
the machine ended it), else "good"."""


@dataclass(frozen=True)
class Choice:
    """Which runs of a cell the user asked for."""

    repetition: int | None = None
    """None: all."""
    point: int | None = None
    """None: all."""
    settings: Sequence[str] = ()
    """"name=value" each, instead of the points; other hyperparameters keep their defaults."""

    @property
    def is_some(self) -> bool:
        """Whether it is not simply all runs."""
        return bool(self.settings) or (self.repetition, self.point) != (None, None)

    def check(self) -> None:
        """Refuse a choice that no cell has.

        Raises:
            AssayError: it is one.
        """
        if self.settings and self.point is not None:
            raise AssayError(
                "--set and --point exclude each other: both choose the hyperparameters"
            )
        control = RULESET.control_repetition
        if self.repetition is not None and (
            MAX_REPETITIONS <= self.repetition < control or self.repetition > MAX_COUNT
        ):
            raise AssayError(
                f"--repetition {self.repetition}: expected 0 to {MAX_REPETITIONS - 1}, or "
                f"{control} to {MAX_COUNT} for the A/A control"
            )


def run_chosen(request: RunRequest, choice: Choice, *, again: bool) -> int:
    """Run some runs of each method and task, and print a line for each.

    Args:
        request: what to run.
        choice: which of its runs.
        again: run also what is recorded, and compare the weights.

    Returns:
        The exit code: 0, 1 if a repeated run differs from its record, INCOMPLETE if a run hung, was
        ended by the machine, or all runs of a method on a task failed, or INTERRUPTED.

    Raises:
        AssayError: the request cannot be met.
    """
    choice.check()
    pairs = chosen_pairs(request, say)
    store = Store(request.results)
    try:
        with locked(store, say), terminable():
            found = list(_run_all(request, store, pairs, choice, again=again))
    except KeyboardInterrupt:
        typer.echo("interrupted: give the same command again to continue", err=True)
        return INTERRUPTED
    if any(ending == "differs" for _, ending in found):
        return 1
    cells: dict[tuple[str, str], set[Ending]] = {}
    for cell, ending in found:
        cells.setdefault(cell, set()).add(ending)
    bad = any("unrecorded" in endings or endings == {"failed"} for endings in cells.values())
    return INCOMPLETE if bad else 0


def _run_all(
    request: RunRequest, store: Store, pairs: Pairs, choice: Choice, *, again: bool
) -> Iterator[tuple[tuple[str, str], Ending]]:
    """Run each spec; yield its task and method, and how it ended."""
    for compute, _, group in by_device(request, pairs):
        with open_pool(request, compute, 1, say) as pool:
            wanted = [
                (cell, spec)
                for cell in cells_of(request, group, pool)
                for spec in _specs(cell, choice)
            ]
            for cell, spec in wanted:
                slugs = (cell.task_ref.slug, cell.method_ref.slug)
                yield slugs, _run_one(request, store, pool, cell, spec, again)


def _specs(cell: Cell, choice: Choice) -> Iterator[RunSpec]:
    """The chosen runs of a cell.

    Raises:
        AssayError: there is no such point, or a setting is wrong.
    """
    by_hand = _by_hand(cell, choice.settings) if choice.settings else None
    numbers = cell.extent.repetitions if choice.repetition is None else [choice.repetition]
    for repetition in numbers:
        if by_hand is not None:
            yield cell.spec(repetition, None, by_hand)
            continue
        points = cell.points(repetition)
        if choice.point is not None and choice.point >= len(points):
            raise AssayError(
                f"--point {choice.point}: {cell.method.card.slug} has {len(points)} points on "
                f"{cell.task.card.slug}; expected 0 to {len(points) - 1}"
            )
        for number in range(len(points)) if choice.point is None else [choice.point]:
            yield cell.spec(repetition, number, points[number])


def _run_one(
    request: RunRequest, store: Store, pool: Pool, cell: Cell, spec: RunSpec, again: bool
) -> Ending:
    """Run one spec or read its record."""
    known = store.run(spec.task.slug, spec.method.slug, spec.id)
    if known is not None and not again:
        _print_run(request, known, "recorded before")
        return "failed" if known.status == "failed" else "good"
    try:
        record = pool.run(cell.job(spec), cell.reproduce(spec))
    except (RunHung, MachineError) as error:
        typer.echo(f"assay: {error}", err=True)
        return "unrecorded"
    if known is None:
        store.write(record)
        _print_run(request, record, "new")
        return "failed" if record.status == "failed" else "good"
    found = judged(known, record, cell.job(spec), pool)
    _print_run(request, record, REMARKS[found.verdict] + (f": {found.detail}" * bool(found.detail)))
    return "good" if found.verdict in ("identical", "within tolerance") else "differs"


def _print_run(request: RunRequest, record: RunRecord, remark: str) -> None:
    if request.as_json:
        answer = {"remark": remark, "sealed": record.sealed}
        typer.echo(json.dumps({**answer, "record": record.model_dump(mode="json")}))
        return
    score = f"test {record.result.test:.6g}" if record.result else record.message
    spec = record.spec
    point = "own settings" if spec.point is None else f"point {spec.point}"
    typer.echo(
        f"{record.id} {spec.method.slug} on {spec.task.slug}, repetition {spec.repetition}, "
        f"{point}: {record.status}, {score} ({remark}{', unsealed' * (not record.sealed)})"
    )
    typer.echo(f"  to repeat it: {record.reproduce}")


def _by_hand(cell: Cell, settings: Sequence[str]) -> dict[str, Value]:
    """The defaults with the user's settings.

    Raises:
        AssayError: a setting is not name=value, or the name is not this method's.
    """
    point = dict(cell.space.defaults)
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign:
            raise AssayError(f"--set {setting}: expected name=value, for example lr=0.01")
        if name not in point:
            raise UnknownName(f"hyperparameter of {cell.method.card.slug}", name, point)
        try:
            value = json.loads(text)
            if isinstance(point[name], float) and type(value) is int:
                value = float(value)
        except (ValueError, OverflowError, RecursionError):
            value = text
        finite = not isinstance(value, float) or math.isfinite(value)
        if type(value) is not type(point[name]) or not finite:
            expected = type(point[name]).__name__
            raise AssayError(f"--set {setting}: expected a value of type {expected}")
        point[name] = value
    return point
