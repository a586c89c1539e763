"""`assay board`, `compare`, `claims` and `audit` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from assay import paths
from assay.errors import AssayError, StorageError, UnknownName
from assay.paths import ROOT
from assay.plugins import registry
from assay.records.store import Store
from assay.ruleset import RULESET
from assay_leaderboard.cli import register
from typer.testing import CliRunner

from tests.assay_leaderboard.making import noisy

app = typer.Typer()
register(app)
RESULTS = Path("assay-results")


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.fixture
def results(checkout: Any) -> Any:
    checkout.write(Store(RESULTS))
    return checkout


def test_a_flagged_row_says_why_and_keeps_its_numbers(checkout: Any) -> None:
    checkout.add("digits", "unused", [1.2] * 12)
    checkout.write(Store(RESULTS))
    text = " ".join(call("board", "digits").stdout.split())
    assert text.count("(flagged)") == 1
    assert "unused: flagged, above_ceiling: 96 runs have a score outside 0..1" in text
    assert "it changes no number" in text
    rows = json.loads(call("board", "digits", "--json").stdout)["tasks"][0]["rows"]
    flagged = {row["method"]: [flag["code"] for flag in row["flags"]] for row in rows}
    assert flagged == {"unused": ["above_ceiling"], "sgd": [], "adam": []}
    assert rows[0]["method"] == "unused" and rows[0]["rank"] == [1, 1]
    assert "above it unused +" in " ".join(call("board", "digits", "--brief").stdout.split())


@pytest.mark.usefixtures("results")
class TestBoard:
    def test_shows_every_task_the_family_and_how_it_was_computed(self) -> None:
        text = " ".join(call("board").stdout.split())
        for part in (
            "digits v1",
            "letters v1",
            "80/96 L0",
            "runs diverged: ",
            "preliminary",
            "6 of 12 repetitions, 4 of 8 points",
            "reference",
            "gain: intervals at level",
            "over 1 pair",
            "Repetitions redraw splits and random numbers; the data stay the same.",
            "assay run adam --task letters",
        ):
            assert part in text

    def test_brief_tells_what_lies_above_and_below_the_reference(self) -> None:
        rows = {
            row["method"]: (row["versus_reference"] or {}).get("interval")
            for row in json.loads(call("board", "digits", "--json").stdout)["tasks"][0]["rows"]
        }
        said = [line.split() for line in call("board", "digits", "--brief").stdout.splitlines()]
        assert said[1][:2] == ["reference", "sgd,"]
        interval = rows["adam"]
        words = ["below", "it"] if interval["high"] < 0 else ["not", "told", "apart"]
        assert interval["low"] < 0
        assert [*words, "adam"] in [line[: len(words) + 1] for line in said]
        text = " ".join(call("board", "--brief").stdout.split())
        assert "about one in 20 excludes 0 where no method differs" in text
        assert "rank" not in text.split("Numbers:")[0]

    def test_fits_120_columns_and_carries_no_escape_codes_when_piped(self) -> None:
        text = call("board").stdout
        assert max(map(len, text.splitlines())) <= 120
        assert "\x1b" not in text
        assert "Task digits [red]?[31m" in text  # a card cannot steer the terminal

    @pytest.mark.parametrize("columns", ["40", "80", "300"])
    def test_any_width_will_do(self, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        lines = call("board").stdout.splitlines()
        assert max(map(len, lines)) <= min(120, int(columns))

    def test_an_epoch_without_results_is_named(self) -> None:
        with pytest.raises(UnknownName, match="no epoch with results here is called 'spring'"):
            call("board", "--epoch", "spring")

    def test_json_is_the_board(self) -> None:
        board = json.loads(call("board", "--json").stdout)
        assert [task["task"] for task in board["tasks"]] == ["digits", "letters"]
        assert board["tasks"][0]["rows"][0]["method"] == "sgd"
        assert board["schema_version"] == 2

    def test_narrows_to_tasks_and_methods(self) -> None:
        assert "letters" not in call("board", "digits").stdout
        assert "adam" not in call("board", "l*", "--method", "sgd").stdout

    def test_a_method_that_could_enter_more_tasks_is_not_ranked(self) -> None:
        text = " ".join(call("board").stdout.split())
        assert "Not ranked before all tasks they may enter have results: adam 1/2" in text

    def test_a_budget_of_one_is_the_defaults(self) -> None:
        text = " ".join(call("board", "digits", "--budget", "1").stdout.split())
        assert "published defaults, no tuning" in text
        board = json.loads(call("board", "digits", "--budget", "1", "--json").stdout)
        assert board["budget"] == 1
        for row in board["tasks"][0]["rows"]:
            assert row["tuned"] == row["defaults"]
        report = json.loads(call("compare", "adam", "sgd", "--budget", "2", "--json").stdout)
        assert report["budget"] == 2

    def test_twice_the_same_to_the_last_digit(self) -> None:
        assert call("board", "--json").stdout == call("board", "--json").stdout

    def test_a_changed_method_is_stale(self) -> None:
        path = paths.ROOT / "submissions/adam/method.py"
        path.write_text(path.read_text() + "\nx = 1\n")
        text = call("board").stdout
        assert "adam: stale, the method has changed since" in text

    def test_unreadable_records_are_named_and_the_rest_is_shown(self) -> None:
        damaged = sorted((RESULTS / "runs/digits/adam").glob("*.json"))[0]
        damaged.write_text("{")
        broken = sorted((RESULTS / "runs/letters/adam").glob("*.json"))[0]
        broken.write_text(broken.read_text().replace('"schema_version": 2', '"schema_version": 9'))
        done = call("board")
        assert done.exit_code == 0
        assert "not valid JSON" in done.stderr
        assert done.stderr.count("remove the file, and `assay run` does this run again") == 1
        assert "written by a newer Assay" in done.stderr
        (row,) = (
            row
            for row in json.loads(call("board", "digits", "--json").stdout)["tasks"][0]["rows"]
            if row["method"] == "adam"
        )
        assert row["runs"]["missing"] == 1
        assert "missing" in done.stdout  # in a cell of the table, which may break it anywhere
        assert "sgd" in done.stdout

    def test_records_of_a_removed_task_are_named(self) -> None:
        for name in ("card.toml", "task.py"):
            (paths.ROOT / "tasks/letters" / name).unlink()
        registry.task_entries.cache_clear()
        assert "task letters is not known here: 120 runs not shown" in call("board").stderr

    @pytest.mark.parametrize(
        ("arguments", "hint"),
        [
            (["board", "digit"], "Did you mean digits?"),
            (["board", "--method", "adm"], "Did you mean adam?"),
            (["compare", "adam", "sdg"], "Did you mean sgd?"),
        ],
    )
    def test_unknown_names_get_a_hint(self, arguments: list[str], hint: str) -> None:
        with pytest.raises(UnknownName) as caught:
            call(*arguments)
        assert hint in str(caught.value)

    def test_a_method_without_records_gets_the_command_that_makes_some(self) -> None:
        with pytest.raises(AssayError, match="with: assay run unused --tier lite --quick"):
            call("compare", "adam", "unused")

    def test_results_can_lie_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        RESULTS.rename("other")
        monkeypatch.setenv("ASSAY_RESULTS", "other")
        assert call("board").exit_code == 0

    def test_compare_shows_tasks_and_overall(self) -> None:
        done = call("compare", "adam", "sgd")
        assert done.exit_code == 0
        assert "preliminary" in done.stdout
        text = " ".join(done.stdout.split())
        assert "wins A" in text and "the verdict is that of the board" in text
        assert max(map(len, done.stdout.splitlines())) <= 120

    def test_compare_json(self) -> None:
        report = json.loads(call("compare", "adam", "sgd", "digits", "--json").stdout)
        assert (report["a"], report["b"], len(report["tasks"])) == ("adam", "sgd", 1)
        assert report["tasks"][0]["comparison"]["n"] == 12


CLAIMS = """
slug = "claimer"
title = "claimer"

[[claims]]
checked = true
written = 2026-01-02
text = "It is better than SGD [red]on\\u001b[31m digits of any kind, in whatever way they come."
source = "made up"
metric = "accuracy"
better_than = "sgd"
tasks = ["digits"]

[[claims]]
text = "Everywhere."
source = "made up"
metric = "accuracy"
better_than = "reference"
tasks = ["*"]
"""


@pytest.fixture
def claimer(checkout: Any) -> Any:
    folder = paths.ROOT / "submissions/claimer"
    folder.mkdir()
    (folder / "card.toml").write_text(CLAIMS)
    (folder / "method.py").write_text("raise RuntimeError('a plugin was imported')")
    registry.method_entries.cache_clear()
    checkout.add("digits", "claimer", [0.95 + 0.001 * i for i in range(12)])
    checkout.write(Store(RESULTS))
    return checkout


@pytest.mark.usefixtures("claimer")
class TestClaims:
    def test_says_the_verdict_its_numbers_and_what_to_run_next(self) -> None:
        done = call("claims")
        text = " ".join(done.stdout.split())
        assert done.exit_code == 0
        assert "1 claim(s) with a checked quotation: 1 supported" in text
        assert "1 with an unchecked one: 1 supported" in text
        assert "assay run claimer --task letters" in text
        assert "supported" in text and "0.0005" in text
        assert max(map(len, done.stdout.splitlines())) <= 120
        assert "\x1b" not in done.stdout

    def test_json_is_the_ledger(self) -> None:
        ledger = json.loads(call("claims", "claimer", "--json").stdout)
        assert [row["verdict"] for row in ledger["rows"]] == ["supported", "supported"]
        assert ledger["rows"][1]["untested"] == ["letters"]

    def test_names_are_checked(self) -> None:
        with pytest.raises(UnknownName, match="Did you mean claimer"):
            call("claims", "claimr")
        with pytest.raises(AssayError, match=r"nothing is claimed on the card of adam; expected"):
            call("claims", "adam")


class TestAudit:
    @pytest.mark.usefixtures("results")
    def test_says_what_is_wrong_and_what_to_do(self, tmp_path: Path) -> None:
        done = call("audit", "--write", str(tmp_path / "audit.json"))
        text = " ".join(done.stdout.split())
        assert "sound: 0 of 2 task(s) problem: 1 of 2 task(s) not measured: 1 of 2" in text
        assert "digits: none of 1 pairs of methods is separated" in text
        assert "Whether lite ranks predict standard ranks" in text
        assert "not run; next: assay aa" in text
        assert max(map(len, done.stdout.splitlines())) <= 120
        written = json.loads((tmp_path / "audit.json").read_text())
        assert written == json.loads(call("audit", "--json").stdout)
        assert written["tasks"][0]["widest"] is None

    @pytest.mark.usefixtures("checkout")
    def test_without_records_it_says_what_to_run(self) -> None:
        text = " ".join(call("audit", "digits").stdout.split())
        assert "not measured: 1 of 1" in text
        assert "next: assay run sgd --task digits" in text
        assert text.count("digits:") == 1, "one line of what to do first"
        assert "--with-local adds the published ones" in text
        assert "adds the published" not in call("audit", "digits", "--with-local").stdout

    def test_the_control_is_shown(self, checkout: Any) -> None:
        first = RULESET.control_repetition
        checkout.add("digits", "sgd", noisy(0.9, 5), first=first)
        checkout.write(Store(RESULTS))
        done = call("audit", "digits")
        text = " ".join(done.stdout.split())
        assert "one pair a task and method, 12 repetitions in each arm: 0 of 1" in text
        assert max(map(len, done.stdout.splitlines())) <= 120
        control = json.loads(call("audit", "digits", "--json").stdout)["control"]
        assert (control["n_tasks"], control["pairs"]["rejected"]["n"]) == (1, 1)

    @pytest.mark.usefixtures("results")
    def test_a_place_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match=r"cannot write to .*file/audit.json: "):
            call("audit", "--write", str(tmp_path / "file/audit.json"))


@pytest.mark.usefixtures("checkout")
def test_without_records_there_is_one_clear_message() -> None:
    with pytest.raises(AssayError, match="make some with: assay run"):
        call("board")


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_registering_the_commands_loads_nothing_heavy() -> None:
    loaded = modules_after("import assay_leaderboard.cli")
    assert not loaded & {"numpy", "scipy", "torch", "pydantic", "assay_leaderboard.boards.board"}


def test_building_a_site_waits_for_no_scipy_stats() -> None:
    loaded = modules_after("import assay_leaderboard.site.build.build")
    assert "numpy" in loaded
    assert "scipy.stats" not in loaded


def test_the_whole_package_does_without_torch() -> None:
    loaded = modules_after(
        "import assay_leaderboard.terminal.board, assay_leaderboard.cli, assay.plugins.registry"
    )
    assert "numpy" in loaded
    assert not loaded & {"torch", "lightning", "pytorch_lightning", "optuna", "mlflow", "sklearn"}
