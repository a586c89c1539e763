"""How the suite runs (threads, garbage, order of files), and records that could be real.

MLflow is imported before any test, outside pytest's rule that warnings are errors: the mirror does
it in a thread, where a warning turned into an error would leave half of its modules behind, for
whichever test is next.
"""

from __future__ import annotations

import gc
import os
import random
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from assay.cards import TaskCard
from assay.engine.cells import Cell, extent
from assay.identity import sha256
from assay.plugins.registry import MethodEntry, find_method, find_task, method_ref, task_ref
from assay.publication.pack import pack_method
from assay.records.rounding import rounded
from assay.records.schema import (
    Compute,
    CurvePoint,
    Environment,
    Isolation,
    Result,
    RunRecord,
    RunSpec,
    Usage,
)
from assay.records.store import Store
from assay.ruleset import SCORER_VERSION, Preset
from assay.space import ChoiceRange, FloatRange, IntRange, Space

# As many test processes run as there are cores: a second thread in each would wait, at full speed,
# for a core that another process has. Read by torch when it is imported, below and by the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# pytest-xdist gives its processes a width; output that is piped has none.
os.environ.pop("COLUMNS", None)

LONG = (
    "attacks/test_attacks.py",
    "assay/engine/test_acceptance.py",
    "assay_leaderboard/browser/test_browser.py",
    "assay/sandbox/test_isolation.py",
    "assay/checking/test_mistakes.py",
    "assay/sandbox/test_installation.py",
    "assay_leaderboard/site/test_cache.py",
    "assay/engine/test_resume.py",
    "assay/api/test_notebook.py",
    "assay/checking/test_check.py",
    "assay/engine/test_mirror.py",
    "assay/publication/test_record_checks.py",
    "assay/sandbox/test_limits.py",
    "assay_leaderboard/site/test_build.py",
    "assay_leaderboard/site/test_output.py",
    "assay/commands/test_readme.py",
    "assay_leaderboard/site/test_hostile.py",
    "assay/engine/test_mirror_faults.py",
    "assay_leaderboard/test_cli.py",
    "assay/publication/test_verify.py",
    "assay/publication/test_gate.py",
    "assay/publication/test_merge.py",
    "assay_leaderboard/test_one_verdict.py",
    "assay/checking/test_task_check.py",
    "test_wheel.py",
)
"""Files of more than about 5 s of CPU time, longest first, below tests/."""


def pytest_configure(config: pytest.Config) -> None:
    """Import MLflow, but not where pytest-xdist only hands out tests."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first: a process that begins one when the others are done works alone."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path, len(LONG)))


def pytest_collection_finish() -> None:
    """Leave what the imports made, millions of objects, out of every later garbage collection.

    And collect rarely: it took 8 % of the CPU time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # tests make many objects and few cycles


@dataclass
class Submission:
    """A method's folder outside the checkout, and records of it that could be real."""

    folder: Path
    store: Store

    @property
    def method(self) -> MethodEntry:
        return find_method(str(self.folder))

    def cell(self, task: str, preset: Preset = "quick", **options: Any) -> Cell:
        found = find_task(task)
        refs = task_ref(found), method_ref(self.method)
        wanted = extent(found.card, preset, **options)
        return Cell(found, self.method, *refs, SPACE, Compute(), wanted)

    def record(self, task: str, preset: Preset = "quick", salt: str = "") -> list[RunRecord]:
        """Write what `assay run` would have written of one task; `salt` changes the scores."""
        cell = self.cell(task, preset)
        return [self.write(cell, spec, salt) for spec in cell.specs.values()]

    def write(self, cell: Cell, spec: RunSpec, salt: str = "") -> RunRecord:
        """Write one run of a cell."""
        run = coherent_run(cell, spec, salt)
        self.store.write(run)
        return run

    def bundle(self, out: Path) -> Path:
        (path,) = pack_method(self.method, self.store, out).written
        return path


SPACE = Space(
    ranges={
        "lr": FloatRange(low=1e-4, high=1.0, log=True),
        "steps": IntRange(low=1, high=9),
        "nesterov": ChoiceRange(options=(True, False)),
    },
    defaults={"lr": 0.1, "steps": 3, "nesterov": True, "eps": 1e-8},
)


def coherent_run(cell: Cell, spec: RunSpec, salt: str = "") -> RunRecord:
    """A record whose numbers fit each other and the task's card."""
    card = cell.task.card
    draw = random.Random(f"{spec.id}{salt}")
    batches = card.evaluation.batches(card.budget.batches)
    curve = [
        CurvePoint(
            batch=batch,
            passes=batch,
            example_passes=batch * card.budget.batch_size,
            seconds=0.001 * batch,
            train_loss=draw.random(),
            start=start,
            val=(val := round(draw.random(), 3)),
            test=val if card.family == "functions" else round(draw.random(), 3),
        )
        for start in range(2 if card.family == "functions" else 1)
        for batch in batches
    ]
    record = RunRecord(
        id=spec.id,
        spec=spec,
        space=cell.space,
        family=card.family,
        tier=card.tier,
        status="completed",
        result=_result(curve, len(batches), card),
        curve=curve,
        usage=_usage(curve, len(batches)),
        environment=Environment(
            python="3.11.7",
            torch="2.5.1",
            platform="Linux x86_64",
            cpu="fake",
            cpu_flags_hash=sha256("flags"),
            assay="0.1.0",
        ),
        isolation=Isolation(
            level="L3" if card.family == "functions" else "L2", mechanism="bubblewrap"
        ),
        scorer_version=SCORER_VERSION,
        weights_sha256=sha256(f"{spec.id}{salt}"),
        reproduce=cell.reproduce(spec),
        created_at="2026-01-01T00:00:00+00:00",
    )
    return rounded(record)


def _usage(curve: list[CurvePoint], n: int) -> Usage:
    """What the starts of a curve spent, whose points are `n` each."""
    ends = curve[n - 1 :: n]
    spent = sum(point.example_passes for point in ends)
    batches = sum(point.batch for point in ends)
    return Usage(
        batches=batches, passes=batches, examples=spent, example_passes=spent, wall_seconds=1.5
    )


def _result(curve: list[CurvePoint], n: int, card: TaskCard) -> Result:
    if card.family != "functions":
        best = max(range(n), key=lambda index: (curve[index].val, index))
        return Result(
            val=curve[best].val,
            test=curve[best].test,
            test_last=curve[-1].test,
            test_oracle=max(point.test for point in curve),
            selected=best,
        )
    from assay.families.functions import area

    budget = card.budget.example_passes
    starts = [curve[:n], curve[n:]]
    areas = [
        area([p.example_passes for p in part], [p.test for p in part], budget) for part in starts
    ]
    score = sum(areas) / len(areas)
    return Result(val=score, test=score, test_last=score, test_oracle=score, selected=n - 1)


CARD = 'slug = "my_opt"\ntitle = "Mine"\nauthors = ["A. Nobody"]\n'


def make_submission(root: Path) -> Submission:
    folder = root / "my_opt"
    folder.mkdir()
    (folder / "card.toml").write_text(CARD)
    (folder / "method.py").write_text('raise RuntimeError("a plugin was imported")\n')
    return Submission(folder, Store(root / "records"))


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    return make_submission(tmp_path)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One sound bundle for each of two tasks, not to be changed where it lies."""
    root = tmp_path_factory.mktemp("bundles")
    made = make_submission(root)
    for task in ("digits_step", "beale"):
        made.record(task)
    written = pack_method(made.method, made.store, root / "out").written
    return {path.name.split("--")[0]: path for path in written}
