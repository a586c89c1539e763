"""The runs of one method on one task: /run/<task>/<method>.html, a section for each run.

One page for all runs of a cell, as a page for each would make 210,000 files on a large board. What
the runs share (code, environment, isolation, hyperparameters) stands on it once. The sections are
put together here and not by a template, which would take most of the time of a build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

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
from assay_leaderboard.site.html.links import SiteMap, runs_path
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

_CURVE = ("batch", "passes", "example-passes", "seconds", "training loss", "val", "test")


def runs_page(view: CellView, site: SiteMap) -> dict[str, str]:
    """/run/<task>/<method>.html."""
    form = Format(view.card.metric.unit, view.card.metric.margin)
    machines: dict[Environment, int] = {}
    isolations: dict[Isolation, int] = {}
    names = _names(view)
    groups: dict[str, list[str]] = {"Tuned point": [], "Defaults": [], "Tuning": []}
    for record in view.runs:
        group, trial = names.get(record.id, ("Tuning", 0))
        name = f"trial {trial}" if group == "Tuning" else f"repetition {record.spec.repetition}"
        machine = machines.setdefault(record.environment, len(machines) + 1)
        isolation = isolations.setdefault(record.isolation, len(isolations) + 1)
        origin = _origin(record, machine, isolation, view.mlflow.get(record.id))
        groups[group].append(_section(record, name, form, origin))
    recorded = {record.id for record in view.runs}
    row, versus = view.row, view.row.versus_reference
    return page(
        site,
        runs_path(view.card.slug, row.method),
        "runs.html",
        card=view.card,
        row=row,
        study=view.study,
        form=form,
        recorded=recorded,
        trials=_trials(view.study, form, recorded),
        groups={name: (len(runs), Markup("".join(runs))) for name, runs in groups.items() if runs},
        machines=machines,
        isolations=isolations,
        command=run_command(row.method, view.card.slug),
        mean=span(form, row.tuned.mean, row.tuned.interval),
        default_mean=span(form, row.defaults.mean, row.defaults.interval) if row.defaults else NONE,
        gain=span(form, versus.difference, versus.interval, "+") if versus else NONE,
        p=p_text(versus.p_adjusted) if versus else NONE,
        verdict=verdict(verdict_word(row)),
        pictures=list(figures.of_cell(view).values()),
    )


def _trials(study: StudyRecord, form: Format, recorded: Set[str]) -> Markup:
    """Rows of the table of hyperparameters, one for each trial."""
    rows = []
    for trial in study.trials:
        run = trial.run_id
        link = f'<a href="#{run}"><code>{run}</code></a>' if run in recorded else "no record"
        start, tag = "<tr", ""
        if trial.number == study.selected:
            start, tag = '<tr class="chosen"', ' <span class="tag">selected</span>'
        rows.append(
            f'{start}><th scope="row">{trial.number}{"" if trial.number else " defaults"}{tag}'
            f'<td class="n">{minus(form.number(trial.val))}<td>{human(trial.status)}'
            f"<td>{said(_point(trial.hyperparameters))}<td>{link}\n"
        )
    return Markup("".join(rows))


def _point(hyperparameters: Mapping[str, Value]) -> str:
    """Hyperparameters in a line."""
    return ", ".join([f"{name} {value}" for name, value in hyperparameters.items()]) or "none"


def _names(view: CellView) -> dict[str, tuple[str, int]]:
    """(group, trial number) of each run that the study names, by id."""
    study = view.study
    found = {trial.run_id: ("Tuning", trial.number) for trial in study.trials}
    found |= {run: ("Defaults", 0) for run in study.default_runs}
    return found | {run: ("Tuned point", 0) for run in study.selected_runs}


def _section(record: RunRecord, name: str, form: Format, origin: str) -> str:
    """One run: its scores in a line, everything else folded away."""
    usage = record.usage
    return (
        f'<section class="run" id="{record.id}"><h3>{name} <code>{record.id}</code></h3>\n'
        f"<p>{_scores(record, form)}; {_spent(usage.example_passes)} example-passes, "
        f"{usage.passes} passes, {duration(usage.train_seconds)}"
        "\n<details><summary>More</summary>\n"
        f"<p>{_usage(usage)}. {_checks(record.checks)}{origin}\n"
        f"{_curve(record.curve)}</details></section>\n"
    )


def _scores(record: RunRecord, form: Format) -> str:
    result = record.result
    if result is None:
        message = f": {said(record.message)}" if record.message else ""
        return f"<b>{record.status.replace('_', ' ')}</b>{message}"
    secondary = "".join([f", {said(key)} {value:.6g}" for key, value in result.secondary.items()])
    scores = (
        f"test <b>{form.number(result.test)}</b>, val {form.number(result.val)}, "
        f"last {form.number(result.test_last)}, oracle {form.number(result.test_oracle)}"
    )
    return minus(scores) + secondary


def _spent(example_passes: int) -> str:
    """A count of example-passes; a dash for records older than that count."""
    return str(example_passes) if example_passes else NONE


def _usage(usage: Usage) -> str:
    return (
        f"{usage.batches} batches, {usage.examples} examples, {duration(usage.cpu_seconds)} of "
        f"CPU, {duration(usage.wall_seconds)} in all, {size(usage.peak_bytes)} resident, "
        f"{size(usage.optimizer_state_bytes)} of optimizer state"
    )


def _origin(record: RunRecord, machine: int, isolation: int, mlflow: str | None) -> str:
    """Where and when a run was made, and the command that repeats it."""
    weights = f" Weights <code>{record.weights_sha256}</code>." if record.weights_sha256 else ""
    tracked = f" MLflow run <code>{escape(mlflow)}</code>." if mlflow else ""
    return (
        f'<a href="#machine{machine}">Machine {machine}</a>, '
        f'<a href="#isolation{isolation}">isolation {isolation}</a>.{weights}{tracked} '
        f"<time>{escape(plain(record.created_at))}</time>\n"
        f'<p><code class="command">{escape(plain(record.reproduce))}</code>'
    )


def _checks(checks: Checks | None) -> str:
    """First losses as trained and as scored, and how far the weights moved."""
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
    """The evaluation points as a table, without the end tags that HTML makes optional."""
    if not points:
        return ""
    starts = any(point.start for point in points)
    head = "".join(f'<th scope="col">{name}' for name in (("start",) if starts else ()) + _CURVE)
    rows = "".join([_curve_row(point, starts) for point in points])
    return f"<table><caption>Curve</caption><thead><tr>{head}<tbody>\n{rows}</table>\n"


def _curve_row(point: CurvePoint, starts: bool) -> str:
    """The row of one point; `starts`: the task has several starting points."""
    loss = NONE if point.train_loss is None else f"{point.train_loss:.5g}"
    return (
        f"<tr>{f'<td>{point.start}' if starts else ''}<td>{point.batch}<td>{point.passes}"
        f"<td>{_spent(point.example_passes)}<td>{point.seconds:.3f}<td>{loss}<td>{point.val:.5g}<td>{point.test:.5g}\n"
    )
