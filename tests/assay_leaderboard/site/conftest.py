"""A made-up checkout with published results and the site built of it; pages of hostile cards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest
from assay import paths
from assay.cards import Parity as ParityCard
from assay.plugins import registry
from assay.ruleset import RULESET
from assay_leaderboard.site.build.build import build
from assay_leaderboard.site.build.plan import BuildRequest, Built
from assay_leaderboard.site.reports import MethodParity, Parity, ParityLine
from assay_leaderboard.site.views import CellView, SiteView, TaskView

from tests.assay_leaderboard.making import demo
from tests.assay_leaderboard.site_making import all_pages, demo_cards, site_view
from tests.benchmarks import site as simulation

Files = dict[str, bytes]
"""The contents of a site by path."""
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[31m'


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


@pytest.fixture(scope="session")
def views() -> tuple[SiteView, list[TaskView], list[CellView]]:
    """What pages are made from, of records and cards with hostile text."""
    records = demo()
    records.cards = {
        slug: card.model_copy(update={"title": HOSTILE, "summary": HOSTILE})
        for slug, card in records.cards.items()
    }
    cards = demo_cards(records.catalogue.methods)
    told = {"bugs": [HOSTILE, "a known bug"], "notes": ["departs here"]}
    cards["noisy"] = cards["noisy"].model_copy(
        update={"title": HOSTILE, "authors": [HOSTILE], "parity": ParityCard(**told)}
    )
    view, tasks, cells = site_view(records, cards)
    lines = [
        ParityLine(label="its equations", status="ok", detail="difference 1e-15"),
        ParityLine(name="base", label="the method it varies", status="ok", detail="apart by 0.3"),
        ParityLine(name=HOSTILE, label=HOSTILE, status=HOSTILE, detail=HOSTILE),
    ]
    compared = MethodParity(slug="noisy", code_hash="0" * 64, rows=lines)
    reported = Parity(versions={"torch": "9.9", HOSTILE: HOSTILE}, methods=[compared])
    return replace(view, parity=reported), tasks, cells


@pytest.fixture(scope="session")
def pages(views: tuple[SiteView, list[TaskView], list[CellView]]) -> dict[str, str]:
    return all_pages(*views)


def parsed(text: str) -> Element:
    """The document; html5lib raises where it is not valid HTML."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    document: Element = parser.parse(text)
    return document


@pytest.fixture(scope="session")
def documents(pages: dict[str, str]) -> dict[str, Element]:
    return {path: parsed(text) for path, text in pages.items()}
