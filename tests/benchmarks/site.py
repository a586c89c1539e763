"""What a site of 240,000 simulated runs costs: 100 methods, 25 tasks, 96 runs of each pair.

    python tests/benchmarks/site.py [--methods 100] [--tasks 25] [--jobs 2] [--keep FOLDER]

Makes up a checkout and its published bundles (not timed; --keep keeps them for the next time),
builds the site, adds one cell, builds it again. Prints wall and CPU seconds, the largest sum of the
resident memory of all processes, and the sizes of what a browser loads first.
"""

import argparse
import contextlib
import gzip
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from assay import paths
from assay.cards import FAMILIES
from assay.identity import sha256
from assay.plugins import registry
from assay.records import log
from assay.records.bundle import pack
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
REPLAYED = 3
"""Runs of each bundle that were done again, so that it ranks."""
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=25)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="Folder of the made-up checkout.")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        build(options.build, options.jobs)
        return
    with tempfile.TemporaryDirectory(prefix="assay-site-") as name:
        root = (options.keep or Path(name)).resolve()
        if not (root / "submissions").exists():
            make(root, options.methods, options.tasks)
        last = f"t{options.tasks - 1:02d}"
        print(f"{options.methods} methods, {options.tasks} tasks, {K * R} runs a cell")
        measured(root, options.jobs, "full build")
        measured(root, options.jobs, "nothing changed")
        rewrite(root, last)
        measured(root, options.jobs, "one new cell")
        sizes(root / "site")


def use(root):
    """Make `root` the checkout of this process."""
    paths.ROOT, paths.RESULTS = root, root / "leaderboard" / "results"


def build(root, jobs):
    """`assay site build` of that checkout, in a process of its own."""
    use(root)
    from assay.cli import main

    sys.argv = ["assay", "site", "build", "--out", str(root / "site"), "--jobs", str(jobs)]
    main()


def measured(root, jobs, label):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    command = [sys.executable, __file__, "--build", str(root), "--jobs", str(jobs)]
    usual = {name: os.environ[name] for name in os.environ.keys() - {"PYTHONDONTWRITEBYTECODE"}}
    process = subprocess.Popen(command, env=usual)  # keeps its bytecode, as a user's does
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


def sizes(site):
    first = [path for path in (site / "index.html", *site.glob("static/*")) if path.is_file()]
    packed = sum(len(gzip.compress(path.read_bytes(), mtime=0)) for path in first)
    files = [path for path in site.rglob("*") if path.is_file()]
    whole = sum(path.stat().st_size for path in files)
    print(f"first view: {packed / 1000:.1f} KB gzipped ({len(first)} files)")
    print(f"site: {len(files):,} files, {whole / 1e6:.0f} MB")


def make(root, n_methods, n_tasks):
    """A checkout with cards, bundles of all pairs and their log."""
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
    paths.RESULTS.mkdir(parents=True)
    files = [write(cell(task, slug)) for task in tasks for slug in slugs]
    write_log(files)


def cell(task, method, salt=0):
    """The runs of a method on a task."""
    import numpy as np  # not at the top: what is measured begins without it

    refs = (
        registry.task_ref(registry.task_entries()[task]),
        registry.method_ref(registry.method_entries()[method]),
    )
    draw = np.random.default_rng([int(task[1:]), int(method[1:]), salt])
    skill = 0.70 + 0.05 * np.random.default_rng(int(method[1:])).normal() + 0.02 * draw.normal()
    return [
        record(refs, values, r, point, skill - 0.03 * abs(np.log10(values["lr"]) + 2), draw)
        for r in range(R)
        for point, values in enumerate(points(draw))
    ]


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


def write(runs):
    """Publish the runs of a method on a task as a bundle."""
    spec = runs[0].spec
    source = registry.method_entries()[spec.method.slug].contents
    name, data = pack(runs, source, registry.task_entries()[spec.task.slug].card.metric)
    (paths.RESULTS / name).write_bytes(data)
    return name, sha256(data), replays(runs)


def replays(runs):
    """What a replay of a few runs finds: the scores of the records."""
    return [
        log.ReplayedRun(
            run=run.id, recorded=run.result.test, replayed=run.result.test, verdict="identical"
        )
        for run in [run for run in runs if run.result][:REPLAYED]
    ]


def write_log(files):
    """The log in one go: publog.append reads all of it before each line."""
    entries = []
    for name, digest, repeated in files:
        entries.append(entry(entries, "publish", name, digest, "T1"))
        entries.append(entry(entries, "replay", name, digest, "T2", replays=repeated))
    (paths.RESULTS / log.LOG).write_bytes(b"".join(found.line for found in entries))


def entry(before, kind, name, digest, tier, **details):
    """The entry that follows those before."""
    found = log.Entry(
        n=len(before) + 1,
        at="2026-01-02T00:00:00+00:00",
        kind=kind,
        file=name,
        sha256=digest,
        tier=tier,
        previous=before[-1].hash if before else log.NOTHING,
        hash=log.NOTHING,
        **details,
    )
    return found.model_copy(update={"hash": found.true_hash})


def rewrite(root, task):
    """Supersede the last method's current bundle of `task` by one with other scores."""
    use(root)
    standings = log.standings(log.read(paths.RESULTS)).values()
    current = [s for s in standings if s.state == "current" and s.file.startswith(f"{task}--")]
    old = max(current, key=lambda standing: standing.file)
    name, _, repeated = write(cell(task, log.cell_of(old.file)[1], salt=len(standings)))
    log.append(
        paths.RESULTS,
        "supersede",
        Path(name),
        replaces=old.sha256,
        note="made anew for the benchmark",
    )
    log.append(paths.RESULTS, "replay", Path(name), replays=repeated)


if __name__ == "__main__":
    main()
