"""The scorer: a trusted process that holds every label, imports no plugin and scores weights.

It makes each repetition's problem, gives the worker's part away as files, keeps the sealed part in
memory, and scores snapshots in its own model. It speaks JSON lines with the supervisor.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.cards import spending_problem
from assay.errors import AssayError, BadWeights, DataError
from assay.plugins.loading import load_task
from assay.space import space_of
from assay.task import Problem, Scores, Seeds, Snapshot, Task, Tensors

SCORER_VERSION = 1
KEPT_PROBLEMS, KEPT_BYTES = 16, 1_000_000_000
_SNAPSHOT = re.compile(r"^start\d{1,4}-\d{1,9}\.safetensors$")


@dataclass(frozen=True)
class _PreparedProblem:
    problem: Problem
    folder: Path
    n_bytes: int
    layout: dict[str, tuple[str, tuple[int, ...]]]
    trainable: frozenset[str]
    """Names of the model's parameters; what else a snapshot holds is no weight."""
    first_losses: dict[str, list[float | None]] = field(default_factory=dict)
    """Reference first losses by the seeds they belong to: every method is issued the same."""


class _Scorer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks: dict[str, Task] = {}
        self._problems: OrderedDict[str, _PreparedProblem] = OrderedDict()

    def task(self, folder: str) -> Task:
        if folder not in self._tasks:
            self._tasks[folder] = load_task(Path(folder))
        return self._tasks[folder]

    def describe_task(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The search space of the task's reference optimizer."""
        return {"reference": space_of(self.task(request["task"]).Reference).model_dump(mode="json")}

    def prepare(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Files for the worker: training tensors and initial weights, nothing else."""
        kept = self._problem(request)
        starts = [str(kept.folder / f"start{i}") for i in range(len(kept.problem.starts))]
        return {"train": str(kept.folder / "train"), "starts": starts}

    def make_toys(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Toys for `assay check`, written to a folder."""
        from assay.families.toys import make_toys

        return make_toys(request)

    def score(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Scores of a run's snapshots; `bad` says why weights cannot be scored."""
        kept, task = self._problem(request), self.task(request["task"])
        try:
            runs, digest = _load(Path(request["folder"]), request["snapshots"], kept, task)
            scores = task.score(kept.problem, runs)
        except BadWeights as error:
            return {"bad": str(error)}
        if not _all_finite(scores):
            return {"bad": "the score is not finite"}
        return {
            "result": {
                "val": scores.val,
                "test": scores.test,
                "test_last": scores.test_last,
                "test_oracle": scores.test_oracle,
                "selected": scores.selected,
                "secondary": dict(scores.secondary),
            },
            "curve": [
                {key: point[key] for key in ("val", "test", "x", "y") if key in point}
                for point in scores.curve
            ],
            "weights_sha256": digest,
            "checks": self._checks(request, kept, task, runs),
        }

    def _checks(
        self,
        request: Mapping[str, Any],
        kept: _PreparedProblem,
        task: Task,
        runs: Sequence[Sequence[Snapshot]],
    ) -> dict[str, Any]:
        """What the detectors compare with a worker's claims (records.Checks)."""
        from assay.untrusted.weights import relative_distance

        key = json.dumps([request["seeds"], request["accelerator"]])
        if key not in kept.first_losses:
            kept.first_losses[key] = [
                _first_loss(task, kept.problem, start, seeds, request["accelerator"])
                for start, seeds in zip(kept.problem.starts, request["seeds"], strict=True)
            ]
        return {
            "reference_first_losses": kept.first_losses[key],
            "weight_distances": [
                relative_distance(run[-1].state, start, kept.trainable) if run else None
                for run, start in zip(runs, kept.problem.starts, strict=True)
            ],
        }

    def _problem(self, request: Mapping[str, Any]) -> _PreparedProblem:
        parts = ("task", "purpose", "repetition", "seed_root")
        key = "|".join(str(request[part]) for part in parts)
        if key not in self._problems:
            self._evict()
            self._problems[key] = self._make(request)
        self._problems.move_to_end(key)
        return self._problems[key]

    def _make(self, request: Mapping[str, Any]) -> _PreparedProblem:
        from safetensors.torch import load_file

        from assay.untrusted.weights import write_tensors

        task = self.task(request["task"])
        seeds = Seeds(
            request["seed_root"], request["purpose"], task.card.slug, request["repetition"]
        )
        problem = task.prepare(seeds)
        folder = Path(tempfile.mkdtemp(dir=self._folder, prefix=f"{task.card.slug}-"))
        write_tensors(problem.train, folder / "train")
        for number, start in enumerate(problem.starts):
            write_tensors(start, folder / f"start{number}")
        # From here on the training data are in memory once for all processes: a mapped file.
        problem = replace(problem, train=load_file(folder / "train"))
        n_bytes = sum(path.stat().st_size for path in folder.iterdir())
        model = task.build_model(problem.train)
        trainable = frozenset(name for name, _ in model.named_parameters())
        return _PreparedProblem(problem, folder, n_bytes, task.layout(problem), trainable)

    def _evict(self) -> None:
        while (
            len(self._problems) >= KEPT_PROBLEMS
            and sum(kept.n_bytes for kept in self._problems.values()) > KEPT_BYTES
        ):
            _, kept = self._problems.popitem(last=False)
            shutil.rmtree(kept.folder)


def _first_loss(
    task: Task, problem: Problem, start: Tensors, seeds: Mapping[str, int], accelerator: str
) -> float | None:
    """Loss of the first batch, as session.Session reaches it where a method changes nothing.

    None on a GPU where the task augments: its generators draw other numbers.
    """
    import torch

    from assay.method import TrainingSet

    inputs, targets = problem.train["inputs"], problem.train["targets"]
    order, augment = (torch.Generator().manual_seed(seeds[n]) for n in ("order", "augment"))
    indices = TrainingSet(inputs, targets).shuffled(order, task.card.budget.batch_size)[0]
    before = augment.get_state()
    batch = task.augment(task.decode(inputs[indices]), augment)
    if accelerator != "cpu" and not torch.equal(before, augment.get_state()):
        return None
    model = task.build_model(problem.train)
    model.load_state_dict(dict(start))
    model = task.transform_model(model.train())
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seeds["method"])
        loss = float(task.loss(model(batch), targets[indices]))
    return loss if math.isfinite(loss) else None


def _load(
    folder: Path, listed: list[Mapping[str, Any]], kept: _PreparedProblem, task: Task
) -> tuple[list[list[Snapshot]], str]:
    """Snapshots per start, in order, and the hash of the last ones.

    Raises:
        BadWeights: files, names or batch numbers are not what the budget allows.
    """
    from assay.identity import sha256
    from assay.untrusted.weights import read_snapshot

    card = task.card
    runs: list[list[Snapshot]] = []
    digests = []
    for number in range(len(kept.problem.starts)):
        run: list[Snapshot] = []
        own = [entry for entry in listed if entry["start"] == number]
        for entry in own:
            if not _SNAPSHOT.match(entry["file"]):
                raise BadWeights(f"unexpected snapshot name {entry['file']!r}")
            state, digest = read_snapshot(folder / entry["file"], kept.layout)
            run.append(
                Snapshot(
                    batch=entry["batch"],
                    passes=entry["passes"],
                    example_passes=entry["example_passes"],
                    state=state,
                )
            )
        if problem := spending_problem([s.example_passes for s in run], card):
            raise BadWeights(f"start {number}: {problem}")
        runs.append(run)
        digests.append(digest)
    if len(listed) != sum(len(run) for run in runs):
        raise BadWeights("snapshots of a start that does not exist")
    return runs, digests[0] if len(digests) == 1 else sha256("".join(digests))


def _all_finite(scores: Scores) -> bool:
    values = [scores.val, scores.test, scores.test_last, scores.test_oracle]
    values += scores.secondary.values()
    values += [point[split] for point in scores.curve for split in ("val", "test")]
    return all(math.isfinite(value) for value in values)


def main() -> None:
    """Serve requests until stdin closes; the one argument is a folder for problems."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    scorer = _Scorer(Path(sys.argv[1]))
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.use_deterministic_algorithms(True, warn_only=True)
    commands = {
        "describe_task": scorer.describe_task,
        "prepare": scorer.prepare,
        "make_toys": scorer.make_toys,
        "score": scorer.score,
    }
    channel.write(json.dumps({"ready": {}}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = commands[request["command"]](request)
        except DataError as error:
            answer = {"error": str(error), "kind": "data"}
        except AssayError as error:
            answer = {"error": str(error), "kind": "task"}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}", "kind": "scorer"}
        channel.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
