"""The scorer: a trusted process that holds every label, imports no plugin and scores weights.

It makes each repetition's problem, writes the worker's part to files, keeps the sealed part in
memory, and scores snapshots in its own model. It answers the supervisor in JSON lines
(assay.messages).
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
import traceback
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ValidationError

from assay.cards import spending_problem
from assay.engine.task_code import is_of_the_machine, scores_of, task_code, try_out
from assay.errors import AssayError, BadWeights, DataError, PluginError
from assay.messages.form import SNAPSHOTS, clip, first_problem
from assay.messages.scorer import (
    SCORER_REQUEST,
    CloseOracle,
    DescribeTask,
    Diagnose,
    Diagnosed,
    MakeToys,
    OpenOracle,
    OracleClosed,
    OracleOpened,
    Prepare,
    Prepared,
    Score,
    Scored,
    ScoredPoint,
    ScorerError,
    ScorerRequest,
    TaskDescription,
)
from assay.messages.worker import Done, SnapshotEntry, WorkerSeeds
from assay.plugins.loading import load_task
from assay.records.diagnosis import MAX_SNAPSHOTS, refusal
from assay.records.schema import Result
from assay.space import space_of
from assay.task import Problem, Scores, Seeds, Snapshot, Task

if TYPE_CHECKING:
    from assay.engine.oracle import Account, OracleProcess

KEPT_PROBLEMS, KEPT_BYTES = 16, 1_000_000_000
POINT_KEYS = ("val", "test", "x", "y")
"""What a record keeps of a point of the curve."""


@dataclass(frozen=True)
class _PreparedProblem:
    problem: Problem
    folder: Path
    n_bytes: int
    layout: dict[str, tuple[str, tuple[int, ...]]]
    trainable: frozenset[str]
    """Names of the model's parameters; other tensors of a snapshot are buffers."""
    first_losses: dict[str, list[float | None]] = field(default_factory=dict)
    """Reference first losses by the seeds they belong to, which all methods share."""


class _Scorer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks: dict[Path, Task] = {}
        self._problems: OrderedDict[tuple[Path, int, str], _PreparedProblem] = OrderedDict()
        self._oracles: dict[Path, OracleProcess] = {}
        self._n_oracles = 0

    def answer(self, request: ScorerRequest) -> BaseModel:
        """Do a request."""
        match request:
            case DescribeTask():
                return self.describe(self.task(request.task))
            case MakeToys():
                from assay.families.toys import make_toys

                make_toys(
                    request.folder,
                    request.families,
                    binary=request.binary,
                    requires=request.requires,
                )
                return Done()
            case Prepare():
                return self.prepare(request)
            case OpenOracle():
                return self.open_oracle(request)
            case CloseOracle():
                return self.close_oracle(request)
            case Score():
                return self.score(request)
            case Diagnose():
                return self.diagnose(request)

    def task(self, folder: Path) -> Task:
        """The task in a folder, imported once."""
        if folder not in self._tasks:
            self._tasks[folder] = load_task(folder)
        return self._tasks[folder]

    def describe(self, task: Task) -> TaskDescription:
        """The task's reference optimizer, which a method that defines none trains with."""
        if type(task).reference_optimizer is Task.reference_optimizer:
            raise PluginError(
                f"task {task.card.slug} supplies no reference optimizer: a method must define "
                "configure_optimizer to enter it"
            )
        return TaskDescription(reference=space_of(task.Reference))

    def prepare(self, request: Prepare) -> Prepared:
        """Files for the worker: training tensors and initial weights, nothing else."""
        kept = self._problem(request)
        starts = [kept.folder / f"start{i}" for i in range(len(kept.problem.starts))]
        return Prepared(train=kept.folder / "train", starts=starts)

    def open_oracle(self, request: OpenOracle) -> OracleOpened:
        """Start the oracle of a run."""
        from assay.engine.oracle import OracleProcess
        from assay.families.functions import Functions

        task = self.task(request.task)
        if not isinstance(task, Functions):
            raise PluginError(f"task {task.card.slug} is no function: it has no oracle")
        self._n_oracles += 1
        path = self._folder / f"oracle{self._n_oracles}"
        self._oracles[path] = OracleProcess(task, self._problem(request).problem, path)
        return OracleOpened(oracle=path)

    def close_oracle(self, request: CloseOracle) -> OracleClosed:
        """End the oracle of a run."""
        oracle = self._oracles.pop(request.oracle)
        accounts = oracle.close()
        if accounts is None:
            return OracleClosed(cpu_seconds=oracle.cpu_seconds)
        return OracleClosed(
            cpu_seconds=oracle.cpu_seconds,
            passes=sum(account.passes for account in accounts),
            example_passes=sum(account.example_passes for account in accounts),
        )

    def score(self, request: Score) -> Scored:
        """Scores of a run's snapshots.

        Raises:
            BadWeights: they cannot be scored.
        """
        from assay.untrusted.weights import relative_distance

        kept, task = self._problem(request), self.task(request.task)
        runs, digest = _load(request.folder, request.snapshots, kept)
        if request.oracle is not None:
            runs = as_marked(runs, self._oracles[request.oracle].close())
        for number, run in enumerate(runs):
            if problem := spending_problem([s.example_passes for s in run], task.card):
                raise BadWeights(f"start {number}: {problem}")
        scores = scores_of(task, kept.problem, runs)
        return Scored(
            result=_result(task, scores),
            curve=[
                ScoredPoint(
                    passes=snapshot.passes,
                    example_passes=snapshot.example_passes,
                    **{key: point[key] for key in POINT_KEYS if key in point},
                )
                for point, snapshot in zip(scores.curve, chain(*runs), strict=True)
            ],
            weights_sha256=digest,
            reference_first_losses=self._first_losses(request, kept, task),
            weight_distances=[
                _finite(relative_distance(run[-1].state, start, kept.trainable)) if run else None
                for run, start in zip(runs, kept.problem.starts, strict=True)
            ],
        )

    def diagnose(self, request: Diagnose) -> Diagnosed:
        """What a run's networks were like, beyond their scores.

        Raises:
            BadWeights: the snapshots cannot be read, or are too many to be measured.
        """
        from assay.engine.diagnostics import has_batch_norm, measured
        from assay.families.classification import Classification

        kept, task = self._problem(request), self.task(request.task)
        if not isinstance(task, Classification) or refusal(task.card):
            raise PluginError(f"task {task.card.slug} is none that can be diagnosed")
        if not 1 <= (n := len(request.snapshots)) <= MAX_SNAPSHOTS:
            raise BadWeights(f"{n or 'no'} snapshots, expected at most {MAX_SNAPSHOTS}")
        runs, digest = _load(request.folder, request.snapshots, kept)
        with task_code(task, "diagnosis"):
            points = measured(task, kept.problem, runs[0])
            found = has_batch_norm(task.model_for(kept.problem, 0))
        return Diagnosed(points=points, weights_sha256=digest, batch_norm=found)

    def _first_losses(
        self, request: Score, kept: _PreparedProblem, task: Task
    ) -> list[float | None]:
        """What the first loss of each start is where a method changes nothing."""
        key = json.dumps([[seeds.model_dump() for seeds in request.seeds], request.accelerator])
        if key not in kept.first_losses:
            with task_code(task, "loss"):
                kept.first_losses[key] = [
                    _first_loss(task, kept.problem, number, seeds, request.accelerator)
                    for number, seeds in enumerate(request.seeds)
                ]
        return kept.first_losses[key]

    def _problem(self, request: Prepare | OpenOracle | Score | Diagnose) -> _PreparedProblem:
        key = (request.task, request.repetition, request.seed_root)
        if key not in self._problems:
            self._evict()
            self._problems[key] = self._make(request)
        self._problems.move_to_end(key)
        return self._problems[key]

    def _make(self, request: Prepare | OpenOracle | Score | Diagnose) -> _PreparedProblem:
        from safetensors.torch import load_file

        from assay.untrusted.weights import write_tensors

        task = self.task(request.task)
        seeds = Seeds(request.seed_root, task.card.slug, request.repetition)
        with task_code(task, "prepare"):
            problem = task.prepare(seeds)
        try_out(task, problem)
        folder = Path(tempfile.mkdtemp(dir=self._folder, prefix=f"{task.card.slug}-"))
        write_tensors(problem.train, folder / "train")
        for number, start in enumerate(problem.starts):
            write_tensors(start, folder / f"start{number}")
        # A mapped file: the training data are in memory once for all processes.
        problem = replace(problem, train=load_file(folder / "train"))
        n_bytes = sum(path.stat().st_size for path in folder.iterdir())
        with task_code(task, "layout"):
            model, layout = task.model_for(problem, 0), task.layout(problem)
        trainable = frozenset(name for name, _ in model.named_parameters())
        return _PreparedProblem(problem, folder, n_bytes, layout, trainable)

    def _evict(self) -> None:
        """Forget the problems that were not used for longest, where they take too much."""
        while (
            len(self._problems) >= KEPT_PROBLEMS
            and sum(kept.n_bytes for kept in self._problems.values()) > KEPT_BYTES
        ):
            _, kept = self._problems.popitem(last=False)
            shutil.rmtree(kept.folder)


def _result(task: Task, scores: Scores) -> Result:
    """The scores as a record has them.

    Raises:
        PluginError: one has a name or a value that no record can have.
    """
    try:
        return Result(
            val=scores.val,
            test=scores.test,
            test_last=scores.test_last,
            test_oracle=scores.test_oracle,
            selected=scores.selected,
            secondary=dict(scores.secondary),
        )
    except ValidationError as error:
        raise PluginError(
            f"task {task.card.slug}: its scores cannot be recorded: {first_problem(error)}"
        ) from error


def _first_loss(
    task: Task, problem: Problem, start: int, seeds: WorkerSeeds, accelerator: str
) -> float | None:
    """Loss of the first batch where a method changes nothing, as worker.session computes it.

    None where the task augments on a GPU, whose generators draw other numbers.
    """
    import torch

    from assay.method import TrainingSet

    inputs, targets = problem.train["inputs"], problem.train["targets"]
    order, augment = (torch.Generator().manual_seed(n) for n in (seeds.order, seeds.augment))
    indices = TrainingSet(inputs, targets).shuffled(order, task.card.budget.batch_size)[0]
    before = augment.get_state()
    batch = task.augment(task.decode(inputs[indices]), augment)
    if accelerator != "cpu" and not torch.equal(before, augment.get_state()):
        return None
    model = task.model_for(problem, start)
    model.load_state_dict(dict(problem.starts[start]))
    model = task.transform_model(model.train())
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seeds.method)
        loss = float(task.loss(model(batch), targets[indices]))
    return _finite(loss)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def as_marked(
    runs: Sequence[Sequence[Snapshot]], accounts: Sequence[Account] | None
) -> list[list[Snapshot]]:
    """Snapshots with what was spent up to each, as the oracle counted it.

    Args:
        runs: snapshots per start, in order, as the worker says.
        accounts: of the oracle, per start.

    Raises:
        BadWeights: there are other snapshots than were marked while the run went on.
    """
    from assay.families.oracle import digest_of

    if accounts is None:
        raise BadWeights("the oracle of the function left no account of the run")
    counted: list[list[Snapshot]] = []
    for number, (run, account) in enumerate(zip(runs, accounts, strict=True)):
        if len(run) != len(account.marks):
            raise BadWeights(
                f"start {number}: {len(run)} snapshots, but {len(account.marks)} were marked"
            )
        for snapshot, mark in zip(run, account.marks, strict=True):
            if digest_of(snapshot.state) != mark.digest or snapshot.batch != mark.batch:
                raise BadWeights(
                    f"start {number}: the snapshot of batch {snapshot.batch} is not the one that "
                    f"was marked after {mark.example_passes} example-passes"
                )
        counted.append(
            [
                replace(snapshot, passes=mark.passes, example_passes=mark.example_passes)
                for snapshot, mark in zip(run, account.marks, strict=True)
            ]
        )
    return counted


def _load(
    folder: Path, listed: list[SnapshotEntry], kept: _PreparedProblem
) -> tuple[list[list[Snapshot]], str]:
    """Snapshots per start, in order, and the hash of the last ones.

    Raises:
        BadWeights: they are not what they must be, or are of a start that does not exist.
    """
    from assay.identity import sha256
    from assay.untrusted.weights import read_snapshots

    runs: list[list[Snapshot]] = [[] for _ in kept.problem.starts]
    digests = [""] * len(runs)
    if any(entry.start >= len(runs) for entry in listed):
        raise BadWeights("snapshots of a start that does not exist")
    found = read_snapshots(folder / SNAPSHOTS, [entry.n_bytes for entry in listed], kept.layout)
    for entry, (state, digest) in zip(listed, found, strict=True):
        digests[entry.start] = digest
        runs[entry.start].append(
            Snapshot(
                batch=entry.batch,
                passes=entry.passes,
                example_passes=entry.example_passes,
                state=state,
            )
        )
    return runs, digests[0] if len(digests) == 1 else sha256("".join(digests))


def main() -> None:
    """Serve requests until stdin closes; the one argument is a folder for problems."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints, prints to the log
    scorer = _Scorer(Path(sys.argv[1]))
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.use_deterministic_algorithms(True, warn_only=True)
    channel.write(Done().model_dump_json() + "\n")
    for line in sys.stdin:
        channel.write(_answered(scorer, line).model_dump_json() + "\n")


def _answered(scorer: _Scorer, line: str) -> BaseModel:
    try:
        return scorer.answer(SCORER_REQUEST.validate_json(line))
    except DataError as error:
        return ScorerError(error=clip(str(error)), kind="data")
    except BadWeights as error:
        return ScorerError(error=clip(str(error)), kind="weights")
    except AssayError as error:
        return ScorerError(error=clip(str(error)), kind="task")
    except Exception as error:
        traceback.print_exc()
        kind: Literal["machine", "scorer"] = "machine" if is_of_the_machine(error) else "scorer"
        return ScorerError(error=clip(f"{type(error).__name__}: {error}"), kind=kind)


if __name__ == "__main__":
    main()
