"""`assay epoch`: hidden seeds, for those who run the benchmark."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from assay.commands.options import AsJson

Name = Annotated[str, typer.Argument(help="The epoch's name: a-z, 0-9 and _.")]
Secret = Annotated[
    Path, typer.Option("--secret", help="The organisers' secret file, outside of any checkout.")
]
epoch_app = typer.Typer(no_args_is_help=True, help="Hidden seeds: begin, list and reveal epochs.")


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.add_typer(epoch_app, name="epoch")


@epoch_app.command()
def new(name: Name, secret: Secret) -> None:
    """Begin an epoch: publish a commitment to its seeds. Makes the secret if there is none."""
    from assay import epochs

    made = epochs.new_epoch(name, secret, epochs.epochs_folder())
    typer.echo(f"epoch {name} begun, commitment {made.commitment}")
    typer.echo(f"publish: {epochs.epochs_folder() / name}.json")
    typer.echo(f"next: assay run METHOD --tier lite --epoch {name} --secret {secret}")


@epoch_app.command()
def reveal(name: Name, secret: Secret) -> None:
    """End an epoch: publish its key, so that anyone can replay its runs."""
    from assay import epochs

    epochs.reveal(name, secret, epochs.epochs_folder())
    typer.echo(f"publish: {epochs.epochs_folder() / name}{epochs.REVEALED}")


@epoch_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the epochs, their commitments, and which are revealed."""
    from assay import epochs

    found = list(epochs.epochs(epochs.epochs_folder()))
    if as_json:
        typer.echo(json.dumps([asdict(status) for status in found], indent=1))
        return
    for status in found:
        state = f"revealed {status.revealed[:10]}" if status.revealed else "hidden"
        typer.echo(f"{status.name:20} {status.begun[:10]} {state:20} {status.commitment[:16]}...")
    if not found:
        typer.echo("no epoch has begun")
