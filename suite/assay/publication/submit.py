"""`assay submit`: a branch that adds one folder and its bundles, ready for a pull request.

The working tree, the index and the current branch of the checkout stay as they are, and nothing is
pushed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.cards import SubmissionCard
from assay.errors import SubmissionError
from assay.plugins.files import EQUATIONS, read_files
from assay.plugins.registry import MethodEntry, method_ref
from assay.publication.git import Checkout
from assay.publication.pack import unpublishable
from assay.publication.verify import verify
from assay.records.bundle import MAX_FILE_BYTES, Bundle, read_bundle
from assay.records.schema import MethodRef
from assay.records.staleness import changed
from assay.syntax import parse_toml
from assay.untrusted.files import read_regular

BRANCH = "submission/"
ENGINE = ("suite", "tasks")
PUBLISHED = "leaderboard/results"
MAX_SOURCE_BYTES = 200_000
_GITHUB = re.compile(r"github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$")


@dataclass(frozen=True)
class Submission:
    """A branch that can be made."""

    slug: str
    branch: str
    base: str
    files: dict[str, bytes] = field(repr=False)
    """What it adds, by path: the method's folder and its bundles."""
    left_out: list[str]
    """Names in the method's folder that are not submitted."""
    message: str
    steps: list[str]
    """What the user does next, each a command or a sentence."""


def plan(
    entry: MethodEntry, bundles: Sequence[Path], checkout: Checkout, base: str | None = None
) -> Submission:
    """Check a submission and describe its branch, without making it.

    Args:
        entry: a method's folder.
        bundles: files made by `assay pack`.
        checkout: where the branch is to be made.
        base: the branch to start from; the main one if not given.

    Raises:
        SubmissionError: it cannot be submitted; lists every problem.
        BundleError: a bundle cannot be read.
    """
    start = checkout.base(base)
    slug = entry.card.slug
    source, left_out = submission_files(entry)
    found = [read_bundle(path) for path in bundles]
    problems = [
        *_place_problems(checkout, start, entry.card),
        *_bundle_problems(found, method_ref(entry), packed(source), checkout, start),
    ]
    if problems:
        raise SubmissionError(f"{slug} cannot be submitted:\n" + "\n".join(problems))
    files = {f"submissions/{slug}/{name}": data for name, data in source.items()}
    for bundle in found:
        files[f"{PUBLISHED}/{bundle.path.name}"] = read_regular(bundle.path, MAX_FILE_BYTES)
    return Submission(
        slug=slug,
        branch=BRANCH + slug,
        base=start,
        files=files,
        left_out=left_out,
        message=_message(entry.card, found),
        steps=_steps(checkout, BRANCH + slug, start, slug),
    )


def make_branch(made: Submission, checkout: Checkout) -> str:
    """Make the branch of a submission, and return its commit.

    Raises:
        SubmissionError: git refused, with its message.
    """
    parent = str(checkout.commit_of(made.base))
    with tempfile.TemporaryDirectory(prefix="assay-submit-") as name:
        folder = f"submissions/{made.slug}"
        tree = checkout.tree(parent, made.files, folder, Path(name) / "index")
    return checkout.make_branch(made.branch, tree, parent, made.message)


def bundles_of(entry: MethodEntry, folder: Path) -> list[Path]:
    """The bundles in `folder` that are named for this method and version."""
    return sorted(folder.glob(f"*--{entry.card.slug}-v{entry.card.version}--*.zip"))


def packed(source: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those of a submission's files that are in its bundles: all that a run has."""
    return {name: data for name, data in source.items() if name != EQUATIONS}


def submission_files(entry: MethodEntry) -> tuple[dict[str, bytes], list[str]]:
    """A submission's files by name, and the other names in its folder.

    Raises:
        SubmissionError: it is no folder that stands alone, or a file is a link or too large.
        PluginError: a data file is missing or too large.
    """
    if problem := unpublishable(entry):
        raise SubmissionError(problem)
    read_files(entry.files)  # raises what is wrong with the sizes of data
    source: dict[str, bytes] = {}
    files = entry.files
    if (equations := entry.equations) is not None:
        files[EQUATIONS] = equations
    for name, path in sorted(files.items()):
        try:
            source[name] = read_regular(path, MAX_SOURCE_BYTES)
        except OSError as error:
            raise SubmissionError(f"{path}: cannot be submitted: {error.strerror}") from error
    others = {path.name for path in entry.source.parent.iterdir()} - {*source, "__pycache__"}
    return source, sorted(others)


def _place_problems(checkout: Checkout, base: str, card: SubmissionCard) -> list[str]:
    problems = []
    changed = checkout.changed(*ENGINE)
    if changed:
        shown = ", ".join(changed[:5]) + (", ..." if len(changed) > 5 else "")
        problems.append(
            f"the engine or a task differs from what is committed ({shown}): nobody else could "
            "replay results made with it; put it back (git stash) and run again"
        )
    branch = BRANCH + card.slug
    if checkout.commit_of(f"refs/heads/{branch}"):
        problems.append(
            f"the branch {branch} exists already; to make it anew: git branch -D {branch}"
        )
    taken = checkout.file(base, f"submissions/{card.slug}/card.toml")
    if taken is not None:
        problems += taken_by(card, taken, base)
    return problems


def taken_by(card: SubmissionCard, text: bytes, base: str) -> list[str]:
    """Why the card may not replace the one of the same slug on `base`; empty if it may.

    A newer version may, if it shares an author.

    Args:
        card: of the new submission.
        text: the card.toml on `base`.
        base: the name of the branch.
    """
    try:
        other = SubmissionCard(**parse_toml(text))
    except (ValueError, TypeError):
        return [f"submissions/{card.slug} exists on {base}; choose another slug"]
    if not set(card.authors) & set(other.authors):
        who = ", ".join(other.authors) or "no named author"
        return [f"the slug {card.slug} is taken by {other.title!r} ({who}) on {base}; choose "
                "another"]  # fmt: skip
    if card.version <= other.version:
        return [f"version {other.version} of {card.slug} is on {base}; raise the version in "
                f"card.toml above it (it is {card.version}), run and pack again"]  # fmt: skip
    return []


def _bundle_problems(
    bundles: Sequence[Bundle],
    method: MethodRef,
    source: dict[str, bytes],
    checkout: Checkout,
    base: str,
) -> list[str]:
    if not bundles:
        return [f"there is no bundle of {method.slug} version {method.version}; make them with: "
                f"assay run {method.slug} --tier lite, then: assay pack {method.slug}"]  # fmt: skip
    problems = []
    tasks: dict[str, str] = {}
    for bundle in bundles:
        name, task = bundle.path.name, bundle.manifest.task.slug
        if why := changed(bundle.manifest.method, method):
            problems.append(f"{name}: the method {why}; run and pack it again")
        elif bundle.source != source:
            problems.append(f"{name}: its source is not the folder's, though it does the same; "
                            "pack again")  # fmt: skip
        if tasks.setdefault(task, name) != name:
            problems.append(f"{name}: is a second bundle of {task}, beside {tasks[task]}; "
                            "remove the older one")  # fmt: skip
        if checkout.file(base, f"tasks/{task}/card.toml") is None:
            problems.append(f"{name}: the task {task} is not on {base}")
        problems += [
            f"{name}: {finding.message}"
            for finding in verify(bundle)
            if finding.severity == "error"
        ]
    return problems


def _message(card: SubmissionCard, bundles: Sequence[Bundle]) -> str:
    tasks = sorted(bundle.manifest.task.slug for bundle in bundles)
    n_runs = sum(bundle.manifest.n_runs for bundle in bundles)
    return (
        f"Submit {card.slug} version {card.version}\n\n{card.title}\n\n"
        f"{n_runs} runs on {len(tasks)} tasks: {', '.join(tasks)}\n"
    )


def _steps(checkout: Checkout, branch: str, base: str, slug: str) -> list[str]:
    """How to push the branch and open a pull request."""
    target = base.removeprefix("origin/")
    if target == "HEAD":
        target = "main"
    remotes = checkout.git("remote").split()
    if not remotes:
        return [
            "git remote add origin URL-OF-YOUR-FORK",
            f"git push origin {branch}",
            f"open a pull request from {branch} to {target}",
        ]
    remote = "origin" if "origin" in remotes else remotes[0]
    steps = [f"git push {remote} {branch}"]
    where = _GITHUB.search(checkout.git("remote", "get-url", remote))
    if where:
        steps.append(f"gh pr create --base {target} --head {branch} --title 'Submit {slug}' --fill")
        steps.append(
            f"or open https://github.com/{where[1]}/{where[2]}/compare/{target}...{branch}?expand=1"
        )
    else:
        steps.append(f"open a pull request from {branch} to {target}")
    return steps
