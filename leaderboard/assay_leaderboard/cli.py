"""`assay board`, `compare`, `claims` and `audit`: options in, a library call, tables or JSON out.

The library is imported inside the commands, so that `assay --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from assay import paths

from assay_leaderboard.site import commands as site

if TYPE_CHECKING:
    from assay.cards import SubmissionCard

    from assay_leaderboard.evidence.cells import Catalogue, Evidence

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TASK", help="Tasks, families, tiers or glob patterns; all if none is given."
    ),
]
Results = Annotated[
    Path,
    typer.Option("--results", envvar="ASSAY_RESULTS", help="Folder that holds the records."),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print JSON; keys: leaderboard/assay_leaderboard/schema/board.py."),
]
Defaults = Annotated[
    bool, typer.Option("--defaults", help="Rank the untuned defaults instead of the tuned point.")
]
WithLocal = Annotated[bool, typer.Option("--with-local", help="Show the published results too.")]
RESULTS = Path("assay-results")


def register(app: typer.Typer) -> None:
    """Add this package's commands to `app` (entry-point group assay.commands)."""
    app.command()(board)
    app.command()(compare)
    app.command()(claims)
    app.command()(audit)
    app.add_typer(site.app, name="site")


def board(
    names: Names = None,
    results: Results = RESULTS,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Show only these methods and the references; repeatable."),
    ] = None,
    defaults: Defaults = False,
    with_local: WithLocal = False,
    epoch: Annotated[
        str | None, typer.Option(help="Show the repetitions that used this epoch's hidden seeds.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the leaderboard: per task, per family, overall."""
    from assay.ruleset import RULESET

    from assay_leaderboard.boards.board import build, only

    catalogue, evidence = _read(names, results, with_local, flagged=True)
    _check_epoch(epoch, evidence)
    evidence = replace(evidence, epoch=epoch)
    _check_methods(method or [], catalogue, evidence)
    made = build(
        evidence,
        catalogue,
        list(catalogue.tasks),
        RULESET,
        "defaults" if defaults else "tuned",
    )
    if method:
        made = only(made, method)
    _complain(made.problems)
    if as_json:
        typer.echo(made.model_dump_json(indent=1))
        return
    from assay_leaderboard.terminal.board import show_board
    from assay_leaderboard.terminal.console import console

    show_board(made, console())


def compare(
    a: Annotated[str, typer.Argument(help="A method.")],
    b: Annotated[str, typer.Argument(help="The method to compare it with.")],
    names: Names = None,
    results: Results = RESULTS,
    defaults: Defaults = False,
    as_json: AsJson = False,
) -> None:
    """Compare two methods task by task: paired difference, interval, p, verdict."""
    from assay.ruleset import RULESET

    from assay_leaderboard.boards.two_methods import compare as compare_methods

    catalogue, evidence = _read(names, results, with_local=False)
    _check_methods([a, b], catalogue, evidence)
    report = compare_methods(
        evidence,
        catalogue,
        (a, b),
        list(catalogue.tasks),
        RULESET,
        "defaults" if defaults else "tuned",
    )
    _complain(report.problems)
    if as_json:
        typer.echo(report.model_dump_json(indent=1))
        return
    from assay_leaderboard.terminal.board import show_report
    from assay_leaderboard.terminal.console import console

    show_report(report, console())


def claims(
    methods: Annotated[
        list[str] | None,
        typer.Argument(metavar="METHOD", help="Methods; all with claims if none is given."),
    ] = None,
    results: Results = RESULTS,
    with_local: WithLocal = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON; keys: leaderboard/assay_leaderboard/claims/ledger.py."
        ),
    ] = False,
) -> None:
    """Judge the claims of methods: supported, contradicted, inconclusive or not tested.

    Example: `assay claims diffgrad`
    """
    from assay.plugins import registry
    from assay.ruleset import RULESET

    from assay_leaderboard.boards.task_comparisons import all_comparisons
    from assay_leaderboard.claims.ledger import evaluate
    from assay_leaderboard.claims.one_task import named_tasks

    cards = _claiming(methods or [])
    known = {slug: entry.card for slug, entry in registry.task_entries().items()}
    named = {
        slug
        for card in cards.values()
        for claim in card.claims
        for slug in named_tasks(claim, known)
    }
    catalogue, evidence = _read(sorted(named), results, with_local)
    tasks, problems = all_comparisons(evidence, catalogue, RULESET)
    ledger = evaluate(tasks, cards, known, RULESET, problems)
    _complain(ledger.problems)
    if as_json:
        typer.echo(ledger.model_dump_json(indent=1))
        return
    from assay_leaderboard.terminal.claims import show_ledger
    from assay_leaderboard.terminal.console import console

    show_ledger(ledger, console())


def audit(
    names: Names = None,
    results: Results = RESULTS,
    with_local: WithLocal = False,
    write: Annotated[
        Path | None, typer.Option("--write", help="Also write the audit to this file, as JSON.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON; keys: leaderboard/assay_leaderboard/audit/tasks.py."
        ),
    ] = False,
) -> None:
    """Check the suite itself: do its tasks tell methods apart, are false findings rare enough?

    The false-positive rate needs the runs that `assay aa` makes.
    """
    from assay.records.store import Store
    from assay.ruleset import RULESET

    from assay_leaderboard.audit import false_positives
    from assay_leaderboard.audit import tasks as task_audit
    from assay_leaderboard.boards.task_details import reference_targets
    from assay_leaderboard.boards.task_records import from_folders
    from assay_leaderboard.evidence.results_folder import open_folder

    catalogue, _ = _read(names, results, with_local, empty=True)
    cards = {slug: card for slug, (card, _) in catalogue.tasks.items()}
    folders = [open_folder(folder) for folder in [paths.RESULTS] * with_local + [results]]
    known = {slug: from_folders(slug, folders, catalogue, RULESET) for slug in cards}
    problems = [problem for found in known.values() for problem in found.problems]
    scores = false_positives.control_runs(Store(results), catalogue, RULESET, problems)
    made = task_audit.audit(
        [found.comparisons() for found in known.values() if found.cells],
        cards.values(),
        {slug: reference_targets(found) for slug, found in known.items()},
        false_positives.control(scores, cards, RULESET),
        RULESET,
        problems,
    )
    _complain(made.problems)
    text = made.model_dump_json(indent=1)
    if write:
        _write(write, text + "\n")
    if as_json:
        typer.echo(text)
        return
    from assay_leaderboard.terminal.audit import show_audit
    from assay_leaderboard.terminal.console import console

    show_audit(made, console())


def _write(path: Path, text: str) -> None:
    """Replace the file at `path`; it is never half written.

    Raises:
        StorageError: it cannot be written.
    """
    from assay.errors import StorageError

    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _claiming(names: Collection[str]) -> dict[str, SubmissionCard]:
    """The cards of the named submissions, or of all, that claim something.

    Raises:
        UnknownName: there is no such submission.
        AssayError: none of their cards claims anything.
    """
    from assay.errors import AssayError, UnknownName
    from assay.plugins import registry

    known = {slug: entry.card for slug, entry in registry.method_entries().items()}
    for name in names:
        if name not in known:
            raise UnknownName("method", name, known)
    found = {slug: known[slug] for slug in sorted(names or known) if known[slug].claims}
    if not found:
        raise AssayError(
            f"nothing is claimed on the card of {', '.join(names) or 'any method'}; "
            "expected [[claims]] in its card.toml"
        )
    return found


def _read(
    names: list[str] | None,
    results: Path,
    with_local: bool,
    *,
    flagged: bool = False,
    empty: bool = False,
) -> tuple[Catalogue, Evidence]:
    """The cards and code hashes of the selected tasks, and the evidence on them.

    Args:
        names: tasks, families, tiers or patterns; all tasks if there are none.
        results: folder of the user's results.
        with_local: add the published results, which win where both have a record.
        flagged: flag suspicious results.
        empty: there may be no record at all.


    Raises:
        UnknownName: a name matches no task.
        AssayError: there is no record and `empty` is not set, or the published log is broken.
    """
    from assay.errors import AssayError
    from assay.plugins import registry

    from assay_leaderboard.evidence import checkout
    from assay_leaderboard.evidence.results_folder import load_folder, together

    known = registry.task_entries()
    selected = registry.select_tasks(names or known)
    slugs = {entry.card.slug for entry in selected}
    methods = registry.method_entries()
    finder = checkout.flag_finder(selected, methods.values()) if flagged else None
    evidence = load_folder(results, slugs, {*known, *slugs}, finder)
    if with_local:
        published = load_folder(paths.RESULTS, slugs, {*known, *slugs}, finder)
        evidence = together(published, evidence)
    if not evidence.studies and not evidence.past and not empty:
        _complain(evidence.problems)
        what = " for " + " ".join(names) if names else ""
        raise AssayError(
            f"no results{what} in {results}; make some with: assay run METHOD --tier lite --quick, "
            "or point --results or ASSAY_RESULTS at a folder that has some"
        )
    seen = {study.method.slug for study in evidence.studies}
    seen |= {entry.card.reference for entry in selected}
    shown = [entry for slug, entry in methods.items() if slug in seen]
    return checkout.catalogue(selected, shown), evidence


def _check_epoch(epoch: str | None, evidence: Evidence) -> None:
    """Check that there are results of this epoch, if one is given.

    Raises:
        UnknownName: there are none.
    """
    from assay.errors import UnknownName

    known = {study.epoch for study in evidence.studies if study.epoch is not None}
    if epoch is not None and epoch not in known:
        raise UnknownName("epoch with results here", epoch, known)


def _check_methods(names: Collection[str], catalogue: Catalogue, evidence: Evidence) -> None:
    """Check that every method has a record here.

    Raises:
        UnknownName: there is no method of that name.
        AssayError: it has no record on the selected tasks.
    """
    from assay.errors import AssayError, UnknownName
    from assay.plugins import registry

    recorded = {study.method.slug for study in evidence.studies}
    for name in names:
        if name in recorded:
            continue
        known = {*registry.method_entries(), *recorded}
        if name not in known:
            raise UnknownName("method", name, known)
        raise AssayError(f"no results of {name} here; make some with: assay run {name}")


def _complain(problems: Collection[str]) -> None:
    """Name on standard error what could not be shown."""
    from assay_leaderboard.format import plain

    for problem in problems:
        typer.echo(f"not shown: {plain(problem)}", err=True)
