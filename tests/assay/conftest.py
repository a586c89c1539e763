"""One real pool for the whole session, a fake one for what needs no training, and toy tasks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from assay.cards import FAMILIES, SubmissionCard, TaskCard, read_card
from assay.engine.cells import Cell, extent
from assay.engine.executors.threads import ThreadExecutor
from assay.engine.pipeline import Pipeline
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.epochs import Epoch
from assay.identity import derive_seed, sha256
from assay.messages.worker import Description
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.bundle import pack
from assay.records.diagnosis import Diagnosis, MeasuredPoint, diagnosis_id
from assay.records.schema import (
    Compute,
    CurvePoint,
    Environment,
    Isolation,
    MethodRef,
    Result,
    RunRecord,
    RunSpec,
    Status,
    TaskRef,
    Usage,
)
from assay.records.store import Store
from assay.ruleset import SCORER_VERSION, Preset
from assay.space import FloatRange, Space
from hypothesis import settings

# The same examples on every machine and day, and no verdict by the clock.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")

CARD = """\
slug = "{slug}"
version = 1
title = "A toy"
summary = "For tests."
family = "{family}"
tier = "lite"
n_classes = 10
reference = "sgd"
access = ["sample_indices"]

[dataset]
name = "{dataset}"
source = "a test"
licence = "none"

[split]
{split}

[model]
name = "{model}"
{parameters}

[recipe]
{recipe}

[metric]
name = "accuracy"
direction = "{direction}"
chance = 0.1
margin = 0.01

[budget]
batches = {batches}
batch_size = 10
seconds = {seconds}

[evaluation]
points = 2
"""
SOURCE = """\
from assay.families.{family} import {base}


class Toy({base}):
    pass
"""
BASES = {"classification": "Classification", "noisy_labels": "NoisyLabels"}
DEFAULTS = {
    "family": "classification",
    "dataset": "digits",
    "split": "train = 200\nval = 100\ntest = 100",
    "model": "mlp",
    "parameters": "parameters = { width = 8, depth = 2 }",
    "recipe": "",
    "direction": "maximize",
    "batches": 24,
    "seconds": 20,
}


def write_task(folder: Path, slug: str = "toy", **changes: object) -> TaskEntry:
    """A task folder of the smallest kind under `folder`."""
    facts = DEFAULTS | changes
    own = folder / slug
    own.mkdir(parents=True, exist_ok=True)
    (own / "card.toml").write_text(CARD.format(slug=slug, **facts))
    family = str(facts["family"])
    (own / "task.py").write_text(SOURCE.format(family=family, base=BASES[family]))
    return TaskEntry(read_card(own / "card.toml", TaskCard), own)


def write_method(folder: Path, slug: str, source: str) -> MethodEntry:
    """A single-file method under `folder`."""
    path = folder / f"{slug}.py"
    path.write_text(source)
    return MethodEntry(SubmissionCard(slug=slug, title=slug), path)


@dataclass
class FakePool(ThreadExecutor):
    """Answers at once, with scores that are a function of the spec alone, as a real pool's are."""

    n_workers: int = 1
    compute: Compute = field(default_factory=Compute)
    epoch: Epoch | None = None
    fails: dict[str, Exception] = field(default_factory=dict)
    """What to raise, by the slug of a task."""
    broken: dict[str, str] = field(default_factory=dict)
    """With what message every run fails, by the slug of a method."""
    broken_in: range = range(1000)
    """The repetitions in which those fail."""
    share_diverged: float = 0.2
    """Share of the runs that diverge."""
    ran: list[str] = field(default_factory=list)
    """Ids in the order of running."""
    aborted: bool = False
    mechanism: str = "bubblewrap"

    def __enter__(self) -> FakePool:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def answer(self, request: object, kind: type[Description]) -> Description:
        """The description of any method: it has all hooks of an optimizer, and SPACE."""
        return Description(hooks=["configure_optimizer"], spaces=dict.fromkeys(FAMILIES, SPACE))

    def run(self, job: Job, reproduce: str, tell: object = None) -> RunRecord:
        spec = job.spec
        if spec.task.slug in self.fails:
            raise self.fails[spec.task.slug]
        self.ran.append(spec.id)
        score = derive_seed("score", spec.id) / 2**63
        broken = self.broken.get(spec.method.slug)
        status: Status = "diverged" if score < self.share_diverged else "completed"
        message = "" if status == "completed" else "the loss was not finite"
        if broken is not None and spec.repetition in self.broken_in:
            status, message = "failed", broken
        result = Result(val=score, test=score / 2, test_last=0.25, test_oracle=0.75, selected=1)
        points = [
            CurvePoint(
                batch=b,
                passes=b,
                example_passes=10 * b,
                seconds=0.1,
                train_loss=1.5,
                val=score / b,
                test=score,
                start=0,
            )
            for b in (1, 2)
        ]
        return RunRecord(
            id=spec.id,
            spec=spec,
            space=job.space,
            family=job.task.card.family,
            tier=job.task.card.tier,
            status=status,
            message=message,
            result=result if status == "completed" else None,
            curve=points if status == "completed" else [],
            usage=Usage(batches=2, passes=2, examples=20, example_passes=20, wall_seconds=1.5),
            environment=ENVIRONMENT,
            isolation=Isolation(level="L0"),
            scorer_version=SCORER_VERSION,
            weights_sha256=sha256(spec.id),
            reproduce=reproduce,
            created_at="2026-01-01T00:00:00+00:00",
        )

    def abort(self) -> None:
        self.aborted = True


ENVIRONMENT = Environment(
    python="3.11", torch="2", platform="linux", cpu="fake", cpu_flags_hash="0", assay="0.1.0"
)
SPACE = Space(
    ranges={"lr": FloatRange(low=1e-4, high=1.0, log=True)}, defaults={"lr": 0.1, "nesterov": True}
)


def build_cell(
    task: TaskEntry,
    method: MethodEntry,
    preset: Preset = "quick",
    n_repetitions: int | None = None,
) -> Cell:
    wanted = extent(task.card, preset, n_repetitions=n_repetitions)
    return Cell(task, method, task_ref(task), method_ref(method), SPACE, Compute(), wanted)


@pytest.fixture
def fake_pool() -> type[FakePool]:
    return FakePool


@pytest.fixture
def make_task(tmp_path: Path) -> Callable[..., TaskEntry]:
    return lambda slug="toy", **changes: write_task(tmp_path / "tasks", slug, **changes)


@pytest.fixture
def make_method(tmp_path: Path) -> Callable[[str, str], MethodEntry]:
    return lambda slug, source="": write_method(tmp_path, slug, source)


@pytest.fixture
def make_cell() -> Callable[..., Cell]:
    return build_cell


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Two real workers and a scorer, on a machine without downloaded data."""
    names = ("ASSAY_DATA", "ASSAY_CACHE")
    before = {name: os.environ.get(name) for name in names}
    for name in names:
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))
    try:
        with Pool(n_workers=2, compute=Compute(), allow_weaker=True) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def make_spec(**changes: Any) -> RunSpec:
    facts: dict[str, Any] = {
        "ruleset": 2,
        "task": TaskRef(slug="toy", version=1, code_hash=sha256("task")),
        "method": MethodRef(slug="sgd", version=1, code_hash=sha256("method")),
        "hyperparameters": {"lr": 0.1, "nesterov": True, "power": 2, "kind": "a"},
        "repetition": 0,
        "point": 0,
    }
    return RunSpec(**facts | changes)


def make_record(spec: RunSpec | None = None, **changes: Any) -> RunRecord:
    spec = spec or make_spec()
    facts: dict[str, Any] = {
        "id": spec.id,
        "spec": spec,
        "space": SPACE,
        "family": "classification",
        "tier": "lite",
        "status": "completed",
        "result": Result(val=0.5, test=0.25, test_last=0.5, test_oracle=1.0, selected=0),
        "curve": [
            CurvePoint(
                batch=1,
                passes=1,
                example_passes=2,
                seconds=0.5,
                train_loss=None,
                val=0.5,
                test=0.25,
                start=0,
            )
        ],
        "usage": Usage(
            batches=1, passes=1, examples=2, example_passes=2, train_seconds=0.1, wall_seconds=0.5
        ),
        "environment": ENVIRONMENT,
        "isolation": Isolation(level="L1"),
        "scorer_version": SCORER_VERSION,
        "weights_sha256": sha256("weights"),
        "reproduce": "assay run sgd --task toy",
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return RunRecord(**facts | changes)


def make_point(batch: int, loss: float, **changes: Any) -> MeasuredPoint:
    facts: dict[str, Any] = {
        "batch": batch,
        "example_passes": 10 * batch,
        "train_loss": loss,
        "test_loss": loss + 0.5,
        "train_score": 0.9,
        "test_score": 0.8,
        "norm_growth": 1.0 + batch,
        "top_eigenvalue": 4.0,
        "lr": 0.25,
        "update_sharpness": None,
        "noise_scale": 10.0,
        "coherence": 2.0,
        "clipped_share": 0.25,
        "effective_rank": 0.5,
        "int8_drop": 0.0,
        "int4_drop": 0.125,
        "predictions": [0, 1, 2, 3],
    }
    return MeasuredPoint(**facts | changes)


def make_diagnosis(
    method: str, repetition: int, points: list[MeasuredPoint], **changes: Any
) -> Diagnosis:
    ref = MethodRef(slug=method, version=1, code_hash=sha256(method))
    spec = changes.pop("spec", make_spec(method=ref, repetition=repetition))
    facts: dict[str, Any] = {
        "id": diagnosis_id(spec),
        "spec": spec,
        "same_weights": True,
        "points": points,
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return Diagnosis(**facts | changes)


METHOD_CARD = 'slug = "{slug}"\nversion = {version}\ntitle = "Mine"\nauthors = ["A. Author"]\n'


def isolate_git(patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        patch.delenv(name)
    values = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    for part in ("AUTHOR", "COMMITTER"):
        values |= {f"GIT_{part}_NAME": "A", f"GIT_{part}_EMAIL": "a@example.org"}
    for name, value in values.items():
        patch.setenv(name, value)


@pytest.fixture
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration but ours."""
    isolate_git(monkeypatch)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="session")
def repo_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `repo` is a copy of: git takes longer than that."""
    root = tmp_path_factory.mktemp("repo") / "repo"
    for path, text in {
        "suite/assay/engine.py": "a = 1\n",
        "tasks/toy/card.toml": "",
        "submissions/sgd/card.toml": METHOD_CARD.format(slug="sgd", version=1),
        "README.md": "read me\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        isolate_git(patch)
        git(root, "init", "-q", "-b", "main")
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", "Begin")
    return root


@pytest.fixture
def repo(repo_once: Path, tmp_path: Path, plain_git: None) -> Path:
    """A benchmark of one task and one method, on main."""
    root = tmp_path / "repo"
    shutil.copytree(repo_once, root, symlinks=True)
    return root


class Author:
    """Somebody's method and its bundles, made without training."""

    def __init__(self, folder: Path, make_cell: Any, task: Any, fake_pool: Any) -> None:
        self.folder, self.make_cell, self.task, self.fake_pool = folder, make_cell, task, fake_pool
        self.out = folder / "bundles"
        self.out.mkdir(parents=True, exist_ok=True)

    def method(self, slug: str = "mine", version: int = 1, source: str = "a = 1\n") -> MethodEntry:
        own = self.folder / slug
        own.mkdir(exist_ok=True)
        (own / "card.toml").write_text(METHOD_CARD.format(slug=slug, version=version))
        (own / "method.py").write_text(source)
        return MethodEntry(read_card(own / "card.toml", SubmissionCard), own / "method.py")

    def bundle(self, entry: MethodEntry) -> Path:
        store = Store(self.folder / "results" / str(len(list(self.out.iterdir()))))
        cell = self.make_cell(self.task, entry)
        Pipeline(self.fake_pool(), store, None, lambda _: None).run([cell])
        name, data = pack(list(store.runs()), entry.contents, self.task.card.metric)
        (self.out / name).write_bytes(data)
        return self.out / name


@pytest.fixture
def make_author(
    tmp_path: Path, make_cell: Any, make_task: Any, fake_pool: Any
) -> Callable[[], Author]:
    return lambda: Author(tmp_path / "author", make_cell, make_task(), fake_pool)
