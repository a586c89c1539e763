"""The `assay` command: parsing and printing around library calls.

Heavy imports stand inside the commands that need them: `assay --help` and `assay list` answer at
once.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.commands import aa, publish, replay, sandbox
from assay.commands import epoch as epochs
from assay.commands import submit as submissions
from assay.errors import AssayError, UnknownName

if TYPE_CHECKING:
    from assay.plugins.registry import TaskEntry

app = typer.Typer(
    name="assay",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Does this training method really beat what people already use?\n\n"
    "Start with: assay quickstart",
)
data_app = typer.Typer(no_args_is_help=True, help="Where data sets lie, and fetching them.")
app.add_typer(data_app, name="data")

Results = Annotated[
    Path,
    typer.Option(
        "--results", envvar="ASSAY_RESULTS", help="Folder of the records.", show_default=True
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AllowWeaker = Annotated[
    bool,
    typer.Option(
        "--allow-weaker", help="Run methods unprotected where no sandbox works; recorded as L1."
    ),
]
DEFAULT_RESULTS = Path("assay-results")


def main() -> None:
    """Entry point: a user's error is one message and an exit code, never a traceback."""
    for point in entry_points(group="assay.commands"):
        point.load()(app)
    atexit.register(gc.freeze)  # the end searches no longer for cycles in all that was imported
    try:
        app()
    except AssayError as error:
        typer.echo(f"assay: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader left; nothing more to say
        sys.exit(1)


def complete_method(incomplete: str) -> list[str]:
    """Shell completion for methods."""
    from assay.plugins.registry import method_entries

    return [slug for slug in sorted(method_entries()) if slug.startswith(incomplete)]


def complete_task(incomplete: str) -> list[str]:
    """Shell completion for tasks, families and tiers."""
    from assay.cards import FAMILIES
    from assay.plugins.registry import TIERS, task_entries

    names = [*sorted(task_entries()), *FAMILIES, *TIERS]
    return [name for name in names if name.startswith(incomplete)]


Methods = Annotated[
    list[str],
    typer.Argument(
        help="Methods: slugs, or paths of a folder or a .py file.", autocompletion=complete_method
    ),
]
TaskNames = Annotated[
    list[str] | None,
    typer.Option(
        "--task", "-t", help="A task's slug, a glob, a family or a tier; may be repeated.",
        autocompletion=complete_task,
    ),
]  # fmt: skip
Family = Annotated[str | None, typer.Option("--family", help="Only tasks of this family.")]
Tier = Annotated[str | None, typer.Option("--tier", help="Only tasks of this tier.")]


def chosen_tasks(names: list[str] | None, family: str | None, tier: str | None) -> list[TaskEntry]:
    """Tasks named, narrowed by family and tier; without a name, the whole family or tier.

    Raises:
        AssayError: nothing was asked for, or nothing is left.
    """
    from assay.cards import FAMILIES
    from assay.plugins.registry import TIERS, select_tasks

    for kind, given, known in (("family", family, FAMILIES), ("tier", tier, TIERS)):
        if given is not None and given not in known:
            raise UnknownName(kind, given, known)
    wanted = list(names or [])
    if not wanted:
        if family is None and tier is None:
            raise AssayError(
                "no task was given; expected --task, --family or --tier, for example: "
                "assay run diffgrad --tier lite"
            )
        wanted = [family or str(tier)]
    tasks = [
        entry
        for entry in select_tasks(wanted)
        if family in (None, entry.card.family) and tier in (None, entry.card.tier)
    ]
    if not tasks:
        raise AssayError("no task fits all of --task, --family and --tier together")
    return tasks


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="methods, tasks, or nothing for both.")] = "all",
    family: Family = None,
    tier: Tier = None,
    as_json: AsJson = False,
) -> None:
    """List tasks and methods. Example: `assay list tasks --family functions`."""
    from assay.commands.cards import list_cards

    if kind not in ("all", "tasks", "methods"):
        raise UnknownName("list", kind, ["tasks", "methods"])
    list_cards(kind, family, tier, as_json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A task or method.", autocompletion=complete_task)],
    as_json: AsJson = False,
) -> None:
    """Show one task or method: its card, where it lies, who may enter it."""
    from assay.commands.cards import show_card

    show_card(name, as_json)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="method or task.")],
    name: Annotated[str, typer.Argument(help="Its slug: a-z, 0-9 and _.")],
    folder: Annotated[Path, typer.Option("--in", help="Where to make the folder.")] = Path("."),
) -> None:
    """Make a method or a task from a template. Example: `assay new method my_opt`."""
    from assay.commands.new import write_template

    for path in write_template(kind, name, folder):
        typer.echo(f"wrote {path}")
    place = folder / name if folder.is_absolute() else f"./{folder / name}"
    typer.echo(f"next: edit it, then: assay check {shlex.quote(str(place))}")


@app.command()
def check(
    paths: Annotated[list[str], typer.Argument(help="Methods or tasks: slugs or paths.")],
    allow_weaker: AllowWeaker = False,
    as_json: AsJson = False,
) -> None:
    """Say in one go everything that is wrong with a task or a submission, on toys, in a minute."""
    from assay.checking.check import check_all

    if not check_all(paths, as_json, allow_weaker=allow_weaker):
        raise typer.Exit(1)


@app.command()
def run(
    methods: Methods,
    tasks: TaskNames = None,
    family: Family = None,
    tier: Tier = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer points and repetitions; preliminary.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Default: cores, or GPUs.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each worker.")] = 1,
    accelerator: Annotated[
        str, typer.Option(help="auto (a GPU for tiers above lite), cpu or gpu.")
    ] = "auto",
    isa: Annotated[str, typer.Option(help="Cap on the instruction set: avx2 or native.")] = "avx2",
    allow_weaker: AllowWeaker = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many runs and about how long; run nothing.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Fix a hyperparameter (name=value): repetitions, no tuning."),
    ] = None,
    purpose: Annotated[
        str, typer.Option(help="With --set: seeds of a repetition or of tuning.")
    ] = "repetition",
    repetition: Annotated[
        int | None, typer.Option(min=0, help="With --set: this repetition alone.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --set: run once more and compare the weights.")
    ] = False,
    epoch: Annotated[
        str | None, typer.Option(help="Repeat with the hidden seeds of this epoch.")
    ] = None,
    secret: Annotated[
        Path | None,
        typer.Option(help="With --epoch: the organisers' secret."),
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(help="MLflow tracking URI, or off. Default: SQLite in --results.")
    ] = None,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Tune, train, score and record methods on tasks; what is recorded is not run again.

    Examples:
        assay run diffgrad adam --tier lite

        assay run ./my_method.py --task digits_cnn --quick

        assay run adam --task diffgrad_f1 --set lr=0.05 --repetition 0
    """
    from assay.commands import run_many, run_one
    from assay.engine.planning import RunRequest
    from assay.epochs import epochs_folder, open_epoch

    if secret is not None and epoch is None:
        raise AssayError("--secret was given without --epoch; expected the name of its epoch too")
    request = RunRequest(
        methods=methods,
        tasks=chosen_tasks(tasks, family, tier),
        preset="quick" if quick else "full",
        workers=workers,
        threads=threads,
        accelerator=accelerator,
        isa=isa,
        allow_weaker=allow_weaker,
        results=results,
        mlflow=mlflow,
        as_json=as_json,
        epoch=open_epoch(epoch, epochs_folder(), secret) if epoch else None,
    )
    if settings or again or repetition is not None:
        code = run_one.run_fixed(request, settings or [], purpose, repetition, again)
    elif dry_run:
        code = run_many.dry_run(request)
    else:
        code = run_many.run(request)
    if code:
        raise typer.Exit(code)


@app.command()
def quickstart(
    results: Results = DEFAULT_RESULTS,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Default: cores.")
    ] = None,
    allow_weaker: AllowWeaker = False,
) -> None:
    """Rank diffGrad against SGD, Adam and others in five families, in minutes."""
    from assay.commands import run_many
    from assay.engine.planning import RunRequest
    from assay.plugins.registry import select_tasks

    methods, tasks = run_many.QUICKSTART_METHODS, run_many.QUICKSTART_TASKS
    request = RunRequest(
        methods=methods,
        tasks=select_tasks(tasks),
        preset="quick",
        workers=workers,
        results=results,
        allow_weaker=allow_weaker,
    )
    code = run_many.run(request)
    if code:
        raise typer.Exit(code)
    board = _command("board")
    if board is not None:
        board(results=results, names=list(tasks))
    typer.echo("next: assay new method my_opt, then: assay run ./my_opt --tier lite")


def _command(name: str) -> Callable[..., Any] | None:
    """The function behind a command that another package registered."""
    for info in app.registered_commands:
        if info.callback is not None and (info.name or info.callback.__name__) == name:
            return info.callback
    return None


@data_app.command("where")
def data_where(as_json: AsJson = False) -> None:
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


@data_app.command("prepare")
def data_prepare(
    names: Annotated[list[str], typer.Argument(help="Data sets; see: assay data where.")],
) -> None:
    """Download (with checksums) where needed, and cache as tensors."""
    from assay import data

    for name in names:
        if name not in data.DATASETS:
            raise UnknownName("data set", name, data.DATASETS)
        data.prepare(name)
        typer.echo(f"{name}: ready")


for module in (publish, replay, submissions, epochs, sandbox, aa):
    module.register(app)
