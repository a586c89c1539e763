"""How much information a submission carries besides its method: its data, in bits.

What a worker can read of a submission is written in a lossless code, and the length of that is
counted. So whatever an author hides there, in whatever way, takes at least as many bits. The code
knows what came before in the same submission and nothing else, so honest methods need some thousand
bits too; LIMITS says what is more than any of them needs.
"""

from __future__ import annotations

import keyword
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from assay.identity import bare

Kind = Literal["text", "numbers", "names", "syntax", "layout", "files", "data"]

LIMITS: Mapping[Kind | Literal["total"], int] = {
    "total": 13_000,
    "text": 2_500,
    "numbers": 1_000,
    "names": 9_000,
    "syntax": 5_000,
    "layout": 2_000,
    "files": 1_500,
}
"""Bits from which a submission is flagged; data files are flagged whatever their size. The most of
the 89 submissions of this checkout and the 32 methods under tests/plugins, of all kinds together
12,811 and in this order 1,162, 540, 7,078, 3,961, 1,136 and 143; half of the submissions have at
most 3,956 in all. The labels of 1,797 digits need 5,970.
"""
MAX_NAMES = 1_200
"""Times that any name stands in the code, so that a few words in long succession are noticed too.
Of the same methods at most 445."""

_TOKEN = re.compile(
    r"""(?P<layout>[\s\\]++)
    |(?P<text>[bfrtuBFRTU]{0,2}+(?:
        \"{3}(?>(?:[^"\\]|\\.|"(?!""))*)(?:\"{3})?
        |'{3}(?>(?:[^'\\]|\\.|'(?!''))*)(?:'{3})?
        |"(?>(?:[^"\\\n]|\\.)*)"?
        |'(?>(?:[^'\\\n]|\\.)*)'?)
        |\#[^\n]*+)
    |(?P<numbers>\.?[0-9](?>(?:[eE][+-][0-9]|[\w.])*))
    |(?P<names>[^\W\d]\w*+)
    |(?P<syntax>.)""",
    re.VERBOSE | re.DOTALL,
)
"""Parts of Python source. It matches any text, without backtracking, and drops nothing."""


@dataclass(frozen=True)
class SourceData:
    """The bits of what a worker can read of a submission, by the kind of thing that holds them.

    Comments and docstrings count as nothing, and neither does the card: workers never get them.
    """

    text: int = 0
    """Strings, and whatever is no Python in a file called .py."""
    numbers: int = 0
    names: int = 0
    """Identifiers and attributes: which ones, how they are spelled, in which order."""
    syntax: int = 0
    """Operators and keywords, and what stands where: the shape of the code."""
    layout: int = 0
    """Spaces and line ends."""
    files: int = 0
    """Names of files."""
    data: int = 0
    """Data files, in full."""
    n_names: int = 0
    """Times that any name stands in the code; no number of bits."""

    @property
    def total_bits(self) -> int:
        """Of all kinds together."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[Kind, int]:
        """Bits by kind."""
        return {kind: getattr(self, kind) for kind in get_args(Kind)}

    @property
    def excess(self) -> list[str]:
        """What is more than an honest method needs: one line each, with the number and limit."""
        found = [
            f"{bits:,} bits of data in its {kind}, expected at most {LIMITS[kind]:,}"
            for kind, bits in self.parts.items()
            if kind in LIMITS and bits > LIMITS[kind]
        ]
        if self.n_names > MAX_NAMES:
            found.append(f"{self.n_names:,} names in its code, expected at most {MAX_NAMES:,}")
        if self.total_bits > LIMITS["total"]:
            found.append(
                f"{self.total_bits:,} bits of data in all, expected at most {LIMITS['total']:,}"
            )
        return found


def source_data(source: Mapping[str, bytes]) -> SourceData:
    """Count the data of a submission's files, given by name. The time is linear in their size."""
    count = _Count()
    for name, data in sorted(source.items()):
        if name == "card.toml":
            continue
        count.add("files", name, "name", spelled=True)
        if name.endswith(".py"):
            count.add_python(_text(bare(data)))
        else:
            count.bits["data"] += 8 * len(data)
    bits = {kind: math.ceil(part) for kind, part in count.bits.items()}
    return SourceData(**bits, n_names=count.n_names)


class _Count:
    """The bits so far, and the symbols so far, which make the next ones cheaper."""

    def __init__(self) -> None:
        self.bits: dict[str, float] = dict.fromkeys(get_args(Kind), 0.0)
        self.n_names = 0
        self._seen: defaultdict[object, Counter[str]] = defaultdict(Counter)
        self._totals: Counter[object] = Counter()

    def add_python(self, text: str) -> None:
        """Count the parts of a Python file."""
        before, gap = "", ""
        for kind, part in _parts(text):
            if kind == "layout":
                gap = part
                continue
            symbol = part if kind == "syntax" else kind
            # First what comes next, then the space before it, then which one it is.
            self.add("syntax", symbol, before)
            self.add("layout", gap, (before, symbol), spelled=True)
            if kind != "syntax":
                self.add(kind, part, before == ".", spelled=True)
            self.n_names += kind == "names"
            before, gap = symbol, ""
        self.add("layout", gap, before, spelled=True)

    def add(self, kind: str, symbol: str, context: object, *, spelled: bool = False) -> None:
        """Count one symbol: by how often it followed the context, else by how often it came at all,
        else, if it is `spelled`, character by character.
        """
        for key in ((kind, context), (kind,)):
            if self._known(kind, symbol, key):
                return
        if not spelled:
            self.bits[kind] += 7 if symbol.isascii() and len(symbol) == 1 else 21
            return
        letters = (kind, "letters")
        for letter in (*symbol, ""):
            if not self._known(kind, letter, letters):
                self.bits[kind] += 7 if letter.isascii() else 21

    def _known(self, kind: str, symbol: str, key: object) -> bool:
        """Count a symbol in one context, or that it is new there (escape method C of Moffat 1990,
        "Implementing the PPM data compression scheme").
        """
        seen = self._seen[key]
        times, n, distinct = seen[symbol], self._totals[key], len(seen)
        seen[symbol] += 1
        self._totals[key] += 1
        if n:
            self.bits[kind] += math.log2((n + distinct) / (times or distinct))
        return times > 0


def _text(data: bytes) -> str:
    """The text of a file; where it is none, a character for each byte, so that nothing is lost."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """The parts of Python source in order, each with its kind; keywords belong to the syntax."""
    for found in _TOKEN.finditer(text):
        kind, part = str(found.lastgroup), found[0]
        yield "syntax" if kind == "names" and keyword.iskeyword(part) else kind, part
