"""`assay data`: which data sets are on this machine, and how to get the others."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from assay.commands.options import AsJson
from assay.errors import UnknownName

data_app = typer.Typer(no_args_is_help=True, help="Where data sets lie, and fetching them.")


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.add_typer(data_app, name="data")


@data_app.command()
def where(as_json: AsJson = False) -> None:
    """Say for every data set whether its files are there, and where they belong."""
    from assay import data

    found = {name: data.status(name) for name in data.DATASETS}
    if as_json:
        rows = [
            {"name": name, "state": row.state, "path": str(row.path or ""), "advice": row.advice}
            for name, row in found.items()
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for name, row in found.items():
        typer.echo(f"{name:16} {row.state:9} {row.path or 'comes with scikit-learn'}")
    typer.echo("elsewhere? set ASSAY_DATA; missing? assay data prepare NAME")


@data_app.command()
def prepare(
    names: Annotated[list[str], typer.Argument(help="Data sets; see: assay data where.")],
) -> None:
    """Download (with checksums) where needed, and cache as tensors."""
    from assay import data

    for name in names:
        if name not in data.DATASETS:
            raise UnknownName("data set", name, data.DATASETS)
        data.prepare(name)
        typer.echo(f"{name}: ready")
