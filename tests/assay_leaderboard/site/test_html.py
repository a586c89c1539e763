"""The pages as HTML: valid, escaped, linked and light; links and values in words."""

from __future__ import annotations

import gzip
import itertools
import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

import pytest
from assay_leaderboard.site.html.links import SiteMap, paper_links
from assay_leaderboard.site.html.text import duration, link, p_text, rank_text, said, size
from assay_leaderboard.site.pages import runs_page, task_page
from assay_leaderboard.site.views import CellView, SiteView, TaskView

from tests.assay_leaderboard.site_making import STATIC, board_pages, site_map

SCROLLING = ("scroll", "picture-numbers", "run")
"""Boxes that scroll sideways, for what is wider than a phone; of a run its folded part."""
WRITTEN_ELSEWHERE = re.compile(r"(^|/)(data/v1/.*|feed\.xml|cite\.bib|source\.txt)$")
"""Twins, feeds and citations: the engine's, tested with it."""


def test_nothing_of_a_record_or_card_acts(documents: dict[str, Element]) -> None:
    for document in documents.values():
        for element in document.iter():
            if isinstance(element.tag, str):
                assert not [name for name in element.attrib if str(name).startswith("on")]
                assert "style" not in element.attrib
                assert element.tag not in ("img", "iframe", "object", "form", "style")
        for script in document.iter("script"):
            assert script.get("src")
            assert not script.text


def test_what_steers_text_is_gone(pages: dict[str, str]) -> None:
    for text in pages.values():
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert "alert(1)</script>" not in text


def test_ids_are_unique_and_tables_are_described(documents: dict[str, Element]) -> None:
    for path, document in documents.items():
        ids = [element.get("id") for element in document.iter() if element.get("id")]
        assert len(ids) == len(set(ids)), path
        for table in document.iter("table"):
            assert table.find("caption") is not None, path
            for head in table.iter("th"):
                assert head.get("scope") in ("row", "col"), path


def test_every_table_can_be_scrolled_by_itself(documents: dict[str, Element]) -> None:
    """A table is wider than a phone; the page that it stands on is not."""
    for path, document in documents.items():
        boxes = [box for box in document.iter() if box.get("class") in SCROLLING]
        boxed = {id(table) for box in boxes for table in box.iter("table")}
        assert {id(table) for table in document.iter("table")} == boxed, path


def test_a_name_is_broken_after_an_underscore_alone() -> None:
    assert link(None, "adam_half_lr") == "adam_<wbr>half_<wbr>lr"
    assert link("x_y", "a_<b") == '<a href="x_y">a_<wbr>&lt;b</a>'
    assert link("x", said("a_b")) == '<a href="x"><bdi>a_b</bdi></a>'


def test_every_page_has_a_title_a_language_and_headings_in_order(
    documents: dict[str, Element],
) -> None:
    for path, document in documents.items():
        assert document.get("lang") == "en", path
        title = document.find("head/title")
        assert title is not None and title.text, path
        levels = [int(e.tag[1]) for e in document.iter() if e.tag in ("h1", "h2", "h3", "h4")]
        assert levels.count(1) == 1, path
        assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), path


def test_every_link_leads_somewhere(documents: dict[str, Element]) -> None:
    ids = {
        path: {element.get("id") for element in document.iter()}
        for path, document in documents.items()
    }
    for path, document in documents.items():
        for element in [*document.iter("a"), *document.iter("link"), *document.iter("script")]:
            address = element.get("href") or element.get("src") or ""
            parts = urlsplit(address)
            if parts.scheme:
                assert parts.scheme == "https"
                assert parts.netloc in ("arxiv.org", "doi.org")
                continue
            target = joined(path, unquote(parts.path))
            if WRITTEN_ELSEWHERE.search(target):
                continue
            if target.startswith("static/"):
                assert (STATIC / target.removeprefix("static/")).is_file()
                continue
            assert target in documents, (path, address)
            if parts.fragment and "=" not in parts.fragment:
                assert parts.fragment in ids[target], (path, address)


def joined(page: str, address: str) -> str:
    """Path of what `address` means on `page`, which stays within the site."""
    parts = list(PurePosixPath(page).parent.parts)
    for part in PurePosixPath(address).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts) if address else page


def test_the_same_view_makes_the_same_bytes(
    views: tuple[SiteView, list[TaskView], list[CellView]], pages: dict[str, str]
) -> None:
    view, tasks, cells = views
    again = board_pages(view)
    again |= task_page(tasks[0], site_map(view)) | runs_page(cells[0], site_map(view))
    assert again == {path: pages[path] for path in again}


def test_the_first_view_is_light(pages: dict[str, str]) -> None:
    files = ["assay.css", "pictures.css", "theme.js", "assay.js", "icon.svg"]
    parts = [pages["index.html"].encode(), *((STATIC / name).read_bytes() for name in files)]
    assert sum(len(gzip.compress(part)) for part in parts) < 100_000


@pytest.mark.parametrize(
    ("identifier", "addresses"),
    [
        ("arXiv:1909.11015; IEEE TNNLS", ["https://arxiv.org/abs/1909.11015"]),
        ("arXiv:1412.6980v9", ["https://arxiv.org/abs/1412.6980"]),
        ("10.1109/TNNLS.2019.2955777", ["https://doi.org/10.1109/TNNLS.2019.2955777"]),
        ("javascript:alert(1)", []),
        ("https://evil.example/arXiv", []),
        ("ICML 2019", []),
        ('arXiv:1909.11015" onclick="x', ["https://arxiv.org/abs/1909.11015"]),
    ],
)
def test_only_known_identifiers_become_links(identifier: str, addresses: list[str]) -> None:
    assert [address for _, address in paper_links(identifier)] == addresses


def test_addresses_are_relative_from_any_depth() -> None:
    site = SiteMap(frozenset({"digits"}), frozenset({"sgd"}))
    assert site.at("").task("digits") == "task/digits/index.html"
    assert site.at("how").page() == "../index.html"
    deep = site.at("run/digits/sgd.html")
    assert deep.method("sgd") == "../../method/sgd/index.html"
    assert deep.method("unknown") is None
    assert deep.runs("digits", "sgd", "0123") == "../../run/digits/sgd.html#0123"


def test_values_in_words() -> None:
    assert [rank_text(rank) for rank in (None, (3, 3))] == [rank_text(None), "3"]
    assert p_text(0.00004) == "<0.0001"
    assert [duration(s) for s in (0.0123, 5.0, 120.0, 7200.0)] == [
        "12.3 ms", "5.00 s", "2.0 min", "2.0 h",
    ]  # fmt: skip
    assert [size(n) for n in (12, 6696, 376_500_224)] == ["12 B", "6.7 kB", "377 MB"]
    assert said("<b>\u202e") == "<bdi>&lt;b&gt;?</bdi>"
