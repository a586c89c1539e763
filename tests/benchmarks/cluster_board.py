"""On paper: a full board of 100 methods on 40 tasks on clusters of several sizes, and its limits.

    python tests/benchmarks/cluster_board.py [--methods 100] [--tasks 40] [--driver-ms 5]
        [--speedup 20 50] [--results DIR]

Nothing is run: the plans of the tasks in this checkout, as many as asked for, are laid out on slots
by simulation, one task after another as the pipeline does. One driver handles run after run, for as
long each as ray_driver.py measures. How long a run takes is

- the median CPU time of the task's runs that are published, or in the folder --results;
- else, marked *, what an example of training takes on measured tasks with the same model; that of a
  CIFAR ResNet is RESNET_SECONDS; a model of which nothing is known takes the task's CPU limit;

and START_SECONDS more. On a GPU it is as many times shorter as --speedup says: an assumption.
"""

import argparse
import heapq
import statistics
from collections import defaultdict
from pathlib import Path

from assay.plugins.files import code_files, read_file
from assay.plugins.registry import method_entries, task_entries
from assay.records import log
from assay.records.bundle import read_bundle
from assay.records.store import Store
from assay.ruleset import RULESET

START_SECONDS = 0.05
"""A worker's fork for a run, on an idle machine."""
SLOT_SECONDS = 10.0
"""Until a slot's worker and scorer are up, on an idle machine."""
RESNET_SECONDS = 1 / (353 * 0.72)
"""For an example by a ResNet-20 of width 16: 353 a second on one core, and 0.72 of it with AVX2."""
CORES_PER_NODE = 32
DATA_BYTES = {"cifar10": 186e6, "cifar100": 186e6, "fashion_mnist": 31e6}
"""Published files, sent to nodes that have none of them; those of others are small."""
SPEC_BYTES = 1500
"""What goes out for a run: its spec and the command that repeats it."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--driver-ms", type=float, default=5.0)
    parser.add_argument("--speedup", type=float, nargs="*", default=[20.0, 50.0])
    parser.add_argument("--results")
    parser.add_argument("--published", default="leaderboard/results")
    options = parser.parse_args()
    measured, record_bytes = recorded(Path(options.published), options.results)
    plan = planned(options.tasks, measured)
    for task, seconds, n_runs in plan:
        mark = " " if task.card.slug in measured else "*"
        print(f"{task.card.tier:9}{task.card.slug:26}{n_runs:4} runs of {seconds:9.2f}{mark} s")
    n_runs = options.methods * sum(n for _, _, n in plan)
    work = options.methods * sum(n * seconds for _, seconds, n in plan)
    longest = max(seconds for _, seconds, _ in plan)
    print(f"\n{n_runs:,} runs, {work / 3600:,.0f} core hours, the longest {longest / 3600:.1f} h; "
          f"a record has {record_bytes:,.0f} bytes\n")  # fmt: skip
    print(f"{'':28}{'hours':>11}{'if ideal':>11}{'slots busy':>11}{'driver busy':>12}{'GB':>9}")
    for n_slots in (1, 10, 100, 1000):
        row(f"{n_slots:,} cores", plan, options, n_slots, record_bytes)
    for speedup in options.speedup:
        faster = [(task, seconds / speedup, n) for task, seconds, n in plan]
        row(f"8 GPUs of {speedup:g} cores each", faster, options, 8, record_bytes)
    lite = [one for one in plan if one[0].card.tier == "lite"]
    for n_slots in (10, 100, 1000):
        row(f"lite alone, {n_slots:,} cores", lite, options, n_slots, record_bytes)
    usual = statistics.median(seconds for _, seconds, _ in lite) + START_SECONDS
    print(f"\nIt stops scaling at {work / longest:,.0f} cores, as the longest run cannot be split; "
          f"the lite tier alone\nat {1000 * usual / options.driver_ms:,.0f}, as the driver cannot "
          "handle more runs a second")  # fmt: skip


def recorded(published, folder):
    """CPU seconds of recorded runs by task, and the mean size of a record."""
    seconds, sizes = defaultdict(list), []
    runs = [] if folder is None else list(Store(Path(folder)).runs([]))
    for standing in log.standings(log.read(published)).values():
        if standing.state == "current":
            runs += read_bundle(published / standing.file).runs
    for run in runs:
        sizes.append(len(run.model_dump_json()))
        if run.status == "completed" and run.usage.cpu_seconds:
            seconds[run.spec.task.slug].append(run.usage.cpu_seconds)
    return {task: statistics.median(of) for task, of in seconds.items()}, statistics.mean(sizes)


def planned(n_tasks, measured):
    """(task, seconds of a run, runs a method) of tasks taken evenly from all."""
    every = list(task_entries().values())
    rates = defaultdict(list)
    for task in every:
        if task.card.slug in measured:
            rates[task.card.model.name].append(measured[task.card.slug] / n_examples(task.card))
    found = []
    for number in range(min(n_tasks, len(every))):
        task = every[number * len(every) // n_tasks]
        card = task.card
        if card.slug in measured:
            seconds = measured[card.slug]
        elif card.model.name in rates:
            seconds = n_examples(card) * statistics.median(rates[card.model.name])
        elif card.model.name == "cifar_resnet":
            width = card.model.parameters["width"]
            seconds = n_examples(card) * RESNET_SECONDS * (width / 16) ** 2
        else:
            seconds = card.budget.seconds
        r, k = (of(card.tier, "full", deterministic=card.deterministic)
                for of in (RULESET.r, RULESET.k))  # fmt: skip
        found.append((task, seconds, r * k))
    return found


def n_examples(card):
    return card.budget.batches * card.budget.batch_size


def row(name, plan, options, n_slots, record_bytes):
    seconds, driver_seconds, work = simulated(plan, options, n_slots)
    n_runs = options.methods * sum(n for _, _, n in plan)
    datasets = {task.card.dataset.name for task, _, _ in plan}
    data = sum(DATA_BYTES.get(dataset, 0) for dataset in datasets)
    to_a_node = data + cell_bytes(plan, options.methods)
    moved = n_runs * (record_bytes + SPEC_BYTES) + -(-n_slots // CORES_PER_NODE) * to_a_node
    print(f"{name:28}{seconds / 3600:11,.1f}{work / n_slots / 3600:11,.1f}"
          f"{work / n_slots / seconds:11.0%}{driver_seconds / seconds:12.1%}{moved / 1e9:9.2f}",
          flush=True)  # fmt: skip


def simulated(plan, options, n_slots):
    """(seconds until the last run has ended, those the driver worked, those of the runs)."""
    each = options.driver_ms / 1000
    slots = [SLOT_SECONDS] * n_slots
    driver, busy, work = 0.0, 0.0, 0.0
    for _, seconds, n_runs in plan:
        for _ in range(n_runs * options.methods):
            driver = max(driver, slots[0]) + each  # takes the last record and gives the next run
            heapq.heapreplace(slots, driver + START_SECONDS + seconds)
            busy, work = busy + each, work + seconds
    return max(slots), busy, work


def cell_bytes(plan, n_methods):
    """The files of every task and method, which each node gets once for each cell."""
    methods = [sum(map(len, entry.contents.values())) for entry in method_entries().values()]
    tasks = [sum(len(read_file(path)) for path in code_files(task.folder)) for task, _, _ in plan]
    return n_methods * (sum(tasks) + len(plan) * statistics.mean(methods))


if __name__ == "__main__":
    main()
