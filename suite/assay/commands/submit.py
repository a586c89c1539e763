"""`assay submit` makes the branch of a submission; `assay queue` lists those that are open."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from assay.commands.options import AsJson, Method

Where = Annotated[
    Path | None, typer.Option("--checkout", help="A clone of the benchmark; default: this one.")
]
Base = Annotated[str | None, typer.Option(help="The branch to start from; default: the main one.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(submit)
    app.command()(queue)


def submit(
    method: Method,
    bundles: Annotated[
        Path, typer.Option("--bundles", help="Where assay pack put the bundles.")
    ] = Path("bundles"),
    checkout: Where = None,
    base: Base = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything; make no branch.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a method and its bundles, and commit them on a branch of their own; push nothing.

    The working tree, the index and the current branch stay as they are.
    """
    from assay.checking.check import check_all
    from assay.paths import ROOT
    from assay.plugins.registry import find_method
    from assay.publication import submit as submitting
    from assay.publication.git import Checkout

    entry = find_method(method)
    place = Checkout(checkout or ROOT)
    made = submitting.plan(entry, submitting.bundles_of(entry, bundles), place, base)
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        passed = check_all([str(entry.source.parent)], as_json=False)
    if not passed:
        typer.echo("assay: not submitted: assay check has failed", err=True)
        raise typer.Exit(1)
    commit = None if dry_run else submitting.make_branch(made, place)
    if as_json:
        kept = ("slug", "branch", "base", "left_out", "steps")
        told = {name: getattr(made, name) for name in kept}
        told |= {"files": sorted(made.files), "commit": commit}
        typer.echo(json.dumps(told, indent=1))
        return
    for path in sorted(made.files):
        typer.echo(f"adds {path}")
    for name in made.left_out:
        typer.echo(f"left out: {name} (neither Python, card.toml nor data that it lists)")
    if commit is None:
        typer.echo(f"would commit this on {made.branch}, from {made.base}; nothing was made")
        return
    typer.echo(f"committed on {made.branch} ({commit[:12]}), from {made.base}; next:")
    for step in made.steps:
        typer.echo(f"  {step}")


def queue(checkout: Where = None, base: Base = None, as_json: AsJson = False) -> None:
    """List open submissions: their state, their age and what is to be done next."""
    from assay.paths import ROOT
    from assay.publication import queue as queueing
    from assay.publication.git import Checkout

    found = queueing.queue(Checkout(checkout or ROOT), base)
    if as_json:
        typer.echo(json.dumps([asdict(waiting) for waiting in found], indent=1))
        return
    for waiting in found:
        tasks = f"{len(waiting.tasks)} task{'' if len(waiting.tasks) == 1 else 's'}"
        typer.echo(
            f"{waiting.slug:24} {waiting.state:10} {waiting.age_days:6.1f} days  {tasks:9} "
            f"next: {waiting.next_action}"
        )
    if not found:
        typer.echo("no submission is open")
