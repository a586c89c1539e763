"""Writes where records and MLflow's runs are kept."""

from __future__ import annotations

import os
from pathlib import Path

import targets
from kit import Attack, run_folder


class ForgeRecord(Attack):
    """A record that lies in the results folder counts, whoever wrote it."""

    def ways(self):
        return {"results": lambda: self.write(targets.RESULTS), "the pool's": self.pools}

    def write(self, folder):
        path = Path(folder, "forged.json")
        path.write_text("{}")
        return "a file among the records"

    def pools(self):
        folder = run_folder().parents[1]
        if folder == Path("/") or not os.access(folder / "problems", os.W_OK):
            raise PermissionError("not there")
        return "the scorer's folder can be written to"
