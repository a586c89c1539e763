"""`assay epoch`: hidden seeds, for those who run the benchmark.

A season: `new`, `assay run --epoch NAME --secret FILE`, `assay pack`, `assay log add publish` and
`replay` (with `--secret`), `reveal`. The commitment and the revelation go into the results log.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.commands.options import AsJson

if TYPE_CHECKING:
    from assay.records.log import LoggedEpoch, Standing

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
    """Begin an epoch: publish a commitment to its seeds. Makes the secret if there is none.

    A commitment that was written but not logged, as the log was broken, is logged.
    """
    from assay import epochs
    from assay.errors import EpochError
    from assay.publication import publish

    folder = epochs.epochs_folder()
    published = _published(folder)
    if _logged(published, name):
        raise EpochError(f"the epoch {name} has begun already; choose another name")
    if (folder / f"{name}.json").exists():
        made = epochs.begun(name, secret, folder)
    else:
        made = epochs.new_epoch(name, secret, folder)
    entry = publish.add_epoch(published, "commit-seeds", name)
    typer.echo(f"epoch {name} begun, commitment {made.commitment}")
    typer.echo(f"publish: {folder / name}.json and entry {entry.n} of the log")
    typer.echo(f"next: assay run METHOD --tier lite --epoch {name} "
               f"--secret {shlex.quote(str(secret))}")  # fmt: skip


@epoch_app.command()
def reveal(name: Name, secret: Secret) -> None:
    """End an epoch: publish its key, so that anyone can replay its runs.

    Its bundles that were replayed have the tier T3 from then on. Given again, it goes on where it
    was interrupted.
    """
    from assay import epochs

    folder = epochs.epochs_folder()
    _published(folder)  # refuses one that the log would not find, before anything is written
    epochs.begun(name, secret, folder)
    _reveal_seeds(name, secret, folder)
    _reveal_bundles(name, folder)


def _reveal_seeds(name: str, secret: Path, folder: Path) -> None:
    """Publish the key of an epoch and log it, unless that is done and bundles are still to follow.

    Raises:
        EpochError: the log holds no commitment of it, or nothing is left to do.
    """
    from assay import epochs
    from assay.errors import EpochError
    from assay.publication import publish

    published = folder.parent
    logged = _logged(published, name)
    if logged is None:
        raise EpochError(f"the log holds no commitment of the epoch {name}; log it with: "
                         f"assay epoch new {name} --secret {shlex.quote(str(secret))}")  # fmt: skip
    if logged.revealed is not None:
        if not any(s.tier == "T2" for s in _bundles(folder, name)):
            raise EpochError(f"the epoch {name} is revealed already")
        return
    if not (folder / f"{name}{epochs.REVEALED}").exists():
        epochs.reveal(name, secret, folder)
    entry = publish.add_epoch(published, "reveal-seeds", name)
    typer.echo(f"publish: {folder / name}{epochs.REVEALED} and entry {entry.n} of the log")


def _reveal_bundles(name: str, folder: Path) -> None:
    """Log the revelation of each bundle of an epoch that was replayed, and name the others."""
    from assay.publication import publish

    for standing in _bundles(folder, name):
        path = folder.parent / standing.file
        if standing.tier == "T2":
            publish.add(folder.parent, "reveal", path)
            typer.echo(f"{standing.file}: T3")
        elif standing.tier == "T1":
            shown = shlex.quote(str(path))
            typer.echo(f"{standing.file}: not replayed yet; do: assay replay {shown} --json > "
                       f"report.json, assay log add replay {shown} --report report.json, "
                       f"assay log add reveal {shown}")  # fmt: skip


@epoch_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the epochs, their commitments, and which are revealed."""
    from assay import epochs
    from assay.records import log

    folder = epochs.epochs_folder()
    found = list(epochs.epochs(folder))
    logged = {epoch.name: epoch for epoch in log.epochs(log.read(folder.parent))}
    if as_json:
        lines = [asdict(s) | {"n_bundles": len(_bundles(folder, s.name))} for s in found]
        typer.echo(json.dumps(lines, indent=1))
        return
    for status in found:
        state = f"revealed {status.revealed[:10]}" if status.revealed else "hidden"
        known = logged.get(status.name)
        entry = f"log entry {known.committed.n}" if known else "not in the log"
        typer.echo(
            f"{status.name:20} {status.begun[:10]} {state:20} {status.commitment[:16]}... "
            f"{entry}, {len(_bundles(folder, status.name))} bundles"
        )
    if not found:
        typer.echo("no epoch has begun")


def _published(folder: Path) -> Path:
    """The published folder, which holds the log and, in `epochs`, the commitments.

    Raises:
        EpochError: the folder of epochs has another name, so that the log would not find it.
    """
    from assay.errors import EpochError
    from assay.records.log import EPOCHS

    if folder.name != EPOCHS:
        raise EpochError(f"{folder}: expected a folder called {EPOCHS}, beside the results log")
    return folder.parent


def _logged(published: Path, name: str) -> LoggedEpoch | None:
    """What the log says of an epoch; None: nothing.

    Raises:
        LogError: the log is broken, so that nothing can be added.
    """
    from assay.records import log

    return next((e for e in log.epochs(log.read(published)) if e.name == name), None)


def _bundles(folder: Path, name: str) -> list[Standing]:
    """The current bundles with the seeds of an epoch."""
    from assay.records import log

    standings = log.standings(log.read(folder.parent)).values()
    return [s for s in standings if s.epoch == name and s.state == "current"]
