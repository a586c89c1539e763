"""Signs in a submission's source: hooks it defines, data hidden in it, likeness to other sources.

A source is a mapping from file name to bytes. It is read as text and never executed or imported.
"""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from assay.cards import HOOKS
from assay.detectors.source_data import SourceData, source_data
from assay.syntax import NotParsed, parse_python, parse_toml

__all__ = [
    "NEAR", "Library", "Resemblance", "Source", "SourceData", "defined_hooks", "likeness",
    "max_entropy", "oddities", "resemblances", "shape", "source_data",
]  # fmt: skip

Source = Mapping[str, bytes]

MAX_BYTES = 40_000
"""Of all files together. The largest of the 89 submissions of this checkout has 8.3 kB."""
MAX_ENTROPY = 5.4
"""Bits per byte over a window. Of 89 submissions: at most 5.15; base64 has 6, compression 8."""
ENTROPY_WINDOW = 1024
MAX_LITERAL = 300
"""Characters of one string or bytes literal that is no docstring. Of 89 submissions: 58."""
MAX_DIGITS = 30
"""Digits of one whole number: 100 bits and more are data. Of 89 submissions: at most 10."""
MAX_NUMBERS = 64
"""Numbers in one literal list, tuple, set or dict. Of 89 submissions: at most 6."""
MAX_CHARACTERS = 500
"""Characters of all literals of a file together. The labels of 1,797 digits need 995 in base64. Of
89 submissions: at most 214."""
_ENCODED = re.compile(rb"[A-Za-z0-9+/_=-]{64,}")
_LINES = re.compile(rb"^[-=_#]+$")

NEAR = 0.9
"""Likeness from which a submission is flagged; a copy with other names and numbers has 1.0. Of the
3,916 pairs of 89 submissions the nearest are two arms of one method, at 0.89, and adam and amsgrad,
which differ in one argument, at 0.87."""
SHINGLE = 6
MIN_LABELS = 40
"""Shorter code is not compared: a method that overrides nothing has 3 labels."""


def defined_hooks(source: Source) -> frozenset[str]:
    """Hooks that any class in the files defines, or binds by assignment."""
    found: set[str] = set()
    for tree in _trees(source).values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found |= {name for statement in node.body for name in _bound(statement)}
    return frozenset(found & set(HOOKS))


def _bound(node: ast.AST) -> list[str]:
    """Names that a statement binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        targets = [node.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _trees(source: Source) -> dict[str, ast.Module]:
    """Syntax trees of the Python files that can be parsed, by name."""
    trees = {}
    for name, data in sorted(source.items()):
        if name.endswith(".py"):
            try:
                trees[name] = parse_python(data)
            except NotParsed:
                continue
    return trees


def oddities(source: Source) -> list[str]:
    """What looks like data rather than code, one line each with the number and its limit."""
    found = []
    total = sum(map(len, source.values()))
    if total > MAX_BYTES:
        found.append(f"the source has {total:,} bytes, expected at most {MAX_BYTES:,}")
    for name, data in sorted(source.items()):
        if PurePosixPath(name).suffix not in (".py", ".toml"):
            found.append(f"{name}: neither Python nor TOML ({len(data):,} bytes)")
            continue
        entropy = max_entropy(data)
        if entropy > MAX_ENTROPY:
            found.append(
                f"{name}: {entropy:.2f} bits per byte over {ENTROPY_WINDOW} bytes, expected at "
                f"most {MAX_ENTROPY}"
            )
        runs = [run for run in _ENCODED.findall(data) if not _LINES.match(run)]
        if runs:
            found.append(f"{name}: {len(max(runs, key=len))} characters that look encoded")
    found += source_data(source).excess
    trees = _trees(source)
    unread = [name for name in sorted(source) if name.endswith(".py") and name not in trees]
    found += [f"{name}: cannot be parsed as Python" for name in unread]
    for name, tree in trees.items():
        found += [f"{name}, line {line}: {text}" for line, text in _literals(tree)]
    return found


def max_entropy(data: bytes) -> float:
    """Largest Shannon entropy of a byte, in bits, over windows of ENTROPY_WINDOW bytes."""
    step = ENTROPY_WINDOW // 2
    starts = range(0, max(1, len(data) - step), step)
    return max(_entropy(data[start : start + ENTROPY_WINDOW]) for start in starts)


def _entropy(window: bytes) -> float:
    n = len(window)
    return -sum(k / n * math.log2(k / n) for k in Counter(window).values())


def _literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Long strings, long numbers and tables of numbers: each with its line."""
    docstrings = {id(node) for node in _docstrings(tree)}
    inside: set[int] = set()
    total = 0
    for node in ast.walk(tree):
        if isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict)) and id(node) not in inside:
            parts = list(ast.walk(node))
            inside |= {id(part) for part in parts}
            numbers = sum(isinstance(p, ast.Constant) and _is_number(p.value) for p in parts)
            if numbers > MAX_NUMBERS:
                yield node.lineno, f"{numbers} numbers in one literal, expected {MAX_NUMBERS}"
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        value = node.value
        total += _characters(value)
        if isinstance(value, (str, bytes)) and len(value) > MAX_LITERAL:
            yield node.lineno, f"a literal of {len(value):,} characters, expected {MAX_LITERAL}"
        # bit_length, because writing out a number of a million digits takes minutes.
        if isinstance(value, int) and value.bit_length() > MAX_DIGITS * math.log2(10):
            yield node.lineno, f"a whole number of {value.bit_length():,} bits"
    if total > MAX_CHARACTERS:
        yield 1, f"{total:,} characters in all literals, expected at most {MAX_CHARACTERS}"


def _characters(value: object) -> int:
    """Characters of data that a literal can hold."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, complex)):
        return 0
    return value.bit_length() // 3 if isinstance(value, int) else len(repr(value))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, complex)) and not isinstance(value, bool)


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                yield statement.value


@dataclass(frozen=True)
class Shape:
    """A submission's code without its names, numbers, strings and docstrings."""

    sequence: tuple[str, ...]
    """A label for every node, in the order of the text; see _label."""
    shingles: frozenset[tuple[str, ...]]
    """Every SHINGLE labels in a row."""


def shape(source: Source) -> Shape:
    """The normalised code of all Python files.

    Names that a file binds itself are dropped, so that renaming changes nothing. Names from torch
    and the suite stay: they say what the code does.
    """
    labels: list[str] = []
    for tree in _trees(source).values():
        docstrings = {id(node) for node in _docstrings(tree)}
        labels += _labels(tree, _Names.of(tree), docstrings)
    windows = zip(*(labels[start:] for start in range(SHINGLE)), strict=False)
    return Shape(tuple(labels), frozenset(windows))


@dataclass(frozen=True)
class _Names:
    """Names that a file binds itself, so that its author can choose them freely."""

    variables: set[str]
    attributes: set[str]
    imported: set[str]

    @classmethod
    def of(cls, tree: ast.Module) -> _Names:
        names = cls(set(), set(), set())
        for node in ast.walk(tree):
            names.variables.update(_bound(node))
            if isinstance(node, ast.ClassDef):
                names.attributes.update(name for part in node.body for name in _bound(part))
            elif isinstance(node, ast.arg):
                names.variables.add(node.arg)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.attributes.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.variables.add(node.id)
            elif isinstance(node, ast.alias):
                names.imported.add(node.asname or node.name.partition(".")[0])
        return names

    def of_others(self, node: ast.AST) -> str:
        """The name in `node` that the file's author cannot choose; empty if there is none."""
        if isinstance(node, ast.Attribute):
            base = node.value
            outside = isinstance(base, ast.Name) and base.id in self.imported
            return node.attr if outside or node.attr not in self.attributes else ""
        if isinstance(node, ast.Name):
            return "" if node.id in self.variables - self.imported else node.id
        if isinstance(node, ast.FunctionDef):
            return node.name if node.name in HOOKS else ""
        return ""


def _labels(tree: ast.Module, names: _Names, docstrings: set[int]) -> Iterator[str]:
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.expr_context)):
            continue
        if isinstance(node, ast.Expr) and id(node.value) in docstrings:
            continue
        yield _label(node, names)
        pending += reversed(list(ast.iter_child_nodes(node)))


def _label(node: ast.AST, names: _Names) -> str:
    """The node's type and, if it names something defined elsewhere, that name."""
    if isinstance(node, ast.Constant):
        return type(node.value).__name__
    return f"{type(node).__name__}:{names.of_others(node)}"


def likeness(one: Shape, other: Shape, weights: Mapping[tuple[str, ...], float]) -> float:
    """Weighted Jaccard index of two submissions' shingles, 0..1 (Broder 1997, with weights)."""
    if one.sequence == other.sequence:
        return 1.0
    union = sum(weights[shingle] for shingle in one.shingles | other.shingles)
    common = sum(weights[shingle] for shingle in one.shingles & other.shingles)
    return common / union if union else 0.0


class Library:
    """The sources of submissions by slug, parsed once to be compared with others."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.shapes = {slug: shape(source) for slug, source in sources.items()}
        self.cards = {slug: _card(source) for slug, source in sources.items()}


@dataclass(frozen=True)
class Resemblance:
    """Another submission whose code is nearly the same."""

    slug: str
    likeness: float
    declared: bool
    """The submission's own card says so: `derived_from` or `supersedes`."""


def resemblances(source: Source, library: Library) -> list[Resemblance]:
    """The submissions that `source` resembles, the nearest first.

    A shingle weighs less the more submissions have it. Left out are the submission itself and
    those whose own cards say that they come from it. To name the same paper declares nothing.
    """
    own = shape(source)
    if len(own.sequence) < MIN_LABELS:
        return []
    shapes = library.shapes
    seen = Counter(shingle for one in (own, *shapes.values()) for shingle in one.shingles)
    n = len(shapes) + 1
    weights = {shingle: math.log1p(n / count) for shingle, count in seen.items()}
    card = _card(source)
    slug = card.get("slug")
    found = [
        Resemblance(other, likeness(own, theirs, weights), _declares(card, other))
        for other, theirs in shapes.items()
        if other != slug and not _declares(library.cards[other], slug)
    ]
    near = (one for one in found if one.likeness >= NEAR)
    return sorted(near, key=lambda one: (-one.likeness, one.slug))


def _card(source: Source) -> dict[str, Any]:
    """The card, unchecked; empty if there is none or it is damaged."""
    try:
        return parse_toml(source["card.toml"])
    except (KeyError, NotParsed):
        return {}


def _declares(card: Mapping[str, Any], slug: object) -> bool:
    """Whether a card says that its method comes from the one called `slug`."""
    declared = card.get("derived_from", [])
    return slug is not None and (
        slug == card.get("supersedes") or (isinstance(declared, list) and slug in declared)
    )
