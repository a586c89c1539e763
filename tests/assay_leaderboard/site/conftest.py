"""A made-up checkout with published results, and the site that is built of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from assay import paths
from assay.plugins import registry
from assay.ruleset import RULESET
from assay_leaderboard.site.build.build import build
from assay_leaderboard.site.build.plan import BuildRequest, Built

from tests.benchmarks import site as simulation

Files = dict[str, bytes]
"""The contents of a site by path."""


def forget() -> None:
    """Let the registry look at its folders again."""
    registry.task_entries.cache_clear()
    registry.method_entries.cache_clear()


@dataclass(frozen=True)
class Simulated:
    """A made-up checkout of three tasks and four methods, its results published."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "leaderboard" / "results"

    def forget(self) -> None:
        """Let the registry look at its folders again."""
        forget()


@contextmanager
def checkout_at(root: Path) -> Iterator[None]:
    """Make `root` this process's checkout, with a small bootstrap: these tests build often."""
    quick = RULESET.model_copy(update={"bootstrap_draws": 200})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assay_leaderboard.site.build.inputs.RULESET", quick)
        patch.setattr("assay_leaderboard.queries.RULESET", quick)
        patch.setattr("assay.ruleset.RULESET", quick)
        patch.setattr("assay_leaderboard.queries.RULESET", quick)
        patch.setattr(paths, "ROOT", root)
        patch.setattr(paths, "RESULTS", root / "leaderboard" / "results")
        patch.delenv("ASSAY_RESULTS", raising=False)
        forget()
        yield
    forget()


@pytest.fixture(scope="session")
def simulated_once(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Not to be changed where it lies."""
    root = tmp_path_factory.mktemp("simulated")
    with checkout_at(root):
        simulation.make(root, 4, 3)
        build(BuildRequest(out=root / "site", jobs=1, cache=False))
    return Simulated(root)


@pytest.fixture(scope="session")
def built(simulated_once: Simulated) -> Path:
    """A site, to be looked at."""
    return simulated_once.root / "site"


@pytest.fixture
def simulated(
    simulated_once: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulated]:
    """A copy of the checkout that is this process's own."""
    root = tmp_path / "checkout"
    shutil.copytree(simulated_once.root, root, ignore=lambda folder, names: {"site"} & {*names})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    with checkout_at(root):
        yield Simulated(root)


def made(out: Path, **options: Any) -> Built:
    """Build a site, in this process and without a cache unless `options` say otherwise."""
    return build(BuildRequest(out=out, **{"jobs": 1, "cache": False, **options}))


def files_of(site: Path) -> Files:
    return {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in site.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def site(built: Path) -> Files:
    return files_of(built)
