"""Records made up from arrays of scores: what the suite would have written, without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from assay.cards import Access, SubmissionCard, TaskCard
from assay.identity import derive_seed, sha256
from assay.records.log import TrustTier
from assay.records.schema import (
    Compute,
    Environment,
    Isolation,
    MethodRef,
    Result,
    RunRecord,
    RunSpec,
    TaskRef,
)
from assay.records.store import Store
from assay.ruleset import RULESET
from assay.space import FloatRange, Space, Value
from assay_leaderboard.boards.task_records import TaskEvidence, from_records
from assay_leaderboard.evidence.results_folder import TaskRecords
from assay_leaderboard.evidence.runs import LOCAL, Catalogue, Evidence, Rules, Run

Score = float | str | None
"""A score, a status other than "completed", or None for a run without a record."""

ENVIRONMENT = Environment(
    python="3.11", torch="2", platform="linux", cpu="fake", cpu_flags_hash="0", assay="0.1.0"
)
ISOLATION = Isolation(level="L0")
SEALED = Isolation(level="L2", mechanism="bubblewrap")
SPACE = Space(
    ranges={"lr": FloatRange(low=1e-4, high=1.0, log=True)}, defaults={"lr": 0.01, "beta": 0.9}
)
UNTUNED = Space(defaults={"lr": 0.01})
"""Of a method that has nothing to tune: one point."""
K, R = RULESET.k("lite"), RULESET.r("lite")


def task_card(slug: str, **changes: object) -> TaskCard:
    """The card of a made-up classification task; its anchor is 0.9, its chance 0.1."""
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
        "anchor": {"value": 0.9, "n": 12, "standard_error": 0.003},
        "budget": {"batches": 10, "batch_size": 2, "seconds": 10},
        "reference": "sgd",
    }
    return TaskCard.model_validate(values | changes)


def task_ref(slug: str, code: str = "now") -> TaskRef:
    """The reference to a made-up task, whose code is as it was at the time `code`."""
    return TaskRef(slug=slug, version=1, code_hash=sha256(f"task {slug} {code}"))


def method_ref(slug: str, code: str = "now") -> MethodRef:
    """The reference to a made-up method."""
    return MethodRef(slug=slug, version=1, code_hash=sha256(f"method {slug} {code}"))


def noisy(mean: float, seed: int, n: int = R, sd: float = 0.01) -> list[float]:
    """Scores around `mean`, rounded as a test set of 1,000 would."""
    generator = np.random.default_rng(seed)
    return [round(float(x), 3) for x in generator.normal(mean, sd, n)]


def grid(
    mean: float, seed: int, r: int = R, k: int = K, sd: float = 0.01, gain: float = 0.05
) -> tuple[list[list[float]], list[list[float]]]:
    """Validation and test scores (r, k) of a method whose points differ.

    Args:
        mean: of the test score of a good point.
        seed: of the random numbers.
        r: repetitions.
        k: points in each.
        sd: of the noise of each score.
        gain: how far below `mean` a point lies at most, drawn uniformly.
    """
    generator = np.random.default_rng(seed)
    level = mean - gain * generator.random((r, k))
    val, test = (np.round(level + sd * generator.normal(size=(r, k)), 3) for _ in range(2))
    return val.tolist(), test.tolist()


def hyperparameters(space: Space, repetition: int, point: int) -> dict[str, Value]:
    """A point of a made-up sequence: the defaults, then log-uniform draws in each range."""
    values = dict(space.defaults)
    for number, (name, known) in enumerate(space.ranges.items()) if point else ():
        if isinstance(known, FloatRange):
            low, high = math.log10(max(known.low, 1e-9)), math.log10(known.high)
            share = derive_seed("points", repetition, point, number) / 2**63
            values[name] = float(f"{10 ** (low + share * (high - low)):.6g}")
    return values


def run_record(
    spec: RunSpec,
    val: Score,
    test: float | None = None,
    *,
    space: Space = SPACE,
    created_at: str = "2026-01-01T00:00:00Z",
    **changes: object,
) -> RunRecord:
    """The record of one run; `val` may be a status, `test` is `val` unless it is given."""
    result = None
    if not isinstance(val, str):
        assert val is not None
        score = val if test is None else test
        result = Result(val=val, test=score, test_last=score, test_oracle=score, selected=0)
    values: dict[str, object] = {
        "id": spec.id,
        "spec": spec,
        "space": space,
        "family": "classification",
        "tier": "lite",
        "status": val if isinstance(val, str) else "completed",
        "result": result,
        "environment": ENVIRONMENT,
        "isolation": ISOLATION,
        "scorer_version": 1,
        "reproduce": "assay run",
        "created_at": created_at,
    }
    return RunRecord(**(values | changes))  # type: ignore[arg-type]


@dataclass
class Records:
    """Runs of made-up methods on made-up tasks."""

    cards: dict[str, TaskCard] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    """By id."""
    needs: dict[str, list[Access]] = field(default_factory=dict)
    """Extra access that methods need."""
    local: set[str] = field(default_factory=set)
    """Methods that are not in the checkout."""
    tiers: dict[str, TrustTier] = field(default_factory=dict)
    """Of published runs, by id."""
    rules: Rules = LOCAL
    """What may rank."""
    task_ref: Callable[[str, str], TaskRef] = task_ref
    method_ref: Callable[[str, str], MethodRef] = method_ref

    def task(self, slug: str, **changes: object) -> Records:
        """Add a task; see `task_card`."""
        self.cards[slug] = task_card(slug, **changes)
        return self

    def cell(
        self,
        task: str,
        method: str,
        val: Iterable[Sequence[Score]],
        test: Iterable[Sequence[Score]] | None = None,
        *,
        space: Space = SPACE,
        task_code: str = "now",
        method_code: str = "now",
        first: int = 0,
        trust: TrustTier | None = None,
        **changes: object,
    ) -> list[list[str | None]]:
        """Record the runs of a cell.

        Args:
            task: its slug.
            method: its slug.
            val: validation scores (R, K), a status in place of one, None for no record.
            test: test scores (R, K); those of validation unless given.
            space: the method's search space.
            task_code: which code of the task they were made with; "now" is the current one.
            method_code: the same of the method.
            first: number of the first repetition.
            trust: of published runs, which are sealed unless `changes` say otherwise.
            changes: of the specs (ruleset, compute, epoch) or the records (created_at, ...).

        Returns:
            The ids (R, K).
        """
        refs = self.task_ref(task, task_code), self.method_ref(method, method_code)
        own = {name: changes.pop(name) for name in ("ruleset", "compute", "epoch") & changes.keys()}
        card = self.cards.get(task)
        if trust:
            changes = {"isolation": SEALED} | changes
        if card:
            changes = {"family": card.family, "tier": card.tier} | changes
        rows = [list(row) for row in val]
        tests = rows if test is None else [list(row) for row in test]
        ids: list[list[str | None]] = []
        for r, (vals, scores) in enumerate(zip(rows, tests, strict=True), first):
            ids.append([])
            for point, (value, score) in enumerate(zip(vals, scores, strict=True)):
                if value is None or (isinstance(value, float) and np.isnan(value)):
                    ids[-1].append(None)
                    continue
                spec = RunSpec(
                    **({"ruleset": RULESET.version, "compute": Compute()} | own),  # type: ignore[arg-type]
                    task=refs[0],
                    method=refs[1],
                    repetition=r,
                    point=point,
                    hyperparameters=hyperparameters(space, r, point),
                )
                known = None if isinstance(score, str) else score
                run = run_record(spec, value, known, space=space, **changes)  # type: ignore[arg-type]
                self.runs[run.id] = run
                ids[-1].append(run.id)
                if trust:
                    self.tiers[run.id] = trust
        return ids

    def add(
        self,
        task: str,
        method: str,
        scores: Sequence[Score],
        defaults: Sequence[Score] = (),
        *,
        k: int | None = None,
        **options: object,
    ) -> list[list[str | None]]:
        """Record a cell in which all points of a repetition have the same score.

        Args:
            task: its slug.
            method: its slug.
            scores: of each repetition (R,), on validation and test; see `Score`.
            defaults: of point 0 (R,), if it differs; lower than `scores`, so that it is not chosen.
            k: points; those of the task's tier unless given.
            options: see `cell`.
        """
        card = self.cards.get(task)
        if k is None:
            k = RULESET.k(card.tier, deterministic=card.deterministic) if card else K
        rows = [[score] * k for score in scores]
        for row, score in zip(rows, defaults, strict=False):
            row[0] = score
        return self.cell(task, method, rows, **options)  # type: ignore[arg-type]

    def of(self, method: str, task: str | None = None) -> list[RunRecord]:
        """The runs of a method (on one task), by repetition and point."""
        found = [
            run
            for run in self.runs.values()
            if run.spec.method.slug == method and task in (None, run.spec.task.slug)
        ]
        return sorted(found, key=lambda run: (run.spec.repetition, run.spec.point or 0))

    def remove(self, method: str) -> None:
        """Forget the runs of a method."""
        self.runs = {i: run for i, run in self.runs.items() if run.spec.method.slug != method}

    def change(self, run_id: str, **changes: object) -> None:
        """Give a run other contents."""
        self.runs[run_id] = self.runs[run_id].model_copy(update=changes)

    def task_evidence(self, task: str) -> TaskEvidence:
        """What `assay_leaderboard.boards.task_records` makes of the records."""
        found = [TaskRecords(self.evidence, self.runs)]
        return from_records(task, found, self.catalogue, RULESET, self.rules)

    @property
    def evidence(self) -> Evidence:
        """The light form of the records."""
        light = {key: Run.of(run) for key, run in self.runs.items()}
        return Evidence(light, tiers=self.tiers, rules=self.rules)

    @property
    def catalogue(self) -> Catalogue:
        """The tasks, and the methods that are not local, as they are now."""
        methods = {run.spec.method.slug for run in self.runs.values()} - self.local
        return Catalogue(
            tasks={slug: (card, self.task_ref(slug, "now")) for slug, card in self.cards.items()},
            methods={
                slug: (
                    SubmissionCard(slug=slug, title=slug, access=self.needs.get(slug, [])),
                    self.method_ref(slug, "now"),
                )
                for slug in methods
            },
        )

    def write(self, store: Store) -> None:
        """Write the records to a store."""
        for record in self.runs.values():
            store.write(record)


def demo() -> Records:
    """Two families, every state a row can have; the golden board is made from it."""
    made = Records()
    made.task("digits").task("letters")
    made.task(
        "valley",
        family="functions",
        metric={"direction": "minimize", "chance": 0.0, "margin": 0.1, "unit": "log10"},
        anchor={"value": -3.0, "n": 12, "standard_error": 0.1},
    )
    made.task("fixed", family="functions", tier="paper", deterministic=True, anchor=None)
    for i, task in enumerate(("digits", "letters")):
        made.cell(task, "sgd", *grid(0.92, i))
        made.cell(task, "better", *grid(0.97, i))
        made.cell(task, "same", *[[[s + 0.0005 for s in row] for row in g] for g in grid(0.92, i)])
        made.cell(task, "noisy", *grid(0.92, i + 10, sd=0.05))
    made.add("digits", "unstable", [*noisy(0.93, 3, n=R - 2), "diverged", "failed"])
    made.add("digits", "untuned", noisy(0.88, 8), k=1, space=UNTUNED)
    made.cell("digits", "quick", *grid(0.75, 4, r=6, k=4))
    made.add("digits", "old", noisy(0.99, 5), method_code="before")
    made.add("digits", "unfinished", [*noisy(0.9, 6, n=4), None, None])
    made.add("digits", "mine", noisy(0.91, 7))
    made.local.add("mine")
    for seed, (method, mean) in enumerate({"sgd": -3.0, "better": -5.0, "same": -3.0}.items()):
        made.cell("valley", method, *grid(mean, seed, sd=0.02, gain=-0.5))
    for method, value in {"sgd": 0.5, "better": 0.6}.items():
        made.add("fixed", method, [value])
    return made
