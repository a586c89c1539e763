"""Published bundles on the board: tiers, local rows beside them, and what was withdrawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from assay import paths
from assay.errors import AssayError, LogError
from assay.plugins.registry import find_method
from assay.publication import publish
from assay.publication.pack import pack_method
from assay.records.log import LOG, ReplayedRun, append
from assay.records.store import Store
from assay_leaderboard.cli import register
from typer.testing import CliRunner

app = typer.Typer()
register(app)
TASK = "digits_step"


def board(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["board", TASK, *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done


def table(*arguments: str) -> Any:
    return json.loads(board("--json", *arguments).stdout)["tasks"][0]


class Folder:
    """A published folder, and results of a user beside it."""

    def __init__(self, root: Path, submission: Any) -> None:
        self.root, self.submission = root, submission
        self.published = root / "published"

    def bundle(self, slug: str, salt: str = "") -> Path:
        """A bundle of a method with made-up records; `salt` changes the scores."""
        folder = self.root / f"source{salt}" / slug
        folder.mkdir(parents=True)
        (folder / "card.toml").write_text(f'slug = "{slug}"\ntitle = "{slug}"\n')
        (folder / "method.py").write_text("x = 1\n")
        store = Store(self.root / f"records-{slug}{salt}")
        type(self.submission)(folder, store).record(TASK, salt=salt)
        done = pack_method(find_method(str(folder)), store, self.root / "out")
        return done.written[0]


@pytest.fixture
def folder(tmp_path: Path, submission: Any, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("ASSAY_RESULTS", raising=False)
    made = Folder(tmp_path, submission)
    monkeypatch.setattr(paths, "RESULTS", made.published)
    for slug in ("first", "second"):
        publish.add(made.published, "publish", made.bundle(slug))
    submission.record(TASK)
    submission.store.root.rename(tmp_path / "assay-results")
    return made


def test_local_rows_stand_beside_published_ones_with_their_tiers(folder: Folder) -> None:
    path = next(folder.published.glob("*second*"))
    done = ReplayedRun(run="0" * 16, recorded=0.5, replayed=0.5, verdict="identical")
    append(folder.published, "replay", path, replays=[done])
    rows = {row["method"]: row["trust"] for row in table("--with-local")["rows"]}
    assert rows == {"first": "T1", "second": "T2", "my_opt": "T0"}
    text = board("--with-local").stdout
    for part in ("first T1", "second T2", "my_opt (local)", "T2: runs of it were repeated"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


def test_without_the_option_only_the_folder_given_is_shown(folder: Folder) -> None:
    assert [row["method"] for row in table()["rows"]] == ["my_opt"]
    published = table("--results", str(folder.published))["rows"]
    assert {row["method"] for row in published} == {"first", "second"}
    assert "T1:" not in board().stdout
    text = board("--results", str(folder.published)).stdout
    assert text.startswith("Published board: ") and board().stdout.startswith("Your own view: ")
    assert {(row["state"], row["note"].split(";")[0]) for row in published} == {
        ("not replayed", "verified, not replayed yet: does not rank")
    }


def test_a_published_result_and_the_same_one_at_home_are_one_row(folder: Folder) -> None:
    Path("assay-results").rename("other")
    Path("records-first").rename("assay-results")
    done = board("--with-local")
    assert done.stdout.count("first T1") == 1
    assert "(local)" not in done.stdout


def test_published_and_local_runs_of_a_method_make_one_row(folder: Folder) -> None:
    """Nothing local is hidden; the published run counts where both have one."""
    before = {row["method"]: row for row in table("--with-local")["rows"]}["first"]
    assert (before["state"], before["trust"]) == ("preliminary", "T1")
    store = Store(Path("assay-results"))
    source = folder.root / "source" / "first"
    type(folder.submission)(source, store).record(TASK, preset="full", salt="at home")
    row = {row["method"]: row for row in table("--with-local")["rows"]}["first"]
    assert (row["state"], row["trust"], row["runs"]["missing"]) == ("ranked", "T0", 0)
    assert row["note"] == "72 of 96 runs are local"
    assert row["defaults"]["n"] == 12


def test_a_superseded_result_stays_visible(folder: Folder) -> None:
    before = {row["method"]: row for row in table("--with-local")["rows"]}
    old = next(folder.published.glob("*first*"))
    new = folder.bundle("first", salt="again")
    publish.add(folder.published, "supersede", new, replaces=old, note="a longer run")
    after = table("--with-local")
    rows = {row["method"]: row for row in after["rows"]}
    assert rows["first"]["tuned"]["mean"] != before["first"]["tuned"]["mean"]
    (past,) = after["withdrawn"]
    assert past["mean"] == before["first"]["tuned"]["mean"]
    assert (past["state"], past["reason"], past["n"]) == ("superseded", "a longer run", 6)
    assert past["bundle"] == old.name and (folder.published / old.name).exists()
    text = " ".join(board("--with-local").stdout.split())
    assert "first: superseded 20" in text and "n = 6): a longer run" in text


def test_a_retracted_result_is_not_ranked_and_stays_visible(folder: Folder) -> None:
    old = next(folder.published.glob("*first*"))
    append(folder.published, "retract", old, note="trained on the test part")
    after = table("--with-local")
    assert {row["method"] for row in after["rows"]} == {"second", "my_opt"}
    assert after["withdrawn"][0]["state"] == "retracted"
    assert "trained on the test part" in " ".join(board("--with-local").stdout.split())


def test_a_task_whose_every_result_was_retracted_is_still_there(folder: Folder) -> None:
    for path in sorted(folder.published.glob("*.zip")):
        append(folder.published, "retract", path, note="withdrawn by its authors")
    shown = table("--results", str(folder.published))
    assert (shown["rows"], len(shown["withdrawn"])) == ([], 2)
    assert "withdrawn by its authors" in board("--results", str(folder.published)).stdout


def test_a_broken_log_shows_nothing(folder: Folder) -> None:
    log = folder.published / LOG
    log.write_bytes(log.read_bytes().replace(b"T1", b"T3"))
    with pytest.raises(LogError, match="line 1: was edited"):
        board("--with-local")


def test_bundles_that_cannot_be_believed_are_named(folder: Folder) -> None:
    path = next(folder.published.glob("*first*"))
    path.write_bytes(path.read_bytes()[:-9])
    (folder.published / "digits_step--third-v1--0123456789abcdef.zip").write_bytes(b"")
    done = board("--with-local")
    assert "first T1" not in done.stdout and "second T1" in done.stdout
    assert "is cut off" in done.stderr
    assert "third-v1--0123456789abcdef.zip: no entry of the log names it" in done.stderr


def test_a_bundle_swapped_for_a_sound_one_is_not_shown(folder: Folder) -> None:
    """The name of a file follows from its content, so the log's name finds nothing else."""
    path = next(folder.published.glob("*first*"))
    other = folder.bundle("first", salt="swapped")
    path.write_bytes(other.read_bytes())
    assert "it was changed or renamed" in board("--with-local").stderr


def test_no_published_folder_is_no_error(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "nowhere")
    assert [row["method"] for row in table("--with-local")["rows"]] == ["my_opt"]
    Path("assay-results").rename("hidden")
    with pytest.raises(AssayError, match="no results"):
        board("--with-local")
