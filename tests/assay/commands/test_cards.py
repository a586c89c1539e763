from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.cards import FAMILIES
from assay.commands.cards import show
from assay.plugins import registry

Assay = Callable[..., Any]

METHODS = sorted(registry.method_entries())
TASKS = sorted(registry.task_entries())


def test_list_names_every_task_and_method_once(assay: Assay) -> None:
    said = assay("list")
    assert (said.code, said.err) == (0, "")
    first_words = [line.split()[0] for line in said.out.splitlines() if line]
    assert sorted(first_words) == sorted(["task", *TASKS, "method", *METHODS])


def test_columns_are_aligned(assay: Assay) -> None:
    header, *rows = assay("list", "tasks").out.splitlines()
    column = header.index("family")
    assert {row[column - 2 : column] for row in rows} == {"  "}
    assert {row[column:].split()[0] for row in rows} <= set(FAMILIES)


@pytest.mark.parametrize("kind", ["tasks", "methods"])
def test_one_kind_alone(kind: str, assay: Assay) -> None:
    assert set(json.loads(assay("list", kind, "--json").out)) == {kind}
    assert assay("list", kind).out.splitlines()[0].split()[0] + "s" == kind


def test_json_of_list_holds_the_cards(assay: Assay) -> None:
    listed = json.loads(assay("list", "--json").out)
    cards = {card["slug"]: card for card in listed["tasks"] + listed["methods"]}
    assert sorted(cards) == sorted([*TASKS, *METHODS])
    assert cards["sgd"]["is_baseline"] is True
    assert cards["diffgrad_f1"]["family"] == "functions"


def test_family_and_tier_narrow_tasks_and_the_methods_that_may_enter_them(assay: Assay) -> None:
    listed = json.loads(assay("list", "--family", "noisy_labels", "--tier", "lite", "--json").out)
    assert {(t["family"], t["tier"]) for t in listed["tasks"]} == {("noisy_labels", "lite")}
    methods = {method["slug"] for method in listed["methods"]}
    assert {"elr", "co_teaching", "sgd"} <= methods
    assert not {"lsq", "balanced_sampling"} & methods


@pytest.mark.parametrize("name", [*TASKS, *METHODS])
def test_every_card_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(name, as_json=False)
    out = capsys.readouterr().out
    assert out.startswith(f"{name} (")
    assert max(map(len, out.splitlines())) <= 140
    show(name, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["card"]["slug"] == name
    assert Path(shown["path"]).exists()


def test_a_task_says_who_may_enter_and_a_method_where(assay: Assay) -> None:
    task = json.loads(assay("show", "digits_sym40", "--json").out)
    assert {"elr", "sgd"} <= set(task["methods"]) and "lsq" not in task["methods"]
    method = json.loads(assay("show", "elr", "--json").out)
    assert "digits_sym40" in method["tasks"] and "digits_cnn" not in method["tasks"]
    assert "elr" in assay("show", "digits_sym40").out
    assert "digits_sym40" in assay("show", "elr").out


def test_a_method_shows_its_paper_and_its_claims(assay: Assay) -> None:
    text = " ".join(assay("show", "diffgrad").out.split())
    card = registry.method_entries()["diffgrad"].card
    assert card.paper is not None and card.paper.identifier in text
    assert card.claims and all(claim.text in text for claim in card.claims)


def test_show_takes_a_path(assay: Assay) -> None:
    entry = registry.method_entries()["adam"]
    assert assay("show", str(entry.source.parent)).out == assay("show", "adam").out
    folder = registry.task_entries()["digits_cnn"].folder
    assert assay("show", str(folder)).out == assay("show", "digits_cnn").out


def test_control_characters_of_a_card_do_not_reach_the_terminal(
    assay: Assay, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "method.py").touch()
    (folder / "card.toml").write_text('slug = "odd"\ntitle = "a\\u001b[31m\\u0007b"\n')
    said = assay("show", "./odd")
    assert "a [31m b" in said.out
    assert "\x1b" not in said.out and "\x07" not in said.out


@pytest.mark.parametrize(
    "modules",
    [
        "assay.commands.cards, assay.commands.card_text, assay.commands.new, assay.api.run",
        "assay.sandbox.launch, assay.engine.pool, assay.engine.mirror",
        "assay.plugins.registry, assay.data, assay.method, assay.task, assay.records.schema",
        "assay.ruleset, assay.space, assay.identity, assay.untrusted.files, assay.errors",
        "assay.cli, assay_leaderboard.cli",
    ],
)
def test_imports_without_frameworks(modules: str) -> None:
    program = (
        f"import sys, {modules}\n"
        "heavy = {'torch', 'pytorch_lightning', 'mlflow', 'optuna', 'sklearn', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_list_imports_no_framework_and_no_plugin(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from assay.cli import main\n"
        "sys.argv = ['assay', 'list']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "heavy = {'torch', 'numpy', 'rich', 'mlflow', 'optuna', 'sklearn'}\n"
        "ours = ('assay_task', 'assay_method')\n"
        "plugins = {name for name in sys.modules if name.startswith(ours)}\n"
        "print(sorted(heavy & set(sys.modules) | plugins), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    assert "digits_cnn" in done.stdout


def test_a_reader_that_leaves_early_hears_no_complaint(tmp_path: Path) -> None:
    program = "from assay.cli import main; main()"
    started = subprocess.Popen(
        [sys.executable, "-c", program, "list", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert started.stdout is not None and started.stderr is not None
    started.stdout.close()
    assert started.stderr.read() == b""
    started.stderr.close()
    started.wait(timeout=60)


def test_a_broken_entry_point_is_one_line_of_list(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "demo-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[assay.submissions]\nbroken = absent.module:X\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.method_entries.cache_clear()
    try:
        said = assay("list", "methods")
        assert (said.code, "sgd" in said.out) == (0, True)
        assert said.err == (
            "assay: installed method 'broken' (absent.module:X): "
            "there is no module 'absent.module'\n"
        )
        said = assay("show", "broken")
        assert said.code == 2
        assert "there is no module 'absent.module'" in said.err
        assert "Traceback" not in said.err
    finally:
        registry.method_entries.cache_clear()


def test_help_imports_no_cards() -> None:
    """`assay --help` answers at once: it imports commands, and nothing that they call."""
    program = (
        "import sys\n"
        "from assay.cli import main\n"
        "sys.argv = ['assay', '--help']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print(sorted({'pydantic', 'numpy', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stderr.strip(), done.returncode) == ("[]", 0)
