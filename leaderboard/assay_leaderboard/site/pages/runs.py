"""The runs of one method on one task: /run/<task>/<method>.html, a section for each.

A page for each run would be 210,000 files on a full board. What the runs of a cell share (code,
environment, isolation, hyperparameters of a point) is said once. The sections are written by hand
rather than by template: there are 210,000 of them, and a template would take most of a build.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence, Set
from operator import attrgetter
from typing import Any

from assay.records.schema import (
    Checks,
    CurvePoint,
    Environment,
    Isolation,
    RunRecord,
    StudyRecord,
    Usage,
)
from assay.space import Value
from markupsafe import Markup, escape

from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import Format, plain
from assay_leaderboard.site.html.links import Links, cell_path
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import (
    NONE,
    duration,
    minus,
    p_text,
    said,
    size,
    span,
    verdict,
    verdict_word,
)
from assay_leaderboard.site.pages import figures
from assay_leaderboard.site.views import CellView

_HEAD = "".join(
    f'<th scope="col">{name}'
    for name in ("batch", "passes", "seconds", "training loss", "val", "test")
)
_CELLS = "<tr><td>%d<td>%d<td>%.3f<td>%.5g<td>%.5g<td>%.5g\n"
_END = "\x1e"
_CAGE = attrgetter(*Isolation.model_fields)
"""What two equal ones have in common: comparing the models themselves takes ten times as long."""


def cell_pages(view: CellView, links: Links) -> dict[str, str]:
    """/run/<task>/<method>.html."""
    form = Format(view.card.metric.unit, view.card.metric.margin)
    machines: dict[Environment, int] = {}
    cages: dict[Any, tuple[int, Isolation]] = {}
    names = _names(view)
    groups: dict[str, list[str]] = {"Tuned point": [], "Defaults": [], "Tuning": []}
    commands = _escaped([record.reproduce for record in view.runs])
    times = _escaped([record.created_at for record in view.runs])
    for record, command, time in zip(view.runs, commands, times, strict=True):
        group, trial = names.get(record.id, ("Tuning", 0))
        name = f"trial {trial}" if group == "Tuning" else f"repetition {record.spec.repetition}"
        machine = machines.setdefault(record.environment, len(machines) + 1)
        cage, _ = cages.setdefault(_CAGE(record.isolation), (len(cages) + 1, record.isolation))
        more = (
            f"{_links(machine, cage)}{_hashes(record, view.mlflow.get(record.id))} "
            f'<time>{time}</time>\n<p><code class="command">{command}</code>'
        )
        groups[group].append(_section(record, name, form, more))
    recorded = {record.id for record in view.runs}
    versus = view.row.versus_reference
    return page(
        links,
        cell_path(view.card.slug, view.row.method),
        "cell.html",
        card=view.card,
        row=view.row,
        study=view.study,
        form=form,
        recorded=recorded,
        trials=_trials(view.study, form, recorded),
        groups={name: (len(runs), Markup("".join(runs))) for name, runs in groups.items() if runs},
        machines=machines,
        cages=list(cages.values()),
        command=run_command(view.row.method, view.card.slug),
        mean=span(form, view.row.tuned.mean, view.row.tuned.interval),
        default_mean=span(form, view.row.defaults.mean, view.row.defaults.interval)
        if view.row.defaults
        else NONE,
        gain=span(form, versus.difference, versus.interval, "+") if versus else NONE,
        p=p_text(versus.p_adjusted) if versus else NONE,
        verdict=verdict(verdict_word(view.row)),
        pictures=list(figures.of_cell(view).values()),
    )


def _trials(study: StudyRecord, form: Format, recorded: Set[str]) -> Markup:
    """A row of the table of hyperparameters for each trial."""
    rows = []
    points = _escaped([_point(trial.hyperparameters) for trial in study.trials])
    for trial, point in zip(study.trials, points, strict=True):
        run = trial.run_id
        link = f'<a href="#{run}"><code>{run}</code></a>' if run in recorded else "no record"
        start, tag = "<tr", ""
        if trial.number == study.selected:
            start, tag = '<tr class="chosen"', ' <span class="tag">selected</span>'
        rows.append(
            f'{start}><th scope="row">{trial.number}{"" if trial.number else " defaults"}{tag}'
            f'<td class="n">{minus(form.number(trial.val))}<td>{human(trial.status)}'
            f"<td><bdi>{point}</bdi><td>{link}\n"
        )
    return Markup("".join(rows))


def _point(hyperparameters: Mapping[str, Value]) -> str:
    """Hyperparameters in a line."""
    return ", ".join([f"{name} {value}" for name, value in hyperparameters.items()]) or "none"


def _escaped(texts: Iterable[str]) -> list[str]:
    """Texts for a page: escaped together, as that takes long for each alone.

    No plain text holds what ends them here.
    """
    together = "".join([f"{plain(text)}{_END}" for text in texts])
    return str(escape(together)).split(_END)[:-1]


def _names(view: CellView) -> dict[str, tuple[str, int]]:
    """Group of each run that the study names, and the number of a trial."""
    study = view.study
    found = {trial.run_id: ("Tuning", trial.number) for trial in study.trials}
    found |= {run: ("Defaults", 0) for run in study.default_runs}
    return found | {run: ("Tuned point", 0) for run in study.selected_runs}


def _section(record: RunRecord, name: str, form: Format, more: str) -> str:
    """One run: what it scored in a line, and the rest behind it."""
    usage = record.usage
    return (
        f'<section class="run" id="{record.id}"><h3>{name} <code>{record.id}</code></h3>\n'
        f"<p>{_scores(record, form)}; {usage.passes} passes, {duration(usage.train_seconds)}"
        f"\n<details><summary>More</summary>\n<p>{_usage(usage)}. {_checks(record.checks)}{more}\n"
        f"{_curve(record.curve)}</details></section>\n"
    )


def _scores(record: RunRecord, form: Format) -> str:
    result = record.result
    if result is None:
        message = f": {said(record.message)}" if record.message else ""
        return f"<b>{record.status.replace('_', ' ')}</b>{message}"
    secondary = "".join([f", {_name(key)} {value:.6g}" for key, value in result.secondary.items()])
    scores = (
        f"test <b>{form.number(result.test)}</b>, val {form.number(result.val)}, "
        f"last {form.number(result.test_last)}, oracle {form.number(result.test_oracle)}"
    )
    return minus(scores) + secondary


@functools.lru_cache(maxsize=64)
def _name(metric: str) -> str:
    """Of a secondary metric: few names, said by every run."""
    return str(said(metric))


def _usage(usage: Usage) -> str:
    return (
        f"{usage.batches} batches, {usage.examples} examples, {duration(usage.cpu_seconds)} of "
        f"CPU, {duration(usage.wall_seconds)} in all, {size(usage.peak_bytes)} resident, "
        f"{size(usage.optimizer_state_bytes)} of optimizer state"
    )


def _links(machine: int, cage: int) -> str:
    """To what many runs share."""
    return (
        f'<a href="#machine{machine}">Machine {machine}</a>, '
        f'<a href="#cage{cage}">isolation {cage}</a>.'
    )


def _hashes(record: RunRecord, mlflow: str | None) -> str:
    weights = record.weights_sha256
    return (f" Weights <code>{weights}</code>." if weights else "") + (
        f" MLflow run <code>{escape(mlflow)}</code>." if mlflow else ""
    )


def _checks(checks: Checks | None) -> str:
    """First loss as the method says and as the scorer finds it; how far the weights went."""
    if checks is None:
        return ""
    return "".join(
        f"{name} {', '.join(NONE if v is None else f'{v:.6g}' for v in values)}. "
        for name, values in (
            ("First loss", checks.first_losses),
            ("The scorer's", checks.reference_first_losses),
            ("Distance of the weights", checks.weight_distances),
        )
        if values
    )


def _curve(points: Sequence[CurvePoint]) -> str:
    """The evaluation points as a table; end tags that HTML allows to leave out are left out."""
    if not points:
        return ""
    start, starts = "", any([point.start for point in points])
    values: list[float | None] = []  # a row of _CELLS for each point
    for p in points:
        values += (p.batch, p.passes, p.seconds, p.train_loss, p.val, p.test)
    if starts or None in values[3::6]:
        start = '<th scope="col">start' if starts else ""
        rows = "".join([_cells(point, starts) for point in points])
    else:
        # There are a million of them; "%" with the values of all takes half of the time.
        rows = _CELLS * len(points) % (*values,)
    return f"<table><caption>Curve</caption><thead><tr>{start}{_HEAD}<tbody>\n{rows}</table>\n"


def _cells(point: CurvePoint, starts: bool) -> str:
    """A row of a curve that has several starts, or no training loss somewhere."""
    loss = NONE if point.train_loss is None else f"{point.train_loss:.5g}"
    return (
        f"<tr>{f'<td>{point.start}' if starts else ''}<td>{point.batch}<td>{point.passes}"
        f"<td>{point.seconds:.3f}<td>{loss}<td>{point.val:.5g}<td>{point.test:.5g}\n"
    )
