"""The method and the task of the README, and fresh templates, pass their checks and run."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.checking import check
from assay.commands import run_one
from assay.commands.new import write_template
from assay.engine.pool import Pool
from assay.paths import ROOT

README = ROOT / "README.md"
PLUGINS = ["./my_opt.py", "./digits_gaps", "./new_opt", "./new_digits"]
TASKS = ["digits_binary", "digits_lt50", "digits_sym40", "digits_w3a3", "rosenbrock"]
"""What the methods are tried on: one task of each family."""
Assay = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README shows, and one template of each kind."""
    folder = tmp_path_factory.mktemp("readme")
    for body in re.findall(r"^```\w+\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE):
        name = re.match(r"# (\S+)\n", body)
        assert name, f"a block without a file name:\n{body}"
        path = folder / name[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
    for kind, name in (("method", "new_opt"), ("task", "new_digits")):
        write_template(kind, name, folder)
    return folder


def test_they_pass_every_check(
    folder: Path, assay: Assay, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(check, "Pool", lambda **_: contextlib.nullcontext(pool))
    tasks = [part for task in TASKS for part in ("--task", task)]
    said = assay("check", *PLUGINS, *tasks, "--json")
    assert said.err == ""
    reports = {report["name"]: report for report in json.loads(said.out)["checked"]}
    assert [*reports] == PLUGINS
    for name, report in reports.items():
        problems = [found for found in report["findings"] if found["status"] == "failed"]
        assert problems == [], name
        assert report["passed"] and len(report["findings"]) > 5


def test_they_run_together(
    folder: Path, assay: Assay, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = ("./my_opt.py", "./new_opt")
    tasks = ("--task", "./digits_gaps", "--task", "./new_digits")
    fixed = ("--set", "lr=0.03", "--repetition", "0")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run_one, "open_pool", lambda *_: contextlib.nullcontext(pool))
    said = assay("run", *methods, *tasks, *fixed, "--json")
    assert (said.code, said.err) == (0, "")
    records = [json.loads(line)["record"] for line in said.out.splitlines()]
    assert len(records) == 4
    assert {record["status"] for record in records} == {"completed"}
    assert min(record["result"]["test"] for record in records) > 0.8


def test_the_readme_names_commands_and_files_that_exist() -> None:
    text = README.read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert re.findall(r"^    make (\w+)", text, re.MULTILINE) == ["quickstart", "test"]
