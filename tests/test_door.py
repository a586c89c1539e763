"""Plugins come in by one door: they import `assay`, its families, models and quantizers alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import assay
import pytest
from assay.paths import ROOT, STARTERS
from assay.plugins.files import EQUATIONS

DOOR = ("assay.families", "assay.models", "assay.quantization")
LIBRARIES = ("torch", "numpy", "scipy", "pytorch_optimizer")
STANDARD = ("__future__", "bisect", "collections", "copy", "dataclasses", "functools", "itertools",
            "math", "types", "typing")  # fmt: skip
PLUGINS = sorted(
    path
    for place in (ROOT / "tasks", ROOT / "submissions", STARTERS)
    for path in place.rglob("*.py")
    if path.name != EQUATIONS
)
EXPLAINED = sorted((ROOT / "submissions").glob(f"*/{EQUATIONS}"))


def imported(source: str) -> Iterator[str]:
    """Modules that a file imports; a name imported from `assay` that is a module, as a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = [alias.name for alias in node.names]
            if module == "assay":
                yield from ("assay" if name in assay.__all__ else f"assay.{name}" for name in names)
            else:
                yield module


def strangers(source: str) -> list[str]:
    """Modules that stand behind no door."""
    return [
        name
        for name in imported(source)
        if name != "assay"
        and not any(name == m or name.startswith(f"{m}.") for m in (*DOOR, *LIBRARIES, *STANDARD))
    ]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_plugin_imports_from_the_door_alone(path: Path) -> None:
    assert strangers(path.read_text()) == []


@pytest.mark.parametrize("path", EXPLAINED, ids=lambda path: path.parent.name)
def test_equations_are_told_in_numpy_alone(path: Path) -> None:
    used = {name.partition(".")[0] for name in imported(path.read_text())}
    assert used <= {"numpy", "scipy", *STANDARD}


def test_every_task_and_submission_is_looked_at() -> None:
    for kind in ("tasks", "submissions"):
        folders = {path.parent for path in (ROOT / kind).glob("*/card.toml")}
        assert folders and folders <= {path.parent for path in PLUGINS}


@pytest.mark.parametrize(
    "line",
    ["from assay.method import Method", "from assay import records", "import assay.engine.pool",
     "from .. import x", "import mlflow", "from assay_leaderboard import cli"],
)  # fmt: skip
def test_what_is_behind_the_door_is_seen(line: str) -> None:
    assert strangers(line) != []


def test_every_name_of_the_door_leads_somewhere() -> None:
    for name in assay.__all__:
        assert getattr(assay, name) is not None
    assert set(assay.__all__) <= set(dir(assay))
    with pytest.raises(AttributeError, match="no attribute 'Metod'"):
        assay.Metod  # noqa: B018


def test_importing_it_brings_no_framework() -> None:
    program = (
        "import sys, assay\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'pandas', 'typer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
