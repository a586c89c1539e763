"""`assay diagnose` on records of a real pool: measured once, kept, compared, resumed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import assay as assay_package
import pytest
from assay.commands import run_one
from assay.engine import pool as pools
from assay.engine.pool import Pool
from assay.errors import RunHung
from assay.records.solutions import QUANTITIES

Assay = Callable[..., Any]


@pytest.fixture
def recorded(
    assay: Assay, pool: Pool, make_task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder, with a task and records of two methods on it."""
    make_task()
    monkeypatch.setattr(run_one, "open_pool", lambda *_: contextlib.nullcontext(pool))
    monkeypatch.setattr(pools, "Pool", lambda **_: contextlib.nullcontext(pool))
    chosen = ("--task", "./tasks/toy", "--repetition", "0", "--point", "0")
    assert assay("run", "sgd", "adam", *chosen).code == 0
    return tmp_path


def interrupted(pool: Pool, job: Any) -> NoReturn:
    raise KeyboardInterrupt


def test_networks_are_measured_once_and_compared(
    recorded: Path, assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("diagnose", "sgd", "adam", "--task", "./tasks/toy")
    own = Pool.diagnose

    def failing(self: Pool, job: Any) -> Any:
        if job.method.card.slug == "sgd":
            raise RunHung("it hung")
        return own(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(Pool, "diagnose", failing)
        said = assay(*command)
    assert said.code == 2 and said.out == ""
    assert "2 runs on toy are trained again and measured at 14 points each" in said.err
    assert said.err.endswith("assay: sgd, repetition 0: it hung\n")
    with monkeypatch.context() as patch:
        patch.setattr(Pool, "diagnose", interrupted)
        said = assay(*command)
    assert said.code == 130 and said.out == ""
    assert said.err.endswith("interrupted: give the same command again to continue\n")
    kept = list((recorded / "assay-results" / "diagnostics").rglob("*.json"))
    assert len(kept) == 1
    said = assay(*command)
    assert said.code == 0 and "1/1 runs: " in said.err
    for part in (
        "toy: networks at the same training loss", "toy: networks at the end of training",
        *(quantity.title for quantity in QUANTITIES.values()), "n=1 repetitions",
    ):  # fmt: skip
        assert part in said.out
    assert max(map(len, said.out.splitlines())) <= 100

    monkeypatch.setattr(pools, "Pool", lambda **_: pytest.fail("everything is measured"))
    said = assay(*command, "--json")
    assert (said.code, said.err) == (0, "")
    made = json.loads(said.out)
    assert (made["task"], made["repetitions"], made["n_other_weights"]) == ("toy", [0], 0)
    assert [row["method"] for row in made["matched"]] == ["adam", "sgd"]
    found = assay_package.diagnose(["sgd", "adam"], "./tasks/toy", progress=False)
    assert found.data.model_dump(mode="json") == made
    assert "toy: networks at the end of training" in repr(found)
    assert found._repr_html_().count("<table>") == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sgd", "--task", "rosenbrock"), "rosenbrock cannot be diagnosed: a function has no"),
        (("lsq", "--task", "digits_w2a2"), "digits_w2a2 cannot be diagnosed: its snapshots are"),
        (("sgd", "--task", "diffgrad_cifar10_resnet50"), "its network is so large that one point"),
        (("sgdd", "--task", "digits_mlp"), "sgdd"),
        (
            ("sgd", "--task", "./tasks/toy"),
            "sgd has no completed run on toy that its code of now made",
        ),
    ],
)
def test_what_cannot_be_diagnosed_is_said_in_one_line(
    arguments: tuple[str, ...], says: str, assay: Assay, make_task: Any
) -> None:
    make_task()
    said = assay("diagnose", *arguments)
    assert said.code == 2 and said.out == ""
    assert said.err.startswith("assay: ") and says in said.err and said.err.count("\n") == 1
