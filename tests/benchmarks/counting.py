"""What counting passes costs: the same steps with and without it, in alternation.

    python tests/benchmarks/counting.py [--pairs 60] [--batches 100]

Trains the MLP of digits_mlp with SGD, one thread. A: as a run does, with the counter of autograd
calls entered around each step and the forward hook on the model. B: neither. Prints the CPU time
of a step and the ratio A / B of each pair of pieces: median, quartiles and n.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

import torch
from assay.cards import Evaluation
from assay.messages.worker import WorkerSeeds
from assay.paths import ROOT
from assay.plugins.loading import load_method, load_task
from assay.task import Seeds
from assay.worker.pass_counter import PassCounter
from assay.worker.session import Session


class Uncounted(PassCounter):
    """Counts a batch as one pass and looks at nothing."""

    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--batches", type=int, default=100, help="in each piece")
    options = parser.parse_args()
    torch.set_num_threads(1)
    total = (options.pairs + 1) * options.batches
    counted, bare = session(total), session(total)
    bare.counter.__class__ = Uncounted
    bare.model._forward_pre_hooks.clear()
    steps, ratios = [], []
    for number in range(options.pairs + 1):
        order = (counted, bare) if number % 2 else (bare, counted)
        seconds = {one: timed(one, options.batches) for one in order}
        if number:  # the first pair warms up
            steps.append(seconds[bare] / options.batches)
            ratios.append(seconds[counted] / seconds[bare])
    assert counted.plan.spent == bare.plan.spent == total * counted.plan.batch_size
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"a step without counting {1e6 * statistics.median(steps):.0f} us; with counting "
        f"{middle:.4f} times that (quartiles {low:.4f} to {high:.4f}, n = {len(ratios)} pairs of "
        f"{options.batches} steps)"
    )


def session(n_batches):
    """A session of SGD on digits_mlp with a budget of `n_batches` and one snapshot at the end."""
    task = load_task(ROOT / "tasks" / "digits_mlp")
    budget = task.card.budget.model_copy(update={"batches": n_batches})
    evaluation = Evaluation(points=1)
    task.card = task.card.model_copy(update={"budget": budget, "evaluation": evaluation})
    problem = task.prepare(Seeds("assay-2", "digits_mlp", 0))
    method = load_method(ROOT / "submissions" / "sgd" / "method.py")
    return Session(
        task=task,
        method=method(method.Hyperparameters(lr=0.01, weight_decay=5e-4)),
        access=frozenset(),
        reference={},
        train=problem.train,
        start=problem.starts[0],
        seeds=WorkerSeeds(order=1, augment=2, method=3),
        device=torch.device("cpu"),
    )


def timed(one, n_batches):
    began = time.process_time()
    one.train_batches(n_batches, lambda point: None)
    return time.process_time() - began


if __name__ == "__main__":
    main()
