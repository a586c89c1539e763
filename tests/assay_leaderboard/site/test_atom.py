"""Atom feeds of what changed: sound XML, ids that stay, times from the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from assay.identity import canonical_json, sha256
from assay.records import log as publog
from assay.records.log import Entry
from assay_leaderboard.site.exports import atom

ATOM = "{http://www.w3.org/2005/Atom}"
TASKS, METHODS = {"digits": "Digits", "letters": "Letters"}, {"sgd": "SGD", "adam": "Adam & <co>"}


def entry(n: int, task: str, method: str, note: str = "", kind: publog.Kind = "publish") -> Entry:
    digest = sha256(f"{task} {method} {n}")
    values: dict[str, Any] = {
        "n": n,
        "at": f"2026-01-{n % 28 + 1:02d}T00:00:00+00:00",
        "kind": kind,
        "file": f"{task}--{method}-v1--{digest[:16]}.zip",
        "sha256": digest,
        "note": note,
        "previous": publog.NOTHING,
    }
    return Entry.model_validate({**values, "hash": sha256(canonical_json(values))})


LOG = [
    entry(1, "digits", "sgd"),
    entry(2, "digits", "adam", note='1 < 2 & "so on"', kind="retract"),
    entry(3, "gone", "sgd"),
]


def read(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def texts(feed: ElementTree.Element, name: str) -> list[str]:
    return [found.text or "" for found in feed.iterfind(f"{ATOM}entry/{ATOM}{name}")]


def test_each_page_with_a_log_has_its_feed() -> None:
    found = atom.feeds(LOG, TASKS, METHODS)
    assert sorted(found) == [
        "feed.xml",
        "method/adam/feed.xml",
        "method/sgd/feed.xml",
        "task/digits/feed.xml",
        "task/letters/feed.xml",
    ]
    assert texts(read(found["feed.xml"]), "title") == [
        "sgd on gone: published",
        "adam on digits: retracted",
        "sgd on digits: published",
    ]
    assert texts(read(found["method/adam/feed.xml"]), "summary") == ['1 < 2 & "so on"']
    assert texts(read(found["task/letters/feed.xml"]), "title") == []
    title = read(found["method/adam/feed.xml"]).findtext(f"{ATOM}title")
    assert title == "Assay: Adam & <co>"


def test_a_feed_has_what_the_format_demands() -> None:
    for text in atom.feeds(LOG, TASKS, METHODS).values():
        feed = read(text)
        assert feed.tag == f"{ATOM}feed"
        for part in (feed, *feed.iterfind(f"{ATOM}entry")):
            for name in ("id", "title", "updated"):
                assert len(part.findall(f"{ATOM}{name}")) == 1
            assert (part.findtext(f"{ATOM}id") or "").startswith("urn:sha256:")
        updated = feed.findtext(f"{ATOM}updated")
        assert updated == max(texts(feed, "updated"), default="1970-01-01T00:00:00+00:00")


def test_ids_stay_when_entries_follow() -> None:
    before = read(atom.feeds(LOG, TASKS, METHODS)["feed.xml"])
    after = read(atom.feeds([*LOG, entry(4, "letters", "adam")], TASKS, METHODS)["feed.xml"])
    assert texts(after, "id")[1:] == texts(before, "id")
    assert before.findtext(f"{ATOM}id") == after.findtext(f"{ATOM}id")
    ids = {
        feed.findtext(f"{ATOM}id") for feed in map(read, atom.feeds(LOG, TASKS, METHODS).values())
    }
    assert len(ids) == 5


def test_a_long_log_is_cut_to_its_newest() -> None:
    log = [entry(n, "digits", "sgd") for n in range(1, atom.NEWEST + 50)]
    found = read(atom.feeds(log, TASKS, METHODS)["feed.xml"])
    assert texts(found, "id") == [f"urn:sha256:{e.hash}" for e in log[::-1][: atom.NEWEST]]


def test_links_of_a_feed_lead_to_pages(built: Path) -> None:
    found = list(built.rglob("feed.xml"))
    assert len(found) == 1 + 3 + 4
    for path in found:
        feed = ElementTree.parse(path).getroot()
        assert len(feed.findall(f"{ATOM}entry")) in (24, 8, 6)
        for link in feed.iter(f"{ATOM}link"):
            assert (path.parent / str(link.get("href"))).resolve().is_file()


@pytest.mark.parametrize("title", ["\x00\x0b", "\ufffe", "\u202eevil", "]]>", "\ud7ff"])
def test_titles_never_break_a_feed(title: str) -> None:
    text = atom.feeds(LOG, {"digits": title}, {})["task/digits/feed.xml"]
    assert (read(text).findtext(f"{ATOM}title") or "").startswith("Assay: ")
