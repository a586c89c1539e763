from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.engine.executors import cluster as cluster_module
from assay.engine.executors.cluster import Node
from assay.engine.mirror import Mirror
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.schema import RunRecord, RunSpec
from assay.records.store import Store
from assay.ruleset import RULESET
from assay.space import Space

from tests.assay.engine.fake_cluster import Driver, FakeCluster


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


@pytest.fixture
def drive(
    fake_pool: Any, make_task: Any, make_method: Any, make_cell: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Driver]:  # fmt: skip
    monkeypatch.setattr(cluster_module, "TEND_SECONDS", 0.0)
    monkeypatch.setattr(cluster_module, "PING_SECONDS", 0.0)
    cell = make_cell(make_task(), make_method("sgd", "a = 1\n"))

    def make(*nodes: Node) -> Driver:
        cluster = FakeCluster(fake_pool(share_diverged=0), *nodes)
        return Driver(cluster, cell, tmp_path / "results")

    return make
