"""TODO: runs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay import paths
from assay.identity import derive_seed, sha256
from assay.plugins.registry import MethodEntry, TaskEntry
from assay.records.schema import (
    RunSpec,
)

REFERENCE_PREFIX = "reference."


@dataclass(frozen=True)
class Job:
    """One run to do."""

    spec: RunSpec
    task: TaskEntry
    method: MethodEntry


def _split_values(spec: RunSpec) -> dict[str, Any]:
    """The method's own hyperparameters and the reference optimizer's."""
    cut = len(REFERENCE_PREFIX)
    items = spec.hyperparameters.items()
    return {
        "hyperparameters": {k: v for k, v in items if not k.startswith(REFERENCE_PREFIX)},
        "reference": {k[cut:]: v for k, v in items if k.startswith(REFERENCE_PREFIX)},
    }


def _worker_seeds(seed_root: str, spec: RunSpec, start: int) -> dict[str, int]:
    """Seeds that decide batch order, augmentation and the method's own draws: the same for all."""
    name = (spec.purpose, spec.task.slug, spec.repetition, "worker", start)
    return {part: derive_seed(seed_root, *name, part) for part in ("order", "augment", "method")}


_SOURCE: dict[str, Any] = {}


def _source() -> dict[str, Any]:
    """Commit and dirty flag of the checkout this runs from, and its lock file's hash, if any."""
    if not _SOURCE:
        root = paths.ROOT
        lock = root / "constraints.txt"
        _SOURCE["lock_hash"] = sha256(lock.read_bytes()) if lock.is_file() else None
        _SOURCE["commit"] = _SOURCE["dirty"] = None
        if (root / ".git").exists():
            try:
                head = _git(root, "rev-parse", "HEAD")
                changed = _git(root, "status", "--porcelain", "--untracked-files=no")
                _SOURCE["commit"], _SOURCE["dirty"] = head, bool(changed)
            except (OSError, subprocess.SubprocessError):
                pass
    return _SOURCE


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
