"""A small site, once a session, and a real browser to read it with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.assay_leaderboard.making import demo
from tests.assay_leaderboard.site_making import demo_cards, site_view, write

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>\u202e'


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's site as files; titles and notes in it are hostile."""
    folder = tmp_path_factory.mktemp("site")
    made = demo()
    made.cards = {
        slug: card.model_copy(update={"title": f"{slug} {HOSTILE}", "summary": HOSTILE})
        for slug, card in made.cards.items()
    }
    cards = demo_cards(made.catalogue.methods)
    cards["noisy"] = cards["noisy"].model_copy(update={"title": HOSTILE, "track": "loss"})
    view, tasks, cells = site_view(made, cards)
    view = replace(view, problems=[HOSTILE], with_local=True)
    write(folder, view, tasks, cells)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; its absence is a failure, so that nobody believes the pages were tested."""
    if "ASSAY_NO_BROWSER" in os.environ:
        pytest.skip("ASSAY_NO_BROWSER is set")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail(
            "no Chromium: install it (apt-get install chromium), or set ASSAY_NO_BROWSER=1 to do "
            "without the tests of the pages"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(site: Path, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page of the site: visit("task/digits", "sort=tuned.p"); options as new_context's.

    A console message, an error or a request beyond the site's folder fails the test.
    """
    wrong: list[str] = []
    contexts = []

    def heard(message: ConsoleMessage) -> None:
        wrong.append(f"console: {message.text}")

    def asked(request: Request) -> None:
        if not request.url.startswith((site.as_uri(), "blob:", "data:")):
            wrong.append(f"request: {request.url}")

    def lost(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # leaving a page cuts its icon short
            wrong.append(f"lost: {request.url}")

    def open_page(path: str = "", state: str = "", **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", asked)
        page.on("requestfailed", lost)
        page.goto(address(site, path) + (f"#{state}" if state else ""))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def address(site: Path, path: str) -> str:
    """Where a page lies: by its folder, or the file itself."""
    file = site / path if path.endswith(".html") else site / path / "index.html"
    return file.as_uri()
