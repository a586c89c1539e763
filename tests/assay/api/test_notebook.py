"""The notebook of the three jobs runs from its first cell to its last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from assay.checking.method_check import check_method
from assay.engine.pool import Pool
from assay.paths import STARTERS
from assay.plugins.registry import find_task

NOTEBOOK = STARTERS / "three_jobs.ipynb"
SHORTER = {
    '"digits_mlp", preset="quick"': (
        '"digits_binary", preset="quick", repetitions=1, workers=1, mlflow="off"'
    ),
    "!assay check ./my_entry": "!assay show ./my_entry",
}
"""What the test replaces in the cells: fewer and shorter runs; the check comes after."""
RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        source = "".join(cell["source"])
        for long, short in json.loads(sys.argv[2]).items():
            source = source.replace(long, short)
        shell.run_cell(source, store_history=True).raise_error()
        if shell.user_ns.get("_exit_code"):
            raise SystemExit(f"a command failed: {cell['source']}")
found = shell.user_ns["results"]
print("RESULT", json.dumps([len(found.frame()), found.methods, found._repr_html_()[:5]]))
"""


def test_the_notebook_runs(pool: Pool, tmp_path: Path) -> None:
    cells = NOTEBOOK.read_text(encoding="utf-8")
    assert all(json.dumps(long)[1:-1] in cells for long in SHORTER)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "IPYTHONDIR": str(tmp_path / "ipython")}
    environment.pop("ASSAY_RESULTS", None)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK), json.dumps(SHORTER)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert json.loads(line.removeprefix("RESULT ")) == [8, ["my_method", "sgd"], "<div>"]
    assert (tmp_path / "my-results" / "methods" / "my_method.py").is_file()
    checked = list(check_method(pool, tmp_path / "my_entry", [find_task("digits_mlp")]))
    assert [result for result in checked if result.status == "failed"] == []
    assert checked[-1].detail == "trains and exports on 1 of 1 tasks"


def test_it_is_kept_without_outputs() -> None:
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
