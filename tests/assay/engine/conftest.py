from __future__ import annotations

from pathlib import Path

import pytest
from assay.engine.mirror import Mirror
from assay.records.store import Store


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
