"""Runs at given hyperparameters, without tuning: `assay run METHOD --set name=value`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, cast

import typer

from assay.commands.run_many import locked, open_pool, say, terminable
from assay.commands.summary import INCOMPLETE, INTERRUPTED
from assay.engine.cells import Cell, make_cells
from assay.engine.planning import Pairs, RunRequest, by_device, chosen_pairs
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.errors import AssayError, RunHung, UnknownName
from assay.publication.replay import ReplayVerdict, compare, tolerance
from assay.records.schema import Purpose, RunRecord, RunSpec
from assay.records.store import Store
from assay.space import Value

REMARKS: dict[ReplayVerdict, str] = {
    "identical": "bit-identical to its record",
    "within tolerance": "within tolerance of its record",
    "differs": "DIFFERS from its record",
    "cannot": "cannot be compared with its record",
}
Ending = Literal["good", "differs", "failed", "hung"]
"""How a run ended for this command: "differs" from its record, "failed" or "hung", else "good"."""


def run_fixed(
    request: RunRequest,
    settings: Sequence[str],
    purpose: str,
    repetition: int | None,
    again: bool,
) -> int:
    """Run methods at given hyperparameters and print a line for each run.

    Args:
        request: what to run; its preset does not matter.
        settings: "name=value" each; the other hyperparameters keep their defaults.
        purpose: "repetition" or "tuning", which use different seeds.
        repetition: run this one alone; None runs all.
        again: run also what is recorded, and compare the weights.

    Returns:
        The exit code: 0, 1 if a repeated run differs from its record, INCOMPLETE if a run hung or
        all runs of a method on a task failed, or INTERRUPTED.

    Raises:
        AssayError: the request cannot be met.
    """
    if purpose not in ("repetition", "tuning"):
        raise UnknownName("purpose", purpose, ["repetition", "tuning"])
    pairs = chosen_pairs(request, partial(say, request))
    store = Store(request.results)
    try:
        with locked(store), terminable():
            wanted = (cast(Purpose, purpose), repetition)
            found = list(_run_points(request, store, pairs, settings, *wanted, again=again))
    except KeyboardInterrupt:
        typer.echo("interrupted: give the same command again to continue", err=True)
        return INTERRUPTED
    if any(ending == "differs" for _, ending in found):
        return 1
    cells: dict[tuple[str, str], set[Ending]] = {}
    for cell, ending in found:
        cells.setdefault(cell, set()).add(ending)
    bad = any("hung" in endings or endings == {"failed"} for endings in cells.values())
    return INCOMPLETE if bad else 0


def _run_points(
    request: RunRequest,
    store: Store,
    pairs: Pairs,
    settings: Sequence[str],
    purpose: Purpose,
    repetition: int | None,
    *,
    again: bool,
) -> Iterator[tuple[tuple[str, str], Ending]]:
    """Run each spec; yield its task and method, and how it ended."""
    for compute, _, group in by_device(request, pairs):
        with open_pool(request, compute, 1, partial(say, request)) as pool:
            for cell in make_cells(group, pool, "full"):
                point = _point(cell, settings)
                for number in range(cell.r) if repetition is None else [repetition]:
                    spec = cell.spec(point, purpose, number)
                    slugs = (cell.task_ref.slug, cell.method_ref.slug)
                    yield slugs, _run_one(request, store, pool, cell, spec, again)


def _run_one(
    request: RunRequest, store: Store, pool: Pool, cell: Cell, spec: RunSpec, again: bool
) -> Ending:
    """Run one spec or read its record."""
    known = store.run(spec.task.slug, spec.method.slug, spec.id)
    if known is not None and not again:
        _print_run(request, known, "recorded before")
        return "failed" if known.status == "failed" else "good"
    try:
        record = pool.run(Job(spec, cell.task, cell.method), cell.reproduce(spec))
    except RunHung as error:
        typer.echo(f"assay: {error}", err=True)
        return "hung"
    if known is None:
        store.write(record)
        _print_run(request, record, "new")
        return "failed" if record.status == "failed" else "good"
    found = compare(known, record, tolerance(cell.task.card))
    _print_run(request, record, REMARKS[found.verdict] + (f": {found.detail}" * bool(found.detail)))
    return "good" if found.verdict in ("identical", "within tolerance") else "differs"


def _print_run(request: RunRequest, record: RunRecord, remark: str) -> None:
    if request.as_json:
        typer.echo(json.dumps({"remark": remark, "record": record.model_dump(mode="json")}))
        return
    score = f"test {record.result.test:.6g}" if record.result else record.message
    spec = record.spec
    typer.echo(
        f"{record.id} {spec.method.slug} on {spec.task.slug}, {spec.purpose} {spec.repetition}: "
        f"{record.status}, {score} ({remark})"
    )
    typer.echo(f"  to repeat it: {record.reproduce}")


def _point(cell: Cell, settings: Sequence[str]) -> dict[str, Value]:
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
