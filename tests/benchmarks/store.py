"""What a results folder of a million simulated records costs: 100 methods, 105 tasks, 96 runs each.

    python -m tests.benchmarks.store [--methods 100] [--tasks 105] [--times 3] [--keep FOLDER]

Makes up a checkout and the records of all pairs (not timed; --keep keeps them for the next time),
but for the last repetition of one pair in fifty. Then plans what is missing, and shows the board of
one task and that of all, each in a process of its own, `--times` times. Prints wall and CPU
seconds, the largest sum of the resident memory of all processes, and the largest folder.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from itertools import islice
from math import log10
from pathlib import Path

from assay.engine.cells import Cell, extent
from assay.plugins import registry
from assay.records.columns import SCORES
from assay.records.schema import RUN_LIBRARIES, Compute
from assay.records.store import Store, read_record
from assay.space import FloatRange, Space

from tests.benchmarks import made_up
from tests.benchmarks.made_up import K, R

LACKING = 50
"""One cell in so many lacks its last repetition."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=105)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="Folder of the made-up checkout.")
    parser.add_argument("--only", choices=PARTS, action="append", help="Measure this part alone.")
    parser.add_argument("--part", nargs=2, metavar=("ROOT", "PART"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        made_up.use(Path(options.part[0]))
        PARTS[options.part[1]](Path(options.part[0]) / "results")
        return
    with tempfile.TemporaryDirectory(prefix="assay-store-") as name:
        root = (options.keep or Path(name)).resolve()
        if not (root / "submissions").exists():
            make(root, options.methods, options.tasks)
        folders(root / "results")
        for part in options.only or PARTS:
            for _ in range(options.times):
                command = ["tests.benchmarks.store", "--part", str(root), part]
                made_up.measured(command, part, stdout=subprocess.DEVNULL)


def folders(results):
    """Print how many records there are, and how many entries the largest folder has."""
    sizes = {folder: len(names) + len(files) for folder, names, files in os.walk(results)}
    records = sum(len(found) for found in (os.listdir(p) for p in results.glob("runs/*/*")))
    print(f"{records:,} records, at most {max(sizes.values()):,} entries in a folder", flush=True)


def cells():
    """The cells of every method on every task, as `assay run` makes them."""
    methods = [
        (entry, registry.method_ref(entry), space_of(slug))
        for slug, entry in registry.method_entries().items()
    ]
    for task in registry.task_entries().values():
        own, wanted = registry.task_ref(task), extent(task.card)
        for method, ref, space in methods:
            yield Cell(task, method, own, ref, space, Compute(), wanted)


def space_of(method):
    """A search space of the method's own."""
    ranges = {
        "lr": FloatRange(low=1e-4, high=1.0 + int(method[1:]), log=True),
        "momentum": FloatRange(low=0.0, high=0.99),
        "weight_decay": FloatRange(low=1e-6, high=1e-2, log=True),
    }
    defaults = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
    return Space(ranges=ranges, defaults=defaults)


def plan(results):
    """Find the runs of all cells that have no record."""
    store = Store(results)
    print(sum(len(cell.missing(store)) for cell in cells()))


def board(*names):
    from assay.cli import main

    sys.argv = ["assay", "board", *names, "--json"]
    main()


PARTS = {
    "plan": plan,
    "board of one task": lambda results: board("t00", "--results", str(results)),
    "board of all tasks": lambda results: board("--results", str(results)),
}


def make(root, n_methods, n_tasks):
    """A checkout with cards, and the records of all pairs."""
    made_up.cards(root, n_methods, n_tasks)
    for number, cell in enumerate(cells()):
        folder = root / "results" / "runs" / cell.task_ref.slug / cell.method_ref.slug
        folder.mkdir(parents=True)
        wanted = R - (number % LACKING == 0)
        for path, text in texts(cell, folder, wanted):
            path.write_text(text)
        read_record(path)  # which checks its id
        if number % 1000 == 0:
            print(f"{number} cells made", file=sys.stderr, flush=True)


def texts(cell, folder, n_repetitions):
    """The files of a cell's records, each the text of one record with other values filled in."""
    import numpy as np  # not at the top: what is measured begins without it

    method = int(cell.method_ref.slug[1:])
    draw = np.random.default_rng([int(cell.task_ref.slug[1:]), method])
    skill = 0.70 + 0.05 * np.random.default_rng(method).normal() + 0.02 * draw.normal()
    parts = template(cell, draw)
    shape = 1 - np.exp(-3 * np.arange(1, 6) / 5)
    for run_id, (repetition, number, values) in islice(cell.places(), n_repetitions * K):
        level = skill - 0.03 * abs(log10(values["lr"]) + 2) + 0.01 * draw.normal()
        noise = 0.005 * draw.normal(size=(2, 5))
        val, test = (0.1 + (level - 0.1) * shape + noise).clip(0, 1).round(4).tolist()
        best = max(range(5), key=lambda i: (val[i], i))
        filled = {
            "id": run_id,
            "repetition": repetition,
            "point": number,
            "weights": random.randbytes(32).hex(),
            "distance": round(0.2 + 0.1 * random.random(), 4),
            "val": val[best],
            "test": test[best],
            "test_last": test[-1],
            "test_oracle": max(test),
            "selected": best,
            "log_loss": round(1 - test[best], 4),
            **{f"val{i}": value for i, value in enumerate(val)},
            **{f"test{i}": value for i, value in enumerate(test)},
            **values,
        }
        kept = (part if i % 2 == 0 else str(filled[part]) for i, part in enumerate(parts))
        yield folder / f"{run_id}.json", "".join(kept)


def template(cell, draw):
    """The text of a record; every second part is the name of a value to be filled in."""
    refs = cell.task_ref, cell.method_ref
    while (record := made_up.record(refs, cell.points(0)[1], 0, 1, 0.7, draw)).result is None:
        pass
    data = record.model_dump(mode="json")
    data |= {"id": "@id@", "weights_sha256": "@weights@", "space": cell.space.model_dump()}
    data["checks"] = {
        "first_losses": [2.3026],
        "reference_first_losses": [2.3026],
        "weight_distances": ["#distance#"],
    }
    data["environment"]["libraries"] = {name: "1.2.3" for name in RUN_LIBRARIES}
    data["spec"] |= {name: f"#{name}#" for name in ("repetition", "point")}
    data["spec"]["hyperparameters"] = {name: f"#{name}#" for name in data["space"]["defaults"]}
    data["result"] |= {name: f"#{name}#" for name in SCORES}
    data["result"]["secondary"] = {"log_loss": "#log_loss#"}
    for i, point in enumerate(data["curve"]):
        point |= {"val": f"#val{i}#", "test": f"#test{i}#"}
    repeat = data["reproduce"].replace("--repetition 0", "--repetition @repetition@")
    data["reproduce"] = repeat.replace("--point 1", "--point @point@")
    return re.sub('"#([a-z_0-9]+)#"', r"@\1@", json.dumps(data, indent=1) + "\n").split("@")


if __name__ == "__main__":
    main()
