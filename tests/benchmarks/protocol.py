"""The whole protocol for SGD on the digits CNN, against the same trainings in one plain script.

    python tests/benchmarks/protocol.py [--pairs 3]

A: `assay run sgd --task digits_cnn` with records and MLflow mirror: 12 repetitions of 8 points;
   timed from the moment the workers are up, and divided by its number of runs.
B: hand_written.py doing 24 trainings on one thread, timed by itself.
Printed: time per training of A over B; the target is 0.65.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--task", default="digits_cnn")
    options = parser.parse_args()
    ratios = []
    for _ in range(options.pairs):
        ours, n_runs = whole_protocol(options.task)
        theirs = plain_script(options.task)
        ratios.append((ours / n_runs) / (theirs / 24))
        print(
            f"assay {ours:.1f} s for {n_runs} runs, script {theirs:.1f} s for 24 trainings: "
            f"ratio per training {ratios[-1]:.3f}",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.3f} (n = {len(ratios)})")


def whole_protocol(task):
    """Seconds from workers up to all records and the mirror written; and the number of runs."""
    from assay.engine.cells import make_cells
    from assay.engine.mirror import Mirror
    from assay.engine.pipeline import Pipeline
    from assay.engine.pool import Pool
    from assay.plugins.registry import find_method, select_tasks
    from assay.records.schema import Compute
    from assay.records.store import Store

    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        mirror = Mirror(store)
        with Pool(n_workers=cores, compute=Compute()) as pool:
            cells = make_cells([(select_tasks([task])[0], find_method("sgd"))], pool)
            began = time.perf_counter()
            progress = Pipeline(pool, store, mirror, lambda progress: None).run(cells)
            mirror.close()
            return time.perf_counter() - began, progress.done


def plain_script(task):
    """Seconds that hand_written.py measured for 24 trainings."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "avx2"}
    environment["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    command = [sys.executable, str(HERE / "hand_written.py"), task, "0.05", "24"]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(re.search(r"in ([\d.]+) s", output.stdout)[1])


if __name__ == "__main__":
    main()
