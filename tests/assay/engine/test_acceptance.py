"""Every plugin under tests/plugins through the real engine: one pool, toy tasks, real records."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from assay.cards import TaskCard, read_card
from assay.engine.cells import Cell, make_cells
from assay.engine.pipeline import Pipeline
from assay.engine.pool import Pool
from assay.errors import AssayError, RunHung
from assay.paths import ROOT
from assay.plugins.registry import TaskEntry, find_method, find_task
from assay.records.schema import RunRecord
from assay.records.store import Store
from assay.sandbox import limits

PLUGINS = ROOT / "tests" / "plugins"
BATCHES, POINTS = 48, 3

GOOD: dict[str, tuple[str, float | None]] = {
    "adahessian": ("digits_mlp", 2),
    "adamw": ("digits_mlp", 1),
    "el2n_pruning": ("digits_mlp", 1),
    "ema": ("digits_mlp", 1),
    "finite_difference_gr": ("digits_mlp", 2),
    "forward_gradient": ("digits_cnn", 1),
    "global_random": ("digits_mlp", 1),
    "growing_batches": ("digits_mlp", 1),
    "hawq_mixed": ("digits_w3a3", None),  # five passes more in the first batch
    "layerwise": ("digits_mlp", 1),
    "lbfgs": ("digits_cnn", None),  # its line of iterations may end early
    "ldam_drw": ("digits_lt50", 1),
    "local_loss": ("digits_mlp", 1),
    "mixup": ("digits_mlp", 1),
    "muon_adamw": ("digits_mlp", 1),
    "prints": ("digits_mlp", 1),
    "psgd_kron": ("digits_mlp", 1),
    "sam": ("digits_mlp", 2),
    "schedule_free": ("digits_mlp", 1),
    "swa": ("digits_mlp", 1),
}
"""Plugins that complete, the task each is tried on and its passes per batch, where constant."""
SUBMITTED: dict[str, tuple[str, float | None]] = {
    "co_teaching": ("digits_sym40", 2),
    "elr": ("digits_sym40", 1),
    "lsq": ("digits_w3a3", 1),
    "pact": ("digits_w3a3", 1),
}
ENDS = {
    "exits": ("failed", r"process exited with code 0 without a result"),
    "hangs": ("out_of_budget", r"stopped after 1 s of CPU time, the task's limit"),
    "produces_nan": ("diverged", r"the loss was not finite at or before batch \d+"),
    "raises": (
        "failed",
        r"ValueError: the third batch is one too many \(method\.py, line \d+, in \S+\)",
    ),
    "returns_wrong_type": ("failed", r"compute_loss returned float, expected a scalar Tensor"),
    "unknown_parameter_tensor": ("failed", r"unexpected tensors \['smuggled'\]"),
    "wrong_shape": ("failed", r"does not fit the task's model"),
}
"""Plugins whose runs end otherwise: status and message."""
REFUSED = {
    "bad_default": r"default 0\.1 lies outside its range",
    "bad_space": r"`low <= high` must hold, but got \(low=0\.9, high=0\.5\)",
    "missing_default": r"lr: needs a default",
    "needs_missing_import": r"No module named 'a_package_that_is_not_there'",
    "no_method": r"expected exactly one subclass of Method, found none",
    "syntax_error": r"SyntaxError: expected ':' \(method\.py, line 6\)$",
    "two_methods": r"expected exactly one subclass of Method, found First, Second",
}
"""Plugins that cannot be loaded, and what is said before anything runs."""

SLEEPS = """\
import time

from assay import Method


class Sleeps(Method):
    def training_step(self, step):
        time.sleep(1000)
"""

Run = Callable[..., RunRecord]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TaskEntry]:
    """A real task with a small budget, in a folder of its own."""

    def make(slug: str, seconds: int = 60) -> TaskEntry:
        folder = tmp_path_factory.mktemp("tasks") / slug
        folder.mkdir()
        for source in (ROOT / "tasks" / slug).glob("*.*"):
            folder.joinpath(source.name).write_bytes(source.read_bytes())
        text = (folder / "card.toml").read_text()
        small = {"batches": BATCHES, "seconds": seconds, "points": POINTS, "pretrain_batches": 60}
        for key, value in small.items():
            text = re.sub(rf"(?m)^{key} = \d+$", f"{key} = {value}", text)
        if slug == "digits_cnn":  # no lite task but quantized ones has batch norm
            text, n = re.subn(r"(blocks = \d+) }", r"\1, batch_norm = true }", text)
            assert n == 1
        (folder / "card.toml").write_text(text)
        return TaskEntry(read_card(folder / "card.toml", TaskCard), folder)

    return make


@pytest.fixture(scope="session")
def run(pool: Pool, toy: Callable[..., TaskEntry]) -> Run:
    """Run a method's defaults on a task; problems are made once per task."""
    tasks: dict[tuple[str, int], TaskEntry] = {}

    def once(method: Path, slug: str, repetition: int = 0, seconds: int = 60) -> RunRecord:
        key = (slug, seconds)
        task = tasks.setdefault(key, tasks.get(key) or toy(*key))
        cell = cell_of(pool, task, method)
        spec = cell.spec(repetition, 0, dict(cell.space.defaults))
        return pool.run(cell.job(spec), cell.reproduce(spec))

    return once


def cell_of(pool: Pool, task: TaskEntry, method: Path) -> Cell:
    (cell,) = make_cells([(task, find_method(str(method)))], pool, "quick", n_repetitions=2)
    return cell


def test_every_plugin_has_an_expectation() -> None:
    folders = {path.parent.name for path in PLUGINS.glob("*/card.toml")}
    assert folders == set(GOOD) | set(ENDS) | set(REFUSED)


@pytest.mark.parametrize(
    "method, slug, passes",
    [(PLUGINS / name, *expected) for name, expected in GOOD.items()]
    + [(ROOT / "submissions" / name, *expected) for name, expected in SUBMITTED.items()],
    ids=[*GOOD, *SUBMITTED],
)
def test_completes_and_repeats_bit_for_bit(
    run: Run,
    method: Path,
    slug: str,
    passes: float | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    record, again = run(method, slug), run(method, slug)
    assert (record.status, record.message) == ("completed", "")
    usage, last = record.usage, record.curve[-1]
    budget = BATCHES * find_task(slug).card.budget.batch_size
    before = record.curve[-2].example_passes
    assert before < budget <= usage.example_passes == last.example_passes
    if passes is not None:
        assert usage.passes == passes * usage.batches
    if passes is not None and method.name != "growing_batches":
        assert (usage.batches, usage.example_passes) == (BATCHES / passes, budget)
    assert len(record.curve) == POINTS
    assert record.result is not None and 0 < record.result.test <= 1
    assert again.weights_sha256 == record.weights_sha256
    assert again.result == record.result
    assert again.id == record.id
    assert capfd.readouterr() == ("", "")


def test_repetitions_differ(run: Run) -> None:
    first, second = (run(PLUGINS / "adamw", "digits_mlp", repetition=r) for r in (0, 1))
    assert first.id != second.id
    assert first.weights_sha256 != second.weights_sha256


@pytest.mark.parametrize("name", ENDS)
def test_ends_with_one_clear_message(
    run: Run, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    status, message = ENDS[name]
    record = run(PLUGINS / name, "digits_mlp", seconds=1)
    assert record.status == status
    assert re.search(message, record.message), record.message
    assert "\n" not in record.message
    assert record.result is None
    assert capfd.readouterr() == ("", "")


def test_a_broken_method_leaves_the_next_one_alone(run: Run) -> None:
    before = run(PLUGINS / "adamw", "digits_mlp", seconds=1)
    for name in ("exits", "hangs", "global_random"):
        run(PLUGINS / name, "digits_mlp", seconds=1)
    after = run(PLUGINS / "adamw", "digits_mlp", seconds=1)
    assert before.status == "completed"
    assert after.weights_sha256 == before.weights_sha256


def test_a_run_that_sleeps_for_ever_is_stopped_and_not_recorded(
    pool: Pool, toy: Callable[..., TaskEntry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(limits.LIMITS, hang_factor=0.0, hang_slack_seconds=3.0)
    monkeypatch.setattr(limits, "LIMITS", short)
    method = tmp_path / "sleeps.py"
    method.write_text(SLEEPS)
    cells = [cell_of(pool, toy("digits_mlp"), path) for path in (method, PLUGINS / "adamw")]
    store = Store(tmp_path / "results")
    progress = Pipeline(pool, store, None, lambda progress: None).run(cells)
    (problem,) = progress.problems
    assert re.match(
        r"sleeps on digits_mlp: stopped as it did not end: [\d.]+ s of CPU time used in "
        r"[\d.]+ s; nothing was recorded, the next command tries it again; "
        r"no other point was tried",
        problem,
    )
    assert {record.spec.method.slug for record in store.runs()} == {"adamw"}
    assert progress.done == len(cells[1].specs)
    with pytest.raises(RunHung):
        pool.run(cells[0].job(next(iter(cells[0].specs.values()))), "assay run")


def test_methods_that_cannot_be_loaded_are_refused_together(
    pool: Pool, toy: Callable[..., TaskEntry]
) -> None:
    task = toy("digits_mlp")
    pairs = [(task, find_method(str(PLUGINS / name))) for name in REFUSED]
    with pytest.raises(AssayError) as refusal:
        make_cells(pairs, pool, "quick")
    lines = str(refusal.value).split("\n")
    assert len(lines) == len(REFUSED)
    for line, (name, expected) in zip(lines, REFUSED.items(), strict=True):
        assert line.startswith(f"{name}: ")
        assert re.search(expected, line), line


def test_pipeline_runs_every_point_and_resumes(
    pool: Pool, toy: Callable[..., TaskEntry], tmp_path: Path
) -> None:
    task, store = toy("digits_mlp"), Store(tmp_path)
    cells = [cell_of(pool, task, PLUGINS / name) for name in ("sam", "produces_nan")]
    progress = Pipeline(pool, store, None, lambda progress: None).run(cells)
    records = list(store.runs())
    assert progress.problems == []
    assert progress.done == len(records) == sum(len(cell.specs) for cell in cells)
    assert progress.by_status == {
        "completed": len(cells[0].specs),
        "diverged": len(cells[1].specs),
    }
    again = Pipeline(pool, store, None, lambda progress: None).run(cells)
    assert (again.done, again.reused) == (0, len(records))
