"""The data of the pages as JSON, CSV and JSON Schema, under data/v1 ("twins" of the pages)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from assay.records.solutions import Solutions
from pydantic import BaseModel, TypeAdapter

from assay_leaderboard.claims.ledger import Ledger
from assay_leaderboard.schema.board import Board, BudgetTable, TaskTable
from assay_leaderboard.schema.task_details import TaskDetail
from assay_leaderboard.schema.translation import Translation
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.exports import csv_tables
from assay_leaderboard.site.html.links import DATA
from assay_leaderboard.site.output import OutputFile
from assay_leaderboard.site.views import SiteView, TaskView


class TaskTwin(Part):
    """data/v1/tasks/<slug>.json."""

    table: TaskTable
    """At the full tuning budget."""
    detail: TaskDetail
    """`budget` and `families` hold the ranking at every budget."""
    solutions: Solutions | None = None
    """What `assay diagnose` found, if anything."""


class Budgets(Part):
    """data/v1/budgets.json."""

    tables: list[BudgetTable]
    """Families and "overall" at each tuning budget."""


class TwinManifest(Part):
    """data/v1/manifest.json."""

    schema_version: int = 2
    version: str
    """Of Assay."""
    ruleset: int
    files: list[OutputFile]
    """Every other file of the site, by path."""


SCHEMAS: dict[str, type[BaseModel]] = {
    "board": Board,
    "budgets": Budgets,
    "claims": Ledger,
    "manifest": TwinManifest,
    "task": TaskTwin,
    "translation": Translation,
}
"""What data/v1/schema/<name>.json describes."""
_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def _json(twin: Part, indent: int | None = None) -> bytes:
    """A twin as JSON."""
    return _ANY.dump_json(twin, indent=indent) + b"\n"


def of_task(view: TaskView) -> Iterator[tuple[str, str | bytes]]:
    """Path and text of the twins of a task."""
    place = f"{DATA}/tasks/{view.card.slug}"
    twin = TaskTwin(table=view.table, detail=view.detail, solutions=view.solutions)
    yield f"{place}.json", _json(twin)
    yield f"{place}.csv", csv_tables.table_of(view.table.rows)


def of_board(board: Board) -> Iterator[tuple[str, str | bytes]]:
    """Path and text of the twin of the board, as `assay board --json` prints it."""
    yield f"{DATA}/board.json", _json(board, indent=1)


def of_site(view: SiteView) -> Iterator[tuple[str, str | bytes]]:
    """Path and text of the other twins of the whole board."""
    yield f"{DATA}/claims.json", _json(view.ledger, indent=1)
    yield f"{DATA}/claims.csv", csv_tables.table_of(view.ledger.rows)
    yield f"{DATA}/translation.json", _json(view.translation, indent=1)
    yield f"{DATA}/translation.csv", csv_tables.table_of(view.translation.pooled)
    budgets = Budgets(tables=list(view.budgets))
    yield f"{DATA}/budgets.json", _json(budgets, indent=1)
    overall = [view.board.overall] if view.board.overall else []
    for summary in [*view.board.families, *overall]:
        yield f"{DATA}/families/{summary.name}.csv", csv_tables.table_of(summary.rows)


def schemas() -> Iterator[tuple[str, str]]:
    """Path and text of the JSON Schemas of the twins."""
    for name, model in SCHEMAS.items():
        schema = json.dumps(model.model_json_schema(), indent=1, sort_keys=True)
        yield f"{DATA}/schema/{name}.json", schema + "\n"


def manifest(files: Iterable[OutputFile], version: str, ruleset: int) -> tuple[str, bytes]:
    """Path and text of the list of all other files."""
    listed = sorted(files, key=lambda file: file.path)
    made = TwinManifest(version=version, ruleset=ruleset, files=listed)
    return f"{DATA}/manifest.json", _json(made, indent=1)
