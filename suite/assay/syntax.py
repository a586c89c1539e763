"""TOML and Python by strangers, parsed in time that grows with their length and no faster.

Their parsers have cases in which time grows with the square of the length: keys of many parts,
module names of many parts, f-strings of many fields, quotes that are never closed. These cases are
recognised here first, by patterns that cannot backtrack, and refused, as is what is too long.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from typing import Any

MAX_TOML_BYTES = 20_000
"""Of a card. The largest of this checkout has 6 kB."""
MAX_PYTHON_BYTES = 100_000
"""Of one file. The largest method of this checkout has 4 kB."""
MAX_PARTS = 32
"""Parts of a dotted name: a key of a card, or the name of a module."""
MAX_FSTRING = 5_000
"""Characters of an f-string."""
ENCODINGS = ("utf-8", "utf-8-sig", "ascii", "iso-8859-1")
"""Of Python files; some of the others take time that grows with the square of the length."""

_TOML_TEXT = re.compile(
    r'"{3}(?>(?:[^"\\]|\\.|"(?!""))*)(?:"{3})?'
    r"|'{3}(?>(?:[^']|'(?!''))*)(?:'{3})?"
    r'|"(?>(?:[^"\\\n]|\\.)*)"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
_TOML_PARTS = re.compile(rf"(?:\.[^.\n=,\[\]{{}}]*+){{{MAX_PARTS}}}")
_STRING = (
    r'"{3}(?>(?:[^"\\]|\\.|"(?!""))*)"{3}'
    r"|'{3}(?>(?:[^'\\]|\\.|'(?!''))*)'{3}"
    r'|"(?!"")(?>(?:[^"\\\n]|\\.)*)"'
    r"|'(?!'')(?>(?:[^'\\\n]|\\.)*)'"
)
_PYTHON = re.compile(
    rf"(?>(?:[ \t\f\n]++|\\\n|\#[^\n]*+|{_STRING}|\w++|[-+*/%@&|^~<>=.,:;()\[\]{{}}]|!=)*)",
    re.DOTALL,
)
"""Text of which every part is one of Python, so that tokenize need not look for any part twice."""
_LITERAL = re.compile(
    rf"\#[^\n]*+|(?P<prefix>\w*+)(?P<string>{_STRING})|\w++|[^\w\"'#]++", re.DOTALL
)
_PYTHON_PARTS = re.compile(rf"(?<!\w)(?:\w++[ \t\\\n]*+\.[ \t\\\n]*+){{{MAX_PARTS}}}")


class NotParsed(ValueError):
    """A text is not what it should be, or cannot be parsed in due time; the message says why."""


def parse_toml(data: bytes) -> dict[str, Any]:
    """The table in a card.

    Raises:
        NotParsed: it is too long, not UTF-8, or not TOML; no path and no name is in the message.
    """
    if len(data) > MAX_TOML_BYTES:
        raise NotParsed(f"it has {len(data):,} bytes, expected at most {MAX_TOML_BYTES:,}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise NotParsed(f"cannot be read as UTF-8 text: {error}") from error
    if _TOML_PARTS.search(_TOML_TEXT.sub("", text)):
        raise NotParsed(f"a key of more than {MAX_PARTS} parts")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also digits or brackets without end
        raise NotParsed(f"not valid TOML: {error}") from error


def parse_python(source: bytes) -> ast.Module:
    """The syntax tree of a Python file.

    Raises:
        NotParsed: it is too long, no Python, or nested too deeply.
    """
    text = python_text(source)
    if text is None:
        raise NotParsed(f"is no Python, or more than {MAX_PYTHON_BYTES:,} bytes of it")
    if _PYTHON_PARTS.search(text):
        raise NotParsed(f"a name of more than {MAX_PARTS} parts")
    if len(text) > MAX_FSTRING and _longest_fstring(text) > MAX_FSTRING:
        raise NotParsed(f"an f-string of more than {MAX_FSTRING:,} characters")
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise NotParsed(f"{error.msg} (line {error.lineno})") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotParsed("is nested too deeply, or holds a number that is too long") from error


def python_text(source: bytes) -> str | None:
    """The text of a Python file, with line feeds alone; None if it is too long or no Python.

    What is returned has no part that Python cannot have, but may still be no Python.
    """
    if len(source) > MAX_PYTHON_BYTES:
        return None
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        if encoding not in ENCODINGS:
            return None
        text = source.decode(encoding)
    except (SyntaxError, ValueError):
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if _PYTHON.fullmatch(text) else None


def _longest_fstring(text: str) -> int:
    return max(
        (
            len(found["string"])
            for found in _LITERAL.finditer(text)
            if found["string"] and found["prefix"].lower() in ("f", "fr", "rf")
        ),
        default=0,
    )
