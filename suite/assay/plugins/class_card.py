"""What a method without a card says of itself: class attributes, read without running the file."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assay import validation
from assay.cards import SubmissionCard
from assay.errors import PluginError
from assay.plugins.files import read_file
from assay.syntax import MAX_TOML_BYTES, NotParsed, parse_python, python_text

ATTRIBUTES = ("families", "track", "access")
"""Keys of a card that a class may have as attributes."""


def card_of_file(path: Path) -> SubmissionCard:
    """The card of a method in a single file; the file's name becomes the slug.

    Raises:
        PluginError: the name is no slug, an attribute cannot be read or is not valid, or the file
            imports another one beside it.
    """
    try:
        SubmissionCard(slug=path.stem, title=path.stem)
    except ValueError as error:
        raise PluginError(
            f"{path.name}: expected a file name of a-z, 0-9 and _, because it becomes the slug"
        ) from error
    tree = _parsed(path)
    if tree is None:  # whoever imports it reports that
        return SubmissionCard(slug=path.stem, title=path.stem)
    if neighbour := _neighbour(tree, path.parent):
        raise PluginError(
            f"{path.name} imports {neighbour}, but a single file runs alone; make a folder with "
            "card.toml and method.py, put both files there, and write `from .name import ...`"
        )
    return _card(path, _method_class(tree), tree, path.stem)


def card_of_class(path: Path, name: str, slug: str) -> SubmissionCard:
    """The card of the class `name` in a module of an installed package.

    Raises:
        PluginError: the module does not define or import the name, or an attribute is not valid.
    """
    try:
        SubmissionCard(slug=slug, title=name)
    except ValueError as error:
        raise PluginError(f"{slug!r} is no slug; expected a name of a-z, 0-9 and _") from error
    tree = _parsed(path)
    if tree is None:
        raise PluginError(f"{path} is not Python")
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes and name not in _bound(tree):
        raise PluginError(f"{path.name} has no class {name}")
    return _card(path, classes.get(name), tree, slug)


def _parsed(path: Path) -> ast.Module | None:
    try:
        return parse_python(read_file(path))
    except NotParsed:
        return None


def _bound(tree: ast.Module) -> set[str]:
    """Names that a module imports or assigns anywhere: a class may be made or come from there."""
    found = {alias.asname or alias.name for node in ast.walk(tree)
             if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}  # fmt: skip
    return found | {node.id for node in ast.walk(tree)
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}  # fmt: skip


def _card(path: Path, found: ast.ClassDef | None, tree: ast.Module, slug: str) -> SubmissionCard:
    """The card with the attributes that the class, or a base of it in the file, has."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    values: dict[str, Any] = {}
    text, n_bytes = python_text(read_file(path)) or "", 0
    for kind in [] if found is None else _with_bases(found, classes):
        for name, node in _attributes(kind):
            if name in values:
                continue
            n_bytes += len(ast.get_source_segment(text, node) or "")
            if n_bytes > MAX_TOML_BYTES:
                raise PluginError(
                    f"{path.name}, line {node.lineno}: what the class says of itself is too long, "
                    f"expected at most {MAX_TOML_BYTES:,} bytes"
                )
            try:
                values[name] = ast.literal_eval(node)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
                raise PluginError(
                    f"{path.name}, line {node.lineno}: {name}: expected a value that is written "
                    f'out, as ["classification"] or "loss": it is read without running the file'
                ) from error
    try:
        return SubmissionCard(slug=slug, title=found.name if found else slug, **values)
    except (ValidationError, TypeError) as error:
        said = str(error)
        if isinstance(error, ValidationError):
            first = next(validation.problems(error))
            given = "" if first.given is None else f", got {first.given!r:.80}"
            said = f"{'.'.join(map(str, first.place))}: {first.text}{given}"
        raise PluginError(f"{path.name}: attribute of the class: {said}") from error


def _with_bases(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    """A class, then those of its bases that the file defines, each once."""
    pending, seen = [node], set[str]()
    while pending:
        found = pending.pop()
        if found.name not in seen:
            seen.add(found.name)
            yield found
            names = [base.id for base in found.bases if isinstance(base, ast.Name)]
            pending += [classes[name] for name in reversed(names) if name in classes]


def _attributes(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """The card's attributes in the body of a class; a later statement comes first."""
    for statement in reversed(node.body):
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        value = getattr(statement, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and target.id in ATTRIBUTES and value is not None:
                yield target.id, value


def _method_class(tree: ast.Module) -> ast.ClassDef | None:
    """The one class that is a method and the base of no other; None if that cannot be told."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    renamed = {
        alias.asname
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "Method"
    }

    derived: dict[str, list[str]] = {}
    for node in classes.values():
        for base in node.bases:
            name = getattr(base, "attr", getattr(base, "id", ""))
            derived.setdefault(name, []).append(node.name)
    # What derives from Method, directly or through classes of the file.
    found, pending = set[str](), ["Method", *filter(None, renamed)]
    while pending:
        new = set(derived.pop(pending.pop(), ())) - found
        found |= new
        pending += new
    methods = [node for node in classes.values() if node.name in found]
    methods = methods or [node for node in classes.values() if any(_attributes(node))]
    bases = {base.id for node in methods for base in node.bases if isinstance(base, ast.Name)}
    leaves = [node for node in methods if node.name not in bases]
    return leaves[0] if len(leaves) == 1 else None


def _neighbour(tree: ast.Module, folder: Path) -> str | None:
    """A module beside a single file that it imports: its name, as the file writes it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            return "." * node.level + (node.module or node.names[0].name)
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            top = name.split(".")[0]
            if _lies_in(top, folder) and not _installed_elsewhere(top, folder):
                return name
    return None


def _lies_in(module: str, folder: Path) -> bool:
    return (folder / f"{module}.py").is_file() or (folder / module / "__init__.py").is_file()


def _installed_elsewhere(module: str, folder: Path) -> bool:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return False
    return spec is not None and not (spec.origin and Path(spec.origin).is_relative_to(folder))
