"""`ci/run-missing` and `ci/publish-results`, by which the maintainers make a board's results."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay import atomic, paths
from assay.publication import publish
from assay.records import log

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A script of ci/, called in an empty folder."""

    def call(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(paths.ROOT / "ci" / name), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return call


@pytest.fixture
def published(submission: Any, script: Script, tmp_path: Path) -> Path:
    """A board with one bundle, of made-up runs."""
    submission.record("digits_step", "full")
    board = tmp_path / "board"
    said = script(
        "publish-results", submission.store.root, "--method", submission.folder,
        "--published", board, "--later",
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("digits_step--my_opt-v1--")
    assert said.stdout.endswith(".zip: published\n")
    return board


def test_whole_cells_are_published_once_and_others_named(
    published: Path, submission: Any, script: Script
) -> None:
    submission.record("digits_cnn", "quick")
    options = ("--method", submission.folder, "--published", published, "--later")
    said = script("publish-results", submission.store.root, *options)
    assert said.returncode == 0
    assert "digits_cnn" in said.stdout and "published before" in said.stdout
    (standing,) = log.standings(log.read(published)).values()
    assert (standing.state, standing.tier) == ("current", "T1")


def test_other_runs_of_a_cell_supersede_its_bundle(
    published: Path, submission: Any, script: Script
) -> None:
    shutil.rmtree(submission.store.root)
    submission.record("digits_step", "full", salt="again")
    options = ("--method", submission.folder, "--published", published, "--later")
    why = ("--note", "other ranges")
    assert script("publish-results", submission.store.root, *options, *why).returncode == 0
    states = sorted(found.state for found in log.standings(log.read(published)).values())
    assert states == ["current", "superseded"]
    assert log.read(published)[-1].note == "other ranges"


def test_what_a_replay_contradicts_is_named_and_earns_nothing(
    published: Path, submission: Any, script: Script
) -> None:
    submission.record("digits_binary", "full")
    options = ("--method", submission.folder, "--published", published)
    assert script("publish-results", submission.store.root, *options, "--later").returncode == 0
    said = script("publish-results", "--published", published, "--sample", "2")
    assert said.returncode == 1
    lines = sorted(line.partition("--")[0] for line in said.stdout.splitlines())
    assert lines == ["digits_binary", "digits_step"]
    assert said.stdout.count("NOT confirmed") == 2
    assert {found.tier for found in log.standings(log.read(published)).values()} == {"T1"}


def test_a_bundle_that_cannot_be_replayed_does_not_stand_in_the_way_of_others(
    published: Path, submission: Any, script: Script
) -> None:
    submission.record("digits_binary", "full")
    options = ("--method", submission.folder, "--published", published)
    assert script("publish-results", submission.store.root, *options, "--later").returncode == 0
    (bundle,) = published.glob("digits_step--*.zip")  # the first of the log
    bundle.write_bytes(b"")
    said = script("publish-results", "--published", published, "--sample", "2")
    assert said.returncode == 1
    other, damaged = said.stdout.splitlines()
    assert other.startswith("digits_binary--") and ": NOT confirmed: " in other
    assert damaged == f"{bundle.name}: NOT replayed: try again"
    assert "Traceback" not in said.stderr


SEASON = """
[lists]
old = ["sgd", "adam"]

[[runs]]
tasks = ["digits_mlp", "digits_sym40"]
methods = ["old", "el*"]
"""


@pytest.fixture
def season(tmp_path: Path) -> Path:
    path = tmp_path / "season.toml"
    path.write_text(SEASON)
    return path


def test_a_board_without_bundles_lacks_all_of_the_season(
    script: Script, tmp_path: Path, season: Path
) -> None:
    options = ("--published", tmp_path / "board", "--season", season, "--dry-run")
    said = script("run-missing", "results", *options)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.splitlines() == [
        "digits_mlp: sgd, adam to run",  # ELR may not enter
        "digits_sym40: sgd, adam, elr to run",
    ]
    said = script("run-missing", "results", "noisy_labels", *options)
    assert said.stdout == "digits_sym40: sgd, adam, elr to run\n"
    assert not (tmp_path / "results").exists()


def test_what_is_published_is_not_run_again_unless_it_was_retracted(
    script: Script, tmp_path: Path, season: Path
) -> None:
    counted = {
        log.cell_of(standing.file)[1]: paths.RESULTS / standing.file
        for standing in log.standings(log.read(paths.RESULTS)).values()
        if standing.state == "current" and standing.file.startswith("digits_mlp--")
    }
    board = tmp_path / "board"
    for slug in ("sgd", "adam"):
        publish.add(board, "publish", counted[slug])
    publish.add(board, "retract", board / counted["adam"].name, note="a test")
    options = ("--published", board, "--season", season, "--dry-run")
    said = script("run-missing", "results", "digits_mlp", *options)
    assert said.stdout == "digits_mlp: adam to run\n"


def test_a_signal_stops_what_it_runs_too(tmp_path: Path, season: Path) -> None:
    results = tmp_path / "results"
    command = [sys.executable, str(paths.ROOT / "ci" / "run-missing"), str(results), "digits_sym40"]
    options = ["--published", str(tmp_path / "board"), "--season", str(season)]
    said = tmp_path / "said"
    with said.open("wb") as out:
        running = subprocess.Popen([*command, *options], stdout=out, stderr=subprocess.STDOUT)
    while running.poll() is None and "runs" not in said.read_text():  # it has begun to run them
        time.sleep(0.1)
    running.terminate()
    assert running.wait(60) == 130
    with atomic.locked(results / ".lock"):  # nobody holds it any more
        pass


def test_a_folder_that_another_command_uses_ends_it_at_once(
    script: Script, tmp_path: Path, season: Path
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    with atomic.locked(results / ".lock"):
        said = script("run-missing", results, "--season", season, "--published", tmp_path / "board")
    assert (said.returncode, said.stdout.count("to run")) == (1, 1)
    assert said.stderr.startswith("ci/run-missing: another assay command is running on ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SEASON.replace("el*", "nobody"), "no submission is called nobody"),
        (SEASON.replace("methods", "method"), "expected [[runs]], each with tasks and methods"),
        ("", "expected [[runs]], each with tasks and methods"),
        ("runs = [", "Invalid value"),
    ],
)
def test_a_season_that_is_none_is_one_line(
    script: Script, season: Path, text: str, says: str
) -> None:
    season.write_text(text)
    said = script("run-missing", "results", "--season", season, "--dry-run")
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert says in said.stderr


def test_the_season_of_this_checkout_names_what_is_there(script: Script, tmp_path: Path) -> None:
    said = script("run-missing", "results", "--published", tmp_path / "board", "--dry-run")
    assert (said.returncode, said.stderr) == (0, "")
    named = {line.partition(":")[0] for line in said.stdout.splitlines()}
    assert {"digits_mlp", "cifar10_compact", "diffgrad_f1", "pima_ratio10"} <= named


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run-missing", "results", "no_such_task"), "no_such_task"),
        (("publish-results", "nowhere"), "nowhere: no such folder"),
        (("publish-results", "--method", "no_such_method"), "no_such_method"),
    ],
)
def test_nonsense_is_one_line(script: Script, arguments: tuple[str, ...], says: str) -> None:
    said = script(*arguments)
    assert said.returncode != 0
    assert said.stderr.count("\n") == 1 and says in said.stderr
