"""The gate: what a submission may hold, and its scripts in ci/ on small repositories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from assay.publication import gate as gating
from assay.publication.gate import gate, rule
from assay.publication.git import Change, Checkout
from assay.publication.verify import BundleProblem

from tests.assay.conftest import git
from tests.assay.publication.conftest import script

NAME = "toy--mine-v1--0123456789abcdef.zip"
RANGE = "main...submission/mine"


def gated(repo: Path, tmp_path: Path, head: str = "submission/mine") -> gating.Gate:
    scratch = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
    scratch.mkdir()
    return gate(Checkout(repo), "main", head, scratch)


def amend(repo: Path, path: str, data: bytes | None) -> None:
    """Change a file on the submission's branch."""
    git(repo, "checkout", "-q", "submission/mine")
    if data is None:
        (repo / path).unlink()
    else:
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_bytes(data)
    git(repo, "add", "-A", "--force")
    git(repo, "commit", "-q", "-m", "More")
    git(repo, "checkout", "-q", "main")


def test_a_submission_passes(submitted: Path, tmp_path: Path) -> None:
    found = gated(submitted, tmp_path)
    assert (found.slug, found.problems, len(found.bundles)) == ("mine", [], 1)


def test_a_change_of_something_else_is_no_submission(submitted: Path, tmp_path: Path) -> None:
    git(submitted, "checkout", "-q", "-b", "other")
    (submitted / "README.md").write_text("new\n")
    git(submitted, "commit", "-q", "-am", "Words")
    git(submitted, "checkout", "-q", "main")
    assert gated(submitted, tmp_path, "other") == gating.Gate()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("suite/assay/engine.py", "is not part of the submission"),
        ("ci/gate-verify", "is not part of the submission"),
        ("leaderboard/results/log.jsonl", "is not part of the submission"),
        ("leaderboard/results/epochs/spring.json", "is not part of the submission"),
        ("submissions/mine/data/labels.py", "directly in the folder"),
        ("submissions/mine/weights.bin", "expected Python files, card.toml and the data"),
        ("submissions/mine/extra.toml", "expected Python files, card.toml and the data"),
        ("submissions/sgd/method.py", "found: mine, sgd"),
        ("leaderboard/results/toy--sgd-v1--0123456789abcdef.zip", "found: mine, sgd"),
        ("leaderboard/results/deep/" + NAME, "expected new ones alone"),
        ("submissions/mine/method.py", "its source is not that of submissions/mine"),
        ("submissions/mine/card.toml", "cannot be read as UTF-8"),
    ],
)
def test_a_submission_is_one_folder_and_its_bundles(
    submitted: Path, tmp_path: Path, path: str, says: str
) -> None:
    amend(submitted, path, b"changed \xff\n")
    assert any(says in problem for problem in gated(submitted, tmp_path).problems)


def test_data_files_that_the_card_lists_may_be_submitted(submitted: Path, tmp_path: Path) -> None:
    card = submitted / "submissions" / "mine" / "card.toml"
    git(submitted, "checkout", "-q", "submission/mine")
    text = card.read_text() + 'data = ["table.csv"]\n'
    git(submitted, "checkout", "-q", "main")
    amend(submitted, "submissions/mine/card.toml", text.encode())
    amend(submitted, "submissions/mine/table.csv", b"1,2\xff")
    (problem,) = gated(submitted, tmp_path).problems  # the bundle was made without it
    assert "its source is not that of submissions/mine" in problem


def test_equations_are_submitted_beside_the_bundles(submitted: Path, tmp_path: Path) -> None:
    amend(submitted, "submissions/mine/equations.py", b"x = 1\n")
    assert gated(submitted, tmp_path).problems == []
    amend(submitted, "submissions/mine/equations.py", b"x = 1\xff\n")
    assert gated(submitted, tmp_path).problems == ["equations.py is not UTF-8 text"]


def test_links_and_programs_are_refused(submitted: Path, tmp_path: Path) -> None:
    git(submitted, "checkout", "-q", "submission/mine")
    (submitted / "submissions" / "mine" / "helper.py").symlink_to("/etc/passwd")
    (submitted / "submissions" / "mine" / "method.py").chmod(0o755)
    git(submitted, "add", "-A")
    git(submitted, "commit", "-q", "-m", "Link")
    git(submitted, "checkout", "-q", "main")
    said = " ".join(gated(submitted, tmp_path).problems)
    assert "helper.py': has the mode 120000" in said
    assert "method.py': has the mode 100755" in said


def test_large_files_are_not_read(submitted: Path, tmp_path: Path) -> None:
    amend(submitted, "submissions/mine/table.py", b"a = 1\n" * 100_000)
    assert any("expected at most 200,000" in p for p in gated(submitted, tmp_path).problems)


def test_published_bundles_are_never_touched(submitted: Path, tmp_path: Path) -> None:
    git(submitted, "merge", "-q", "--ff-only", "submission/mine")
    (name,) = [path.name for path in (submitted / "leaderboard" / "results").glob("*.zip")]
    amend(submitted, f"leaderboard/results/{name}", None)
    (problem,) = [p for p in gated(submitted, tmp_path).problems if "log" not in p]
    assert "is never changed or removed" in problem


@pytest.mark.parametrize("status", ["M", "D", "T"])
def test_the_rule_alone(status: str) -> None:
    bundle = Change(f"leaderboard/results/{NAME}", status, "100644")
    slug, problems = rule([Change("submissions/mine/method.py", "M", "100644"), bundle])
    assert slug == "mine"
    assert len(problems) == 1
    assert rule([]) == (None, ["a submission is one folder of submissions and its bundles; "
                               "found: none"])  # fmt: skip
    many = [Change(f"submissions/mine/a{n}.py", "A", "100644") for n in range(300)]
    assert "300 files are changed" in rule(many)[1][0]


def test_a_name_in_a_message_cannot_steer_a_terminal() -> None:
    _, problems = rule([Change("submissions/mine/\x1b[2J\u202e.txt", "A", "100644")])
    assert all(problem.isascii() and problem.isprintable() for problem in problems)


def test_affected_says_what_a_change_needs(submitted: Path) -> None:
    def said(head: str) -> dict[str, Any]:
        done = script("affected", "--repo", str(submitted), f"main...{head}")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    found = said("submission/mine")
    (bundle,) = found["bundles"]
    assert (found["checks"], found["replays"]) == (["mine"], [bundle])
    assert (found["submissions"], found["everything"]) == (["mine"], False)
    for path, replays, tests, board in (
        ("suite/assay/engine.py", 1, True, True),
        ("tasks/toy/card.toml", 1, True, True),
        ("leaderboard/assay_leaderboard/site/page.html", 0, True, True),
        ("leaderboard/results/log.jsonl", 0, False, True),
        ("README.md", 0, True, False),
        ("LICENSE", 0, False, False),
    ):
        head = f"changes_{replays}_{len(path)}"
        git(submitted, "checkout", "-q", "-b", head, "submission/mine")
        git(submitted, "checkout", "-q", "-B", "base", "submission/mine")
        git(submitted, "checkout", "-q", head)
        (submitted / path).parent.mkdir(parents=True, exist_ok=True)
        (submitted / path).write_text("changed\n")
        git(submitted, "add", "--", path)
        git(submitted, "commit", "-q", "-m", "Change")
        done = script("affected", "--repo", str(submitted), f"base...{head}")
        found = json.loads(done.stdout)
        assert len(found["replays"]) == replays
        assert (found["tests"], found["board"]) == (tests, board), path
        assert found["everything"] == path.startswith("suite")
        if found["everything"]:
            assert found["checks"] == ["mine", "sgd", "toy"]
    done = script("affected", "--repo", str(submitted), "nowhere...main")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_gate_verify_is_a_script(submitted: Path) -> None:
    """The bundle's numbers are nobody's, and its task is not in this checkout: not passed."""
    done = script("gate-verify", "--repo", str(submitted), RANGE)
    found = json.loads(done.stdout)
    assert (done.returncode, found["passed"], found["slug"]) == (1, False, "mine")
    assert done.stderr == ""


@pytest.mark.parametrize(
    "name", ["affected", "gate-verify", "gate-run", "publish", "refuse", "log-extends"]
)
def test_every_script_has_help_and_tells_of_a_bad_place(name: str, tmp_path: Path) -> None:
    done = script(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "BASE...HEAD" in done.stdout
    done = script(name, "--repo", str(tmp_path), "a...b")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not a git checkout" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("severity", "code", "refused"),
    [("error", "ids", True), ("flag", "stale", True), ("flag", "duplicate", False)],
)
def test_errors_and_stale_numbers_are_refused_other_flags_are_shown(
    submitted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    severity: Any,
    code: str,
    refused: bool,
) -> None:
    finding = BundleProblem(severity, code, "what was found")
    monkeypatch.setattr(gating, "verify", lambda bundle, published: [finding])
    found = gated(submitted, tmp_path)
    assert any("what was found" in line for line in found.problems) == refused
    assert any("what was found" in line for line in found.flags) != refused
