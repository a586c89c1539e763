"""What one optimizer step of each submission costs, against an optimizer of a library.

    python tests/benchmarks/optimizer_steps.py [NAME ...] [--pairs 15] [--steps 20] [--limit 1.1]

For every submission that configures an optimizer, or the named ones: blocks of steps of its own
optimizer and of its peer in alternation, one thread, on the networks of digits_mlp (4 tensors) and
cifar10_compact (14 tensors, here for images of 8x8 pixels). CPU time inside `step()`, without the
passes of a closure, and of the whole batch with its forward and backward passes. Prints the ratio
to the peer (median of the pairs of blocks, quartiles) and what exceeds the limit: by its steps, or
by its batches where a method steps by itself. "Not surely": the lower quartile does not.

The peer is the library's optimizer that the card names ([parity] library), else the nearest
one (NEAREST), both in the fastest of their implementations (plain, foreach, fused); else
the submission that the card calls its base or is derived from; else SGD, the tasks' reference. A
library's optimizer trains with the other hooks of the submission, a submission with its own.
"""

import argparse
import functools
import importlib
import inspect
import os
import statistics
import time
import tomllib
import types
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

import torch
from assay.cards import Evaluation, Model
from assay.messages.worker import WorkerSeeds
from assay.method import hyperparameters_for, overridden_hooks
from assay.paths import ROOT
from assay.plugins.loading import load_method, load_task
from assay.task import Seeds
from assay.worker.session import Session

NEAREST = {
    "adadelta": "torch.optim.Adadelta",
    "adagrad": "torch.optim.Adagrad",
    "adam": "torch.optim.Adam",
    "adam_half_lr": "torch.optim.Adam",
    "adamw": "torch.optim.AdamW",
    "amsgrad": "torch.optim.Adam",
    "diffgrad": "pytorch_optimizer.DiffGrad",
    "diffgrad_alias": "pytorch_optimizer.DiffGrad",
    "nadam": "torch.optim.NAdam",
    "rmsprop": "torch.optim.RMSprop",
    "sgd": "torch.optim.SGD",
}
"""The library's optimizer that does the nearest to the same, for cards that name none."""
SETTINGS = {"amsgrad": {"amsgrad": True}, "sgd": {"nesterov": True}}
"""Arguments of the nearest that are not called as a hyperparameter."""
NETWORKS = {"mlp": ("digits_mlp", None), "compact": ("digits_cnn", Model(name="compact"))}
"""By name: the task whose data are used, and the network in place of its own."""
FAMILY = "classification"
SLOWEST = 10.0
"""Seconds of CPU time for a block, and for all pairs; then the pairs so far have to do."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20, help="in each block")
    parser.add_argument("--limit", type=float, default=1.1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    problems = {name: problem(*found, options) for name, found in NETWORKS.items()}
    known = sorted(path.parent.name for path in (ROOT / "submissions").glob("*/method.py"))
    print(
        f"torch {torch.__version__}, {options.steps} steps a block; ratio to the peer: median "
        "[quartiles] of the pairs of blocks",
        f"{'submission':24}{'peer':44}{'network':9}{'us':>8}  {'step':24}{'whole batch':24}n",
        sep="\n",
    )
    slower = []
    for name in options.names or known:
        method = loaded(name)
        enters = FAMILY in card(name).get("families", [FAMILY])
        if not enters or "configure_optimizer" not in overridden_hooks(method):
            continue
        for network, found in problems.items():
            line = compared(name, method, network, found, options, slower)
            print(f"{name:24}{line}", flush=True)
    print(f"slower than {options.limit} times the peer: {'; '.join(slower) or 'none'}")


def loaded(name):
    return load_method(ROOT / "submissions" / name / "method.py")


def card(name):
    return tomllib.loads((ROOT / "submissions" / name / "card.toml").read_text())


def problem(task, model, options):
    """A task with a budget that nothing here spends, and its data."""
    made = load_task(ROOT / "tasks" / task)
    budget = made.card.budget.model_copy(update={"batches": 1000 * options.pairs * options.steps})
    changed = {"budget": budget, "evaluation": Evaluation(points=1)}
    made.card = made.card.model_copy(update=changed | ({"model": model} if model else {}))
    return made, made.prepare(Seeds("assay-2", task, 0))


def compared(name, method, network, found, options, slower):
    """The line of a submission on one network."""
    errors = []
    for peer, make in peers(name, method):
        try:
            own, (peer, other) = session(method, found), fastest(make(), found, options)
            steps, batches, seconds = ratios(own, other, options)
        except Exception as error:  # whatever the two do: it is told, and the next peer is tried
            text = str(error).strip().splitlines() or [""]
            errors.append(f"{peer}: {type(error).__name__}: {text[0]:.90}")
            continue
        low, middle, _ = statistics.quantiles(steps or batches, n=4)
        if middle > options.limit:
            sure = "" if low > options.limit else ", not surely"
            slower.append(f"{name} on {network}: {middle:.2f} times {peer}{sure}")
        shown = f"{peer:44}{network:9}{1e6 * statistics.median(seconds):8.0f}  "
        notes = f"  (not {'; '.join(errors)})" if errors else ""
        return f"{shown}{spread(steps):24}{spread(batches):24}{len(batches)}{notes}"
    return f"{'-':44}{network:9} not compared: {'; '.join(errors)}"


def spread(values):
    if not values:
        return "-"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def peers(name, method):
    """(name, function that makes methods by name) of what to compare with, the best first."""
    own = card(name)
    parity = own.get("parity", {})
    library = parity.get("library") or (NEAREST.get(name))
    if library:
        settings = parity.get("settings", SETTINGS.get(name, {}))
        yield library, lambda: variants(method, library, settings)
    for base in [*filter(None, [parity.get("base")]), *own.get("derived_from", []), "sgd"]:
        if (ROOT / "submissions" / base / "method.py").is_file():
            yield base, lambda base=base: {base: loaded(base)}


def variants(method, library, settings):
    """The method with an optimizer of a library, once for each of its implementations."""
    package, _, name = library.rpartition(".")
    kind = getattr(importlib.import_module(package), name)
    taken = inspect.signature(kind).parameters
    found = {library: with_optimizer(method, kind, settings)}
    for flag in ("foreach", "fused"):
        if flag in taken:
            found[f"{library}, {flag}"] = with_optimizer(method, kind, settings | {flag: True})
    return found


def with_optimizer(method, kind, settings):
    """The method with an optimizer of a library in place of its own."""

    def configure_optimizer(self, model):
        return kind(model.parameters(), **arguments(kind, self.hyperparameters, settings))

    return type(method.__name__, (method,), {"configure_optimizer": configure_optimizer})


def fastest(methods, found, options):
    """(name, session) of the method whose optimizer takes the least time for a block of steps."""
    sessions, taken = {}, {}
    for name, method in methods.items():
        try:
            sessions[name] = session(method, found)
            block(sessions[name], options.steps)
            taken[name] = min(block(sessions[name], options.steps)[0] for _ in range(2))
        except Exception:  # not every setting has every implementation
            if name == list(methods)[-1] and not taken:
                raise
    best = min(taken, key=taken.get)
    return best, sessions[best]


def arguments(kind, hyperparameters, settings):
    """Arguments of the same name, betas of beta1 and so on, then the settings."""
    own, taken = dict(hyperparameters), inspect.signature(kind).parameters
    found = {name: value for name, value in own.items() if name in taken}
    betas = [own[name] for name in ("beta1", "beta2", "beta3") if name in own]
    if "betas" in taken and len(betas) > 1:
        found["betas"] = tuple(betas)

    def resolved(value):
        if isinstance(value, list):
            return tuple(map(resolved, value))
        return own.get(value, value) if isinstance(value, str) else value

    return found | {name: resolved(value) for name, value in settings.items()}


def session(method, found):
    """A session whose optimizers keep the time that they take."""
    task, data = found
    made = Session(
        task=task,
        method=method(hyperparameters_for(method, FAMILY)()),
        access=frozenset(),
        reference={},
        train=data.train,
        start=data.starts[0],
        seeds=WorkerSeeds(order=1, augment=2, method=3),
        device=torch.device("cpu"),
    )
    made.taken, made.n_steps = 0.0, 0
    for optimizer in made.optimizers:
        optimizer.step = types.MethodType(timed(type(optimizer).step, made), optimizer)
    return made


def timed(step, owner):
    """A step that adds to `owner.n_steps`, and its CPU time less the closure's to `owner.taken`."""

    def wrapped(self, *given, **options):
        passes = 0.0

        def measured(closure):
            nonlocal passes
            began = time.thread_time()
            loss = closure()
            passes += time.thread_time() - began
            return loss

        given = [functools.partial(measured, one) if callable(one) else one for one in given]
        began = time.thread_time()
        result = step(self, *given, **options)
        owner.taken += time.thread_time() - began - passes
        owner.n_steps += 1
        return result

    return wrapped


def ratios(own, other, options):
    """Own time over the peer's, in each pair of blocks: of steps, of batches; seconds of a step."""
    steps, batches, seconds = [], [], []
    began = time.thread_time()
    for number in range(options.pairs + 1):
        order = (own, other) if number % 2 else (other, own)
        taken = {one: block(one, options.steps) for one in order}
        if number:  # the first pair warms up
            if taken[own][0] and taken[other][0]:
                steps.append(taken[own][0] / taken[other][0])
            batches.append(taken[own][1] / taken[other][1])
            seconds.append(taken[own][0])
        if len(batches) > 2 and time.thread_time() - began > SLOWEST:
            break
    return steps, batches, seconds


def block(one, n_steps):
    """CPU seconds of an optimizer's step, 0 without one, and of a batch with all that it takes."""
    one.taken, one.n_steps, began = 0.0, 0, time.thread_time()
    for _ in range(n_steps):
        one.train_batches(1, lambda point: None)
        if time.thread_time() - began > SLOWEST:
            raise RuntimeError(f"a block of {n_steps} steps takes more than {SLOWEST:.0f} s")
    if one.stopped:
        raise RuntimeError("the budget was spent before the last block")
    return one.taken / max(1, one.n_steps), (time.thread_time() - began) / n_steps


if __name__ == "__main__":
    main()
