"""What the sandbox costs a run: pairs in alternation, sandboxed and not.

    python tests/benchmarks/sandbox.py [--pairs 15] [--rounds 3000]

Prints, with n and the range: a run's time from request to answer for a method that does nothing
(what a run costs beside its training), the part of it from fork to exit (namespaces, checks, the
child's end), how much more the first is than unsandboxed, and the ratio in CPU time for a method
that computes for about two seconds.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from assay.engine.pool import Pool
from assay.messages.worker import Describe
from assay.records.schema import Compute
from assay.sandbox import mechanisms

BUSY = """
import time
import torch

torch.manual_seed(0)
matrix = torch.randn(256, 256)
for _ in range({rounds}):
    matrix = torch.tanh(matrix @ matrix)
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3000, help="matrix products; about 2 s")
    options = parser.parse_args()
    strongest = mechanisms.choose(compute=Compute(), allow_weaker=False)
    names = list(dict.fromkeys((strongest, "landlock", "subprocess")))
    with tempfile.TemporaryDirectory() as folder:
        sources = {"nothing": "", "busy": BUSY.format(rounds=options.rounds)}
        for name, source in sources.items():
            (Path(folder) / f"{name}.py").write_text(source)
        pools = {name: Pool(n_workers=1, compute=Compute(), mechanism=name) for name in names}
        try:
            for pool in pools.values():
                pool.__enter__()
            for source in sources:
                compare(pools, Path(folder) / f"{source}.py", options.pairs)
        finally:
            for pool in pools.values():
                pool.__exit__()


def compare(pools, method, n_pairs):
    """Wall and CPU time of each mechanism against `subprocess`, the unsandboxed worker."""
    walls = {name: [] for name in pools}
    inner = {name: [] for name in pools}
    cpus = {name: [] for name in pools}
    for number in range(n_pairs + 1):
        for name, pool in pools.items():
            wall, within, cpu = timed(pool, method)
            if number:  # the first warms up
                walls[name].append(wall)
                inner[name].append(within)
                cpus[name].append(cpu)
    for name in pools:
        more = [a - b for a, b in zip(walls[name], walls["subprocess"], strict=True)]
        ratios = [a / b for a, b in zip(cpus[name], cpus["subprocess"], strict=True)]
        print(
            f"{method.stem:8} {name:11} wall {statistics.median(walls[name]) * 1e3:7.1f} ms, of "
            f"which fork to exit {statistics.median(inner[name]) * 1e3:6.1f} ms "
            f"({min(inner[name]) * 1e3:.1f}..{max(inner[name]) * 1e3:.1f}); more than "
            f" unsandboxed {statistics.median(more) * 1e3:6.1f} ms; CPU "
            f"{statistics.median(cpus[name]) * 1e3:7.1f} ms, ratio {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f}..{max(ratios):.3f}, n = {n_pairs} pairs)",
            flush=True,
        )


def timed(pool, method):
    """Seconds from request to answer, from fork to exit, and of CPU time."""
    request = Describe(method=method, families=[], seconds=120)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        ended = pool.ask_worker(request, Path(folder))
        return time.monotonic() - began, ended.wall_seconds, ended.cpu_seconds


if __name__ == "__main__":
    main()
