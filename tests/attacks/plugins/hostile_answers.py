"""Answers in a form that the supervisor may choke on, or that changes what is read of it."""

from __future__ import annotations

import json
import os

import targets
from assay import Method
from kit import caller, forge, run_folder
from safetensors.torch import save_file

CHANGES = {
    "huge": ('"passes": 1', '"passes": 1' + "0" * 400),
    "endless": ('"passes": 1', '"passes": 1' + "0" * 5000),
    "infinite": ('"train_loss": 1.0', '"train_loss": 1e999'),
    "half": ('"status": "completed"', '"status": "completed", "message": "\\ud800"'),
    "twice": ('"status": "completed"', '"status": "failed", "status": "completed"'),
    "deep": ('"usage": {', '"usage": ' + "[" * 100_000 + "{"),
    "named": ('"file": "start0-', '"file": "../../start0-'),
}


class HostileAnswers(Method):
    """A bad answer may cost its own run, and nobody else anything."""

    def configure_optimizer(self, model):
        leave = os._exit
        os._exit = lambda code: None
        forge(model, lambda path, state: save_file(state, path))
        path = run_folder() / "outcome.json"
        text = path.read_text()
        old, new = CHANGES[targets.VARIANT]
        assert old in text and json.loads(text) and caller("task")
        path.write_text(text.replace(old, new, 1))
        leave(0)
