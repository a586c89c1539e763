"""Engine against a hand-written loop: the same steps on the same thread, in alternation.

    python tests/benchmarks/engine.py [TASK ...] [--pairs 7] [--batches N]

Times the engine (building the session and Lightning's set-up included, one snapshot at the end)
against the bare loop of hand_written.py, in one process, A B A B ..., in CPU time, and prints the
median of the ratios.
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
from assay.families.functions import Functions
from assay.paths import ROOT
from assay.plugins.loading import load_method, load_task
from assay.task import Seeds
from assay.worker import serve
from hand_written import train


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", default=["digits_cnn", "digits_mlp", "rosenbrock"])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--batches", type=int, help="instead of the card's, for large tasks")
    options = parser.parse_args()
    serve._preload()
    torch.set_num_threads(1)
    for name in options.tasks:
        task = load_task(ROOT / "tasks" / name)
        # The same steps: a script that does not evaluate is compared with an engine that does not.
        task.card = task.card.model_copy(update={"evaluation": Evaluation(points=1)})
        if options.batches:
            budget = task.card.budget.model_copy(update={"batches": options.batches})
            task.card = task.card.model_copy(update={"budget": budget})
        problem = task.prepare(Seeds("assay-2", name, 0))
        lr = 1e-4 if task.card.family == "functions" else 0.01
        engine(task, problem, lr), loops(task, problem, lr)
        ratios, ours, theirs = [], [], []
        for _ in range(options.pairs):
            ours.append(timed(engine, task, problem, lr))
            theirs.append(timed(loops, task, problem, lr))
            ratios.append(ours[-1] / theirs[-1])
        print(
            f"{name:24} engine {statistics.median(ours):7.3f} s   loop "
            f"{statistics.median(theirs):7.3f} s   ratio {statistics.median(ratios):.3f} "
            f"(n = {options.pairs} pairs, {min(ratios):.3f}..{max(ratios):.3f})",
            flush=True,
        )


def timed(function, *arguments):
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


def loops(task, problem, lr):
    for number, start in enumerate(problem.starts):
        train(task, problem, start, lr, number)


def engine(task, problem, lr):
    from assay.messages.worker import WorkerSeeds
    from assay.worker import training
    from assay.worker.session import Session

    method = load_method(ROOT / "submissions" / "sgd" / "method.py")
    values = method.Hyperparameters(lr=lr, weight_decay=5e-4)
    sessions = [
        Session(
            task=task,
            method=method(values),
            access=frozenset(),
            reference={},
            train=problem.train,
            start=start,
            oracle=task.oracle(problem, number) if isinstance(task, Functions) else None,
            seeds=WorkerSeeds(order=1, augment=2, method=3),
            device=torch.device("cpu"),
        )
        for number, start in enumerate(problem.starts)
    ]
    training.train(sessions, lambda number, point: None)


if __name__ == "__main__":
    main()
