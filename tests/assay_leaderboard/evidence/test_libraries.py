"""Runs with other libraries, on other machines and of namesakes: what the board says of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from assay.records.schema import RUN_LIBRARIES, MethodRef
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build
from assay_leaderboard.evidence.environments import mixed
from assay_leaderboard.evidence.flags import FlagFinder
from assay_leaderboard.schema.board import Row

from tests.assay_leaderboard.making import ENVIRONMENT, K, R, Records, grid, method_ref

N = R * K


def row(records: Records, method: str = "adam") -> Row:
    board = build(records.evidence, records.catalogue, ["t"], RULESET)
    (table,) = board.tasks
    return next(row for row in table.rows if row.method == method)


def with_library(**by_code: str) -> Records:
    """Records of a method that imports mylib, whose version depends on the time of its code."""

    def made(slug: str, code: str) -> MethodRef:
        libraries = {"mylib": version} if (version := by_code.get(code)) else {}
        return method_ref(slug).model_copy(update={"libraries": libraries})

    return Records(method_ref=made).task("t")


def test_a_library_edited_between_two_commands_does_not_mix_runs() -> None:
    """Before, 5 old and 4 new runs stood in one cell: its mean fell from 86 to 48."""
    records = with_library(before="1.0 #aa", now="1.0 #bb")
    records.cell("t", "adam", grid(0.9, 0, r=5)[0], method_code="before")
    records.cell("t", "adam", grid(0.3, 1, r=4)[0])
    found = row(records)
    assert found.runs.completed == 4 * K
    assert found.tuned.mean is not None and found.tuned.mean < 0.4
    assert (
        f"{5 * K} stale runs do not count: the method uses mylib 1.0 with other files now"
        in found.note
    )


def test_another_version_makes_a_cell_stale_and_names_it() -> None:
    records = with_library(before="3.1", now="3.2")
    records.add("t", "adam", [0.9] * R, method_code="before")
    found = row(records)
    assert (found.state, found.note) == ("stale", "the method uses mylib 3.1 then, 3.2 now")


def test_a_library_that_is_not_installed_here_makes_nothing_stale() -> None:
    records = with_library(before="3.1")
    records.add("t", "adam", [0.9] * R, method_code="before")
    found = row(records)
    assert found.state == "ranked"
    assert found.note == "made with mylib 3.1: not installed here, so a change would not be seen"


def test_where_it_is_not_installed_the_larger_cell_counts_and_the_other_is_named() -> None:
    records = with_library(before="3.1", later="3.2")
    records.add("t", "adam", [0.9] * R, method_code="before")
    records.cell("t", "adam", grid(0.3, 1, r=2)[0], method_code="later")
    assert row(records).runs.completed == N
    (problem,) = build(records.evidence, records.catalogue, ["t"], RULESET).problems
    assert f"{2 * K} runs of another library (mylib 3.2) do not count beside the {N}" in problem


def test_a_method_outside_the_checkout_has_the_libraries_of_its_newest_runs() -> None:
    records = with_library(before="1.0 #aa", now="1.0 #bb")
    records.local.add("mine")
    records.add("t", "mine", [0.9] * R, method_code="before", created_at="2026-01-01")
    records.cell("t", "mine", grid(0.3, 1, r=4)[0], created_at="2026-01-02")
    found = row(records, "mine")
    assert found.local and found.runs.completed == 4 * K
    assert f"{N} stale runs do not count: the method uses mylib" in found.note


def on_other_machine(records: Records, n: int, **changes: object) -> None:
    for run in records.of("adam")[:n]:
        records.change(run.id, environment=ENVIRONMENT.model_copy(update=changes))


def test_a_cell_of_several_machines_ranks_with_a_remark() -> None:
    records = Records().task("t")
    records.add("t", "adam", [0.9] * R)
    assert row(records).note == ""
    on_other_machine(records, N // 2, torch="2.13.1", python="3.12.1", cpu_flags_hash="1")
    found = row(records)
    assert found.state == "ranked"
    half = N // 2
    assert found.note == (
        f"mixed: python 3.11 in {half} runs, 3.12.1 in {half}; torch 2 in {half} runs, 2.13.1 in "
        f"{half}; 2 sets of CPU flags ({half}, {half} runs)"
    )


def test_one_run_with_another_numpy_is_named() -> None:
    records = Records().task("t")
    records.add("t", "adam", [0.9] * R)
    on_other_machine(records, 1, libraries={RUN_LIBRARIES[0]: "2.4.2"})
    assert row(records).note == f"mixed: numpy unknown in {N - 1} runs, 2.4.2 in 1"


def test_only_runs_that_count_are_looked_at() -> None:
    records = Records().task("t")
    records.add("t", "adam", [0.9] * R, method_code="before")
    on_other_machine(records, 3, torch="1.0")
    records.cell("t", "adam", grid(0.9, 0)[0])
    assert "mixed" not in row(records).note


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], ""),
        (["a", "a"], ""),
        (["a", "b", "a"], "mixed: cpu a in 2 runs, b in 1"),
        (["a", "b", "c", "d", "e"], "mixed: cpu a in 1 runs, b in 1, c in 1 and 2 more"),
    ],
)
def test_kinds_are_counted(values: Sequence[str], says: str) -> None:
    assert mixed([(("cpu", value),) for value in values]) == says


def flags_of(records: Records, *baselines: MethodRef) -> dict[str, list[str]]:
    finder = FlagFinder({"t": records.cards["t"]}, {}, baselines)
    found = finder.flags(records.runs.values())
    return {method.slug: [flag.code for flag in flags] for (_, method), flags in found.items()}


def test_a_namesake_of_a_baseline_is_no_baseline() -> None:
    """Before, a file called sgd.py was compared with, and honest adam was flagged."""
    records = Records().task("t")
    for number, slug in enumerate(("sgd", "momentum")):
        values = [[0.4 + 0.001 * number + 0.0001 * r] for r in range(R)]
        records.cell("t", slug, values, method_code="before")
    honest = [[1.0]] * R
    records.cell("t", "adam", honest)
    old = [method_ref(slug, "before") for slug in ("sgd", "momentum")]
    now = [method_ref(slug) for slug in ("sgd", "momentum")]
    assert flags_of(records, *old)["adam"], "they would be what it is held against"
    assert flags_of(records, *now)["adam"] == []
