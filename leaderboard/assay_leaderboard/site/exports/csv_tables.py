"""Tables for spreadsheets and data frames: CSV whose cells never compute, and Parquet made of it.

The long table has one row per run. A task's rows are written where its records are read; the whole
table is put together from these.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.records.schema import RunRecord, StudyRecord
from assay.space import Value
from assay.untrusted.text import plain_text
from pydantic import TypeAdapter

from assay_leaderboard.schema.board import Row

LONG: dict[str, str] = {
    "task": "string",
    "method": "string",
    "study": "string",
    "run": "string",
    "purpose": "string",
    "trial": "int64",
    "repetition": "int64",
    "tuned": "bool",
    "defaults": "bool",
    "status": "string",
    "val": "double",
    "test": "double",
    "test_last": "double",
    "test_oracle": "double",
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
    "hyperparameters": "string",
    "epoch": "string",
    "created_at": "string",
}
"""Columns of the long table and their Arrow types. `trial` counts within the study; `tuned` and
`defaults` say whether the run is a repetition of that point."""
_MAX_COUNT = (1 << 63) - 1
_ANY: TypeAdapter[Any] = TypeAdapter(Any)
_ROW_GROUP = 1 << 18
"""Rows of the long table whose columns lie together in Parquet."""
_COMPUTED = ("=", "+", "-", "@")


def cell(value: Any) -> str:
    """One value as a cell: a line of text; what a spreadsheet would compute gets an apostrophe."""
    if not isinstance(value, str):
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
    """Numbers and texts under dotted names; lists are left to the JSON twin."""
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{key}.")
        elif isinstance(item, tuple):
            yield from ((f"{prefix}{key}.{i}", part) for i, part in enumerate(item))
        elif not isinstance(item, list):
            yield prefix + key, item


def table_of(parts: Sequence[Any]) -> str:
    """A CSV table with one row per part of a board; a column for every key that one of them has."""
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


def long_rows(row: Row, study: StudyRecord, runs: Iterable[RunRecord]) -> str:
    """The lines of one cell in the long table, without a header.

    Put together by hand, as there are 210,000 of them: ids, slugs and words of ours hold nothing
    that a spreadsheet computes or that needs quotes, nor do numbers.
    """
    trials = {trial.run_id: trial.number for trial in study.trials}
    tuned, defaults = set(study.selected_runs), set(study.default_runs)
    judged = f"{row.trust},{row.state}"
    lines = []
    for run in runs:
        spec, result, usage, own = run.spec, run.result, run.usage, run.id
        scores = ",,,"
        if result:
            scores = f"{result.val},{result.test},{result.test_last},{result.test_oracle}"
        lines.append(
            f"{spec.task.slug},{spec.method.slug},{study.id},{own},{spec.purpose},"
            f"{trials.get(own, '')},{_count(spec.repetition)},"
            f"{'true' if own in tuned else 'false'},{'true' if own in defaults else 'false'},"
            f"{run.status},{scores},{_count(usage.passes)},{_count(usage.batches)},"
            f"{_count(usage.examples)},{usage.train_seconds},{usage.wall_seconds},"
            f"{usage.cpu_seconds},{_count(usage.peak_bytes)},"
            f"{_count(usage.optimizer_state_bytes)},{run.isolation.level},{judged},"
            f"{_point(spec.hyperparameters)},{spec.epoch or ''},"
            f"{_quoted(cell(run.created_at))}\n"
        )
    return "".join(lines)


def long_header() -> str:
    """The first line of the long table."""
    return _csv([LONG])


def _point(hyperparameters: Mapping[str, Value]) -> str:
    """Hyperparameters as JSON in a field of a CSV table; most are fractions under few names."""
    if not hyperparameters:
        return "{}"
    form, names = _form(*hyperparameters)
    values = [hyperparameters[name] for name in names]
    return form % (*[repr(v) if type(v) is float else _inner(v) for v in values],)


@functools.lru_cache(maxsize=256)
def _form(*names: str) -> tuple[str, list[str]]:
    """A field without the values of the hyperparameters of these names, and the names in order."""
    order = sorted(names)
    items = [f"{_inner(name).replace('%', '%%')}: %s" for name in order]
    return f'"{{{", ".join(items)}}}"', order


@functools.lru_cache(maxsize=256, typed=True)
def _inner(value: Value) -> str:
    """JSON within quotes of a CSV table."""
    return json.dumps(value).replace('"', '""')


def _quoted(text: str) -> str:
    """A line of text as a field of a CSV table."""
    if '"' in text or "," in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _count(value: int) -> int | str:
    """A count, or nothing where it is more than the column holds and than any run can have."""
    return value if -_MAX_COUNT <= value <= _MAX_COUNT else ""


def typed(lines: str) -> bytes:
    """Lines of the long table as Arrow's stream of record batches.

    Whoever keeps them need not read the numbers from the text again, which is most of the work of
    writing them as Parquet.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    schema = _schema()
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, schema) as stream:
        if lines:
            read = arrow_csv.ReadOptions(column_names=list(LONG), use_threads=False)
            convert = arrow_csv.ConvertOptions(
                column_types=schema, null_values=[""], strings_can_be_null=True
            )
            text = pa.BufferReader(lines.encode())
            stream.write_table(arrow_csv.read_csv(text, read, convert_options=convert))
    return bytes(out.getvalue())


def _schema() -> Any:
    """Arrow's of the long table."""
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in LONG.items()])


def write_long(parts: Iterable[tuple[Path, Path]], csv_path: Path, parquet_path: Path) -> None:
    """Both forms of the long table.

    Args:
        parts: of each task, its lines (`long_rows`) and the same ones `typed`.
        csv_path: where the first form goes.
        parquet_path: where the second goes.
    """
    import pyarrow as pa
    from pyarrow import parquet

    tables = []
    csv_path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as files:
        out = files.enter_context(csv_path.open("xb"))
        out.write(long_header().encode())
        for lines, stream in parts:
            out.write(lines.read_bytes())
            source = files.enter_context(pa.memory_map(str(stream)))
            tables.append(pa.ipc.open_stream(source).read_all())
            tables[-1].validate(full=True)  # it may come from a cache
        writer = parquet.ParquetWriter(parquet_path, _schema(), compression="zstd")
        files.enter_context(writer)
        if tables:
            # A column of a group of rows costs the same for one task as for fifty.
            writer.write_table(pa.concat_tables(tables), _ROW_GROUP)
