"""How `assay run` ends: scores and the next command, or what failed and another exit code."""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from assay.commands import run_many
from assay.commands.progress import notebook_shell
from assay.commands.summary import INCOMPLETE
from assay.engine.cells import Cell
from assay.engine.planning import RunRequest
from assay.epochs import Epoch
from assay.records.store import Store
from assay.ruleset import RULESET

Run = Callable[..., int]
N = RULESET.quick_repetitions


@pytest.fixture
def run(
    make_task: Callable[..., Any],
    make_method: Callable[..., Any],
    make_cell: Callable[..., Cell],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """`assay run sgd adam --task toy --quick` on a pool that trains nothing."""
    task = make_task()
    cells = [make_cell(task, make_method(slug, f"a = {slug!r}\n")) for slug in ("sgd", "adam")]
    monkeypatch.setattr(run_many, "make_cells", lambda *_, **__: cells)
    request = RunRequest(
        methods=["sgd", "adam"], tasks=[task], results=tmp_path / "r", preset="quick", mlflow="off"
    )

    def call(pool: Any, **changes: Any) -> int:
        monkeypatch.setattr(run_many, "Pool", lambda **_: pool)
        return run_many.run(replace(request, **changes))

    return call


def test_a_run_ends_with_the_scores_and_the_next_command(
    run: Run,
    fake_pool: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(fake_pool(share_diverged=0)) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"48 runs done; records in {tmp_path / 'r'}"
    assert out[1] == "mean test scores (of each repetition the best point on validation):"
    size = rf"\(defaults 0\.\d+, {N} repetitions of 4 points, preliminary\)"
    assert re.fullmatch(rf"  toy  sgd   accuracy 0\.\d+ {size}", out[2])
    assert re.fullmatch(rf"  toy  adam  accuracy 0\.\d+ {size}", out[3])
    where = f"./tasks/toy --results {tmp_path / 'r'}"
    assert out[4:] == [f"next: assay board {where}, or: assay compare sgd adam {where}"]

    assert run(fake_pool(), as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["done"], said["reused"], said["failures"]) == (0, 48, {})
    assert [score["method"] for score in said["scores"]] == ["sgd", "adam"]
    assert {score["n"] for score in said["scores"]} == {N}
    assert said["scores"][0]["state"] == "preliminary"
    by_repetition: dict[int, list[Any]] = {}
    for record in Store(tmp_path / "r").runs(None, "toy", "sgd"):
        by_repetition.setdefault(record.spec.repetition, []).append(record)
    best = [max(runs, key=lambda run: run.result.val) for runs in by_repetition.values()]
    defaults = [next(r for r in runs if r.spec.point == 0) for runs in by_repetition.values()]
    for key, runs in (("test", best), ("defaults", defaults)):
        mean = statistics.fmean(run.result.test for run in runs)
        assert said["scores"][0][key] == pytest.approx(mean)
    assert said["next"][0] == f"assay board {where}"

    assert run(fake_pool(), epoch=Epoch("spring", "k" * 32)) == 0
    assert capsys.readouterr().out.endswith(f"next: assay board {where} --epoch spring\n")

    monkeypatch.setenv("ASSAY_RESULTS", str(tmp_path / "r"))
    assert run(fake_pool()) == 0
    assert "next: assay board ./tasks/toy, or:" in capsys.readouterr().out


def test_a_method_that_is_left_out_is_named_beside_json_too(
    run: Run, fake_pool: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fake_pool(), methods=["sgd", "lsq"], as_json=True) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["problems"] == []
    assert said.err.startswith("left out: lsq does not enter the family classification\n")


def test_the_quickstart_takes_the_addresses_of_copies_from_the_environment(
    assay: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[RunRequest] = []
    monkeypatch.setattr(run_many, "run", lambda request, **_: requests.append(request) or 1)
    monkeypatch.setenv("ASSAY_MLFLOW", "off")
    monkeypatch.delenv("ASSAY_OPTUNA_STORAGE", raising=False)
    assert assay("quickstart").code == 1
    monkeypatch.setenv("ASSAY_MLFLOW", "http://somewhere")
    monkeypatch.setenv("ASSAY_OPTUNA_STORAGE", "postgresql://somewhere/studies")
    assert assay("quickstart").code == 1
    found = [(request.mlflow, request.optuna_storage) for request in requests]
    assert found == [("off", None), ("http://somewhere", "postgresql://somewhere/studies")]


def test_a_method_that_always_fails_says_so_at_once_and_at_the_end(
    run: Run, fake_pool: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"sgd": "ValueError: " + "no " * 500}
    assert run(fake_pool(broken=broken)) == INCOMPLETE
    said = capsys.readouterr()
    lines = said.err.splitlines()
    told = [line for line in lines if line.startswith("sgd failed on toy: ValueError: no no")]
    assert len(told) == 1 and len(told[0]) < 400
    assert lines.index(told[0]) < len(lines) - 1
    assert lines[-1].startswith(
        "assay: sgd on toy: the defaults failed in 3 repetitions (ValueError: no"
    )
    assert ", 3 failed" in said.out.splitlines()[0]
    assert "  toy  adam  accuracy" in said.out
    assert "sgd" not in said.out.split("next: ")[1]

    assert run(fake_pool(), as_json=True) == INCOMPLETE
    answer = json.loads(capsys.readouterr().out)
    assert list(answer["failures"]) == ["sgd"]
    assert len(answer["problems"]) == 1


def test_repetitions_that_diverge_are_counted_beside_the_mean(
    run: Run, fake_pool: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fake_pool(share_diverged=1.0)) == 0
    out = capsys.readouterr().out
    assert out.count("6 of them at chance: no point completed") == 2
    assert out.count("accuracy 0.1 (defaults 0.1, ") == 2


def test_a_library_that_another_thread_is_importing_is_no_notebook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    assert notebook_shell() is None
