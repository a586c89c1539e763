"""`assay list` and `assay show`: cards of tasks and methods."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.commands.options import AsJson, Family, Tier, complete_card


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command("list")(list_)
    app.command()(show)


def list_(
    kind: Annotated[str, typer.Argument(help="methods, tasks, or nothing for both.")] = "all",
    family: Family = None,
    tier: Tier = None,
    as_json: AsJson = False,
) -> None:
    """List tasks and methods. Example: `assay list tasks --family functions`."""
    from assay.commands.card_text import print_lists

    print_lists(kind, family, tier, as_json=as_json)


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A task or a method: a slug or a path.",
            autocompletion=complete_card,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show one task or method: its card, where it lies, who may enter it."""
    from assay.commands.card_text import print_card

    print_card(name, as_json=as_json)
