"""Small repositories with a submission, the scripts of ci/, and bundles that were bent."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from assay.cards import TaskCard
from assay.paths import ROOT
from assay.plugins.registry import find_task
from assay.publication import gate as gating
from assay.publication import submit
from assay.publication.git import Checkout
from assay.publication.submit import bundles_of, make_branch, plan
from assay.publication.verify import BundleProblem
from assay.records.bundle import Bundle, pack, parse_bundle, read_bundle
from assay.records.schema import RunRecord, RunSpec
from assay.records.selection import results

from tests.assay.conftest import Author, FakePool, build_cell, isolate_git, write_task


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "ci" / name), *arguments], capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def submitted_once(repo_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `submitted` is a copy of."""
    folder = tmp_path_factory.mktemp("submitted")
    repo = folder / "repo"
    shutil.copytree(repo_once, repo, symlinks=True)
    author = Author(folder / "author", build_cell, write_task(folder / "tasks"), FakePool)
    with pytest.MonkeyPatch.context() as patch:
        isolate_git(patch)
        patch.setattr(submit, "verify", lambda bundle: [])
        entry = author.method()
        author.bundle(entry)
        checkout = Checkout(repo)
        make_branch(plan(entry, bundles_of(entry, author.out), checkout), checkout)
    return repo


@pytest.fixture
def submitted(
    submitted_once: Path, tmp_path: Path, plain_git: None, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The repository with a branch that submits `mine`."""
    monkeypatch.setattr(submit, "verify", lambda bundle: [])
    monkeypatch.setattr(gating, "verify", lambda bundle, published: [])
    repo = tmp_path / "repo"
    shutil.copytree(submitted_once, repo, symlinks=True)
    return repo


@pytest.fixture
def good(bundles: dict[str, Path]) -> Bundle:
    """The runs of --quick: six repetitions of four points."""
    return read_bundle(bundles["digits_step"])


def card_of(bundle: Bundle) -> TaskCard:
    return find_task(bundle.manifest.task.slug).card


def remade(bundle: Bundle, runs: list[RunRecord], source: dict[str, bytes] | None = None) -> Bundle:
    """A bundle as its maker would have made it; also of foreign records."""
    name, data = pack(runs, bundle.source if source is None else source, card_of(bundle).metric)
    return parse_bundle(data, Path(name))


def codes(findings: list[BundleProblem], severity: str = "error") -> set[str]:
    return {finding.code for finding in findings if finding.severity == severity}


def run_with(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle with the result of one repetition changed."""
    chosen = repetition(bundle).id
    runs = [run.model_copy(update=changes) if run.id == chosen else run for run in bundle.runs]
    found = remade(bundle, runs)
    return replace(found, runs=runs) if "curve" in changes else found


def repetition(bundle: Bundle) -> RunRecord:
    """The selected run of the first repetition, which has a curve."""
    return results(bundle.runs, card_of(bundle).metric)[0]


def respecified(run: RunRecord, **changes: Any) -> RunRecord:
    """The run under another spec, with its id."""
    spec = RunSpec(**{**run.spec.model_dump(), **changes})
    return run.model_copy(update={"spec": spec, "id": spec.id})
