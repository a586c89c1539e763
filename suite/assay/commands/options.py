"""Options and arguments that several commands share, their shell completion, and task selection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.errors import AssayError, UnknownName

if TYPE_CHECKING:
    from assay.plugins.registry import TaskEntry

DEFAULT_RESULTS = Path("assay-results")
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
        "--allow-weaker",
        help="Run methods without a sandbox where none works here; recorded as level L1.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", "-j", min=1, help="Parallel runs; default: one a core, or a GPU."),
]


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


def complete_card(incomplete: str) -> list[str]:
    """Shell completion for whatever has a card."""
    return [*complete_task(incomplete), *complete_method(incomplete)]


Methods = Annotated[
    list[str],
    typer.Argument(
        help="Methods: slugs, or paths of a folder or a .py file.", autocompletion=complete_method
    ),
]
Method = Annotated[
    str,
    typer.Argument(
        help="A method: a slug, or the path of its folder.", autocompletion=complete_method
    ),
]
TaskNames = Annotated[
    list[str] | None,
    typer.Option(
        "--task", "-t", help="A task's slug, a glob, a family or a tier; may be repeated.",
        autocompletion=complete_task,
    ),
]  # fmt: skip
TaskArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TASK",
        help="Tasks, families, tiers or glob patterns; all if none is given.",
        autocompletion=complete_task,
    ),
]
Family = Annotated[str | None, typer.Option("--family", help="Only tasks of this family.")]
Tier = Annotated[str | None, typer.Option("--tier", help="Only tasks of this tier.")]


def without_password(
    context: typer.Context, option: typer.CallbackParam, address: str | None
) -> str | None:
    """The address of a server, unless it was given with a password on the command line.

    Raises:
        AssayError: it was; every user of the machine sees the command lines of all.
    """
    from assay.engine.servers import passwords

    source = context.get_parameter_source(option.name or "")
    if address and source is not None and source.name == "COMMANDLINE" and passwords(address):
        raise AssayError(
            f"{option.opts[0]}: a password on the command line can be read by every user of this "
            f"machine; give the address in ${option.envvar}, or without the password, and that in "
            "$PGPASSWORD or $MLFLOW_TRACKING_PASSWORD"
        )
    return address


Mlflow = Annotated[
    str | None,
    typer.Option(
        envvar="ASSAY_MLFLOW",
        callback=without_password,
        help="MLflow tracking server, PostgreSQL database, or off. Default: SQLite in --results.",
    ),
]
OptunaStorage = Annotated[
    str | None,
    typer.Option(
        envvar="ASSAY_OPTUNA_STORAGE",
        callback=without_password,
        help="PostgreSQL database for Optuna's studies. Default: SQLite in --results.",
    ),
]


def check_names(family: str | None, tier: str | None) -> None:
    """Refuse a family or a tier that does not exist.

    Raises:
        UnknownName: there is no such family or tier.
    """
    from assay.cards import FAMILIES
    from assay.plugins.registry import TIERS

    for kind, given, known in (("family", family, FAMILIES), ("tier", tier, TIERS)):
        if given is not None and given not in known:
            raise UnknownName(kind, given, known)


def chosen_tasks(names: list[str] | None, family: str | None, tier: str | None) -> list[TaskEntry]:
    """The tasks that fit all of `names`, `family` and `tier`; without names, all of the latter.

    Raises:
        UnknownName: a name, the family or the tier does not exist.
        AssayError: nothing was asked for, or no task fits all three.
    """
    from assay.plugins.registry import select_tasks

    check_names(family, tier)
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
