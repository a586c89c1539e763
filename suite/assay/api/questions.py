"""`assay.board`, `compare`, `judge` and `translate`: questions to a folder of results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from assay.api.answers import Answer
from assay.api.class_source import slug_of

if TYPE_CHECKING:
    from assay_leaderboard.boards.two_methods import ComparisonReport
    from assay_leaderboard.claims.ledger import Ledger
    from assay_leaderboard.schema.board import Board
    from assay_leaderboard.schema.translation import Translation

Names: TypeAlias = str | Path | Sequence[str | Path]


def board(
    tasks: Names = (),
    *,
    results: str | Path | None = None,
    methods: str | type | Iterable[str | type] = (),
    budget: int | None = None,
    published: bool = False,
    epoch: str | None = None,
) -> Answer[Board]:
    """The leaderboard of a folder of results, as `assay board` shows it.

    Args:
        tasks: slugs, globs, families, tiers or paths; all tasks if none is given.
        results: folder of the records; default: `$ASSAY_RESULTS`, or `assay-results` here.
        methods: show only these and the references.
        budget: how many hyperparameter points of each repetition to choose from, 1 being the
            defaults alone; default: all.
        published: show the published results too.
        epoch: show the runs that used this epoch's hidden seeds.

    Raises:
        AssayError: a name is not known, or there is no record to show.
    """
    from assay_leaderboard import queries
    from assay_leaderboard.terminal.board import show_board

    chosen = [methods] if isinstance(methods, str | type) else methods
    made = queries.board(
        listed(tasks),
        results_folder(results),
        published=published,
        methods=[method_name(method) for method in chosen],
        budget=budget,
        epoch=epoch,
    )
    return Answer(made, show_board)


def compare(
    a: str | type,
    b: str | type,
    tasks: Names = (),
    *,
    results: str | Path | None = None,
    budget: int | None = None,
) -> Answer[ComparisonReport]:
    """Two methods, task by task: paired difference, interval, verdict, as `assay compare`.

    Arguments and errors are those of `board`; `a` and `b` are slugs or classes.
    """
    from assay_leaderboard import queries
    from assay_leaderboard.terminal.comparison import show_report

    report = queries.compare(
        method_name(a),
        method_name(b),
        listed(tasks),
        results_folder(results),
        budget=budget,
    )
    return Answer(report, show_report)


def judge(
    *methods: str, results: str | Path | None = None, published: bool = False
) -> Answer[Ledger]:
    """What the cards of methods claim, each with its verdict.

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


def translate(
    tasks: Names = (), *, results: str | Path | None = None, published: bool = False
) -> Answer[Translation]:
    """Best learning rates of methods beside the reference's, as `assay translate` shows them.

    Arguments and errors are those of `board`.
    """
    from assay_leaderboard import queries
    from assay_leaderboard.terminal.translation import show_translation

    made = queries.translate(listed(tasks), results_folder(results), published=published)
    return Answer(made, show_translation)


def results_folder(given: str | Path | None) -> Path:
    """The folder given, else `$ASSAY_RESULTS`, else `assay-results` here."""
    return Path(given or os.environ.get("ASSAY_RESULTS") or "assay-results")


def method_name(method: str | Path | type) -> str:
    """The slug of a method given as a class; a name as it is."""
    return slug_of(method) if isinstance(method, type) else str(method)


def listed(given: Names) -> list[str]:
    """Names as a list; paths made absolute."""
    many = [given] if isinstance(given, str | Path) else given
    return [str(one.expanduser().resolve()) if isinstance(one, Path) else one for one in many]
