"""Starting, scaling and memory of workers.

    python tests/benchmarks/workers.py [--task digits_cnn] [--runs 8]

Prints: what a run costs beyond its training once workers are up; how much faster two workers are
than one; a worker's peak memory against the hand-written loop's; how much of the training set two
workers share; the time of `assay --help` and `assay list`.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assay.engine.cells import make_cells
from assay.engine.pool import Pool
from assay.plugins.registry import find_method, select_tasks
from assay.records.schema import Compute

HERE = Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", default="digits_cnn")
    parser.add_argument("--runs", type=int, default=8)
    options = parser.parse_args()
    elapsed = {}
    for n_workers in (1, 2):
        elapsed[n_workers], records = run_all(options.task, options.runs, n_workers)
        beyond = [r.usage.wall_seconds - r.usage.train_seconds for r in records[1:]]
        print(
            f"{n_workers} worker(s): {options.runs} runs in {elapsed[n_workers]:.2f} s; wall "
            f"beyond training, median {statistics.median(beyond):.3f} s (n = {len(beyond)})",
            flush=True,
        )
    print(f"two workers over one: {elapsed[1] / elapsed[2]:.2f} x (n = {options.runs} runs each)")
    peak = max(record.usage.peak_bytes for record in records) / 2**20
    loop = loop_peak(options.task)
    print(f"peak memory: worker {peak:.0f} MiB, loop {loop:.0f} MiB, more by {peak - loop:.0f} MiB")
    for command in (["--help"], ["list"]):
        seconds = [wall([str(Path(sys.executable).parent / "assay"), *command]) for _ in range(7)]
        print(f"assay {command[0]}: median {statistics.median(seconds):.3f} s (n = 7)")


def run_all(task, n_runs, n_workers):
    with Pool(n_workers=n_workers, compute=Compute()) as pool:
        cell = make_cells([(select_tasks([task])[0], find_method("sgd"))], pool, "full")[0]
        jobs = [
            cell.job(cell.spec(n, 0, dict(cell.space.defaults))) for n in range(n_runs + n_workers)
        ]
        with ThreadPoolExecutor(n_workers) as threads:
            list(threads.map(lambda job: pool.run(job, ""), jobs[:n_workers]))  # warm up
            began = time.perf_counter()
            records = list(threads.map(lambda job: pool.run(job, ""), jobs[n_workers:]))
            return time.perf_counter() - began, records


def loop_peak(task):
    """Peak resident set of hand_written.py, in MiB."""
    command = ["/usr/bin/time", "-v", sys.executable, str(HERE / "hand_written.py"), task]
    output = subprocess.run([*command, "0.05", "2"], capture_output=True, text=True, check=True)
    return int(re.search(r"Maximum resident set size \(kbytes\): (\d+)", output.stderr)[1]) / 1024


def wall(command):
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
