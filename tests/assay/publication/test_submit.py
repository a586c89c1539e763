"""Submitting and the queue, in small git repositories of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.errors import BundleError, PluginError, SubmissionError
from assay.paths import ROOT
from assay.plugins.registry import MethodEntry, find_method
from assay.publication import submit
from assay.publication.git import Checkout
from assay.publication.queue import queue
from assay.publication.submit import bundles_of, make_branch, plan
from assay.records import log

from tests.assay.records.test_former import old_bundle

CARD = 'slug = "{slug}"\nversion = {version}\ntitle = "Mine"\nauthors = ["A. Author"]\n'


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def author(make_author: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    # A pool that trains nothing makes numbers that would not pass for T1.
    monkeypatch.setattr(submit, "verify", lambda bundle: [])
    return make_author()


def test_a_branch_adds_one_folder_and_its_bundles_and_disturbs_nothing(
    repo: Path, author: Any
) -> None:
    entry = author.method()
    (entry.source.parent / "notes.txt").write_text("mine")
    (entry.source.parent / "equations.py").write_text("EQUATIONS = 1\n")
    bundle = author.bundle(entry)
    (repo / "README.md").write_text("being edited\n")
    (repo / "new.txt").write_text("staged\n")
    git(repo, "add", "new.txt")
    before = (git(repo, "status", "--porcelain"), git(repo, "rev-parse", "HEAD"),
              git(repo, "branch", "--show-current"))  # fmt: skip
    made = plan(entry, bundles_of(entry, author.out), Checkout(repo))
    assert git(repo, "branch", "--list", "submission/*") == ""
    assert made.left_out == ["notes.txt"]
    commit = make_branch(made, Checkout(repo))
    assert before == (git(repo, "status", "--porcelain"), git(repo, "rev-parse", "HEAD"),
                      git(repo, "branch", "--show-current"))  # fmt: skip
    assert git(repo, "rev-parse", "submission/mine") == commit
    assert git(repo, "rev-parse", "submission/mine^") == git(repo, "rev-parse", "main")
    assert git(repo, "diff", "--name-status", "main", "submission/mine").splitlines() == [
        f"A\tleaderboard/results/{bundle.name}",
        "A\tsubmissions/mine/card.toml",
        "A\tsubmissions/mine/equations.py",
        "A\tsubmissions/mine/method.py",
    ]
    shown = subprocess.run(
        ["git", "-C", str(repo), "show", f"submission/mine:leaderboard/results/{bundle.name}"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    assert shown == bundle.read_bytes()
    assert "submission/mine" in "\n".join(made.steps)


def test_the_steps_name_the_remote(repo: Path, author: Any) -> None:
    entry = author.method()
    author.bundle(entry)
    git(repo, "remote", "add", "origin", "git@github.com:who/assay.git")
    steps = plan(entry, bundles_of(entry, author.out), Checkout(repo)).steps
    assert steps[0] == "git push origin submission/mine"
    assert any("github.com/who/assay/compare/main...submission/mine" in step for step in steps)


def refusal(repo: Path, author: Any, entry: MethodEntry) -> str:
    with pytest.raises(SubmissionError) as caught:
        plan(entry, bundles_of(entry, author.out), Checkout(repo))
    assert git(repo, "branch", "--list", "submission/*") in ("", "submission/mine")
    return str(caught.value)


def test_every_problem_is_told_at_once(repo: Path, author: Any) -> None:
    git(repo, "branch", "submission/mine")
    (repo / "suite" / "assay" / "engine.py").write_text("a = 2\n")
    (repo / "tasks" / "mine").mkdir()
    (repo / "tasks" / "mine" / "task.py").write_text("")
    said = refusal(repo, author, author.method())
    assert "differs from what is committed (suite/assay/engine.py, tasks/mine/task.py)" in said
    assert "the branch submission/mine exists already" in said
    assert "there is no bundle of mine version 1" in said


def test_bundles_of_other_code_are_refused(repo: Path, author: Any) -> None:
    author.bundle(author.method())
    said = refusal(repo, author, author.method(source="a = 2\n"))
    assert "the method has changed since; run and pack it again" in said
    said = refusal(repo, author, author.method(source="# reworded\na = 1\n"))
    assert "its source is not the folder's" in said


def test_a_task_that_is_not_there_and_a_second_bundle_are_refused(repo: Path, author: Any) -> None:
    entry = author.method()
    author.bundle(entry)
    git(repo, "rm", "-q", "-r", "tasks")
    git(repo, "commit", "-q", "-m", "No task")
    assert "the task toy is not on main" in refusal(repo, author, entry)


def test_an_unsound_bundle_is_refused(repo: Path, author: Any) -> None:
    entry = author.method()
    path = author.bundle(entry)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError):
        plan(entry, bundles_of(entry, author.out), Checkout(repo))


def test_what_verification_finds_is_refused(
    repo: Path, author: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.publication.verify import BundleProblem

    entry = author.method()
    author.bundle(entry)
    found = [
        BundleProblem("error", "points", "not the points"),
        BundleProblem("flag", "slow", "slow"),
    ]
    monkeypatch.setattr(submit, "verify", lambda bundle: found)
    said = refusal(repo, author, entry)
    assert "not the points" in said
    assert "slow" not in said


def test_a_slug_belongs_to_its_authors_who_may_raise_the_version(repo: Path, author: Any) -> None:
    taken = repo / "submissions" / "mine"
    taken.mkdir()
    (taken / "old.py").write_text("")
    (taken / "card.toml").write_text(CARD.format(slug="mine", version=1).replace("A. ", "B. "))
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Another")
    entry = author.method(version=2)
    author.bundle(entry)
    assert "the slug mine is taken by 'Mine' (B. Author)" in refusal(repo, author, entry)
    (taken / "card.toml").write_text(CARD.format(slug="mine", version=2))
    git(repo, "commit", "-q", "-am", "Own")
    assert "raise the version" in refusal(repo, author, entry)
    entry = author.method(version=3)
    author.bundle(entry)
    make_branch(plan(entry, bundles_of(entry, author.out), Checkout(repo)), Checkout(repo))
    listed = git(repo, "ls-tree", "-r", "--name-only", "submission/mine", "submissions/mine")
    assert listed.split() == ["submissions/mine/card.toml", "submissions/mine/method.py"]


def test_a_link_in_the_folder_is_refused(repo: Path, author: Any, tmp_path: Path) -> None:
    entry = author.method()
    (tmp_path / "elsewhere.py").write_text("secret = 1\n")
    (entry.source.parent / "helper.py").symlink_to(tmp_path / "elsewhere.py")
    assert "helper.py: cannot be submitted" in refusal(repo, author, entry)


def test_data_files_of_the_card_are_submitted(repo: Path, author: Any, tmp_path: Path) -> None:
    entry = author.method()
    folder = entry.source.parent
    (folder / "card.toml").write_text(CARD.format(slug="mine", version=1) + 'data = ["t.csv"]\n')
    entry = find_method(str(folder))
    (folder / "other.csv").write_text("mine")
    (folder / ".#method.py").symlink_to("nobody@nowhere.1")
    (folder / "helper.py").write_text("x = 1\n")
    with pytest.raises(PluginError, match="declared under `data`"):
        plan(entry, [], Checkout(repo))
    (folder / "t.csv").write_bytes(b"1,2")
    author.bundle(entry)
    made = plan(entry, bundles_of(entry, author.out), Checkout(repo))
    names = {Path(path).name for path in made.files if path.startswith("submissions")}
    assert names == {"card.toml", "method.py", "helper.py", "t.csv"}
    assert made.left_out == [".#method.py", "other.csv"]
    (folder / "t.csv").unlink()
    (tmp_path / "secret").write_text("x")
    (folder / "t.csv").symlink_to(tmp_path / "secret")
    assert "t.csv: cannot be submitted" in refusal(repo, author, entry)


def test_what_is_no_checkout_is_told(tmp_path: Path, repo: Path) -> None:
    with pytest.raises(SubmissionError, match="is not a git checkout"):
        Checkout(tmp_path)
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    with pytest.raises(SubmissionError, match="is not a checkout of Assay"):
        Checkout(other)
    with pytest.raises(SubmissionError, match="no branch is called nowhere"):
        Checkout(repo).base("nowhere")
    assert Checkout(repo / "suite").root == repo


def test_a_single_file_is_no_submission(
    repo: Path, author: Any, make_method: Callable[..., Any]
) -> None:
    assert "assay new method sgd" in refusal(repo, author, make_method("sgd", "a = 1\n"))


def test_the_queue_follows_a_submission_from_branch_to_replay(
    repo: Path, author: Any, tmp_path: Path
) -> None:
    def now() -> tuple[str, str]:
        (waiting,) = queue(Checkout(repo))
        assert (waiting.slug, waiting.age_days >= 0) == ("mine", True)
        return waiting.state, waiting.next_action

    entry = author.method()
    bundle = author.bundle(entry)
    assert queue(Checkout(repo)) == []
    make_branch(plan(entry, bundles_of(entry, author.out), Checkout(repo)), Checkout(repo))
    assert now() == ("prepared", "git push origin submission/mine, and open a pull request")
    clone = tmp_path / "hub.git"
    git(tmp_path, "init", "-q", "--bare", str(clone))
    git(repo, "remote", "add", "origin", str(clone))
    git(repo, "push", "-q", "origin", "main", "submission/mine")
    assert now()[0] == "open"
    git(repo, "merge", "-q", "--no-ff", "submission/mine")
    git(repo, "push", "-q", "origin", "main")
    place = repo / "leaderboard" / "results"
    assert now() == ("merged", f"assay log add publish leaderboard/results/{bundle.name}")
    log.append(place, "publish", bundle)
    assert now()[0] == "merged"  # what is not committed is not published
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Publish")
    git(repo, "push", "-q", "origin", "main")
    assert now() == ("published", f"assay replay leaderboard/results/{bundle.name}")
    done = log.ReplayedRun(run="0" * 16, recorded=0.5, replayed=0.5, verdict="identical")
    log.append(place, "replay", bundle, replays=[done])
    git(repo, "commit", "-q", "-am", "Replayed")
    git(repo, "push", "-q", "origin", "main")
    assert queue(Checkout(repo)) == []


def test_bundles_of_ruleset_1_wait_for_no_replay(repo: Path) -> None:
    """Nor does a change of the engine ask for one."""
    place = repo / "leaderboard" / "results"
    place.mkdir(parents=True)
    log.append(place, "publish", old_bundle("toy", "sgd", place))
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Publish")
    assert queue(Checkout(repo)) == []
    git(repo, "checkout", "-q", "-b", "change")
    (repo / "suite" / "assay" / "engine.py").write_text("a = 2\n")
    git(repo, "commit", "-q", "-am", "Change")
    script = [sys.executable, str(ROOT / "ci" / "affected"), "--repo", str(repo), "main...change"]
    said = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    found = json.loads(said)
    assert (found["everything"], found["replays"]) == (True, [])


def test_a_branch_without_bundles_is_incomplete(repo: Path) -> None:
    git(repo, "branch", "submission/empty")
    assert queue(Checkout(repo)) == []  # nothing on it that main has not
    git(repo, "checkout", "-q", "submission/empty")
    (repo / "submissions" / "empty").mkdir()
    (repo / "submissions" / "empty" / "card.toml").write_text("")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Half")
    git(repo, "checkout", "-q", "main")
    (waiting,) = queue(Checkout(repo))
    assert waiting.state == "incomplete"
    assert "assay pack empty" in waiting.next_action
