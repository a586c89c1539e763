"""A builder of records: what the suite would have written, without training anything."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from assay import paths
from assay.cards import SubmissionCard, TaskCard
from assay.identity import sha256
from assay.paths import ROOT
from assay.plugins import registry
from assay.records.schema import (
    Compute,
    Environment,
    Isolation,
    MethodRef,
    Result,
    RunRecord,
    RunSpec,
    StudyRecord,
    TaskRef,
    Trial,
    select,
    study_id,
)
from assay.records.store import Store
from assay.ruleset import RULESET
from assay.space import Space, Value
from assay_leaderboard.boards.task_records import TaskEvidence, from_records
from assay_leaderboard.evidence.cells import Catalogue, Evidence, Run
from assay_leaderboard.evidence.results_folder import TaskRecords
from assay_leaderboard.site.build.build import build
from assay_leaderboard.site.build.plan import BuildRequest
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")

Score = float | str | None
"""A test score, a status other than "completed", or None for a repetition without a record."""

ENVIRONMENT = Environment(
    python="3.11", torch="2", platform="linux", cpu="fake", cpu_flags_hash="0", assay="0.1.0"
)


def task_card(slug: str, **changes: object) -> TaskCard:
    metric = {"name": "accuracy", "direction": "maximize", "chance": 0.1, "margin": 0.005}
    values: dict[str, object] = {
        "slug": slug,
        "version": 1,
        "title": f"Task {slug}",
        "summary": "Made up.",
        "family": "classification",
        "tier": "lite",
        "dataset": {"name": "none", "source": "none", "licence": "none"},
        "model": {"name": "mlp"},
        "metric": metric | dict(changes.pop("metric", {})),  # type: ignore[call-overload]
        "budget": {"batches": 10, "batch_size": 2, "seconds": 10},
        "reference": "sgd",
    }
    return TaskCard.model_validate(values | changes)


def task_ref(slug: str, code: str = "now") -> TaskRef:
    return TaskRef(slug=slug, version=1, code_hash=sha256(f"task {slug} {code}"))


def method_ref(slug: str, code: str = "now") -> MethodRef:
    return MethodRef(slug=slug, version=1, code_hash=sha256(f"method {slug} {code}"))


@dataclass
class Records:
    """Studies and runs of made-up methods on made-up tasks."""

    cards: dict[str, TaskCard] = field(default_factory=dict)
    studies: list[StudyRecord] = field(default_factory=list)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)
    task_ref: Callable[[str, str], TaskRef] = task_ref
    method_ref: Callable[[str, str], MethodRef] = method_ref

    def task(self, slug: str, **changes: object) -> Records:
        self.cards[slug] = task_card(slug, **changes)
        return self

    def add(
        self,
        task: str,
        method: str,
        scores: Sequence[Score],
        defaults: Sequence[Score] = (),
        *,
        preset: str = "full",
        k: int = 12,
        task_code: str = "now",
        method_code: str = "now",
        ruleset: int = 1,
        created_at: str = "2026-01-01T00:00:00Z",
    ) -> StudyRecord:
        """Record a study, its tuned repetitions and those of the defaults."""
        refs = self.task_ref(task, task_code), self.method_ref(method, method_code)
        study = StudyRecord(
            id=study_id(*refs, Compute(), ruleset, [{}] * k, len(scores)),
            ruleset=ruleset,
            preset=preset,  # type: ignore[arg-type]
            task=refs[0],
            method=refs[1],
            family=self.cards[task].family if task in self.cards else "classification",
            tier="lite",
            compute=Compute(),
            space=Space(),
            trials=[
                Trial(number=i, hyperparameters={}, run_id="0" * 16, status="completed", val=0.5)
                for i in range(k)
            ],
            selected=0,
            selected_runs=self._runs(refs, ruleset, f"tuned {preset} {k}", scores),
            default_runs=self._runs(refs, ruleset, "defaults", defaults),
            created_at=created_at,
        )
        self.studies.append(study)
        return study

    def _runs(
        self, refs: tuple[TaskRef, MethodRef], ruleset: int, point: str, scores: Sequence[Score]
    ) -> list[str]:
        ids = []
        for repetition, score in enumerate(scores):
            spec = RunSpec(
                ruleset=ruleset,
                task=refs[0],
                method=refs[1],
                hyperparameters={"point": point},
                purpose="repetition",
                repetition=repetition,
            )
            ids.append(spec.id)
            if score is not None:
                self.runs[spec.id] = self.run_record(spec, score)
        return ids

    def run_record(self, spec: RunSpec, score: float | str) -> RunRecord:
        result = None
        if not isinstance(score, str):
            values = dict.fromkeys(("val", "test", "test_last", "test_oracle"), score)
            result = Result(**values, selected=0)
        return RunRecord(
            id=spec.id,
            spec=spec,
            family="classification",
            tier="lite",
            status=score if isinstance(score, str) else "completed",  # type: ignore[arg-type]
            result=result,
            environment=ENVIRONMENT,
            isolation=Isolation(level="L0"),
            scorer_version=1,
            reproduce="assay run",
            created_at="2026-01-01T00:00:00Z",
        )

    def tune(
        self,
        study: StudyRecord,
        vals: Sequence[float],
        tests: Sequence[Score],
        points: Sequence[dict[str, Value]] = (),
        space: Space | None = None,
    ) -> StudyRecord:
        """Give a study that was added trials with records of their own."""
        trials = []
        for number, (val, test) in enumerate(zip(vals, tests, strict=True)):
            point = points[number] if points else {"point": number}
            spec = RunSpec(
                ruleset=study.ruleset,
                task=study.task,
                method=study.method,
                hyperparameters=point,
                purpose="tuning",
                repetition=0,
            )
            if test is not None:
                self.runs[spec.id] = self.run_record(spec, test)
            status = test if isinstance(test, str) else "completed"
            trials.append(
                Trial(
                    number=number,
                    hyperparameters=point,
                    run_id=spec.id,
                    status=status,  # type: ignore[arg-type]
                    val=val,
                )
            )
        direction = self.cards[study.task.slug].metric.direction
        changes = {"trials": trials, "selected": select(trials, direction)}
        if space:
            changes["space"] = space
        tuned = study.model_copy(update=changes)
        self.studies[self.studies.index(study)] = tuned
        return tuned

    def change(self, run_id: str, **changes: object) -> None:
        """Give a run other contents."""
        self.runs[run_id] = self.runs[run_id].model_copy(update=changes)

    def task_evidence(self, task: str) -> TaskEvidence:
        """What `assay_leaderboard.boards.task_records` makes of the records."""
        return from_records(
            task, [TaskRecords.of(self.studies, self.runs)], self.catalogue, RULESET
        )

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.studies, {key: Run.of(run) for key, run in self.runs.items()})

    @property
    def catalogue(self) -> Catalogue:
        methods = {study.method.slug for study in self.studies} - self.local
        return Catalogue(
            tasks={slug: (card, task_ref(slug)) for slug, card in self.cards.items()},
            methods={
                slug: (SubmissionCard(slug=slug, title=slug), method_ref(slug)) for slug in methods
            },
        )

    def write(self, store: Store) -> None:
        for record in [*self.studies, *self.runs.values()]:
            store.write(record)


TASK_TOML = """
slug = "{slug}"
version = 1
title = "Task {slug} [red]\\u001b[31m"
summary = "Made up."
family = "classification"
tier = "lite"
reference = "sgd"
dataset = {{ name = "none", source = "none", licence = "none" }}
model = {{ name = "mlp" }}
metric = {{ name = "accuracy", direction = "maximize", chance = 0.1, margin = 0.005 }}
budget = {{ batches = 10, batch_size = 2, seconds = 10 }}
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """A checkout of two tasks and three methods, and records made with its present code."""
    for slug in ("digits", "letters"):
        folder = tmp_path / "tasks" / slug
        folder.mkdir(parents=True)
        (folder / "card.toml").write_text(TASK_TOML.format(slug=slug))
        (folder / "task.py").write_text("raise RuntimeError('a plugin was imported')")
    for slug in ("sgd", "adam", "unused"):
        folder = tmp_path / "submissions" / slug
        folder.mkdir(parents=True)
        (folder / "card.toml").write_text(f'slug = "{slug}"\ntitle = "{slug}"\n')
        (folder / "method.py").write_text("raise RuntimeError('a plugin was imported')")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASSAY_RESULTS", raising=False)
    registry.task_entries.cache_clear()
    registry.method_entries.cache_clear()
    made = Records(
        task_ref=lambda slug, _: registry.task_ref(registry.task_entries()[slug]),
        method_ref=lambda slug, _: registry.method_ref(registry.method_entries()[slug]),
    )
    for task in ("digits", "letters"):
        made.add(task, "sgd", noisy(0.9, 0))
    made.add("digits", "adam", [*noisy(0.95, 0, n=10), "diverged", "failed"])
    made.add("letters", "adam", noisy(0.95, 1, n=8), preset="quick", k=4)
    yield made
    registry.task_entries.cache_clear()
    registry.method_entries.cache_clear()


def noisy(mean: float, seed: int, n: int = 12, sd: float = 0.01) -> list[float]:
    """Scores around `mean`, rounded as a test set of 1,000 would."""
    generator = np.random.default_rng(seed)
    return [round(float(x), 3) for x in generator.normal(mean, sd, n)]


@pytest.fixture
def records() -> Records:
    return Records()


def demo() -> Records:
    """Two families, every state a row can have; the golden board is made from it."""
    made = Records()
    made.task("digits").task("letters")
    made.task(
        "valley",
        family="functions",
        deterministic=True,
        metric={"direction": "minimize", "chance": 0.0, "margin": 0.1, "unit": "log10"},
    )
    for i, task in enumerate(("digits", "letters")):
        made.add(task, "sgd", noisy(0.9, i), noisy(0.85, i + 50))
        made.add(task, "better", noisy(0.95, i), noisy(0.93, i + 60))
        made.add(task, "same", [s + 0.0005 * (-1) ** j for j, s in enumerate(noisy(0.9, i))])
        made.add(task, "noisy", noisy(0.9, i + 10, sd=0.05))
    made.add("digits", "unstable", [*noisy(0.93, 3, n=10), "diverged", "failed"])
    made.add("digits", "quick", noisy(0.7, 4, n=8), preset="quick", k=4)
    made.add("digits", "old", noisy(0.99, 5), method_code="before")
    made.add("digits", "unfinished", [*noisy(0.9, 6, n=9), None, None, None])
    made.add("digits", "mine", noisy(0.91, 7))
    made.local.add("mine")
    for method, value in {"sgd": -3.0, "better": -5.0, "same": -3.05, "noisy": -1.0}.items():
        made.add("valley", method, [value])
    return made


@pytest.fixture
def new_records() -> type[Records]:
    return Records


@pytest.fixture
def demo_records() -> Records:
    return demo()


@pytest.fixture
def scores() -> Callable[..., list[float]]:
    return noisy


def simulation() -> ModuleType:
    """The benchmark's generator: a checkout with bundles and a log, made up and in full form."""
    path = ROOT / "tests" / "benchmarks" / "site.py"
    spec = importlib.util.spec_from_file_location("simulated_site", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forget() -> None:
    """Let the registry look at its folders again."""
    registry.task_entries.cache_clear()
    registry.method_entries.cache_clear()


@dataclass(frozen=True)
class Simulated:
    """A made-up checkout of three tasks and four methods, its results published."""

    root: Path
    made: ModuleType

    @property
    def results(self) -> Path:
        return self.root / "leaderboard" / "results"

    def forget(self) -> None:
        """Let the registry look at its folders again."""
        forget()


@contextmanager
def checkout_at(root: Path) -> Iterator[None]:
    """Make `root` this process's checkout, with a small bootstrap: these tests build often."""
    quick = RULESET.model_copy(update={"bootstrap_draws": 200})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assay_leaderboard.site.build.inputs.RULESET", quick)
        patch.setattr("assay_leaderboard.queries.RULESET", quick)
        patch.setattr("assay.ruleset.RULESET", quick)
        patch.setattr(paths, "ROOT", root)
        patch.setattr(paths, "RESULTS", root / "leaderboard" / "results")
        patch.delenv("ASSAY_RESULTS", raising=False)
        forget()
        yield
    forget()


@pytest.fixture(scope="session")
def simulated_once(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Not to be changed where it lies."""
    root, made = tmp_path_factory.mktemp("simulated"), simulation()
    with checkout_at(root):
        made.make(root, 4, 3)
        build(BuildRequest(out=root / "site", jobs=1, cache=False))
    return Simulated(root, made)


@pytest.fixture(scope="session")
def built(simulated_once: Simulated) -> Path:
    """A site, to be looked at."""
    return simulated_once.root / "site"


@pytest.fixture
def simulated(
    simulated_once: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulated]:
    """A copy of the checkout that is this process's own."""
    root = tmp_path / "checkout"
    shutil.copytree(simulated_once.root, root, ignore=lambda folder, names: {"site"} & {*names})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    with checkout_at(root):
        yield Simulated(root, simulated_once.made)
