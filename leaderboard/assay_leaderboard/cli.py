"""`assay board`, `compare`, `claims`, `translate`, `audit`: options in, tables or JSON out.

The library is imported inside the commands, so that `assay --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer
from assay.commands.options import (
    DEFAULT_RESULTS,
    AsJson,
    Results,
    TaskArguments,
    complete_method,
)

from assay_leaderboard.site import commands as site

Budget = Annotated[
    int | None,
    typer.Option(
        "--budget",
        min=1,
        metavar="K",
        help="Hyperparameter points that a repetition may try: 1 is the published defaults alone; "
        "default: all.",
    ),
]
WithLocal = Annotated[bool, typer.Option("--with-local", help="Show the published results too.")]


def register(app: typer.Typer) -> None:
    """Add this package's commands to `app` (entry-point group assay.commands)."""
    app.command()(board)
    app.command()(compare)
    app.command()(claims)
    app.command()(translate)
    app.command()(audit)
    app.add_typer(site.app, name="site")


def board(
    names: TaskArguments = None,
    results: Results = DEFAULT_RESULTS,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Show only these methods and the references; repeatable."),
    ] = None,
    budget: Budget = None,
    with_local: WithLocal = False,
    epoch: Annotated[
        str | None, typer.Option(help="Show the repetitions that used this epoch's hidden seeds.")
    ] = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="Some lines a task: what differs from its reference.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the leaderboard: per task, per family, overall.

    The keys of --json are documented in leaderboard/assay_leaderboard/schema/board.py.
    """
    from assay_leaderboard import queries

    made = queries.board(
        names or [],
        results,
        published=with_local,
        methods=method or [],
        budget=budget,
        epoch=epoch,
    )
    _complain(made.problems)
    if as_json:
        typer.echo(made.model_dump_json(indent=1))
        return
    from assay_leaderboard.terminal.board import show_board
    from assay_leaderboard.terminal.brief import show_brief
    from assay_leaderboard.terminal.console import console

    (show_brief if brief else show_board)(made, console())


def compare(
    a: Annotated[str, typer.Argument(help="A method.", autocompletion=complete_method)],
    b: Annotated[
        str,
        typer.Argument(help="The method to compare it with.", autocompletion=complete_method),
    ],
    names: TaskArguments = None,
    results: Results = DEFAULT_RESULTS,
    budget: Budget = None,
    with_local: WithLocal = False,
    as_json: AsJson = False,
) -> None:
    """Compare two methods task by task: difference, interval, p, and the board's verdict."""
    from assay_leaderboard import queries

    report = queries.compare(a, b, names or [], results, published=with_local, budget=budget)
    _complain(report.problems)
    if as_json:
        typer.echo(report.model_dump_json(indent=1))
        return
    from assay_leaderboard.terminal.comparison import show_report
    from assay_leaderboard.terminal.console import console

    show_report(report, console())


def claims(
    methods: Annotated[
        list[str] | None,
        typer.Argument(metavar="METHOD", help="Methods; all with claims if none is given."),
    ] = None,
    results: Results = DEFAULT_RESULTS,
    with_local: WithLocal = False,
    as_json: AsJson = False,
) -> None:
    """Hold the claims of methods against the results: supported, contradicted, mixed and others.

    Example: `assay claims diffgrad`
    """
    from assay_leaderboard import queries

    ledger = queries.judge(methods or [], results, published=with_local)
    _complain(ledger.problems)
    if as_json:
        typer.echo(ledger.model_dump_json(indent=1))
        return
    from assay_leaderboard.terminal.claims import show_ledger
    from assay_leaderboard.terminal.console import console

    show_ledger(ledger, console())


def translate(
    names: TaskArguments = None,
    results: Results = DEFAULT_RESULTS,
    with_local: WithLocal = False,
    as_json: AsJson = False,
) -> None:
    """Show the best learning rates of methods beside the reference's, and ranges whose ends win.

    The keys of --json are documented in leaderboard/assay_leaderboard/schema/translation.py.
    """
    from assay_leaderboard import queries

    made = queries.translate(names or [], results, published=with_local)
    _complain(made.problems)
    if as_json:
        typer.echo(made.model_dump_json(indent=1))
        return
    from assay_leaderboard.terminal.console import console
    from assay_leaderboard.terminal.translation import show_translation

    show_translation(made, console())


def audit(
    names: TaskArguments = None,
    results: Results = DEFAULT_RESULTS,
    with_local: WithLocal = False,
    write: Annotated[
        Path | None, typer.Option("--write", help="Also write the audit to this file, as JSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the suite itself: do its tasks tell methods apart, are false findings rare enough?

    The false-positive rate needs the runs that `assay aa` makes.
    """
    from assay_leaderboard import queries

    made = queries.audit(names or [], results, published=with_local)
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
    if not with_local and all(task.verdict == "not measured" for task in made.tasks):
        typer.echo(f"\nToo few results in {results}; --with-local adds the published ones.")


def _write(path: Path, text: str) -> None:
    """Replace the file at `path`; it is never half written.

    Raises:
        StorageError: it cannot be written.
    """
    from assay import atomic

    try:
        atomic.write(path, text.encode())
    except OSError as error:
        raise atomic.storage_error(path, error, "choose another with --write") from error


def _complain(problems: Collection[str]) -> None:
    """Name on standard error what could not be shown."""
    from assay_leaderboard.format import plain

    for problem in problems:
        typer.echo(f"not shown: {plain(problem)}", err=True)
