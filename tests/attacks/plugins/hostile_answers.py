"""Answers in a form that the supervisor may choke on, or that changes what is read of it."""

from __future__ import annotations

import json

import targets
from assay import Method
from kit import caller, forge
from safetensors.torch import save

CHANGES = {
    "huge": ('"passes": 1', '"passes": 1' + "0" * 400),
    "endless": ('"passes": 1', '"passes": 1' + "0" * 5000),
    "infinite": ('"train_loss": 1.0', '"train_loss": 1e999'),
    "half": ('"status": "completed"', '"status": "completed", "message": "\\ud800"'),
    "twice": ('"status": "completed"', '"status": "failed", "status": "completed"'),
    "deep": ('"usage": {', '"usage": ' + "[" * 100_000 + "{"),
    "negative size": ('"n_bytes": ', '"n_bytes": -'),
    "huge size": ('"n_bytes": ', '"n_bytes": 9000000'),
    "fraction of a size": ('"n_bytes": ', '"n_bytes": 0.5'),
    "other file": ('"n_bytes": ', '"file": "../../snapshots", "n_bytes": '),
}


class HostileAnswers(Method):
    """A bad answer may cost its own run, and nobody else anything."""

    def configure_optimizer(self, model):
        forge(model, save, self.change)

    def change(self, snapshots):
        path = snapshots.with_name("outcome.json")
        text = path.read_text()
        old, new = CHANGES[targets.VARIANT]
        assert old in text and json.loads(text) and caller("task")
        path.write_text(text.replace(old, new, 1))
