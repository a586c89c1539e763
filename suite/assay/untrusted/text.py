"""Published text: nothing in it may steer a program that shows it, or give away private data."""

from __future__ import annotations

import contextlib
import getpass
import re
import socket
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_MARKUP = re.compile(
    r"<\s{0,9}/?\s{0,9}(?:script|img|iframe|svg|math|style|object|embed|link|meta|form|input|base|body|html"
    r"|video|audio|a)\b|<!--|&#",
    re.IGNORECASE,
)
_LINK = re.compile(r"\b(?:javascript|vbscript|data|file)\s*:\s*[^\s]", re.IGNORECASE)
_PATH = re.compile(
    r"(?<![\w.:/\\])(?:~|[A-Za-z]:(?=\\))?(?:[/\\][\w.@+ -]*[\w@+-]){2,}[/\\]?"
    r"|(?<![\w/])(?<!\.\.\.)/(?:home|root|Users)\b"
)
_GENERIC_NAMES = {"root", "user", "admin", "runner", "ubuntu", "debian", "linux", "localhost"}
_LAYOUT = "\t\n\r\f"


def unsafe(text: str, *, lines: bool = False) -> str | None:
    """Why `text` must not be published; None if it may.

    Args:
        text: any text.
        lines: whether it may have several lines.
    """
    if text.isascii() and text.isprintable():
        return None
    for character in text:
        kind = unicodedata.category(character)
        if kind in ("Cc", "Zl", "Zp") and not (lines and character in _LAYOUT):
            return f"holds the control character U+{ord(character):04X}"
        if kind == "Cf":
            return f"holds the invisible character U+{ord(character):04X}"
        if kind in ("Co", "Cs"):
            return f"holds U+{ord(character):04X}, which has no agreed meaning"
    return None


def active(text: str) -> str | None:
    """Why a browser might execute or load something in `text`; None if it would not."""
    if found := _MARKUP.search(text):
        return f"holds markup ({found[0][:20]!r})"
    if found := _LINK.search(text):
        return f"holds a link that runs or reads something ({found[0][:20]!r})"
    return None


def neutral(text: str, limit: int) -> str:
    """The first `limit` characters of `text`, without paths and without what `active` names.

    "(" stands for the "<" of markup, " -" for the colon of a link. One that is taken out can make
    another of what stood around it, and so can a cut.
    """
    text = text[:limit]
    while active(text) or private(text):
        text = _MARKUP.sub(lambda found: found[0].replace("<", "(").replace("&#", "& #"), text)
        text = _LINK.sub(lambda found: found[0].replace(":", " -"), text)
        text = without_paths(text)[:limit]
    return text


def formula(text: str) -> bool:
    """Whether a spreadsheet would take `text` for a formula."""
    return text.lstrip(" ")[:1] in ("=", "+", "@") or bool(re.match(r"-\s*[A-Za-z(@=]", text))


def private(text: str, names: Sequence[str] = ()) -> str | None:
    """The first path, or one of `names`, that stands in `text`; None if there is none."""
    if found := _PATH.search(text):
        return f"the path {found[0][:60]!r}"
    for name in names:
        if re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", text):
            return f"the name {name!r}"
    return None


def without_paths(text: str) -> str:
    """`text` with every path shortened to its last part."""
    return _PATH.sub(lambda found: ".../" + re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], text)


def own_names() -> list[str]:
    """Names of this user, host and home folder, except common ones as "root" and "ubuntu"."""
    found = {socket.gethostname(), socket.gethostname().split(".")[0]}
    with contextlib.suppress(OSError, KeyError, RuntimeError):  # a user without entry or home
        found |= {getpass.getuser(), Path.home().name}
    return sorted(name for name in found if len(name) > 2 and name not in _GENERIC_NAMES)


def strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, keys included, as pairs of its path and the text."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"a key of {where or 'it'}", key
            yield from strings(item, f"{where}.{key}" if where else key)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from strings(item, f"{where}[{number}]")


def plain_text(text: str) -> str:
    """`text` on one line, without control characters.

    Spaces of any kind become " "; terminal escapes, marks that reverse the direction of writing and
    other invisible characters become U+FFFD.
    """
    if text.isprintable():  # nearly always, and this is called millions of times
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def plain_lines(text: str) -> str:
    """`text` with its lines, each as plain_text makes it."""
    if text.isprintable():
        return text
    return "\n".join(plain_text(line) for line in text.split("\n"))
