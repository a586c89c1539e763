"""The runs of one method on one task: /run/<task>/<method>.html, a section for each run.

One page for all runs of a cell, as a page for each would make 240,000 files on a large board. What
the runs share (code, environment, isolation) stands on it once. The sections are put together here
and not by a template, which would take most of the time of a build.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from assay.records.schema import Checks, CurvePoint, Environment, Isolation, RunRecord, Usage
from assay.space import Value
from markupsafe import Markup, escape

from assay_leaderboard.evidence.cells import run_command
from assay_leaderboard.format import Format, plain, replay_text, split_words, tries_text
from assay_leaderboard.schema.task_details import TrialPoint
from assay_leaderboard.site.html.links import PageLinks, SiteMap, runs_path
from assay_leaderboard.site.html.table import Column, Table, TableCell, TableRow
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import (
    NONE,
    duration,
    link,
    minus,
    number,
    p_text,
    said,
    size,
    span,
    verdict,
    verdict_word,
)
from assay_leaderboard.site.pages import figures
from assay_leaderboard.site.views import CellView

_CURVE = ("batch", "passes", "example-passes", "seconds", "training loss")


def runs_page(view: CellView, site: SiteMap) -> dict[str, str]:
    """/run/<task>/<method>.html."""
    form = Format(view.card.metric.unit, view.card.metric.margin)
    machines: dict[Environment, int] = {}
    isolations: dict[Isolation, int] = {}
    selected = {trial.run for trial in view.detail.sensitivity.trials if trial.selected}
    groups: list[tuple[int, Markup]] = []
    for repetition, own in itertools.groupby(view.runs, lambda run: run.spec.repetition):
        sections = []
        for record in own:
            machine = machines.setdefault(record.environment, len(machines) + 1)
            isolation = isolations.setdefault(record.isolation, len(isolations) + 1)
            origin = _origin(record, machine, isolation, view)
            sections.append(_section(record, record.id in selected, view, form, origin))
        groups.append((repetition, Markup("".join(sections))))
    row, versus, first = view.row, view.row.versus_reference, view.runs[0].spec
    links = site.at(runs_path(view.card.slug, row.method))
    return page(
        site,
        runs_path(view.card.slug, row.method),
        "runs.html",
        card=view.card,
        row=row,
        spec=first,
        form=form,
        words=split_words(view.card.family),
        recorded={record.id for record in view.runs},
        trials=_trials(view.detail.sensitivity.trials, form),
        groups=groups,
        n_runs=len(view.runs),
        machines=machines,
        isolations=isolations,
        command=run_command(row.method, view.card.slug),
        mean=span(form, row.tuned.mean, row.tuned.interval),
        default_mean=span(form, row.defaults.mean, row.defaults.interval),
        gain=span(form, versus.difference, versus.interval, "+") if versus else NONE,
        p=p_text(versus.p) if versus else NONE,
        verdict=verdict(verdict_word(row)),
        tolerance=_tolerance(view, form),
        seeds=f"hidden seeds of epoch {row.epoch}" if row.epoch else "public seeds",
        replays=_replays(view, form),
        replayed=replay_text(row.replay, form) if row.replay else "",
        tries=tries_text(row) if row.tries > 1 or row.refused else "",
        sources=_sources(view, links),
        pictures=list(figures.of_cell(view).values()),
    )


def _replays(view: CellView, form: Format) -> Table | None:
    """The runs that others did again: what the record says, and what came out."""
    if not view.published or not view.published.replays:
        return None
    recorded = {record.id for record in view.runs}
    sign = 1 if view.card.metric.direction == "maximize" else -1
    unit = form.unit
    columns = [
        Column("run", "Run", text=True),
        Column("recorded", "Recorded", unit),
        Column("repeated", "Repeated", unit),
        Column("difference", "Difference", "positive: the record claims better"),
        Column("outcome", "Outcome", text=True),
    ]
    rows = []
    for run in view.published.replays:
        gap = None
        if run.recorded is not None and run.replayed is not None:
            gap = sign * (run.recorded - run.replayed)
        address = f"#{run.run}" if run.run in recorded else None
        rows.append(
            TableRow(
                [
                    TableCell(link(address, run.run)),
                    TableCell(number(form, run.recorded), run.recorded),
                    TableCell(number(form, run.replayed), run.replayed),
                    TableCell(number(form, gap, "+"), gap),
                    TableCell(run.verdict),
                ]
            )
        )
    caption = f"Runs repeated by others: {split_words(view.card.family).scored('scores')}"
    return Table("replays", caption, columns, rows, live=False)


def _sources(view: CellView, links: PageLinks) -> Markup:
    """Links to the bundle, its entry in the log, the raw local records and the method's source."""
    found: list[Markup | str] = []
    if view.published:
        bundle = links.data(f"bundles/{view.published.file}")
        entry = f"{links.page('log')}#entry{view.published.entry}"
        found.append(
            Markup(
                '<a href="{}" download>bundle</a> (a zip with the raw records and the source of '
                "the method)"
            ).format(bundle)
        )
        found.append(link(entry, f"log entry {view.published.entry}"))
    if view.has_raw:
        raw = links.data(f"runs/{view.card.slug}/{view.row.method}.jsonl")
        found.append(
            Markup('<a href="{}" download>raw local records</a> (JSON, one run a line)').format(raw)
        )
    if view.has_source:
        found.append(link(links.file(f"method/{view.row.method}/source.txt"), "method source"))
    elif not view.published:
        found.append("the source of this version of the method is not in this checkout")
    return Markup(" · ").join(found)


def _tolerance(view: CellView, form: Format) -> str:
    """How near a replay must come to a record, in words."""
    allowed = view.card.replay_tolerance
    same = "On the same kind of machine a run must come out bit for bit as recorded"
    unit = f" {form.unit}" if form.unit else ""
    return f"{same}; on another its test score may differ by ±{form.number(allowed)}{unit}."


def _trials(trials: Sequence[TrialPoint], form: Format) -> Markup:
    """Rows of the table of all hyperparameter points, one for each run."""
    rows = []
    for trial in trials:
        start, tag = "<tr", ""
        if trial.selected:
            start, tag = '<tr class="chosen"', ' <span class="tag">selected</span>'
        scored = trial.status == "completed"
        val, test = (
            minus(form.number(value)) if scored else NONE for value in (trial.val, trial.test)
        )
        rows.append(
            f'{start}><th scope="row">{trial.repetition}<td>{trial.point}'
            f"{'' if trial.point else ' defaults'}{tag}"
            f'<td class="n">{val}<td class="n">{test}<td>{human(trial.status)}'
            f"<td>{said(_point(trial.hyperparameters))}"
            f'<td><a href="#{trial.run}"><code>{trial.run}</code></a>\n'
        )
    return Markup("".join(rows))


def _point(hyperparameters: Mapping[str, Value]) -> str:
    """Hyperparameters in a line."""
    return ", ".join([f"{name} {value}" for name, value in hyperparameters.items()]) or "none"


def _section(record: RunRecord, selected: bool, view: CellView, form: Format, origin: str) -> str:
    """One run: its scores in a line, everything else folded away."""
    usage, point = record.usage, record.spec.point
    name = "defaults" if point == 0 else f"point {point}"
    tags = ' <span class="tag">selected</span>' if selected else ""
    if view.published and record.id not in view.published.run_ids:
        tags += ' <span class="tag local">local</span>'
    words = split_words(view.card.family)
    return (
        f'<section class="run" id="{record.id}"><h3>{name} <code>{record.id}</code>{tags}</h3>\n'
        f"<p>{_scores(record, form, words.validation)}; {usage.example_passes} example-passes, "
        f"{usage.passes} passes, {duration(usage.train_seconds)}"
        "\n<details><summary>More</summary>\n"
        f"<p>{_usage(usage)}. {_checks(record.checks)}{origin}\n"
        f"{_curve(record.curve, words.validation)}</details></section>\n"
    )


def _scores(record: RunRecord, form: Format, validation: str) -> str:
    result = record.result
    if result is None:
        message = f": {said(record.message)}" if record.message else ""
        return f"<b>{record.status.replace('_', ' ')}</b>{message}"
    secondary = "".join([f", {said(key)} {value:.6g}" for key, value in result.secondary.items()])
    scores = (
        f"test <b>{form.number(result.test)}</b>, {validation} {form.number(result.val)}, test at "
        f"the last snapshot {form.number(result.test_last)}, at the best on test "
        f"{form.number(result.test_oracle)}"
    )
    return minus(scores) + secondary


def _usage(usage: Usage) -> str:
    return (
        f"{usage.batches} batches, {usage.examples} examples, {duration(usage.cpu_seconds)} of "
        f"CPU, {duration(usage.wall_seconds)} in all, {size(usage.peak_bytes)} resident, "
        f"{size(usage.optimizer_state_bytes)} of optimizer state"
    )


def _origin(record: RunRecord, machine: int, isolation: int, view: CellView) -> str:
    """Where and when a run was made, and the command that repeats it."""
    weights = f" Weights <code>{record.weights_sha256}</code>." if record.weights_sha256 else ""
    mlflow = view.mlflow.get(record.id)
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


def _curve(points: Sequence[CurvePoint], validation: str) -> str:
    """The evaluation points as a table, without the end tags that HTML makes optional."""
    if not points:
        return ""
    starts = any(point.start for point in points)
    names = (*(("start",) if starts else ()), *_CURVE, validation, "test")
    head = "".join(f'<th scope="col">{name}' for name in names)
    rows = "".join([_curve_row(point, starts) for point in points])
    return f"<table><caption>Curve</caption><thead><tr>{head}<tbody>\n{rows}</table>\n"


def _curve_row(point: CurvePoint, starts: bool) -> str:
    """The row of one point; `starts`: the task has several starting points."""
    loss = NONE if point.train_loss is None else f"{point.train_loss:.5g}"
    return (
        f"<tr>{f'<td>{point.start}' if starts else ''}<td>{point.batch}<td>{point.passes}"
        f"<td>{point.example_passes}<td>{point.seconds:.3f}<td>{loss}<td>{point.val:.5g}"
        f"<td>{point.test:.5g}\n"
    )
