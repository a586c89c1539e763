"""Small repositories with a submission, and the scripts of ci/."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from assay.paths import ROOT
from assay.publication import gate as gating
from assay.publication import submit
from assay.publication.git import Checkout
from assay.publication.submit import bundles_of, make_branch, plan

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
