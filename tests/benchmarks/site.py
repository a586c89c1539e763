"""What a site of 240,000 simulated runs costs: 100 methods, 25 tasks, 96 runs of each pair.

    python -m tests.benchmarks.site [--methods 100] [--tasks 25] [--jobs 2] [--keep FOLDER]

Makes up a checkout and its published bundles (not timed; --keep keeps them for the next time),
builds the site, adds one cell, builds it again. Prints wall and CPU seconds, the largest sum of the
resident memory of all processes, and the sizes of what a browser loads first.
"""

import argparse
import gzip
import sys
import tempfile
from pathlib import Path

from assay import paths
from assay.identity import sha256
from assay.plugins import registry
from assay.records import log
from assay.records.bundle import pack

from tests.benchmarks import made_up
from tests.benchmarks.made_up import K, R, points, record, use

REPLAYED = 3
"""Runs of each bundle that were done again, so that it ranks."""


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


def build(root, jobs):
    """`assay site build` of that checkout, in a process of its own."""
    use(root)
    from assay.cli import main

    sys.argv = ["assay", "site", "build", "--out", str(root / "site"), "--jobs", str(jobs)]
    main()


def measured(root, jobs, label):
    build = ["--build", str(root), "--jobs", str(jobs)]
    made_up.measured(["tests.benchmarks.site", *build], label)


def sizes(site):
    first = [path for path in (site / "index.html", *site.glob("static/*")) if path.is_file()]
    packed = sum(len(gzip.compress(path.read_bytes(), mtime=0)) for path in first)
    files = [path for path in site.rglob("*") if path.is_file()]
    whole = sum(path.stat().st_size for path in files)
    print(f"first view: {packed / 1000:.1f} KB gzipped ({len(first)} files)")
    print(f"site: {len(files):,} files, {whole / 1e6:.0f} MB")


def make(root, n_methods, n_tasks):
    """A checkout with cards, bundles of all pairs and their log."""
    tasks, slugs = made_up.cards(root, n_methods, n_tasks)
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
