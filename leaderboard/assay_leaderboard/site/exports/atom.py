"""Atom feeds (RFC 4287) of what was published, made from the log of publications.

Times are those of the log. Ids are hashes, so they do not depend on the address of the site.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape

from assay.identity import sha256
from assay.records.log import Entry

NEWEST = 100
"""Most entries in a feed; the log page has all of them."""
_BEFORE_ALL = "1970-01-01T00:00:00+00:00"
"""The time of an empty feed; the format requires one."""
_SAYS = {
    "publish": "published",
    "replay": "replayed",
    "supersede": "superseded an earlier result",
    "correct": "corrected an earlier result",
    "retract": "retracted",
    "archive": "left the board for the archive",
    "reveal": "measured with hidden seeds",
    "refuse": "refused by the gate",
    "commit-seeds": "hidden seeds were committed to",
    "reveal-seeds": "hidden seeds were revealed",
}


def feeds(
    log: Sequence[Entry], tasks: Mapping[str, str], methods: Mapping[str, str]
) -> dict[str, str]:
    """Path and text of the board's feed, and of that of each task and method in the log.

    Args:
        log: every entry, oldest first.
        tasks: titles of the tasks that have a page, by slug.
        methods: titles of the methods that have a page, by slug.
    """
    found = {"feed.xml": _feed("Assay: results", "", log, tasks)}
    of_task: dict[str, list[Entry]] = {}
    of_method: dict[str, list[Entry]] = {}
    for entry in log:
        if entry.cell is None:
            continue
        task, method = entry.cell
        of_task.setdefault(task, []).append(entry)
        of_method.setdefault(method, []).append(entry)
    for kind, titles, groups in (("task", tasks, of_task), ("method", methods, of_method)):
        for slug in sorted(titles):
            folder = f"{kind}/{slug}/"
            own = groups.get(slug, [])
            found[f"{folder}feed.xml"] = _feed(f"Assay: {titles[slug]}", folder, own, tasks)
    return found


def _feed(title: str, folder: str, log: Sequence[Entry], tasks: Collection[str]) -> str:
    """The feed in a folder: "", or "task/<slug>/" or "method/<slug>/"."""
    up = "../" * folder.count("/")
    shown = sorted(log, key=lambda entry: entry.n)[-NEWEST:][::-1]
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<title>{_text(title)}</title>",
        f"<id>urn:sha256:{sha256(f'assay feed {folder}')}</id>",
        f"<updated>{shown[0].at if shown else _BEFORE_ALL}</updated>",
        "<author><name>Assay</name></author>",
        '<link rel="alternate" type="text/html" href="index.html"/>',
        '<link rel="self" type="application/atom+xml" href="feed.xml"/>',
        *(_entry(up, tasks, entry) for entry in shown),
        "</feed>",
    ]
    return "\n".join(lines) + "\n"


def _entry(up: str, tasks: Collection[str], entry: Entry) -> str:
    page, about = f"{up}log/index.html", f"epoch {entry.epoch}"
    if entry.cell is not None:
        task, method = entry.cell
        about = f"{method} on {task}"
        page = f"{up}task/{task}/index.html" if task in tasks else page
    says = _SAYS[entry.kind]
    return (
        "<entry>\n"
        f"<title>{_text(f'{about}: {says}')}</title>\n"
        f"<id>urn:sha256:{entry.hash}</id>\n"
        f"<updated>{entry.at}</updated>\n"
        f'<link rel="alternate" type="text/html" href="{escape(page)}"/>\n'
        f"<summary>{_text(entry.note or f'{says}; {entry.file}')}</summary>\n"
        "</entry>"
    )


def _text(text: str) -> str:
    """`text` escaped, without characters that XML cannot hold."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return escape(text, quote=False)
