"""`assay.run`, `assay.board`, `assay.compare` and `assay.judge`: the commands as functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from assay.api.answers import Answer
from assay.api.class_source import write_method
from assay.api.results import Results, method_name, results_folder
from assay.errors import UnknownName
from assay.method import Method

if TYPE_CHECKING:
    from assay_leaderboard.boards.two_methods import ComparisonReport
    from assay_leaderboard.claims.ledger import Ledger
    from assay_leaderboard.schema.board import Basis, Board

PRESETS = ("quick", "full")
METHODS = "methods"
"""Folder, in that of the results, of the files made of classes."""
AnyMethod: TypeAlias = str | Path | type[Method]
Names: TypeAlias = str | Path | Sequence[str | Path]


def run(
    methods: AnyMethod | Sequence[AnyMethod],
    tasks: Names,
    *,
    preset: str = "full",
    results: str | Path | None = None,
    workers: int | None = None,
    threads: int = 1,
    accelerator: str = "auto",
    isa: str = "avx2",
    allow_weaker: bool = False,
    mlflow: str | None = None,
    progress: bool = True,
) -> Results:
    """Tune, train, score and record methods on tasks, as `assay run` does.

    What is recorded is not run again, so a call that was interrupted continues when repeated.

    Args:
        methods: slugs, paths, or subclasses of `assay.Method`. A class becomes a file in
            `methods/` of the results folder, with whatever of its cell or module it needs; its slug
            is its name in snake case.
        tasks: slugs, globs, families, tiers, or paths of folders.
        preset: "quick" (fewer points and repetitions; preliminary) or "full".
        results: folder of the records; default: `$ASSAY_RESULTS`, or `assay-results` here.
        workers: parallel runs; default: one a core, or a GPU.
        threads: threads of each worker.
        accelerator: "auto" (a GPU for tiers above lite), "cpu" or "gpu".
        isa: cap on the instruction set, "avx2" or "native".
        allow_weaker: run methods without a sandbox where none works here.
        mlflow: a tracking URI, or "off"; default: SQLite in the results folder.
        progress: show headline, warnings and progress.

    Returns:
        The runs of these methods on these tasks, also those recorded before.

    Raises:
        AssayError: a name is not known, a class cannot be copied, nothing can be run, or our own
            processes keep failing.
        KeyboardInterrupt: Ctrl-C; what was finished is recorded.
    """
    from assay.commands import run_many
    from assay.engine.planning import RunRequest
    from assay.plugins.registry import select_tasks

    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    folder = results_folder(results)
    chosen = [methods] if isinstance(methods, str | Path | type) else list(methods)
    request = RunRequest(
        methods=[_name_of(method, folder) for method in chosen],
        tasks=select_tasks(_names(tasks)),
        preset=preset,
        workers=workers,
        threads=threads,
        accelerator=accelerator,
        isa=isa,
        allow_weaker=allow_weaker,
        results=folder,
        mlflow=mlflow,
        as_json=not progress,
    )
    say = partial(run_many.say, request)
    finished = run_many.execute(request, say)
    if finished.mirror_problem:
        say(run_many.mirror_warning(finished.mirror_problem))
    if finished.progress.interrupted:
        raise KeyboardInterrupt(
            f"what was finished is recorded in {folder}; the same call continues"
        )
    return Results(folder, pairs=finished.pairs, problems=finished.progress.problems)


def board(
    tasks: Names = (),
    *,
    results: str | Path | None = None,
    methods: Iterable[str | type] = (),
    defaults: bool = False,
    published: bool = False,
    epoch: str | None = None,
) -> Answer[Board]:
    """The leaderboard of a folder of results, as `assay board` shows it.

    Args:
        tasks: slugs, globs, families, tiers or paths; all tasks if none is given.
        results: folder of the records; default: `$ASSAY_RESULTS`, or `assay-results` here.
        methods: show only these and the references.
        defaults: rank the untuned defaults instead of the tuned point.
        published: show the published results too.
        epoch: show the repetitions that used this epoch's hidden seeds.

    Raises:
        AssayError: a name is not known, or there is no record to show.
    """
    from assay_leaderboard import queries
    from assay_leaderboard.terminal.board import show_board

    made = queries.board(
        _names(tasks),
        results_folder(results),
        published=published,
        methods=[method_name(method) for method in methods],
        basis=_basis(defaults),
        epoch=epoch,
    )
    return Answer(made, show_board)


def compare(
    a: str | type,
    b: str | type,
    tasks: Names = (),
    *,
    results: str | Path | None = None,
    defaults: bool = False,
) -> Answer[ComparisonReport]:
    """Two methods, task by task: paired difference, interval, p, verdict, as `assay compare`.

    Arguments and errors are those of `board`; `a` and `b` are slugs or classes.
    """
    from assay_leaderboard import queries
    from assay_leaderboard.terminal.board import show_report

    report = queries.compare(
        method_name(a),
        method_name(b),
        _names(tasks),
        results_folder(results),
        basis=_basis(defaults),
    )
    return Answer(report, show_report)


def judge(
    *methods: str, results: str | Path | None = None, published: bool = False
) -> Answer[Ledger]:
    """The claims of methods: supported, contradicted, inconclusive or not tested.

    Args:
        methods: slugs of submissions; all that claim something if none is given.
        results: folder of the records; default: `$ASSAY_RESULTS`, or `assay-results` here.
        published: use the published results too.

    Raises:
        AssayError: there is no such method, it claims nothing, or there is no record.
    """
    from assay_leaderboard import queries
    from assay_leaderboard.terminal.claims import show_ledger

    ledger = queries.judge(methods, results_folder(results), published=published)
    return Answer(ledger, show_ledger)


def _name_of(method: AnyMethod, results: Path) -> str:
    """The method as the registry finds it: a slug or a path."""
    if isinstance(method, Path):
        return str(method.expanduser().resolve())
    return method if isinstance(method, str) else str(write_method(method, results / METHODS))


def _names(given: Names) -> list[str]:
    many = [given] if isinstance(given, str | Path) else given
    return [str(one.expanduser().resolve()) if isinstance(one, Path) else one for one in many]


def _basis(defaults: bool) -> Basis:
    return "defaults" if defaults else "tuned"
