"""Hooks that a method meant but misspelt, and habits of Lightning that have no effect here."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path

from assay.cards import HOOKS
from assay.method import Method

LIGHTNING_HOOKS = {
    "configure_optimizers": "configure_optimizer",
    "configure_gradient_clipping": "transform_gradients",
    "on_after_backward": "transform_gradients",
    "on_before_optimizer_step": "transform_gradients",
    "on_before_zero_grad": "training_step",
    "on_train_batch_start": "transform_batch",
    "on_train_batch_end": "training_step",
    "on_train_epoch_start": "on_epoch_end",
    "on_train_epoch_end": "on_epoch_end",
    "on_train_start": "configure_optimizer",
    "on_train_end": "finalize_model",
    "optimizer_step": "training_step",
    "optimizer_zero_grad": "training_step",
    "lr_scheduler_step": "lr_factor",
    "configure_callbacks": "training_step, on_epoch_end or finalize_model",
    "callbacks": "training_step, on_epoch_end or finalize_model",
    "configure_model": "transform_model",
    "train_dataloader": "sampler",
}
"""Hooks of Lightning, or of an earlier contract, and the hook that does the job here."""
LIGHTNING_ATTRIBUTES = {
    "log": "nothing: losses and scores are recorded by the engine",
    "log_dict": "nothing: losses and scores are recorded by the engine",
    "trainer": "self.plan, which knows the budget",
    "current_epoch": "self.plan.epoch",
    "global_step": "self.plan.batch",
    "manual_backward": "step.backward(loss)",
    "optimizers": "step.optimizers",
    "lr_schedulers": "the hook lr_factor",
    "hparams": "self.hyperparameters",
    "save_hyperparameters": "nothing: hyperparameters are recorded by the engine",
}
"""Attributes of a LightningModule and what to use here."""
UNNEEDED = {
    "state_dict": "a run is short and starts over: no state needs to be saved",
    "load_state_dict": "a run is short and starts over: no state needs to be restored",
    "validation_step": "validation data never reach a method: the scorer has them",
    "test_step": "test data never reach a method: the scorer has them",
    "forward": "the model is the task's: see transform_model",
}


def hook_mistakes(method: type[Method], source: Path) -> Iterator[str]:
    """Each name that will not do what its author expects, with what to use.

    Args:
        method: the class that was loaded.
        source: the file that defines it.
    """
    own = [
        name
        for kind in method.__mro__
        if issubclass(kind, Method) and kind is not Method
        for name, value in vars(kind).items()
        if callable(value) and not name.startswith("_") and not isinstance(value, type)
    ]
    for name in dict.fromkeys(own):
        if name in HOOKS:
            continue
        if name in LIGHTNING_HOOKS:
            yield f"{name} is never called: the hook here is {LIGHTNING_HOOKS[name]}"
        elif name in UNNEEDED:
            yield f"{name} is never called: {UNNEEDED[name]}"
        elif near := difflib.get_close_matches(name, HOOKS, n=1, cutoff=0.85):
            yield f"{name} is never called: did you mean {near[0]}?"
    for name in sorted(_used_on_self(source) - set(dir(method))):
        if name in LIGHTNING_ATTRIBUTES:
            yield f"self.{name} does not exist here; use {LIGHTNING_ATTRIBUTES[name]}"


def _used_on_self(source: Path) -> set[str]:
    """Names of attributes that the file reads from `self` and assigns nowhere."""
    read: set[str] = set()
    assigned: set[str] = set()
    for node in ast.walk(ast.parse(source.read_bytes())):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id == "self":
            (read if isinstance(node.ctx, ast.Load) else assigned).add(node.attr)
    return read - assigned
