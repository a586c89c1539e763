"""A method file made of a class: the class, and whatever of its cell or module it needs.

The class is a method that somebody writes in a notebook cell or a script. Workers load methods from
files, and records name them by the hash of these, so the class becomes a file that stands alone:
its imports and the definitions it uses, directly or through others, and nothing else of the cell.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import math
import re
import symtable
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import AssayError, StorageError

HEADER = "# Made by assay.run from the class {name}.\n"
ADVICE = "put it into the cell or the module of the class, or write the method to a .py file"


def slug_of(method: type) -> str:
    """The name of a class in snake case: AgreeingSGD is agreeing_sgd."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", method.__name__).lower()


def write_method(method: type, folder: Path) -> Path:
    """Write the method file of a class into `folder`, under its slug.

    Raises:
        AssayError: something that the class needs has no source, or an entered method has its slug.
        StorageError: the file cannot be written.
    """
    from assay.method import Method
    from assay.plugins.registry import method_entries

    if not (isinstance(method, type) and issubclass(method, Method)):
        raise AssayError(f"{method!r} is no method; expected a subclass of assay.Method")
    slug = slug_of(method)
    if slug in method_entries():
        raise AssayError(
            f"the class {method.__name__} would be called {slug}, as an entered method is; "
            "choose another name for it"
        )
    text = method_text(method)
    path = folder / f"{slug}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def method_text(method: type) -> str:
    """The text of a file that defines `method` and stands alone.

    Raises:
        AssayError: the source of the class, or of something that it needs, cannot be had.
    """
    name = method.__name__
    if method.__qualname__ != name:
        raise AssayError(
            f"the class {method.__qualname__} is defined inside another class or a function; "
            "expected one at the top level of a cell or a module"
        )
    source = _source_of(name, method)
    if source is None:
        raise AssayError(
            f"the class {name} has no source here, as where it was made by exec or typed at a "
            "prompt; define it in a notebook cell or a module, or give the path of a .py file"
        )
    found = _Collector(vars(sys.modules[method.__module__]))
    found.need(name, source)
    if found.missing:
        lacking = "; ".join(f"{name} ({why})" for name, why in found.missing.items())
        raise AssayError(f"the class {name} needs what cannot be copied: {lacking}: {ADVICE}")
    return HEADER.format(name=name) + found.text()


@dataclass(frozen=True)
class _Binding:
    """A statement at the top level that gives a name its value."""

    statement: int
    import_line: str = ""
    """The import of this one name, where the statement is an import."""


@dataclass(frozen=True)
class _Source:
    """A cell or a module."""

    text: str
    body: list[ast.stmt]
    bindings: dict[str, list[_Binding]]

    def segment(self, number: int) -> str:
        """The text of a statement, decorators included."""
        node = self.body[number]
        decorators = getattr(node, "decorator_list", [])
        if decorators:
            first, last = decorators[0].lineno, node.end_lineno
            return "\n".join(self.text.splitlines()[first - 1 : last])
        return ast.get_source_segment(self.text, node) or ast.unparse(node)


def _parsed(file_name: str) -> _Source | None:
    """The cell or module that code objects call `file_name`; None where its text is gone."""
    text = "".join(linecache.getlines(file_name))
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return None
    if not body:
        return None
    bindings: dict[str, list[_Binding]] = {}
    for number, statement in enumerate(body):
        for name, binding in _bindings(statement, number):
            bindings.setdefault(name, []).append(binding)
    return _Source(text, body, bindings)


def _bindings(statement: ast.stmt, number: int) -> Iterator[tuple[str, _Binding]]:
    """What a statement defines; loops and `with` blocks are not looked into."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            name = alias.asname or alias.name.split(".")[0]
            one = ast.copy_location(type(statement)(**{**vars(statement), "names": [alias]}),
                                    statement)  # fmt: skip
            yield name, _Binding(number, ast.unparse(one))
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name, _Binding(number)
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            for node in ast.walk(target):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id, _Binding(number)
    elif isinstance(statement, ast.If | ast.Try):
        for part in ast.iter_child_nodes(statement):
            inner = part.body if isinstance(part, ast.ExceptHandler) else [part]
            for node in inner:
                if isinstance(node, ast.stmt):
                    yield from ((name, _Binding(number)) for name, _ in _bindings(node, number))


def _source_of(name: str, value: Any) -> _Source | None:
    """The cell or module that binds `name` to a class or a function, if its text is still there."""
    for file_name in _file_names(value):
        source = _parsed(file_name)
        if source is not None and name in source.bindings:
            return source
    return None


def _file_names(value: Any) -> Iterator[str]:
    """Files, real or not, that may define a class or a function, the likeliest first."""
    if isinstance(value, type):
        yield from _files_of_members(value)
    elif isinstance(code := getattr(inspect.unwrap(value), "__code__", None), types.CodeType):
        yield code.co_filename
    module = sys.modules.get(value.__module__)
    if file_name := getattr(module, "__file__", None):
        yield file_name
    elif isinstance(value, type):  # a class without functions: the latest cell that defines it
        yield from (name for name in reversed(list(linecache.cache)) if not Path(name).is_file())


def _files_of_members(owner: type) -> Iterator[str]:
    for member in vars(owner).values():
        if isinstance(member, type):
            if member.__qualname__.startswith(f"{owner.__qualname__}."):
                yield from _files_of_members(member)
            continue
        function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
        if isinstance(function, types.FunctionType):
            function = inspect.unwrap(function)
            if function.__qualname__.startswith(f"{owner.__qualname__}."):
                yield function.__code__.co_filename


@dataclass
class _Collector:
    """Gathers what a class needs, from its own cell or module first, then from live names."""

    namespace: dict[str, Any]
    """The globals of the class."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why a name cannot be copied."""
    _imports: set[str] = field(default_factory=set)
    _constants: dict[str, str] = field(default_factory=dict)
    _chosen: dict[str, set[int]] = field(default_factory=dict)
    """Numbers of the statements to copy, by the text of their source."""
    _sources: dict[str, _Source] = field(default_factory=dict)
    """Sources by their text; one comes after those whose names it needs."""
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def need(self, name: str, source: _Source) -> None:
        """Take the definition of `name`, used in `source`, and all that it needs."""
        if (name, source.text) in self._seen:
            return
        self._seen.add((name, source.text))
        if name in source.bindings:
            for binding in source.bindings[name]:
                self._take(name, binding, source)
        elif not hasattr(builtins, name) and not re.fullmatch(r"__\w+__", name):
            self._from_namespace(name)

    def _take(self, name: str, binding: _Binding, source: _Source) -> None:
        if binding.import_line.startswith("from ."):
            self.missing[name] = "imported from its own package"
        elif binding.import_line:
            self._imports.add(binding.import_line)
        else:
            chosen = self._chosen.setdefault(source.text, set())
            if binding.statement in chosen:
                return
            chosen.add(binding.statement)
            statement = source.body[binding.statement]
            for other in _free_names(statement):
                self.need(other, source)
            for other in _names_in_string_annotations(statement):
                if other in source.bindings:
                    self.need(other, source)
            self._sources.setdefault(source.text, source)

    def _from_namespace(self, name: str) -> None:
        """Take a name that the cell or module does not define itself: from another cell, say."""
        if name not in self.namespace:
            self.missing[name] = "not defined"
            return
        value = self.namespace[name]
        if isinstance(value, types.ModuleType):
            whole = value.__name__
            self._imports.add(f"import {whole}" if whole == name else f"import {whole} as {name}")
        elif line := _import_of(name, value):
            self._imports.add(line)
        elif _is_constant(value):
            self._constants[name] = repr(value)
        elif isinstance(value, type | types.FunctionType) and (source := _source_of(name, value)):
            self.need(name, source)
        else:
            self.missing[name] = f"a {type(value).__name__} whose source is not known"

    def text(self) -> str:
        """The file: imports, constants, then definitions in the order of their sources."""
        line = "from __future__ import annotations"
        postponed = any(
            binding.import_line == line
            for source in self._sources.values()
            for binding in source.bindings.get("annotations", [])
        )
        parts = ["\n".join([line] * postponed + sorted(self._imports - {line}))]
        parts += ["\n".join(f"{name} = {value}" for name, value in sorted(self._constants.items()))]
        for text, source in self._sources.items():
            parts += [source.segment(number) for number in sorted(self._chosen[text])]
        return "\n\n\n".join(part for part in parts if part) + "\n"


def _free_names(statement: ast.stmt) -> list[str]:
    """Global names that a statement reads, when it runs or when what it defines is called."""
    found: dict[str, None] = {}

    def visit(table: symtable.SymbolTable, top: bool) -> None:
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                found[symbol.get_name()] = None
        for child in table.get_children():
            visit(child, False)

    visit(symtable.symtable(ast.unparse(statement), "<statement>", "exec"), True)
    return list(found)


def _names_in_string_annotations(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                try:
                    tree = ast.parse(part.value, mode="eval")
                except SyntaxError:
                    continue
                yield from (name.id for name in ast.walk(tree) if isinstance(name, ast.Name))


def _import_of(name: str, value: Any) -> str | None:
    """The line that imports `value` as `name` from a module; None where no module has it."""
    import assay

    if name in assay.__all__ and getattr(assay, name) is value:
        return f"from assay import {name}"
    home = getattr(value, "__module__", None)
    module = sys.modules.get(home) if isinstance(home, str) else None
    if module is None or not getattr(module, "__spec__", None):  # __main__, and cells
        return None
    own = getattr(value, "__qualname__", None) or getattr(value, "_name", None) or name
    if not isinstance(own, str) or getattr(module, own, None) is not value:
        return None
    return f"from {home} import {own}" + ("" if own == name else f" as {name}")


def _is_constant(value: Any) -> bool:
    """Whether `repr` gives it back."""
    if isinstance(value, tuple):
        return all(_is_constant(part) for part in value)
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)
