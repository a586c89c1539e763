"""The runs of one method on one task: /run/<task>/<method>/, a section for each.

A page for each run would be 210,000 files on a full board. What the runs of a cell share (code,
environment, isolation, hyperparameters of a point) is said once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from leaderboard.evidence import run_command
from leaderboard.format import Format
from leaderboard.site import figures
from leaderboard.site.links import Links
from leaderboard.site.rendering import page
from leaderboard.site.views import CellView
from leaderboard.site.words import NONE, duration, number, p_text, size, span, verdict, verdict_word
from suite.records import CurvePoint, Environment, Isolation, RunRecord


class Run(NamedTuple):
    """One run, ready to be printed."""

    id: str
    name: str
    status: str
    message: str
    val: str
    test: str
    last: str
    oracle: str
    secondary: str
    passes: int
    seconds: str
    usage: str
    checks: str
    weights: str
    machine: int
    cage: int
    at: str
    mlflow: str
    command: str
    starts: bool
    curve: list[tuple[int, int, int, str, str, str, str]]


def cell_pages(view: CellView, links: Links) -> dict[str, str]:
    """/run/<task>/<method>/index.html."""
    form = Format(view.card.metric.unit, view.card.metric.margin)
    machines: dict[Environment, int] = {}
    cages: dict[Isolation, int] = {}
    names = _names(view)
    groups: dict[str, list[Run]] = {"Tuned point": [], "Defaults": [], "Tuning": []}
    for record in view.runs:
        group, trial = names.get(record.id, ("Tuning", 0))
        name = f"trial {trial}" if group == "Tuning" else f"repetition {record.spec.repetition}"
        machine = machines.setdefault(record.environment, len(machines) + 1)
        cage = cages.setdefault(record.isolation, len(cages) + 1)
        mlflow = view.mlflow.get(record.id, "")
        groups[group].append(_run(record, name, form, machine, cage, mlflow))
    versus = view.row.versus_reference
    return page(
        links,
        f"run/{view.card.slug}/{view.row.method}",
        "cell.html",
        card=view.card,
        row=view.row,
        study=view.study,
        form=form,
        groups={name: runs for name, runs in groups.items() if runs},
        machines=machines,
        cages=cages,
        command=run_command(view.row.method, view.card.slug),
        mean=span(form, view.row.tuned.mean, view.row.tuned.interval),
        default_mean=span(form, view.row.defaults.mean, view.row.defaults.interval)
        if view.row.defaults
        else NONE,
        gain=span(form, versus.difference, versus.interval, "+") if versus else NONE,
        p=p_text(versus.p_adjusted) if versus else NONE,
        verdict=verdict(verdict_word(view.row)),
        pictures=figures.of_cell(view),
    )


def _names(view: CellView) -> dict[str, tuple[str, int]]:
    """Group of each run that the study names, and the number of a trial."""
    study = view.study
    found = {trial.run_id: ("Tuning", trial.number) for trial in study.trials}
    found |= {run: ("Defaults", 0) for run in study.default_runs}
    return found | {run: ("Tuned point", 0) for run in study.selected_runs}


def _run(record: RunRecord, name: str, form: Format, machine: int, cage: int, mlflow: str) -> Run:
    result, usage = record.result, record.usage
    secondary = result.secondary if result else {}
    return Run(
        id=record.id,
        name=name,
        status=record.status.replace("_", " "),
        message=record.message,
        val=number(form, result.val if result else None),
        test=number(form, result.test if result else None),
        last=number(form, result.test_last if result else None),
        oracle=number(form, result.test_oracle if result else None),
        secondary=", ".join(f"{key} {value:.6g}" for key, value in secondary.items()),
        passes=usage.passes,
        seconds=duration(usage.train_seconds),
        usage=f"{usage.batches} batches, {usage.examples} examples, "
        f"{duration(usage.cpu_seconds)} of CPU, {duration(usage.wall_seconds)} in all, "
        f"{size(usage.peak_bytes)} resident, {size(usage.optimizer_state_bytes)} of optimizer state",
        checks=_checks(record),
        weights=record.weights_sha256 or "",
        machine=machine,
        cage=cage,
        at=record.created_at,
        mlflow=mlflow,
        command=record.reproduce,
        starts=any(point.start for point in record.curve),
        curve=_curve(record.curve),
    )


def _checks(record: RunRecord) -> str:
    """First loss as the method says and as the scorer finds it; how far the weights went."""
    checks = record.checks
    if checks is None:
        return ""
    return "; ".join(
        f"{name} {', '.join(NONE if v is None else f'{v:.6g}' for v in values)}"
        for name, values in (
            ("first loss", checks.first_losses),
            ("scorer's", checks.reference_first_losses),
            ("distance of the weights", checks.weight_distances),
        )
        if values
    )


def _curve(points: Sequence[CurvePoint]) -> list[tuple[int, int, int, str, str, str, str]]:
    """Start, batch, passes, seconds, training loss, val, test."""
    return [
        (
            point.start,
            point.batch,
            point.passes,
            f"{point.seconds:.3f}",
            NONE if point.train_loss is None else f"{point.train_loss:.5g}",
            f"{point.val:.5g}",
            f"{point.test:.5g}",
        )
        for point in points
    ]
