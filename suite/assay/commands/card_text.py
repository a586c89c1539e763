"""What `assay list` and `assay show` print: reads cards alone, no plugin, and no torch."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from assay.cards import FAMILIES, Citation, SubmissionCard, TaskCard
from assay.commands.options import check_names
from assay.errors import UnknownName
from assay.plugins.registry import (
    TIERS,
    MethodEntry,
    TaskEntry,
    find_method,
    find_task,
    illegal,
    installed_problems,
    method_entries,
    task_entries,
)

KINDS = ("tasks", "methods")
MAX_WIDTH = 100
"""Columns of running text on a wide terminal."""


def print_lists(kind: str, family: str | None, tier: str | None, *, as_json: bool) -> None:
    """Print the tasks of a family and a tier, the methods that may enter one of them, or both.

    Args:
        kind: "tasks", "methods" or "all".
        family: only tasks of this family.
        tier: only tasks of this tier.
        as_json: as one JSON document.

    Raises:
        UnknownName: a name is not known.
        CardError: cards are malformed.
    """
    if kind not in ("all", *KINDS):
        raise UnknownName("list", kind, KINDS)
    check_names(family, tier)
    tasks, methods = _chosen(family, tier)
    for problem in installed_problems().values():
        typer.echo(f"assay: {problem}", err=True)
    if as_json:
        _print_json_lists(kind, tasks, methods)
    else:
        _print_lists(kind, tasks, methods)


def print_card(name: str, *, as_json: bool) -> None:
    """Print one card, where it lies, and what it goes with; raises as `_find`."""
    entry = _find(name)
    if isinstance(entry, TaskEntry):
        fits = [m.card.slug for m in method_entries().values() if not illegal(m.card, entry.card)]
    else:
        fits = [t.card.slug for t in task_entries().values() if not illegal(entry.card, t.card)]
    if as_json:
        _print_json_card(entry, fits)
    else:
        _print_card(entry, fits)


def _chosen(family: str | None, tier: str | None) -> tuple[list[TaskCard], list[SubmissionCard]]:
    """The tasks of a family and a tier, and the methods that may enter one of them."""
    tasks = [
        entry.card
        for entry in task_entries().values()
        if family in (None, entry.card.family) and tier in (None, entry.card.tier)
    ]
    methods = [
        entry.card
        for entry in method_entries().values()
        if (family is None and tier is None) or any(not illegal(entry.card, t) for t in tasks)
    ]
    tasks.sort(key=lambda card: (FAMILIES.index(card.family), TIERS.index(card.tier), card.slug))
    methods.sort(key=lambda card: (card.track, card.slug))
    return tasks, methods


def _print_json_lists(
    kind: str, tasks: Sequence[TaskCard], methods: Sequence[SubmissionCard]
) -> None:
    shown: dict[str, Sequence[TaskCard | SubmissionCard]] = {"tasks": tasks, "methods": methods}
    _json(
        {
            name: [card.model_dump(mode="json") for card in cards]
            for name, cards in shown.items()
            if kind in ("all", name)
        }
    )


def _print_lists(kind: str, tasks: Sequence[TaskCard], methods: Sequence[SubmissionCard]) -> None:
    if kind in ("all", "tasks"):
        rows = [(c.slug, c.family, c.tier, c.metric.name, _plain(c.title)) for c in tasks]
        _table(("task", "family", "tier", "metric", ""), rows)
    if kind == "all":
        typer.echo()
    if kind in ("all", "methods"):
        _table(
            ("method", "track", "families", "year", ""),
            [
                (c.slug, c.track, _families(c), str(c.paper.year if c.paper else ""),
                 _plain(c.title))
                for c in methods
            ],
        )  # fmt: skip


def _print_json_card(entry: TaskEntry | MethodEntry, fits: list[str]) -> None:
    """`{"kind", "path", "card", "methods" | "tasks"}`; the last are the slugs that fit it."""
    card = entry.card.model_dump(mode="json")
    if isinstance(entry, TaskEntry):
        _json({"kind": "task", "path": str(entry.folder), "card": card, "methods": fits})
    else:
        _json({"kind": "method", "path": str(entry.source), "card": card, "tasks": fits})


def _print_card(entry: TaskEntry | MethodEntry, fits: list[str]) -> None:
    if isinstance(entry, TaskEntry):
        kind, path, partners, rows = "task", entry.folder, "methods", _task_rows(entry.card)
    else:
        kind, path, partners, rows = "method", entry.source, "tasks", _method_rows(entry.card)
    typer.echo(f"{entry.card.slug} ({kind}, version {entry.card.version}): "
               f"{_plain(entry.card.title)}")  # fmt: skip
    if entry.card.summary:
        _wrapped(entry.card.summary, "")
    rows += [("path", str(path)), (f"{len(fits)} {partners}", ", ".join(fits) or "none")]
    column = max(len(label) for label, text in rows if text) + 2
    for label, text in rows:
        if text:
            _wrapped(text, label.ljust(column))
    if isinstance(entry, MethodEntry):
        _claims(entry.card)


def _find(name: str) -> TaskEntry | MethodEntry:
    """The task or the method with this slug, or at this path.

    Raises:
        UnknownName: neither a task nor a method has this slug.
        PluginError: the path holds neither.
        CardError: its card is malformed.
    """
    methods = method_entries()
    here = name not in methods and os.path.isfile(os.path.join(name, "task.py"))
    if here or name in task_entries():
        return find_task(name)
    try:
        return find_method(name)
    except UnknownName:
        raise UnknownName("task or method", name, [*task_entries(), *methods]) from None


def _task_rows(card: TaskCard) -> list[tuple[str, str]]:
    metric, budget = card.metric, card.budget
    return [
        ("family", f"{card.family}, tier {card.tier}"),
        ("data", f"{card.dataset.name}: {card.dataset.source} ({card.dataset.licence})"),
        ("split", _pairs(card.split)),
        ("model", f"{card.model.name} {_pairs(card.model.parameters)}".strip()),
        ("recipe", _pairs(card.recipe)),
        (
            "metric",
            f"{metric.name}, {metric.direction}; chance {metric.chance:g}, equivalent within "
            f"{metric.margin:g} ({metric.unit})",
        ),
        ("beside", ", ".join(card.secondary)),
        ("targets", _pairs({target.name: target.value for target in card.targets})),
        (
            "budget",
            f"{budget.example_passes} example-passes: {budget.batches} batches of "
            f"{budget.batch_size} at one pass each; stopped after "
            f"{budget.seconds:g} s of CPU time; schedule {card.schedule}",
        ),
        ("reference", card.reference),
        ("grants", ", ".join(card.access)),
        *(("paper", _citation(paper)) for paper in card.citation),
        ("replaced by", card.superseded_by or ""),
    ]


def _method_rows(card: SubmissionCard) -> list[tuple[str, str]]:
    return [
        ("track", card.track + (", a baseline" if card.is_baseline else "")),
        ("families", _families(card)),
        ("needs", ", ".join(_needs(card))),
        ("packages", ", ".join(card.packages)),
        ("data", ", ".join(card.data)),
        ("authors", ", ".join(card.authors)),
        ("paper", _citation(card.paper) if card.paper else ""),
        ("licence", card.licence),
        ("replaces", card.supersedes or ""),
    ]


def _claims(card: SubmissionCard) -> None:
    if not card.claims:
        return
    typer.echo("claims, to be tested:")
    for number, claim in enumerate(card.claims, 1):
        _wrapped(claim.text, f"{number:3}. ")
        state = "tuned" if claim.tuned else "at the defaults"
        value = "" if claim.paper_value is None else f"; in the paper: {claim.paper_value}"
        _wrapped(
            f"{claim.metric} better than {claim.better_than}, {state}, on "
            f"{', '.join(claim.tasks)}{value}",
            "     ",
        )
        _wrapped(f"Source: {claim.source}", "     ")


def _needs(card: SubmissionCard) -> list[str]:
    recipes = [f"{key} {' or '.join(map(str, ok))}" for key, ok in card.requires.items()]
    return [*card.access, *(["two classes"] if card.binary_only else []), *recipes]


def _families(card: SubmissionCard) -> str:
    return "all" if set(card.families) == set(FAMILIES) else ", ".join(card.families)


def _citation(paper: Citation) -> str:
    return f"{paper.title} ({paper.year}), {paper.identifier}"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _plain(text: str) -> str:
    """`text` on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _wrapped(text: str, label: str) -> None:
    """Print `text` behind `label`, further lines indented below it."""
    width = min(MAX_WIDTH, shutil.get_terminal_size((MAX_WIDTH, 24)).columns)
    lines = textwrap.wrap(
        _plain(text),
        max(width, len(label) + 20),
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_on_hyphens=False,
    )
    typer.echo("\n".join(lines))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in aligned columns."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def _json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1))
