"""Are the records of a Ray cluster those of the local pool? Two runs of each lite task, both ways.

    python tests/benchmarks/ray_bits.py [--task digits_mlp ...] [--tier lite]

The method is the task's reference; the cluster is a Ray of this machine with one slot. Printed for
each task: whether status, hash of the weights, scores, learning curve and isolation level are the
same in both. The exit code is 1 if one is not.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path

from assay.engine.cells import Extent, make_cells
from assay.engine.executors.cluster import ClusterExecutor
from assay.engine.executors.ray import RayCluster, connected
from assay.engine.executors.slot import SlotSetup
from assay.engine.pipeline import Pipeline
from assay.engine.pool import Pool
from assay.plugins.registry import find_method, select_tasks, task_entries
from assay.records.schema import Compute
from assay.records.store import Store


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", action="append")
    parser.add_argument("--tier", default="lite")
    options = parser.parse_args()
    names = [name for name, task in task_entries().items() if task.card.tier == options.tier]
    tasks = select_tasks(options.task or names)
    setup = SlotSetup(Compute(), datasets=sorted({task.card.dataset.name for task in tasks}))
    wrong, n_runs = [], 0
    with (
        tempfile.TemporaryDirectory(prefix="assay-ray-bits-") as folder,
        Pool(n_workers=1, compute=Compute()) as pool,
        connected(None, n_cpus=1, n_gpus=0, n_wanted=1),
    ):
        executor = ClusterExecutor(RayCluster(1, 0), setup, pool.machine, print, n_wanted=1)
        local, remote = Store(Path(folder, "local")), Store(Path(folder, "ray"))
        for task in tasks:
            began = time.perf_counter()
            (cell,) = make_cells([(task, find_method(task.card.reference))], pool)
            two = Extent(range(1), 2) if cell.space.ranges else Extent(range(2), 1)
            cell = dataclasses.replace(cell, extent=two)
            for way, store in ((pool, local), (executor, remote)):
                Pipeline(way, store, None, lambda progress: None).run([cell])
            here, there = (contents(store, task.card.slug) for store in (local, remote))
            same = here == there and len(here) == 2
            n_runs += len(here)
            wrong += [] if same else [task.card.slug]
            print(f"{task.card.slug}, {cell.method.card.slug}: {len(here)} runs, "
                  f"{'the same' if same else 'DIFFERENT'} ({time.perf_counter() - began:.0f} s)",
                  flush=True)  # fmt: skip
        executor.abort()
    print(f"{len(tasks)} tasks, {n_runs} runs, different on: {', '.join(wrong) or 'none'}")
    sys.exit(bool(wrong))


def contents(store, task):
    return {
        record.id: (
            record.status, record.weights_sha256, record.result, record.isolation.level,
            [(point.batch, point.train_loss, point.val, point.test) for point in record.curve],
        )
        for record in store.runs(task=task)
    }  # fmt: skip


if __name__ == "__main__":
    main()
