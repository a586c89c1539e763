from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from assay.engine.mirror import Mirror
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.schema import RunRecord, RunSpec
from assay.records.store import Store
from assay.ruleset import RULESET
from assay.space import Space


@pytest.fixture(scope="session")
def empty_mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the files of MLflow and Optuna, which take long to make; copy it."""
    root = tmp_path_factory.mktemp("empty")
    mirror = Mirror(Store(root))
    mirror.close()
    assert mirror.warnings() == []
    assert {path.name for path in root.iterdir()} == {
        "mlflow.db",
        "mlflow-runs.json",
        "mirror.json",
        "optuna.db",
    }
    return root


def spec_of(task: TaskEntry, method: MethodEntry, **changes: Any) -> RunSpec:
    facts: dict[str, Any] = {"hyperparameters": {}, "repetition": 0, "point": 0}
    return RunSpec(
        ruleset=RULESET.version, task=task_ref(task), method=method_ref(method), **facts | changes
    )


def run(pool: Pool, task: TaskEntry, method: MethodEntry, **changes: Any) -> RunRecord:
    return pool.run(Job(spec_of(task, method, **changes), task, method, Space()), "assay run")
