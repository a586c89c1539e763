"""After a merge: what is logged, what is refused, whose a name is; and the log only grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from assay.cards import SubmissionCard
from assay.errors import BundleError, LogError
from assay.publication import publish
from assay.publication.gate import gate, log_problems
from assay.publication.git import Checkout
from assay.publication.merge import publish_merged, refuse
from assay.publication.ownership import maintainers, owner_problems
from assay.publication.submit import bundles_of, make_branch, plan
from assay.records import log
from assay.records.bundle import read_bundle
from assay.records.log import Entry

from tests.assay.conftest import git
from tests.assay.publication.conftest import script


class Published:
    """`ci/publish` after a merge, with a bundle of real form whose numbers are nobody's."""

    def __init__(self, repo: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(publish, "errors", lambda bundle, others: [])
        self.base = git(repo, "rev-parse", "main")
        git(repo, "merge", "-q", "--no-ff", "-m", "Merge", "submission/mine")
        self.head = git(repo, "rev-parse", "HEAD")
        self.repo, self.folder = repo, repo / "leaderboard" / "results"
        (self.name,) = [path.name for path in self.folder.glob("*.zip")]
        self.bundle = read_bundle(self.folder / self.name)

    def report(self, **changes: Any) -> dict[str, Any]:
        """What ci/gate-run prints if all goes well."""
        runs = [
            {
                "run_id": run.id,
                "verdict": "identical",
                "recorded_test": run.result.test if run.result else None,
                "replayed_test": run.result.test if run.result else None,
                "margins": None,
                "took_seconds": 0.5,
            }
            for run in self.bundle.runs[:10]
        ]
        replay = {
            "bundle": self.bundle.sha256,
            "seed": 1,
            "tier": "T2",
            "why": "10 runs replayed",
            "contradicted": False,
            "mean_difference": None,
            "runs": runs,
        }
        made = {
            "passed": True,
            "base": self.base,
            "head": self.head,
            "slug": "mine",
            "author": "ada",
            "problems": [],
            "check": {},
            "replays": {self.name: replay | changes.pop("replay", {})},
        }
        return made | changes

    def __call__(self, report: Any, author: str | None = "ada") -> list[Entry]:
        data = report if isinstance(report, bytes) else json.dumps(report).encode()
        checkout = Checkout(self.repo)
        return list(publish_merged(checkout, self.base, "HEAD", data, author))

    def refuse(self, report: Any, **options: Any) -> list[Entry]:
        data = json.dumps(report).encode()
        return list(refuse(Checkout(self.repo), self.base, "HEAD", data, **options))

    def entries(self) -> list[tuple[str, str | None]]:
        return [(entry.kind, entry.tier) for entry in log.read(self.folder)]


@pytest.fixture
def published(submitted: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    return Published(submitted, monkeypatch)


def test_what_was_merged_is_logged_once_with_the_tier_it_earned(published: Published) -> None:
    assert len(published(published.report())) == 2
    assert published.entries() == [("publish", "T1"), ("replay", "T2")]
    assert published(published.report()) == []
    first, second = log.read(published.folder)
    assert (first.owner, len(second.replays)) == ("ada", 10)
    (standing,) = log.standings([first, second]).values()
    assert (standing.tier, len(standing.replays)) == ("T2", 10)
    assert log.check(published.folder) == []


def test_a_bundle_that_could_not_be_replayed_is_logged_without_a_rank(
    published: Published,
) -> None:
    report = published.report(replay={"tier": None, "why": "8 of 10 runs could be replayed"})
    published(report)
    assert published.entries() == [("publish", "T1")]
    assert published(report) == []


def test_a_call_that_was_interrupted_before_the_replay_goes_on_with_it(
    published: Published,
) -> None:
    data = json.dumps(published.report()).encode()
    checkout = Checkout(published.repo)
    next(publish_merged(checkout, published.base, "HEAD", data, "ada"))
    assert published.entries() == [("publish", "T1")]
    assert [entry.kind for entry in published(published.report())] == ["replay"]
    assert published.entries() == [("publish", "T1"), ("replay", "T2")]


CONTRADICTED = {"tier": None, "contradicted": True, "why": "1 of 10 runs differ"}


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (b"", "no report"),
        (b"null", "no report"),
        (b"[]", "the report"),
        (b"{}", "the report"),
        (b"{", "cannot be read"),
        ({"passed": False, "problems": ["assay check has failed"]}, "did not pass"),
        ({"head": "0" * 40}, "not of this change"),
        ({"base": "0" * 40}, "not of this change"),
        ({"author": "eve"}, "a change by eve, not ada"),
        ({"replays": {}}, "does not pass it"),
        ({"replays": {"other.zip": None}}, "the report"),
        ({"replay": CONTRADICTED}, "does not pass it"),
        ({"replay": {"bundle": "0" * 64}}, "another file"),
        ({"replay": {"runs": []}}, "only 0 runs were confirmed"),
        ({"replay": {"tier": "T3"}}, "the report"),
    ],
)
def test_nothing_is_published_that_the_gate_did_not_pass(
    published: Published, report: Any, says: str
) -> None:
    given = report if isinstance(report, bytes) else published.report(**report)
    with pytest.raises(BundleError, match=says):
        published(given)
    assert ("replay", "T2") not in published.entries()
    if "runs" not in report.get("replay", {}) if isinstance(report, dict) else True:
        assert published.entries() == []


def test_chaotic_runs_confirm_nothing(published: Published) -> None:
    report = published.report()
    runs = report["replays"][published.name]["runs"]
    assert len(runs) == 10
    runs[0]["verdict"] = "chaotic"
    with pytest.raises(BundleError, match="only 9 runs were confirmed, expected 10"):
        published(report)


def test_a_report_tells_of_runs_of_the_bundle(published: Published) -> None:
    report = published.report()
    run = next(run for run in report["replays"][published.name]["runs"] if run["recorded_test"])
    run["recorded_test"] += 0.1
    with pytest.raises(BundleError, match="not in the bundle, or other scores"):
        published(report)


def test_the_script_ends_with_1_and_says_why(published: Published, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(published.report(passed=False, problems=["it differs"])))
    options = ("--repo", str(published.repo), "--report", str(path), f"{published.base}...HEAD")
    done = script("publish", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert "did not pass this change, so nothing is published: it differs" in done.stderr
    done = script("refuse", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"refuse {published.name}\n"


def test_a_refused_try_is_counted_and_cannot_come_back(published: Published) -> None:
    runs = published.report()["replays"][published.name]["runs"]
    runs[0] |= {"verdict": "differs", "replayed_test": 0.0}
    failed = published.report(
        passed=False, problems=["1 of 10 runs differ"], replay={**CONTRADICTED, "runs": runs}
    )
    copy = published.repo.parent / published.name
    copy.write_bytes((published.folder / published.name).read_bytes())
    (entry,) = published.refuse(failed)
    assert (entry.owner, len(entry.replays), entry.tier) == ("ada", 10, None)
    entries = log.read(published.folder)
    assert log.attempts(entries) == log.refusals(entries) == {("toy", "mine"): 1}
    assert log.standings(entries) == {}
    assert log.check(published.folder) == []  # its file is gone
    with pytest.raises(LogError, match="was refused before"):
        publish.add(published.folder, "publish", copy)
    assert published.refuse(failed) == []


def test_what_passed_is_not_refused_and_a_stranger_makes_no_tries_for_others(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match="passed this change"):
        published.refuse(published.report())
    failed = published.report(passed=False, problems=["no"], author="eve")
    monkeypatch.setattr(log, "owners", lambda entries: {"mine": "ada"})
    assert published.refuse(failed) == []


def test_slugs_belong_to_their_first_author(
    published: Published, tmp_path: Path, make_author: Any
) -> None:
    published(published.report())
    git(published.repo, "add", "-A")
    git(published.repo, "commit", "-q", "-m", "Log")
    author = make_author()
    entry = author.method(version=2, source="a = 2\n")
    author.bundle(entry)
    checkout = Checkout(published.repo)
    git(published.repo, "branch", "-q", "-D", "submission/mine")
    make_branch(plan(entry, bundles_of(entry, author.out), checkout), checkout)

    def said(account: str | None) -> list[str]:
        scratch = tmp_path / f"gate-{account}"
        scratch.mkdir()
        return gate(checkout, "main", "submission/mine", scratch, account).problems

    assert said("Ada") == []
    assert any("belongs to ada, not to eve" in problem for problem in said("eve"))
    assert any("give the account of the pull request" in problem for problem in said(None))
    assert any("belongs to the maintainers" in problem for problem in said_of_sgd(checkout))


def said_of_sgd(checkout: Checkout) -> list[str]:
    """What is said of a version 2 of sgd that copies its authors."""
    card = SubmissionCard(slug="sgd", version=2, title="Mine", authors=["A. Author"])
    owners = log.owners(log.read(checkout.root / "leaderboard" / "results"))
    return list(owner_problems(card, "eve", owners, maintainers(checkout, "main"), exists=True))


def test_baselines_and_what_nobody_owns_are_for_the_maintainers(repo: Path) -> None:
    (repo / "ci").mkdir()
    (repo / "ci" / "maintainers.txt").write_text("# who\nGrace  # chair\n\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "Maintainers")
    trusted = maintainers(Checkout(repo), "main")
    assert trusted == {"grace"}
    card = SubmissionCard(slug="new", title="Mine", is_baseline=True)
    for account, expected in (("eve", 1), (None, 1), ("Grace", 0)):
        assert len(list(owner_problems(card, account, {}, trusted, exists=False))) == expected
    assert maintainers(Checkout(repo), "main~1") == set()


def test_the_log_only_grows(published: Published) -> None:
    published(published.report())
    git(published.repo, "add", "-A")
    git(published.repo, "commit", "-q", "-m", "Log")
    path, bundle = published.folder / log.LOG, published.folder / published.name
    lines = path.read_bytes().splitlines(keepends=True)

    def said(*changes: tuple[Path, bytes | None]) -> str:
        git(published.repo, "checkout", "-q", "-B", "forged", "main")
        for file, data in changes:
            file.unlink() if data is None else file.write_bytes(data)
        git(published.repo, "commit", "-q", "-a", "--allow-empty", "-m", "Forged")
        found = log_problems(Checkout(published.repo), "main", "forged")
        git(published.repo, "checkout", "-q", "main")
        return "; ".join(found)

    assert said() == ""
    assert "line 2 of 2 was cut off" in said((path, lines[0]))
    truncated = said((path, b""), (bundle, None))
    assert "line 1 of 2 was cut off" in truncated and "never changed or removed" in truncated
    assert "does not extend" in said((path, None), (bundle, None))
    other = log.read(published.folder)[0].model_copy(update={"at": "2020-01-01T00:00:00+00:00"})
    other = other.model_copy(update={"hash": other.true_hash})
    assert "line 1 of 2 is another one" in said((path, other.line))
    assert "line 3" in said((path, b"".join([*lines, lines[1]])))
    assert "never changed" in said((bundle, b"other"))
    made = [
        log.append(published.folder, kind, bundle, note="why") for kind in ("retract", "archive")
    ]
    grown = path.read_bytes()
    git(published.repo, "checkout", "-q", "--", ".")
    assert said((path, grown), (bundle, None)) == ""
    without = grown.removesuffix(made[1].line)
    assert "never changed or removed" in said((path, without), (bundle, None))
    done = script("log-extends", "--repo", str(published.repo), "main...forged")
    assert (done.returncode, "never changed" in done.stdout) == (1, True)


def test_attempts_are_counted_over_versions(published: Published, tmp_path: Path) -> None:
    published(published.report())
    entries = log.read(published.folder)[:1]
    assert log.attempts(entries) == {("toy", "mine"): 1}
    replayed = entries[0].model_copy(update={"kind": "replay"})
    newer = entries[0].model_copy(update={"kind": "supersede", "file": entries[0].file.replace(
        "-v1-", "-v2-")})  # fmt: skip
    assert log.attempts([*entries, replayed, newer]) == {("toy", "mine"): 2}
