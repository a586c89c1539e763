"""How many runs a second the driver of a cluster handles, and whether its memory stays flat.

    python tests/benchmarks/ray_driver.py [--runs 100000] [--slots 2] [--results DIR]

Runs that train nothing are planned, sent to slots on a local Ray, answered with a record of usual
size, and written. Printed at every tenth of the runs: runs a second, the driver's CPU time for each
(runs a second say little on a busy machine), and its resident memory. The plan takes memory before
the first run; the growth after it is what counts.
"""

import argparse
import dataclasses
import shutil
import tempfile
import time
from pathlib import Path

from assay.engine.cells import Cell, Extent
from assay.engine.executors import luggage
from assay.engine.executors.cluster import ClusterExecutor
from assay.engine.executors.ray import RayCluster, connected
from assay.engine.executors.slot import Introduction, RunAnswer, SlotSetup
from assay.engine.pipeline import Pipeline
from assay.messages.worker import Machine
from assay.plugins.registry import find_method, method_ref, select_tasks, task_ref
from assay.records.schema import (
    Compute,
    CurvePoint,
    Environment,
    Isolation,
    Result,
    RunRecord,
)
from assay.records.store import Store
from assay.ruleset import SCORER_VERSION
from assay.space import FloatRange, Space

MACHINE = Machine(
    python="3", torch="2", platform="Linux", cpu="none", cpu_flags_hash="0" * 64, gpus=0,
    libraries={},
)  # fmt: skip
SPACE = Space(ranges={"lr": FloatRange(low=1e-4, high=1.0, log=True)}, defaults={"lr": 0.1})
RUNS_PER_CELL = 800


class EmptySlot:
    """Answers every run at once."""

    def __init__(self, setup):
        self._hash = setup.datasets[0]

    def introduce(self):
        return Introduction(self._hash, MACHINE, "bubblewrap", [])

    def run(self, cell, spec, reproduce):
        return RunAnswer(made_record(cell, spec, reproduce))

    def ping(self):
        pass

    def close(self):
        pass


def made_record(cell, spec, reproduce):
    points = [
        CurvePoint(batch=n, passes=n, example_passes=32 * n, seconds=0.1 * n, train_loss=1 / n,
                   val=0.5, test=0.5, start=0)
        for n in range(1, 26)
    ]  # fmt: skip
    return RunRecord(
        id=spec.id, spec=spec, space=cell.space, family=cell.task.family, tier=cell.task.tier,
        status="completed", curve=points,
        result=Result(val=0.5, test=0.5, test_last=0.5, test_oracle=0.5, selected=24),
        environment=Environment(
            python="3", torch="2", platform="Linux", cpu="none", cpu_flags_hash="0", assay="0"
        ),
        isolation=Isolation(level="L0"), scorer_version=SCORER_VERSION, weights_sha256="0" * 64,
        reproduce=reproduce, created_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


class DrawnCell(Cell):
    """A cell whose points are numbered instead of drawn by Optuna, which takes 1 ms each."""

    def points(self, repetition):
        return [{"lr": 0.1 + n / 1000} for n in range(self.extent.k)]


def planned(n_runs):
    task, method = select_tasks(["digits_mlp"])[0], find_method("sgd")
    refs = task_ref(task), method_ref(method)
    for number in range(-(-n_runs // RUNS_PER_CELL)):
        ref = refs[1].model_copy(update={"slug": f"method_{number}"})
        card = method.card.model_copy(update={"slug": ref.slug})
        yield DrawnCell(
            task, dataclasses.replace(method, card=card), refs[0], ref, SPACE, Compute(),
            Extent(range(RUNS_PER_CELL // 8), 8),
        )  # fmt: skip


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--results")
    options = parser.parse_args()
    folder = Path(options.results or tempfile.mkdtemp(prefix="assay-ray-driver-"))
    cells = list(planned(options.runs))
    total = sum(len(cell.specs) for cell in cells)
    began, seen = [], []

    def observe(progress):
        if progress.done == 1:
            began.extend((time.perf_counter(), time.process_time()))
        if progress.done and progress.done % max(1, total // 10) == 0:
            seconds = time.perf_counter() - began[0]
            seen.append((progress.done, resident()))
            cpu = (time.process_time() - began[1]) / progress.done
            print(f"{progress.done} runs, {progress.done / max(seconds, 1e-9):.0f} a second, "
                  f"{1000 * cpu:.2f} ms of the driver's CPU each, "
                  f"{seen[-1][1]:.0f} MiB resident", flush=True)  # fmt: skip

    with connected(None, n_cpus=1, n_gpus=0, n_wanted=options.slots):
        setup = SlotSetup(Compute(), datasets=[luggage.package_hash()])
        cluster = RayCluster(1, 0, EmptySlot)
        executor = ClusterExecutor(cluster, setup, MACHINE, print, n_wanted=options.slots)
        progress = Pipeline(executor, Store(folder), None, observe).run(cells)
        executor.abort()
    written = sum(1 for _ in folder.glob("runs/*/*/*.json"))
    print(f"{progress.done} of {total} runs done, {written} records written")
    if len(seen) > 1:
        print(
            f"memory: {seen[-1][1] - seen[0][1]:+.0f} MiB from {seen[0][0]} to {seen[-1][0]} runs"
        )
    if not options.results:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
