"""A made-up checkout with simulated records, for benchmarks; and what a command on it costs."""

import contextlib
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

from assay import paths
from assay.cards import FAMILIES
from assay.identity import sha256
from assay.plugins import registry
from assay.records.schema import (
    CurvePoint,
    Environment,
    Isolation,
    Result,
    RunRecord,
    RunSpec,
    Usage,
    reproduce_command,
)
from assay.ruleset import RULESET
from assay.space import FloatRange, Space

K, R = RULESET.k("lite"), RULESET.r("lite")
BATCHES = (120, 240, 360, 480, 600)
TASK = """slug = "{slug}"
version = 1
title = "Simulated task {slug}"
summary = "Made up for a benchmark."
family = "{family}"
tier = "lite"
n_classes = 10
reference = "m000"
dataset = {{ name = "none", source = "none", licence = "none" }}
model = {{ name = "mlp" }}
split = {{ train = 500, val = 400, test = 900 }}
metric = {{ name = "accuracy", direction = "maximize", chance = 0.1, margin = 0.01 }}
secondary = ["log_loss"]
anchor = {{ value = 0.7, n = 12, standard_error = 0.004 }}
budget = {{ batches = 600, batch_size = 16, seconds = 60 }}
evaluation = {{ points = 5 }}
{recipe}
[[targets]]
name = "easy"
value = 0.5
[[targets]]
name = "reference"
value = 0.7
[[targets]]
name = "stretch"
value = 0.8
"""
METHOD = """slug = "{slug}"
title = "Simulated method {slug}"
summary = "Made up for a benchmark."
is_baseline = {baseline}
authors = ["A. Nobody"]

[[claims]]
text = "Better than the reference."
source = "nowhere"
metric = "accuracy"
better_than = "reference"
tasks = ["t0*"]
"""
SOURCE = '"""A method that is never imported."""\n\nSCALE = {number}\n'
SPACE = Space(
    ranges={
        "lr": FloatRange(low=1e-4, high=1.0, log=True),
        "momentum": FloatRange(low=0.0, high=0.99),
        "weight_decay": FloatRange(low=1e-6, high=1e-2, log=True),
    },
    defaults={"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
)
ENVIRONMENT = Environment(
    python="3.11.9",
    torch="2.13.0",
    platform="Linux x86_64",
    cpu="Simulated CPU",
    cpu_flags_hash="0123456789abcdef",
    assay="0.1.0",
    commit="0" * 40,
    dirty=False,
)
PROBE, PROFILE = sha256("probe"), sha256("profile")


def use(root):
    """Make `root` the checkout of this process."""
    paths.ROOT, paths.RESULTS = root, root / "leaderboard" / "results"


def cards(root, n_methods, n_tasks):
    """Write the cards of a checkout and use it; the slugs of its tasks and of its methods."""
    slugs = [f"m{number:03d}" for number in range(n_methods)]
    tasks = [f"t{number:02d}" for number in range(n_tasks)]
    for number, slug in enumerate(slugs):
        folder = root / "submissions" / slug
        folder.mkdir(parents=True)
        (folder / "card.toml").write_text(
            METHOD.format(slug=slug, baseline="true" if number < 10 else "false")
        )
        (folder / "method.py").write_text(SOURCE.format(number=number))
    for number, slug in enumerate(tasks):
        folder = root / "tasks" / slug
        folder.mkdir(parents=True)
        family = FAMILIES[number % len(FAMILIES)]
        recipe = "recipe = { noise_rate = 0.2 }" if family == "noisy_labels" else ""
        (folder / "card.toml").write_text(TASK.format(slug=slug, family=family, recipe=recipe))
        (folder / "task.py").write_text("")
    use(root)
    return tasks, slugs


def measured(command, label, stdout=None):
    """Run a module with its arguments, print what it costs, and end if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    usual = {name: os.environ[name] for name in os.environ.keys() - {"PYTHONDONTWRITEBYTECODE"}}
    # With the bytecode kept, as a user's is.
    process = subprocess.Popen([sys.executable, "-m", *command], env=usual, stdout=stdout)
    peak, done = [0], threading.Event()
    watcher = threading.Thread(target=watch, args=(process.pid, peak, done))
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    print(
        f"{label}: {time.perf_counter() - started:.1f} s wall, {user:.1f} s user, "
        f"{system:.1f} s system, {peak[0] / 2**20:.0f} MiB at most, exit {code}, "
        f"load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    if code:
        sys.exit(code)


def watch(pid, peak, done):
    """The largest sum of resident memory of a process and its descendants."""
    while not done.wait(0.1):
        peak[0] = max(peak[0], sum(map(resident, family_of(pid))))


def family_of(pid):
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def resident(pid):
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def points(draw):
    """The points of a repetition: the defaults, then others at random."""
    found = [dict(SPACE.defaults)]
    for _ in range(K - 1):
        lr, decay = 10.0 ** draw.uniform([-4, -6], [0, -2])
        point = {"lr": lr, "momentum": draw.uniform(0, 0.99), "weight_decay": decay}
        found.append({name: float(f"{value:.6g}") for name, value in point.items()})
    return found


def record(refs, values, repetition, point, level, draw):
    """One run: a curve of five points that rises to about `level`; one in a hundred diverges."""
    import numpy as np

    spec = RunSpec(
        ruleset=RULESET.version,
        task=refs[0],
        method=refs[1],
        hyperparameters=values,
        repetition=repetition,
        point=point,
    )
    final = level + 0.01 * draw.normal()
    shape = 1 - np.exp(-3 * np.arange(1, 6) / 5)
    val, test = np.clip(0.1 + (final - 0.1) * shape + 0.005 * draw.normal(size=(2, 5)), 0, 1)
    curve = [
        CurvePoint(
            batch=batch,
            passes=batch,
            example_passes=16 * batch,
            seconds=round(0.0011 * batch, 4),
            train_loss=round(2.3 - 2 * float(val[i]), 4),
            val=round(float(val[i]), 4),
            test=round(float(test[i]), 4),
            start=0,
        )
        for i, batch in enumerate(BATCHES)
    ]
    chosen = max(range(5), key=lambda i: (curve[i].val, i))
    result = Result(
        val=curve[chosen].val,
        test=curve[chosen].test,
        test_last=curve[-1].test,
        test_oracle=max(one.test for one in curve),
        selected=chosen,
        secondary={"log_loss": round(1 - curve[chosen].test, 4)},
    )
    diverged = draw.random() < 0.01
    return RunRecord(
        id=spec.id,
        spec=spec,
        space=SPACE,
        family=registry.task_entries()[refs[0].slug].card.family,
        tier="lite",
        status="diverged" if diverged else "completed",
        message="the loss is not finite" if diverged else "",
        result=None if diverged else result,
        curve=curve,
        usage=Usage(
            batches=600,
            passes=600,
            examples=9600,
            example_passes=9600,
            train_seconds=round(0.66 + 0.05 * draw.random(), 3),
            wall_seconds=1.2,
            cpu_seconds=1.1,
            peak_bytes=300_000_000 + int(draw.integers(10_000_000)),
            optimizer_state_bytes=40_000,
        ),
        environment=ENVIRONMENT,
        isolation=Isolation(
            level="L2", mechanism="bubblewrap", profile_hash=PROFILE, probe_hash=PROBE
        ),
        scorer_version=1,
        weights_sha256=sha256(f"{spec.id}"),
        reproduce=reproduce_command(refs[1].slug, spec),
        created_at="2026-01-01T00:00:00+00:00",
    )
