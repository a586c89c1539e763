"""Runs at given hyperparameters: recorded once, repeated for comparison, interrupted cleanly."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay import paths
from assay.commands import run_many, run_one
from assay.commands.run_one import Choice
from assay.commands.summary import INCOMPLETE, INTERRUPTED
from assay.engine.cells import Cell
from assay.engine.planning import RunRequest
from assay.errors import AssayError, RunHung
from assay.records.schema import RunRecord
from assay.records.store import Store


class Fixed:
    """`assay run METHOD --set ...` on one toy cell and a pool that trains nothing."""

    def __init__(self, cell: Cell, results: Path, patch: pytest.MonkeyPatch) -> None:
        self.cell, self.results, self.patch = cell, results, patch
        patch.setattr(run_many, "make_cells", lambda *_, **__: [cell])

    def run(
        self,
        pool: Any,
        *settings: str,
        again: bool = False,
        repetition: int | None = 3,
        point: int | None = None,
    ) -> int:
        self.patch.setattr(run_many, "Pool", lambda **_: pool)
        request = RunRequest(
            methods=["sgd"], tasks=[self.cell.task], results=self.results, as_json=True
        )
        return run_one.run_chosen(request, Choice(repetition, point, settings), again=again)

    def records(self) -> list[RunRecord]:
        return list(Store(self.results).runs())


@pytest.fixture
def fixed(
    make_task: Callable[..., Any],
    make_method: Callable[..., Any],
    make_cell: Callable[..., Cell],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Fixed:
    cell = make_cell(make_task(), make_method("sgd", "a = 1\n"), "full")
    return Fixed(cell, tmp_path / "results", monkeypatch)


def test_a_fixed_run_is_recorded_once_and_compared_on_request(
    fixed: Fixed, fake_pool: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def remark() -> str:
        return str(json.loads(capsys.readouterr().out)["remark"])

    assert fixed.run(fake_pool(share_diverged=0), "lr=1", again=True) == 0
    assert remark() == "new"
    (record,) = fixed.records()
    assert record.spec.hyperparameters == {"lr": 1.0, "nesterov": True}
    assert (record.spec.repetition, record.spec.point) == (3, None)
    pool = fake_pool(share_diverged=0)
    assert fixed.run(pool, "lr=1.0") == 0
    assert (remark(), pool.ran) == ("recorded before", [])
    assert fixed.run(pool, "lr=1.0", again=True) == 0
    assert (remark(), pool.ran) == ("bit-identical to its record", [record.id])

    class Other(fake_pool):  # type: ignore[misc]
        def run(self, *arguments: Any) -> RunRecord:
            made: RunRecord = super().run(*arguments)
            return made.model_copy(update={"weights_sha256": "0" * 64})

    assert fixed.run(Other(share_diverged=0), "lr=1.0", again=True) == 1
    assert remark() == "DIFFERS from its record: weights"
    assert fixed.records() == [record]


def test_ctrl_c_in_a_fixed_run_says_how_to_continue(
    fixed: Fixed, fake_pool: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(fake_pool):  # type: ignore[misc]
        def run(self, *arguments: Any) -> RunRecord:
            raise KeyboardInterrupt

    assert fixed.run(Interrupted(), "lr=1") == INTERRUPTED == 130
    assert "give the same command again" in capsys.readouterr().err
    assert fixed.records() == []
    assert fixed.run(fake_pool(), "lr=1") == 0  # the lock is free again


@pytest.mark.parametrize(
    ("repetition", "point", "expected"),
    [
        (3, 2, [(3, 2)]),
        (3, None, [(3, point) for point in range(8)]),
        (None, 7, [(number, 7) for number in range(12)]),
        (14, 0, [(14, 0)]),
        (105, 1, [(105, 1)]),
    ],
)
def test_repetitions_and_points_are_run_one_by_one(
    fixed: Fixed,
    fake_pool: Any,
    repetition: int | None,
    point: int | None,
    expected: list[tuple[int, int]],
) -> None:
    assert fixed.run(fake_pool(), repetition=repetition, point=point) == 0
    found = [record.spec for record in fixed.records()]
    assert sorted((spec.repetition, spec.point) for spec in found) == expected
    for spec in found:
        assert spec.point is not None
        assert spec.hyperparameters == fixed.cell.points(spec.repetition)[spec.point]
    inside = {spec.id for spec in found if spec.repetition < 12}
    assert inside <= fixed.cell.specs.keys()


def test_a_point_that_is_none_is_told_before_anything_runs(fixed: Fixed, fake_pool: Any) -> None:
    pool = fake_pool()
    with pytest.raises(AssayError, match="sgd has 8 points on toy; expected 0 to 7"):
        fixed.run(pool, point=8)
    with pytest.raises(AssayError, match="--repetition 16: expected 0 to 15, or 100 to "):
        fixed.run(pool, repetition=16)
    with pytest.raises(AssayError, match="--repetition 9{23}: expected 0 to 15, or 100 to "):
        fixed.run(pool, repetition=10**23 - 1)
    with pytest.raises(AssayError, match="--set and --point exclude each other"):
        fixed.run(pool, "lr=1", point=1)
    assert pool.ran == []


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("lr", "expected name=value"),
        ("lrr=1", "no hyperparameter of sgd is called 'lrr'. Did you mean lr"),
        ("lr=high", "expected a value of type float"),
        ("lr=NaN", "expected a value of type float"),
        ("lr=1e999", "expected a value of type float"),
        ("lr=1" + "0" * 400, "expected a value of type float"),
        ("lr=" + "[" * 100_000, "expected a value of type float"),
        ("nesterov=1", "expected a value of type bool"),
    ],
    ids=lambda text: text[:12],
)
def test_a_setting_that_is_none_is_told_before_anything_runs(
    fixed: Fixed, fake_pool: Any, setting: str, says: str
) -> None:
    pool = fake_pool()
    with pytest.raises(AssayError, match=says):
        fixed.run(pool, setting)
    assert pool.ran == []


@pytest.mark.parametrize(
    "given",
    ["./a folder/mine.py", "a folder/mine.py", "./a folder/in_folder", "in_folder", "../up.py",
     "--odd.d/mine.py", "./sgd"],
)  # fmt: skip
def test_the_command_of_a_record_works_from_where_it_was_run(
    assay: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fake_pool: Any,
    make_cell: Any,
    make_task: Any,
    given: str,
) -> None:
    task = make_task()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    path = Path(given)
    path.parent.mkdir(exist_ok=True)
    if path.suffix:
        path.write_text("x = 1\n")
    elif path.name == "sgd":  # a copy may have the name
        shutil.copytree(paths.ROOT / "submissions" / "sgd", path)
    else:
        path.mkdir()
        (path / "method.py").write_text("x = 1\n")
        (path / "card.toml").write_text(f'slug = "{path.name}"\ntitle = "Mine"\n')

    def cells(pairs: Any, pool: Any, preset: Any, **_: Any) -> list[Cell]:
        return [make_cell(task, method, preset) for task, method in pairs]

    monkeypatch.setattr(run_many, "Pool", lambda **_: fake_pool())
    monkeypatch.setattr(run_many, "make_cells", cells)
    chosen = ["--point", "3"] if path.suffix else ["--set", "lr=0.5"]
    options = ["--task", str(task.folder), *chosen, "--repetition", "2"]
    dash = given.startswith("-")
    said = assay("run", *options, *(["--", given] if dash else [given]))
    assert (said.code, said.err.count("Traceback")) == (0, 0), said.err
    (record,) = Store(here / "assay-results").runs()
    assert f"to repeat it: {record.reproduce}" in said.out
    again = assay(*shlex.split(record.reproduce)[1:])
    assert again.code == 0, again.err
    assert "bit-identical to its record" in again.out


def test_missing_packages_are_one_line_before_anything_starts(
    assay: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_many, "Pool", None)  # nothing may start
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "method.py").write_text("")
    card = 'slug = "mine"\ntitle = "Mine"\npackages = ["no-such-library>=2"]\n'
    (folder / "card.toml").write_text(card)
    for options in ([], ["--set", "lr=1"]):
        said = assay("run", "./mine", "--task", "digits_step", *options)
        assert (said.code, said.out) == (2, "")
        assert said.err.splitlines() == [
            "assay: mine needs no-such-library>=2 (not installed): pip install 'no-such-library>=2'"
        ]


def test_a_fixed_run_that_fails_or_hangs_ends_with_another_code(
    fixed: Fixed, fake_pool: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Hanging(fake_pool):  # type: ignore[misc]
        def run(self, *arguments: Any) -> RunRecord:
            raise RunHung("sgd on toy: stopped as it did not end")

    assert fixed.run(Hanging(), point=0) == INCOMPLETE == 4
    assert capsys.readouterr().err == "assay: sgd on toy: stopped as it did not end\n"
    assert fixed.records() == []
    broken = fake_pool(broken={"sgd": "ValueError: no"})
    assert fixed.run(broken, point=0) == INCOMPLETE
    assert fixed.run(fake_pool(), point=0) == INCOMPLETE  # recorded before
    assert [record.message for record in fixed.records()] == ["ValueError: no"]


@pytest.mark.parametrize(
    "text",
    [
        '{"usage": {"wall_seconds": NaN}}',
        '{"usage": {"wall_seconds": Infinity}}',
        '{"usage": {"wall_seconds": -1}}',
        '{"usage": {"wall_seconds": 1' + "0" * 400 + "}}",
        "[" * 100_000,
        "[]",
        "",
    ],
)
def test_a_dry_run_passes_over_records_that_tell_no_time(fixed: Fixed, text: str) -> None:
    store, cell = Store(fixed.results), fixed.cell
    path = store.run_path(cell.task.card.slug, cell.method.card.slug, "0" * 16)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert run_many._seconds_per_run(store, cell) == run_many.NOMINAL_SECONDS["lite"]
