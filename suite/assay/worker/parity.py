"""Holds a method's optimizer against its equations, a library and the method it varies.

Each comparison trains the method on worker.parity_problem by the engine's own session, in double
precision. Differences are shares of the distance that the weights go. What a row says is told by
the process that holds the method: help for its author and for readers, no evidence.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from assay.cards import Family, Parity
from assay.messages.form import CheckStatus, clip
from assay.messages.worker import ParityFound, ParityRow, ProbeParity
from assay.method import Method, hyperparameters_for, overridden_hooks
from assay.plugins.files import EQUATIONS
from assay.plugins.loading import load_method
from assay.space import ChoiceRange, IntRange, Range, Value, space_of
from assay.worker.findings import explained
from assay.worker.parity_problem import N_STEPS, Array, Draws, Setup
from assay.worker.parity_runs import (
    TINY,
    Difference,
    Optimized,
    difference,
    follow,
    load_steps,
    points_of,
)
from assay.worker.session import Diverged, Session

OPTIMIZER_HOOKS = frozenset(
    {"configure_optimizer", "training_step", "transform_gradients", "lr_factor", "finalize_model"}
)
OTHER_HOOKS = frozenset({"transform_model", "compute_loss", "transform_batch", "sampler"})
"""Of methods that change what is trained; without equations there is nothing to compare."""
N_BASE_STEPS = 48
SCALES = {"larger": 1e3, "smaller": 1e-3}
FACTORS = {"half": 0.5, "same": 1.0, "twice": 2.0}
"""Of the learning rate of the method that another varies."""
NO_DIFFERENCE = 1e-6
"""Of rows without a tolerance of their own."""


@dataclass
class _Subject:
    """What the rows of one method are made from."""

    method: type[Method]
    source: Path
    family: Family
    card: Parity
    equations: Path | None
    base: type[Method] | None
    rows: list[ParityRow] = field(default_factory=list)

    @functools.cached_property
    def values(self) -> dict[str, Any]:
        """Hyperparameters to compare with: the defaults, and others away from them."""
        model = hyperparameters_for(self.method, self.family)
        middle = {name: _middle(found) for name, found in space_of(model).ranges.items()}
        given = [f"{name} = {value}" for name, value in self.card.values.items()]
        place = ", ".join((["middle of its ranges"] if middle else []) + given)
        return {"defaults": model()} | (
            {place: model(**middle | self.card.values)} if place else {}
        )

    def optimized(self, values: Any = None) -> Optimized:
        return Optimized(self.method, values or self.values["defaults"], self.family)

    @functools.cached_property
    def usual(self) -> list[list[Array]]:
        """The run by default."""
        return self.optimized().run()

    def add(
        self, name: str, status: CheckStatus, detail: str, numbers: dict[str, float] | None = None
    ) -> None:
        finite = {key: n for key, n in (numbers or {}).items() if np.isfinite(n)}
        self.rows.append(ParityRow(name=name, status=status, detail=clip(detail), numbers=finite))


def _middle(found: Range) -> Value:
    """The value in the middle of a range, or the last option of a choice."""
    if isinstance(found, ChoiceRange):
        return found.options[-1]
    low, high = found.low, found.high
    middle = float(np.sqrt(low * high)) if found.log else (low + high) / 2
    return round(middle) if isinstance(found, IntRange) else middle


def probe_parity(request: ProbeParity) -> ParityFound:
    """The rows of one method."""
    method = load_method(request.method, request.entry_point, request.packages)
    base = None if request.base is None else load_method(request.base)
    return ParityFound(
        rows=parity(
            method,
            request.method,
            request.family,
            request.parity,
            equations=request.equations,
            base=base,
        ),
        versions={name: version(name) for name in ("torch", "pytorch_optimizer")},
    )


def parity(
    method: type[Method],
    source: Path,
    family: Family,
    card: Parity,
    *,
    equations: Path | None,
    base: type[Method] | None,
) -> list[ParityRow]:
    """Everything that a method's optimizer can be held against, one row each.

    Args:
        method: the method.
        source: its file, whose lines errors name.
        family: that its hyperparameters are for.
        card: what its card says of it.
        equations: the file with its equations, if there is one.
        base: the method that it varies, if its card names one.
    """
    hooks = set(overridden_hooks(method))
    if equations is None and (not hooks & OPTIMIZER_HOOKS or hooks & OTHER_HOOKS):
        return []
    subject = _Subject(method, source, family, card, equations, base)
    try:
        if not all(np.isfinite(part).all() for step in subject.usual for part in step):
            raise Diverged("a weight was not finite")
    except Exception as error:
        status: CheckStatus = "note" if equations is None else "failed"
        told = f"not on this problem, whose outputs are losses: {explained(error, source)}"
        subject.add("equations", status, told)
        return subject.rows
    for row in (_equations, _library, _set_to_none, _loss_scale, _edges, _diagonal, _base):
        try:
            row(subject)
        except Exception as error:
            subject.add(row.__name__[1:], "note", f"not known: {explained(error, source)}")
    return subject.rows


def _equations(subject: _Subject) -> None:
    """Whether the method does what its equations say, at two settings."""
    path = subject.equations
    if path is None:
        subject.add("equations", "note", f"no {EQUATIONS} to compare with")
        return
    try:
        steps = load_steps(path)
        found = {
            name: follow(subject.optimized(values), steps, path)
            for name, values in subject.values.items()
        }
    except Exception as error:
        subject.add("equations", "failed", explained(error, subject.source))
        return
    _tell_difference(subject, "equations", f"the numbers of {EQUATIONS}", found, certain=True)


def _tell_difference(
    subject: _Subject,
    name: str,
    what: str,
    found: dict[str, Difference],
    *,
    certain: bool,
) -> None:
    """Add a row on what should be equal; `certain`: nothing on the card excuses a difference."""
    place, worst = max(found.items(), key=lambda item: item[1].share)
    numbers = {"difference": worst.share}
    shown = f"largest difference {worst.share:.1e} of the way"
    if worst.share <= subject.card.tolerance:
        settings = " and ".join(found)
        detail = f"{what} over {N_STEPS} steps at {settings}: {shown}"
        subject.add(name, "ok", detail, numbers)
        return
    said = subject.card.notes or subject.card.bugs
    status: CheckStatus = "failed" if certain or not said else "note"
    excuse = "" if status == "failed" else "; the card says why"
    detail = f"not {what}: {shown}, at {worst.where}, at {place}{excuse}"
    subject.add(name, status, detail, numbers)


def _library(subject: _Subject) -> None:
    """Whether the optimizer that the card names does the same."""
    named = subject.card.library
    if named is None:
        return
    package, _, name = named.rpartition(".")
    kind = getattr(importlib.import_module(package), name, None)
    shown = f"{named} {version('torch' if package == 'torch.optim' else package)}"
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        subject.add("library", "failed", f"{shown} has no such optimizer")
        return
    found = {}
    for place, values in subject.values.items():
        own = subject.optimized(values).run()
        theirs = Optimized(_with_optimizer(subject, kind), values, subject.family).run()
        found[place] = difference(own, theirs, Setup().start())
    _tell_difference(subject, "library", f"the numbers of {shown}", found, certain=False)


def _with_optimizer(subject: _Subject, kind: type[Optimizer]) -> type[Method]:
    """The method with another optimizer, with arguments as its card says."""

    def configure_optimizer(self: Method, model: nn.Module) -> Optimizer:
        return kind(model.parameters(), **_arguments(kind, self.hyperparameters, subject.card))

    made = type(subject.method.__name__, (subject.method,), {})
    setattr(made, "configure_optimizer", configure_optimizer)  # noqa: B010
    return made


def _arguments(kind: type[Optimizer], hyperparameters: Any, card: Parity) -> dict[str, Any]:
    """Arguments for a library's optimizer, of hyperparameters of the same name and the card's."""
    own = dict(hyperparameters)
    taken = inspect.signature(kind).parameters
    found = {name: value for name, value in own.items() if name in taken}
    betas = [own[name] for name in ("beta1", "beta2", "beta3") if name in own]
    if "betas" in taken and len(betas) > 1:
        found["betas"] = tuple(betas)

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(resolved(part) for part in value)
        return own.get(value, value) if isinstance(value, str) else value

    return found | {name: resolved(value) for name, value in card.settings.items()}


def _set_to_none(subject: _Subject) -> None:
    """Whether it matters how gradients are cleared: one that is kept by reference would show."""

    def in_place(session: Session) -> None:
        for optimizer in session.optimizers:
            cleared = functools.partial(optimizer.zero_grad, set_to_none=False)
            vars(optimizer)["zero_grad"] = cleared

    if _first_move(subject.usual) is None:
        subject.add("set_to_none", "note", _still(subject.usual))
        return
    found = difference(subject.optimized().run(prepare=in_place), subject.usual, Setup().start())
    same = found.share <= NO_DIFFERENCE
    detail = (
        "the same weights whether zero_grad sets gradients to None or to zero"
        if same
        else f"other weights where zero_grad sets gradients to zero ({found.share:.1e} of the way "
        f"at {found.where}): it may keep a gradient by reference"
    )
    subject.add("set_to_none", "ok" if same else "note", detail, {"difference": found.share})


def _loss_scale(subject: _Subject) -> None:
    """What changes when the loss is multiplied by a number."""
    usual, start = subject.optimized().run(Setup(even=True)), Setup().start()
    first = _first_move(usual)
    if first is None:
        subject.add("loss_scale", "note", _still(usual))
        return
    which = "first step" if first == 0 else f"first step that goes anywhere, number {first + 1},"
    numbers: dict[str, float] = {}
    told = []
    for name, scale in SCALES.items():
        try:
            scaled = subject.optimized().run(Setup(even=True, scale=scale))
        except Diverged as error:
            told.append(f"times {scale:g}: diverges ({error})")
            continue
        n = min(len(usual), len(scaled))
        parts = [] if len(scaled) == len(usual) else [f"{len(scaled)} steps, not {len(usual)}"]
        if first < n:
            longer = _length(scaled[first], start) / _length(usual[first], start)
            numbers[f"first_step_{name}"] = longer
            parts.append(f"the {which} is {longer:.3g} times as long")
        apart = numbers[f"difference_{name}"] = difference(scaled[:n], usual[:n], start).share
        parts.append(f"within {n} steps weights get {apart:.2g} of the way apart")
        told.append(f"times {scale:g}: {', '.join(parts)}")
    subject.add("loss_scale", "ok", "; ".join(told), numbers)


def _first_move(run: Sequence[Sequence[Array]]) -> int | None:
    """The first step of a run after which a weight is elsewhere, from 0; None if none is."""
    start = Setup().start()
    return next((step for step, w in enumerate(run) if _length(w, start) > 0), None)


def _still(run: Sequence[Sequence[Array]]) -> str:
    return f"not known: no weight moves within {len(run)} steps"


def _length(w: Sequence[Array], start: Sequence[Array]) -> float:
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(w, start, strict=True))))


def _edges(subject: _Subject) -> None:
    """Tensors of one element, gradients that are zero, and gradients that are missing."""
    one = Setup(shapes=((1, 1), (1,)))
    for name, setup in (
        ("one_element", one),
        ("zero_gradient", Setup(scale=0.0)),
        ("no_gradient", Setup(unused=True)),
    ):
        try:
            ran = subject.optimized().run(setup)
        except Exception as error:
            subject.add(name, "note", explained(error, subject.source))
            continue
        numbers, detail = {}, f"{len(ran)} steps, all weights finite"
        if name == "zero_gradient":
            way = _length(ran[-1], setup.start())
            numbers = {"moved": way}
            detail += f"; they move by {way:.2g}" if way else "; they stay"
        if name == "no_gradient":
            apart = difference(ran, subject.usual, setup.start()).share
            numbers = {"difference": apart}
            detail += "; the others as without it" if apart <= NO_DIFFERENCE else (
                f"; the others differ by {apart:.1e} of the way from those without it"
            )  # fmt: skip
        subject.add(name, "ok", detail, numbers)


def _diagonal(subject: _Subject) -> None:
    """Whether a random estimate of the Hessian's diagonal is exact where there is nothing else."""
    draws = Draws()
    with draws:
        task, session = subject.optimized().session(Setup())
        for _ in points_of(session, N_STEPS):
            pass
    if not (draws.n and task.second_order):
        return
    setup = Setup(diagonal=True)
    one, other = (subject.optimized().run(setup, seed=seed) for seed in (3, 4))
    found = difference(one, other, setup.start())
    exact = found.share <= NO_DIFFERENCE
    detail = (
        "the same weights whatever it draws: its estimate of the Hessian is exact there"
        if exact
        else f"weights depend on what it draws ({found.share:.1e} of the way at {found.where})"
    )
    subject.add("diagonal", "ok" if exact else "note", detail, {"difference": found.share})


def _base(subject: _Subject) -> None:
    """How far it gets from the method that it varies, at three learning rates of that one."""
    if subject.base is None or subject.card.base is None:
        return
    model = hyperparameters_for(subject.base, subject.family)
    values = hyperparameters_for(subject.method, subject.family)(**subject.card.values)
    own = dict(values)
    shared = {name: value for name, value in own.items() if name in model.model_fields}
    setup = Setup(n_steps=N_BASE_STEPS)
    mine = subject.optimized(values).run(setup)
    way = _length(mine[-1], setup.start())
    lr = shared.get("lr", dict(model()).get("lr"))
    numbers: dict[str, float] = {}
    for name, factor in FACTORS.items():
        if lr is None and factor != 1:
            continue
        values = model(**shared | ({} if lr is None else {"lr": factor * lr}))
        theirs = Optimized(subject.base, values, subject.family).run(setup)
        numbers[name] = _length(mine[-1], theirs[-1]) / max(way, TINY)
    slug = subject.card.base
    told = [f"{slug} {numbers['same']:.2g}"]
    told += [
        f"at {name} the learning rate {n:.2g}" for name, n in numbers.items() if name != "same"
    ]
    given = "".join(f" at {name} = {value}" for name, value in subject.card.values.items())
    detail = f"after {len(mine)} steps{given} its distance, as a share of its way, from "
    detail += ", ".join(told)
    nearest = min(numbers, key=lambda name: numbers[name])
    if same := numbers[nearest] <= NO_DIFFERENCE:
        rate = "" if nearest == "same" else f" at {nearest} the learning rate"
        detail += f": it is {slug}{rate}"
    subject.add("base", "note" if same else "ok", detail, numbers)
