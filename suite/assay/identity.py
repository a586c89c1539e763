"""Ids from content, seeds from names, hashes of source code."""

from __future__ import annotations

import hashlib
import io
import json
import tokenize
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from assay.syntax import parse_toml, python_text

ID_LENGTH = 16
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
CARD_WORDS = frozenset(
    {
        "title", "summary", "paper", "authors", "licence", "citation", "claims", "anchor",
        "targets", "is_baseline", "supersedes", "superseded_by", "derived_from", "parity",
    }
)  # fmt: skip
"""Keys of card.toml that no run depends on: words for readers, and what statistics read from the
card as it is now. Workers never see a method's card, so nothing can hide in them."""
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and without spaces: equal values give equal text.

    Raises:
        ValueError: `value` holds a NaN or an infinity.
    """
    return _CANONICAL.encode(value)


def sha256(data: bytes | str) -> str:
    """Hexadecimal SHA-256 of `data` (text is encoded as UTF-8)."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def content_id(value: Any) -> str:
    """The id of a spec: the first 16 hexadecimal digits of its canonical JSON's SHA-256."""
    return sha256(canonical_json(value))[:ID_LENGTH]


def derive_seed(root: str, *name: str | int) -> int:
    """A 63-bit seed for a named purpose; it depends on nothing but `root` and the name."""
    path = "/".join(str(part) for part in (root, *name))
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") >> 1


def code_hash(files: Iterable[Path]) -> str:
    """SHA-256 of source files, as far as numbers depend on them.

    Of Python without comments and docstrings, of card.toml without its comments and the keys of
    CARD_WORDS, of other files as bytes. So a reworded comment or claim does not make recorded
    results stale, and a changed constant does.
    """
    return source_hash((path.name, path.read_bytes()) for path in files)


def source_hash(files: Iterable[tuple[str, bytes]]) -> str:
    """`code_hash` of files in memory, as pairs of a name without folders and the content."""
    digest = hashlib.sha256()
    for name, data in sorted(files, key=lambda file: file[0]):
        if name.endswith(".py"):
            data = _significant(data)
        elif name == "card.toml":
            data = _card_facts(data)
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _card_facts(source: bytes) -> bytes:
    """The keys of a card that runs depend on, as JSON; a card that is not TOML as it is."""
    try:
        facts = {k: value for k, value in parse_toml(source).items() if k not in CARD_WORDS}
        return canonical_json(facts).encode()
    except (ValueError, TypeError):  # TypeError: a date, which no such key has
        return source


def bare(source: bytes) -> bytes:
    """Python `source` without the comments and docstrings that `code_hash` leaves out.

    Methods are run in this form, so that they cannot read anything from their own file that their
    hash does not cover. Line numbers stay the same. What `syntax.python_text` takes for no Python
    is returned as it is; the hash covers all of it.
    """
    text, tokens = _tokens(source)
    if not tokens:
        return _plain_lines(source)
    lines = io.StringIO(text, newline="").readlines()
    for token in reversed(_left_out(tokens)):
        (first, begin), (last, end) = token.start, token.end
        kept = "" if token.type == tokenize.COMMENT else '""' + "\n" * (last - first)
        whole = lines[first - 1][:begin] + kept + lines[last - 1][end:]
        lines[first - 1 : last] = io.StringIO(whole, newline="").readlines()
    return "".join(lines).encode()


def _plain_lines(source: bytes) -> bytes:
    return source.replace(b"\r\n", b"\n")


def _tokens(source: bytes) -> tuple[str, list[tokenize.TokenInfo]]:
    """The text of a Python file and its tokens; none if it is not Python."""
    text = python_text(source)
    if text is None:
        return "", []
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text, newline="").readline))
    except (tokenize.TokenError, SyntaxError):
        return "", []
    return text, list(_whole_strings(tokens, text))


def _left_out(tokens: list[tokenize.TokenInfo]) -> list[tokenize.TokenInfo]:
    """Comments and docstrings: strings that are a statement of their own."""
    found = [token for token in tokens if token.type == tokenize.COMMENT]
    statement_starts = True
    for token, following in pairwise(token for token in tokens if token.type not in _LAYOUT):
        if token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE):
            statement_starts = True
            continue
        if statement_starts and token.type == tokenize.STRING:
            found += [token] if following.type == tokenize.NEWLINE else []
        statement_starts = False
    return sorted(found, key=lambda token: token.start)


@lru_cache(maxsize=256)  # tasks share the files of their family
def _significant(source: bytes) -> bytes:
    """The tokens of a Python file, with marks for indentation, without comments and docstrings."""
    found = _tokens(source)[1]
    if not found:  # not Python: whatever imports it will report that
        return _plain_lines(source)
    tokens = [token for token in found if token.type not in _LAYOUT]
    kept: list[str] = []
    statement_starts = True
    for position, token in enumerate(tokens):
        if token.type == tokenize.INDENT:
            kept.append("\x01")
        elif token.type == tokenize.DEDENT:
            kept.append("\x02")
        elif token.type == tokenize.NEWLINE:
            if not statement_starts:  # else the line was a docstring
                kept.append("\n")
        else:
            alone = statement_starts and tokens[position + 1].type == tokenize.NEWLINE
            if not (token.type == tokenize.STRING and alone):
                kept.append(token.string + "\x03")
                statement_starts = False
            continue
        statement_starts = True
    return "".join(kept).encode()


def _whole_strings(tokens: list[tokenize.TokenInfo], text: str) -> Iterator[tokenize.TokenInfo]:
    """`tokens` with each f-string as one token, as in Python 3.11; later versions split it.

    So a file has the same hash under every version of Python.
    """
    lines = io.StringIO(text, newline="").readlines()
    depth, start = 0, (0, 0)
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        if kind in ("FSTRING_START", "TSTRING_START"):
            start = start if depth else token.start
            depth += 1
        if not depth:
            yield token
        if kind in ("FSTRING_END", "TSTRING_END"):
            depth -= 1
            if not depth:
                whole = "".join(lines[start[0] - 1 : token.end[0]])
                tail = len(lines[token.end[0] - 1]) - token.end[1]
                yield token._replace(
                    type=tokenize.STRING, string=whole[start[1] : len(whole) - tail], start=start
                )
