"""Mistakes that the source of a method shows, and advice on the errors that others end in.

These are hooks with a wrong name or wrong parameters, and habits of Lightning that do nothing here.
"""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    "on_epoch_start": "on_epoch_end",
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
UNNEEDED = {
    "state_dict": "a run is short and starts over, so no state is saved",
    "load_state_dict": "a run is short and starts over, so no state is restored",
    "validation_step": "validation data never reach a method: the scorer has them",
    "test_step": "test data never reach a method: the scorer has them",
    "forward": "the model is the task's; change it in transform_model",
}
"""Other names that are never called, and why."""
LIGHTNING_ATTRIBUTES = {
    "log": "remove it, losses and scores are recorded by the engine",
    "log_dict": "remove it, losses and scores are recorded by the engine",
    "trainer": "use self.plan, which knows the budget",
    "current_epoch": "use self.plan.epoch",
    "global_step": "use self.plan.batch",
    "manual_backward": "use step.backward(loss)",
    "optimizers": "use step.optimizers",
    "lr_schedulers": "use the hook lr_factor",
    "hparams": "use self.hyperparameters",
    "save_hyperparameters": "remove it, hyperparameters are recorded by the engine",
}
"""Attributes of a LightningModule and what to do here."""
OLD_PARAMETERS = {"plan": "self.plan", "task_loss": "self.plan.loss"}
"""Parameters of hooks before contract 2, and where their values are now."""
UNSET = {
    "hyperparameters": "call super().__init__(hyperparameters) in __init__",
    "plan": "self.plan is set after __init__: use it in the hooks",
}
"""Attributes that a method lacks at times, and why."""
TORCH_ERRORS = {
    "does not require grad and does not have a grad_fn": "the loss must be computed from the "
    "model's outputs, without .item(), .detach() or torch.no_grad()",
    "backward through the graph a second time": "detach what is kept from one batch to the next; "
    "for two backward passes over one graph: step.backward(loss, retain_graph=True)",
    "a leaf Variable that requires grad is being used in an in-place": "change weights inside "
    "`with torch.no_grad():`",
    "modified by an inplace operation": "clone a tensor before it is changed in place",
    "optimizer got an empty parameter list": "give it model.parameters()",
}
"""Parts of messages of torch, and what to do."""
NEAR = 0.75
"""How alike (0..1) a name must be to a hook's to be taken for a misspelt one."""


@dataclass(frozen=True)
class Mistake:
    """A mistake that the source shows."""

    text: str
    fatal: bool = False
    """Whether training would end in an exception, so that there is no use in trying."""


def hook_mistakes(method: type[Method], source: Path) -> Iterator[Mistake]:
    """What will not do what its author expects, with what to do instead.

    Args:
        method: the class that was loaded.
        source: the file that defines it.
    """
    kinds = [kind for kind in method.__mro__ if issubclass(kind, Method) and kind is not Method]
    found = _Attributes.of(source, {kind.__name__ for kind in kinds})
    own = {name: value for kind in reversed(kinds) for name, value in vars(kind).items()}
    for name, value in own.items():
        if name in HOOKS or name == "__init__":
            yield from _signature_mistakes(method, name, source)
        elif name not in found.read and not hasattr(Method, name):
            yield from _name_mistakes(name, value)
    for name, line in found.read.items():
        known = name in found.assigned or hasattr(method, name)
        if name in LIGHTNING_ATTRIBUTES and not known:
            advice = f"{LIGHTNING_ATTRIBUTES[name]} ({source.name}, line {line})"
            yield Mistake(f"self.{name} does not exist here: {advice}", fatal=True)
    if found.step_plan is not None:
        where = f"({source.name}, line {found.step_plan})"
        yield Mistake(f"step has no plan any more: use self.plan {where}", fatal=True)


def _name_mistakes(name: str, value: Any) -> Iterator[Mistake]:
    """A name that nothing uses and that looks like a hook."""
    if name.startswith("_"):
        return
    if isinstance(value, type):
        if difflib.get_close_matches(name.lower(), ["hyperparameters"], cutoff=NEAR):
            yield Mistake(f"class {name} is never used: did you mean Hyperparameters?")
    elif not callable(value) and not isinstance(value, property):
        return
    elif name in LIGHTNING_HOOKS:
        yield Mistake(f"{name} is never called: the hook here is {LIGHTNING_HOOKS[name]}")
    elif name in UNNEEDED:
        yield Mistake(f"{name} is never called: {UNNEEDED[name]}")
    elif near := difflib.get_close_matches(name, [*HOOKS, "passes_per_batch"], n=1, cutoff=NEAR):
        yield Mistake(f"{name} is never called: did you mean {near[0]}?")


def _signature_mistakes(method: type[Method], name: str, source: Path) -> Iterator[Mistake]:
    """Whether the hook can be called with the arguments that the engine gives it."""
    hook = inspect.getattr_static(method, name)
    expected = inspect.signature(getattr(Method, name)).parameters
    if not callable(hook) and not isinstance(hook, classmethod):
        yield Mistake(f"{name} is a {type(hook).__name__}, expected a function", fatal=True)
        return
    function = inspect.unwrap(getattr(method, name))
    code = getattr(function, "__code__", None)
    if code is None or Path(code.co_filename) != source:
        return
    where = f"({source.name}, line {code.co_firstlineno})"
    signature = inspect.signature(function)
    given = list(signature.parameters)
    old = [parameter for parameter in OLD_PARAMETERS if parameter in given]
    for parameter in old:
        use = OLD_PARAMETERS[parameter]
        yield Mistake(f"{name} takes no {parameter} any more: use {use} {where}", fatal=True)
    n_given = len(expected) - isinstance(hook, staticmethod)
    try:
        signature.bind(*[None] * n_given)
    except TypeError:
        if not old:
            takes, wanted = ", ".join(given), ", ".join(expected)
            yield Mistake(f"{name} takes ({takes}), expected ({wanted}) {where}", fatal=True)


@dataclass(frozen=True)
class _Attributes:
    """Attributes that the source of some classes uses."""

    read: dict[str, int]
    """Names read from `self`, with the line of the first."""
    assigned: set[str]
    """Names assigned to `self`."""
    step_plan: int | None
    """The first line that has `step.plan`."""

    @classmethod
    def of(cls, source: Path, classes: set[str]) -> _Attributes:
        """Those in the classes of these names in a file."""
        read: dict[str, int] = {}
        assigned: set[str] = set()
        step_plan = None
        for kind in ast.walk(ast.parse(source.read_bytes())):
            if not isinstance(kind, ast.ClassDef) or kind.name not in classes:
                continue
            for node in ast.walk(kind):
                if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                    continue
                owner, attribute = node.value.id, node.attr
                if owner == "self" and isinstance(node.ctx, ast.Load):
                    read.setdefault(attribute, node.lineno)
                elif owner == "self":
                    assigned.add(attribute)
                elif (owner, attribute) == ("step", "plan") and step_plan is None:
                    step_plan = node.lineno
        return cls(read, assigned, step_plan)


def advice(error: BaseException) -> str | None:
    """What to do about an exception that a method raised; None if there is nothing to add."""
    if isinstance(error, AttributeError) and isinstance(error.obj, Method):
        return UNSET.get(error.name or "")
    for part, text in TORCH_ERRORS.items():
        if part in str(error):
            return text
    return None
