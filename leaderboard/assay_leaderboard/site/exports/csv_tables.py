"""Tables as CSV whose cells no spreadsheet computes, and the table of all runs as Parquet too.

The table of all runs has one row per run. The rows of a task are made with its other files
(`run_rows`) and put together at the end (`write_runs`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.records.schema import Result, RunRecord
from assay.untrusted.text import plain_text
from pydantic import TypeAdapter

from assay_leaderboard.evidence.cells import CellEvidence

RUN_COLUMNS: dict[str, str] = {
    "task": "string",
    "method": "string",
    "run": "string",
    "repetition": "int64",
    "point": "int64",
    "selected": "bool",
    "status": "string",
    "val": "double",
    "test": "double",
    "test_last": "double",
    "test_oracle": "double",
    "example_passes": "int64",
    "passes": "int64",
    "batches": "int64",
    "examples": "int64",
    "train_seconds": "double",
    "wall_seconds": "double",
    "cpu_seconds": "double",
    "peak_bytes": "int64",
    "optimizer_state_bytes": "int64",
    "isolation": "string",
    "trust": "string",
    "state": "string",
    "published": "bool",
    "hyperparameters": "string",
    "epoch": "string",
    "created_at": "string",
}
"""Columns of the table of runs and their Arrow types. Point 0 is the defaults; `selected`: it has
the repetition's best validation score. `trust` and `state` are those of the cell."""
_MAX_COUNT = (1 << 63) - 1
_ANY: TypeAdapter[Any] = TypeAdapter(Any)
_ROW_GROUP = 1 << 18
"""Rows of a row group in Parquet."""
_COMPUTED = ("=", "+", "-", "@")


def cell(value: Any) -> str:
    """One value as a line of text, with an apostrophe before what a spreadsheet would compute."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    text = plain_text(str(value))
    return f"'{text}" if text.lstrip().startswith(_COMPUTED) else text


def sheet(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A CSV table."""
    return _csv([header]) + _csv(rows)


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([cell(v) for v in row] for row in rows)
    return out.getvalue()


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers and texts under dotted names; lists are only in the JSON."""
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{key}.")
        elif isinstance(item, tuple):
            yield from ((f"{prefix}{key}.{i}", part) for i, part in enumerate(item))
        elif not isinstance(item, list):
            yield prefix + key, item


def table_of(parts: Sequence[Any]) -> str:
    """A CSV table: a row per part of a board, a column for each key that any of them has."""
    values = _ANY.dump_python(parts)
    rows = [dict(_flat(value)) for value in values]
    known = list(dict.fromkeys(key for row in rows for key in row))
    inner = {key.partition(".")[0] for key in known if "." in key}
    order = [name for value in values[:1] for name in value]
    header = sorted(
        (key for key in known if key not in inner),  # alone it is an absent part
        key=lambda key: order.index(key.partition(".")[0]),
    )
    return "" if not rows else sheet(header, ([row.get(key) for key in header] for row in rows))


def run_rows(found: CellEvidence, runs: Iterable[RunRecord], published: Container[str]) -> str:
    """The rows of one method on one task in the table of runs, without a header.

    Args:
        found: the method on the task.
        runs: of the cell.
        published: ids of the runs that are published.
    """
    selected = set(found.selected_runs)
    words = {True: "true", False: "false"}
    out = io.StringIO()
    # Numbers as they are, and `cell` for texts alone: a large board has millions of numbers.
    csv.writer(out, lineterminator="\n").writerows(
        [
            run.spec.task.slug,
            run.spec.method.slug,
            run.id,
            _count(run.spec.repetition),
            _count(run.spec.point or 0),
            words[run.id in selected],
            run.status,
            *_scores(run.result),
            _count(run.usage.example_passes),
            _count(run.usage.passes),
            _count(run.usage.batches),
            _count(run.usage.examples),
            run.usage.train_seconds,
            run.usage.wall_seconds,
            run.usage.cpu_seconds,
            _count(run.usage.peak_bytes),
            _count(run.usage.optimizer_state_bytes),
            run.isolation.level,
            found.tier,
            found.state,
            words[run.id in published],
            cell(json.dumps(run.spec.hyperparameters, sort_keys=True)),
            run.spec.epoch,
            cell(run.created_at),
        ]
        for run in runs
    )
    return out.getvalue()


def _scores(result: Result | None) -> tuple[float | None, ...]:
    if result is None:
        return (None, None, None, None)
    return result.val, result.test, result.test_last, result.test_oracle


def _count(value: int) -> int | None:
    """A count; none where it exceeds the column's 64 bits, which no real run does."""
    return value if -_MAX_COUNT <= value <= _MAX_COUNT else None


def write_runs(parts: Iterable[str], csv_path: Path, parquet_path: Path) -> None:
    """Write the table of all runs in both forms.

    Args:
        parts: the rows of each task (`run_rows`).
        csv_path: where the CSV goes.
        parquet_path: where the Parquet goes.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    csv_path.parent.mkdir(parents=True, exist_ok=True)
    with csv_path.open("x", encoding="utf-8", newline="") as out:
        out.write(_csv([RUN_COLUMNS]))
        out.writelines(parts)
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in RUN_COLUMNS.items()])
    table = arrow_csv.read_csv(
        csv_path,
        arrow_csv.ReadOptions(use_threads=False),
        convert_options=arrow_csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True
        ),
    )
    with parquet.ParquetWriter(parquet_path, schema, compression="zstd") as writer:
        writer.write_table(table, _ROW_GROUP)
