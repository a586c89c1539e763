"""Writes its own outcome with a perfect score and leaves before the worker can."""

from __future__ import annotations

import json
import os

from assay import Method
from kit import run_folder


class ForgeOutcome(Method):
    """What a method says of itself is a claim; a score it cannot even claim."""

    def configure_optimizer(self, model):
        claim = {"status": "completed", "snapshots": [], "usage": {"train_seconds": 0.001}}
        perfect = {"val": 1.0, "test": 1.0, "test_last": 1.0, "test_oracle": 1.0, "selected": 0}
        (run_folder() / "outcome.json").write_text(json.dumps({**claim, "result": perfect}))
        os._exit(0)
