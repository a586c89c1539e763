"""The built wheel, installed elsewhere, is complete: it needs no checkout and no certain folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.paths import ROOT

COMMAND = "from assay.cli import main; main()"
Run = Callable[..., str]


def pip(*arguments: str | Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps")
    command = [sys.executable, "-m", "pip", *map(str, arguments), *quiet]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what an installation puts into site-packages."""
    root = tmp_path_factory.mktemp("wheel")
    pip("wheel", ROOT, "--no-build-isolation", "--wheel-dir", root)
    (wheel,) = root.glob("trainassay-*.whl")
    pip("install", wheel, "--no-index", "--no-compile", "--target", root / "site")
    return root / "site"


@pytest.fixture(scope="module")
def run(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Python with the installed package, in an empty folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("ASSAY_RESULTS", None)

    def call(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def test_it_brings_two_import_names_and_no_more(site: Path) -> None:
    names = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"assay", "assay_leaderboard", "bin"}
    assert [path.name for path in (site / "bin").iterdir()] == ["assay"]


def test_nothing_of_the_checkout_is_used(site: Path, run: Run) -> None:
    found = run("import assay, assay_leaderboard as l; print(assay.__file__, l.__file__)").split()
    assert found == [str(site / name / "__init__.py") for name in ("assay", "assay_leaderboard")]


def test_tasks_and_submissions_are_listed(site: Path, run: Run) -> None:
    listed = json.loads(run(COMMAND, "list", "--json"))
    for kind, folder in (("tasks", "tasks"), ("methods", "submissions")):
        expected = {path.parent.name for path in (ROOT / folder).glob("*/card.toml")}
        assert {card["slug"] for card in listed[kind]} == expected
    shown = json.loads(run(COMMAND, "show", "digits_cnn", "--json"))
    assert Path(shown["path"]).is_relative_to(site) and "sgd" in shown["methods"]


def test_published_results_are_shown(run: Run) -> None:
    board: dict[str, Any] = json.loads(
        run(COMMAND, "board", "digits_mlp", "--with-local", "--json")
    )
    bundles = (ROOT / "leaderboard" / "results").glob("digits_mlp--*.zip")
    published = {path.name.split("--")[1].rpartition("-v")[0] for path in bundles}
    (table,) = board["tasks"]
    shown = {row["method"] for row in table["rows"]}
    assert shown and shown <= published


def test_starters_and_attacks_are_there(site: Path, run: Run) -> None:
    assert "wrote my_opt/method.py" in run(COMMAND, "new", "method", "my_opt")
    assert (site / "assay" / "starters" / "three_jobs.ipynb").is_file()
    assert "Usage" in run(COMMAND, "sandbox", "--help")
    program = "from assay.checking.attack_range import read_registry; print(len(read_registry(())))"
    assert int(run(program)) > 40
    plugins = {path.name for path in (ROOT / "tests" / "attacks" / "plugins").iterdir()}
    installed = site / "assay" / "bundled" / "tests" / "attacks" / "plugins"
    assert {path.name for path in installed.iterdir()} == plugins - {"__pycache__"}


def test_an_editable_installation_copies_no_data(tmp_path: Path) -> None:
    """A sandboxed method can read what lies in site-packages."""
    program = (
        "import sys; from hatchling.builders.wheel import WheelBuilder; "
        "print(next(WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], "
        "versions=['editable'])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(done.stdout.strip()) as wheel:
        (path,) = (name for name in wheel.namelist() if ".dist-info/" not in name)
    assert path.endswith(".pth")
