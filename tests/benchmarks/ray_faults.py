"""Faults at random moments: is anything repeated, lost, doubled or different on a Ray cluster?

    python tests/benchmarks/ray_faults.py [--task beale ...] [--faults 50] [--seed 0] [--kinds ...]

Two raylets on this machine are the nodes of a cluster. The same command is run by the local pool,
and on the cluster while processes are ended by signals: a worker, a scorer, a slot, a whole node,
the driver, or a slot or a node that is stopped (SIGSTOP) as if it hung. A node that is gone is
replaced, and a driver that ended is started again. With `--faults 0` nothing is ended: then it says
whether a cluster gives the same bits, and how long it takes.

Printed at the end, and the exit code is 1 if one of these is not so: every planned run is recorded,
no record has been written twice, and weights and scores are those of the local pool.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ray.cluster_utils import Cluster

KINDS = ("worker", "scorer", "slot", "node", "driver", "stopped slot", "stopped node")
NAMES = {"worker": "assay.worker.serve", "scorer": "assay.engine.scorer", "slot": "SlotProcess"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", action="append")
    parser.add_argument("--method", default="sgd")
    parser.add_argument("--repetitions", default="4")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--every", type=float, default=10.0, help="mean seconds between faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    trial = Trial(options, Path(tempfile.mkdtemp(prefix="assay-ray-faults-")))
    try:
        sys.exit(0 if trial.run() else 1)
    finally:
        trial.close()


class Trial:
    def __init__(self, options, folder):
        self.options, self.folder, self.random = options, folder, random.Random(options.seed)
        self.seen, self.rewritten, self.done = {}, [], Counter()
        head = {"num_cpus": 0, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.added_node() for _ in range(options.nodes)]
        self.cluster.wait_for_nodes()
        self.driver = None

    def run(self):
        began = time.perf_counter()
        subprocess.run(self.command("local", "-j", "1"), check=True, stdout=subprocess.DEVNULL)
        print(f"local pool, 1 worker: {time.perf_counter() - began:.1f} s", flush=True)
        began = time.perf_counter()
        n_starts = self.on_the_cluster()
        print(f"{self.options.nodes} nodes: {time.perf_counter() - began:.1f} s, "
              f"{n_starts} driver(s); faults: {dict(self.done)}")  # fmt: skip
        wanted, found = self.records("local"), self.records("ray")
        different = [name for name in wanted if name in found and found[name] != wanted[name]]
        print(f"{len(wanted)} runs planned, {len(found)} recorded, "
              f"{len(wanted.keys() - found.keys())} lost, {len(self.rewritten)} written twice, "
              f"{len(different)} with other weights or scores")  # fmt: skip
        return found == wanted and not self.rewritten

    def on_the_cluster(self):
        n_starts = 0
        while True:
            if self.driver is None or self.driver.poll() is not None:
                if self.driver is not None and self.driver.returncode == 0:
                    self.look()
                    return n_starts
                n_starts += 1
                self.driver = subprocess.Popen(
                    self.command("ray", "--executor", "ray", "--address", self.cluster.address),
                    stdout=subprocess.DEVNULL,
                )
            if self.done.total() < self.options.faults:
                time.sleep(self.random.expovariate(1 / self.options.every))
                self.look()
                if self.driver.poll() is None:
                    self.fault(self.random.choice(self.options.kinds))
            else:
                time.sleep(0.2)

    def command(self, name, *more):
        tasks = [part for task in self.options.task or ["beale"] for part in ("--task", task)]
        more = (*more, "--quick") if self.options.quick else more
        return [sys.executable, "-m", "assay.cli", "run", self.options.method, *tasks,
                "--repetitions", self.options.repetitions, "--mlflow", "off",
                "--results", str(self.folder / name), *more]  # fmt: skip

    def fault(self, kind):
        """End or stop something; nothing is counted if there is none of it now."""
        if kind == "driver":
            self.driver.kill()
            self.driver.wait()
        elif kind in ("node", "stopped node"):
            node = self.nodes.pop(self.random.randrange(len(self.nodes)))
            raylet = node.all_processes["raylet"][0].process.pid
            if kind == "stopped node":
                for pid in (raylet, *below(raylet)):
                    send(pid, signal.SIGSTOP)
                time.sleep(60)  # until Ray has noticed
                for pid in (*below(raylet), raylet):
                    send(pid, signal.SIGKILL)
            self.cluster.remove_node(node, allow_graceful=False)
            self.nodes.append(self.added_node())
        else:
            name = NAMES[kind.removeprefix("stopped ")]
            raylets = [node.all_processes["raylet"][0].process.pid for node in self.nodes]
            there = [p for raylet in raylets for p in below(raylet) if name in command_of(p)]
            if not there:
                return
            stopped = kind.startswith("stopped")
            send(self.random.choice(there), signal.SIGSTOP if stopped else signal.SIGKILL)
        self.done[kind] += 1
        print(f"{kind} at {len(self.seen)} records", flush=True)

    def added_node(self):
        """A new node; Ray gives up a node that has not begun within 30 s, as on a busy machine."""
        for _ in range(9):
            try:
                return self.cluster.add_node(num_cpus=1)
            except Exception as error:
                print(f"a node did not start: {error}", flush=True)
        return self.cluster.add_node(num_cpus=1)

    def look(self):
        """Note records that are new, and those that are not what they were."""
        for path in (self.folder / "ray").glob("runs/*/*/*.json"):
            now = (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
            if self.seen.setdefault(path.stem, now) != now:
                self.rewritten.append(path.stem)

    def records(self, name):
        found = {}
        for path in (self.folder / name).glob("runs/*/*/*.json"):
            record = json.loads(path.read_text())
            found[path.stem] = [
                record["status"], record["weights_sha256"], record["result"],
                [[point["val"], point["test"]] for point in record["curve"]],
            ]  # fmt: skip
        return found

    def close(self):
        if self.driver is not None:
            self.driver.kill()
        self.cluster.shutdown()
        shutil.rmtree(self.folder)


def below(pid):
    """Processes that descend from `pid`."""
    found, parents = [pid], {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return found[1:]


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def send(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    main()
