"""Data twins: what the pages say, for programs; CSV that never computes, Parquet that agrees."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import typer
from assay import paths
from assay.cards import Citation, SubmissionCard
from assay_leaderboard.cli import register
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.exports import bibtex, csv_tables
from assay_leaderboard.site.exports.json_twins import SCHEMAS
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

N_RUNS_OF_CELL = 96
TWINS = {
    "board.json": "board",
    "budgets.json": "budgets",
    "claims.json": "claims",
    "manifest.json": "manifest",
    "tasks/t00.json": "task",
    "translation.json": "translation",
}


@pytest.fixture
def data(built: Path) -> Path:
    """data/v1 of a site."""
    return built / "data" / "v1"


def test_json_fits_its_schema_and_its_model(data: Path) -> None:
    for twin, name in TWINS.items():
        text = (data / twin).read_text()
        SCHEMAS[name].model_validate_json(text)
        schema = json.loads((data / "schema" / f"{name}.json").read_text())
        assert list(misfits(json.loads(text), schema, schema)) == [], twin
    schema = json.loads((data / "schema" / "board.json").read_text())
    assert list(misfits({"ruleset": "1"}, schema, schema))


def misfits(value: Any, schema: Any, root: Any, where: str = "$") -> Any:
    """Where a value is not what a JSON Schema says: the part of the standard that is used here."""
    if "$ref" in schema:
        named = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        yield from misfits(value, named, root, where)
        return
    if "anyOf" in schema:
        if all(list(misfits(value, option, root)) for option in schema["anyOf"]):
            yield f"{where}: none of the options"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{where}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not among {schema['enum']}"
    if "pattern" in schema and not re.search(schema["pattern"], str(value)):
        yield f"{where}: {value!r} does not match"
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    if kind in ("number", "integer"):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and (kind == "integer" or not isinstance(value, float)):
            yield f"{where}: {value!r} is no {kind}"
    elif kind and not isinstance(value, kinds[kind]):
        yield f"{where}: {value!r} is no {kind}"
    elif kind == "object":
        known = schema.get("properties", {})
        extra = schema.get("additionalProperties", True)
        yield from (
            f"{where}: {key} is missing" for key in schema.get("required", ()) if key not in value
        )
        for key, item in value.items():
            if key not in known and extra is False:
                yield f"{where}: {key} is not known"
            rule = known.get(key, extra)
            if isinstance(rule, dict):
                yield from misfits(item, rule, root, f"{where}.{key}")
    elif kind == "array":
        rules = schema.get("prefixItems", [])
        for i, item in enumerate(value):
            rule = rules[i] if i < len(rules) else schema.get("items", {})
            yield from misfits(item, rule, root, f"{where}[{i}]")


def test_the_board_is_what_the_command_prints(simulated: Any, data: Path) -> None:
    app = typer.Typer()
    register(app)
    said = CliRunner().invoke(app, ["board", "--json", "--results", str(paths.RESULTS)])
    assert said.stdout == (data / "board.json").read_text()
    said = CliRunner().invoke(app, ["claims", "--json", "--results", str(paths.RESULTS)])
    assert said.stdout == (data / "claims.json").read_text()
    said = CliRunner().invoke(app, ["translate", "--json", "--results", str(paths.RESULTS)])
    assert said.stdout == (data / "translation.json").read_text()


def test_the_long_table_has_every_run_once_in_both_forms(data: Path) -> None:
    with (data / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pyarrow.parquet.read_table(data / "results.parquet")
    assert table.column_names == list(rows[0]) == list(csv_tables.RUN_COLUMNS)
    assert len(rows) == 12 * N_RUNS_OF_CELL
    assert len({row["run"] for row in rows}) == len(rows)
    for row, other in zip(rows, table.to_pylist(), strict=True):
        assert row == {name: csv_tables.cell(value) for name, value in other.items()}
    names = [(row["task"], row["method"]) for row in rows]
    assert len(set(names)) == 12


def test_the_long_table_says_what_the_board_says(data: Path) -> None:
    board = json.loads((data / "board.json").read_text())
    table = pyarrow.parquet.read_table(data / "results.parquet").to_pylist()
    for task in board["tasks"]:
        for row in task["rows"]:
            own = [
                run["test"] if run["test"] is not None else task["chance"]
                for run in table
                if run["selected"] and (run["task"], run["method"]) == (task["task"], row["method"])
            ]
            assert len(own) == row["tuned"]["n"] == 12
            assert sum(own) / 12 == pytest.approx(row["tuned"]["mean"], rel=1e-12)


def test_each_table_has_its_csv(data: Path) -> None:
    for name in ("tasks/t00", "families/classification", "families/overall", "claims"):
        rows = list(csv.DictReader(io.StringIO((data / f"{name}.csv").read_text())))
        assert {row["method"] for row in rows} == {"m000", "m001", "m002", "m003"}
    rows = list(csv.DictReader(io.StringIO((data / "tasks" / "t00.csv").read_text())))
    board = json.loads((data / "board.json").read_text())
    found = {row["method"]: row for row in rows}
    for row in board["tasks"][0]["rows"]:
        own = found[row["method"]]
        assert float(own["tuned.mean"]) == row["tuned"]["mean"]
        assert float(own["tuned.interval.low"]) == row["tuned"]["interval"]["low"]
        assert own["rank.0"] == str(row["rank"][0])


class Inner(Part):
    low: float


class Outer(Part):
    name: str
    inner: Inner | None
    pair: tuple[int, int] | None
    many: list[int]


def test_absent_parts_leave_their_cells_empty() -> None:
    rows = [
        Outer(name="a", inner=None, pair=None, many=[1]),
        Outer(name="b", inner=Inner(low=0.5), pair=(1, 2), many=[]),
    ]
    assert csv_tables.table_of(rows) == "name,inner.low,pair.0,pair.1\na,,,\nb,0.5,1,2\n"
    assert csv_tables.table_of([]) == ""


@given(st.text())
def test_no_cell_computes_or_leaves_its_place(text: str) -> None:
    lines = csv_tables.sheet(["x", "y"], [[text, 1]]).splitlines()
    ((said, other),) = csv.reader(lines[1:])
    assert other == "1"
    assert not said.lstrip().startswith(("=", "+", "-", "@"))
    assert all(c.isprintable() for c in said)
    if all(c.isprintable() for c in text):
        assert said in (text, f"'{text}")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, ""),
        (True, "true"),
        (-1.5, "-1.5"),
        (1e-17, "1e-17"),
        (7, "7"),
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("\t=1", "' =1"),
        ("a\r\nb", "a  b"),
        ("plain", "plain"),
    ],
)
def test_numbers_stay_numbers(value: Any, said: str) -> None:
    assert csv_tables.cell(value) == said


@pytest.mark.parametrize(
    "point",
    [
        {},
        {"lr": 0.1, "momentum": 1.0, "nesterov": True, "k": 1, "eps": 1e-17},
        {"%s%%": 0.5, "%": "%s"},
        {"b": "a,b", "a": '"', "=1": "=1", "c": "\n\r\u202e\ud7ff", '",': -0.0},
    ],
)
def test_a_line_of_the_long_table_holds_whatever_a_record_says(records: Any, point: Any) -> None:
    records.task("digits").add("digits", "sgd", [0.5], k=1)
    (cell,) = records.task_evidence("digits").cells
    (run,) = records.runs.values()
    spec = run.spec.model_copy(update={"hyperparameters": point})
    changed = run.model_copy(update={"spec": spec, "created_at": '=1,"\n'})
    text = csv_tables.run_rows(cell, [changed], {run.id})
    assert text.count("\n") == 1
    ((*others, said, epoch, created),) = csv.reader([text])
    assert len(others) == len(csv_tables.RUN_COLUMNS) - 3
    assert repr(json.loads(said)) == repr(dict(sorted(point.items())))
    assert (epoch, created) == ("", "'=1,\" ")


def test_both_forms_of_the_table_of_runs_hold_all_rows(tmp_path: Path) -> None:
    """More than Arrow reads at once, one row, and a task without any."""
    line = "t,m,r{},0,{},true,completed,{},0.1,,1e-9,18,9,,3,0.5,1,2,,7,L2,T1,ranked,true,"
    line += '"{{""lr"": 0.1, ""x"": ""\u20ac""}}",,now\n'
    texts = ["".join(line.format(n, n, n / 7) for n in range(20_000)), line.format(1, "", ""), ""]
    csv_tables.write_runs(texts, tmp_path / "runs.csv", tmp_path / "runs.parquet")
    header, _, rest = (tmp_path / "runs.csv").read_text().partition("\n")
    assert (header.split(","), rest) == (list(csv_tables.RUN_COLUMNS), "".join(texts))
    found = pyarrow.parquet.ParquetFile(tmp_path / "runs.parquet")
    assert found.num_row_groups == 1
    table = found.read()
    assert table.column("point").to_pylist() == [*range(20_000), None]
    assert table.column("val").to_pylist() == [*(n / 7 for n in range(20_000)), None]


def test_a_table_without_runs_has_both_forms(tmp_path: Path) -> None:
    csv_tables.write_runs([], tmp_path / "runs.csv", tmp_path / "runs.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "runs.parquet").num_rows == 0


def test_citations_are_escaped() -> None:
    paper = Citation(
        title=r"50% of \input{x} & $y_i$ ~ {", year=2019, identifier="arXiv:1909.11015"
    )
    card = SubmissionCard(slug="mine", title="Mine_1", paper=paper, authors=["A. {B}", "C \\D"])
    text = bibtex.of_method("mine", card)
    assert text.count("@misc{") == 2
    assert (
        r"title = {{50\% of \textbackslash{}input\{x\} \& \$y\_i\$ \textasciitilde{} \{}}" in text
    )
    assert "eprint = {1909.11015}" in text and "archiveprefix = {arXiv}" in text
    assert r"author = {{A. \{B\}} and {C \textbackslash{}D}}" in text
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bibtex.of_method("local", None).startswith("@misc{assay_local,")
