"""A task imports the contract and its family, a method the contract: nothing else of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from assay.plugins import registry

TASK_MAY = ("assay.task", "assay.space", "assay.families", "assay.models", "torch")
METHOD_MAY = ("assay.method", "assay.space", "assay.quantization", "torch", "pytorch_optimizer")
STANDARD = ("__future__", "collections", "copy", "dataclasses", "functools", "itertools", "math")
TYPING = ("typing", "types")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (
                [f"suite.{alias.name}" for alias in node.names] if module == "suite" else [module]
            )


def strangers(path: Path, may: tuple[str, ...]) -> list[str]:
    allowed = (*may, *STANDARD, *TYPING)
    return [
        name
        for name in imported(path)
        if not any(name == module or name.startswith(f"{module}.") for module in allowed)
    ]


@pytest.mark.parametrize("slug", sorted(registry.task_entries()))
def test_a_task_imports_the_contract_and_its_family(slug: str) -> None:
    for path in registry.task_entries()[slug].folder.glob("*.py"):
        assert strangers(path, TASK_MAY) == []


@pytest.mark.parametrize("slug", sorted(registry.method_entries()))
def test_a_method_imports_the_contract_alone(slug: str) -> None:
    for path in registry.method_entries()[slug].source.parent.glob("*.py"):
        assert strangers(path, METHOD_MAY) == []
