"""What a researcher would write without Assay: the same trainings, one plain script, one thread.

    python tests/benchmarks/hand_written.py TASK LR N      N repetitions with SGD, scored on test

No tracking, no isolation, no records. Used as the yardstick of engine.py and protocol.py.
"""

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from assay.paths import ROOT
from assay.plugins.loading import load_task
from assay.task import Seeds


def train(task, problem, start, lr, seed):
    """The task's budget with SGD (Nesterov momentum 0.9) and linear decay, as plain PyTorch."""
    card = task.card
    model = task.model_for(problem, 0)
    model.load_state_dict(start)
    model.train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
    )
    inputs, targets = problem.train["inputs"], problem.train["targets"]
    generator = torch.Generator().manual_seed(seed)
    augmentation = torch.Generator().manual_seed(seed)
    n, size, total = len(targets), card.budget.batch_size, card.budget.batches
    done = 0
    while done < total:
        for indices in torch.randperm(n, generator=generator)[: n - n % size].split(size):
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - done / total) if card.schedule == "linear" else lr
            batch = task.augment(task.decode(inputs[indices]), augmentation)
            optimizer.zero_grad()
            loss = task.loss(model(batch), targets[indices])
            loss.backward()
            optimizer.step()
            task.project(model)
            done += 1
            if done == total:
                break
    return model


def accuracy(task, model, inputs, targets):
    """Share of right answers."""
    model.eval()
    with torch.no_grad():
        hits = sum(
            int((model(task.decode(x)).argmax(1) == y).sum())
            for x, y in zip(inputs.split(512), targets.split(512), strict=True)
        )
    return hits / len(targets)


def main():
    name, lr, n = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    task = load_task(ROOT / "tasks" / name)
    began = time.perf_counter()
    for repetition in range(n):
        problem = task.prepare(Seeds("assay-2", name, repetition))
        model = train(task, problem, problem.starts[0], lr, repetition)
        score = accuracy(task, model, problem.sealed["test_inputs"], problem.sealed["test_targets"])
        print(f"{name} {repetition} {score:.4f}")
    print(f"{n} trainings in {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
