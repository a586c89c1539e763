"""Whatever a hook raises or returns, its author reads which hook it was, and what to do."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from assay.cards import HOOKS
from assay.method import Batch, Calibration, Method, Step, TrainingSet, method_space
from assay.plugins.loading import load_method
from assay.worker.findings import explained
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from tests.assay.worker.conftest import toy_session

SIGNATURES = {
    "__init__": "self, hyperparameters",
    "transform_model": "self, model",
    "configure_optimizer": "self, model",
    "lr_factor": "self, elapsed",
    "sampler": "self, dataset",
    "transform_batch": "self, batch",
    "compute_loss": "self, outputs, batch",
    "transform_gradients": "self, model",
    "training_step": "self, step",
    "on_epoch_end": "self, model",
    "finalize_model": "self, model, calibration",
    "passes_per_batch": "self",
}
ENDS_WELL = {
    ("on_epoch_end", "None"), ("transform_gradients", "None"), ("training_step", "None"),
    ("__init__", "None"), ("lr_factor", "1"), ("passes_per_batch", "1"),
}  # fmt: skip
"""What a hook may return: nothing of the sort is a mistake."""
BARE = re.compile(
    r"^(KeyError: '|ZeroDivisionError: division by zero$|.*cannot pickle|.*errors\.pydantic)"
)


def said(folder: Path, body: str, more: str = "") -> str | None:
    """What an author reads of a run of two epochs; None if it ends well."""
    path = folder / "mine.py"
    path.write_text(
        "import torch\nfrom assay import *\nfrom assay.method import Method\n\n\n"
        f"class Mine(Method):\n{more}{body}\n"
    )
    try:
        method = load_method(path)
        method_space(method, "classification")
        toy_session(method, 4).train_batches(4, lambda point: None)
    except Exception as error:
        return explained(error, path)
    return None


def hook(name: str, statement: str) -> str:
    decorator = "    @property\n" if name == "passes_per_batch" else ""
    return f"{decorator}    def {name}({SIGNATURES[name]}):\n        {statement}\n"


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_is_assigned_to_self_is_refused_not_ignored(tmp_path: Path, name: str) -> None:
    refusal = f"{name} was assigned to self: define it in the class"
    assert said(tmp_path, hook("__init__", f"self.{name} = lambda *_: 1 / 0")) == refusal
    later = f"self.{name} = getattr(self, {name!r}); return torch.optim.SGD(model.parameters())"
    assert said(tmp_path, hook("configure_optimizer", later)) == refusal


def test_an_attribute_called_train_is_no_mode_of_the_optimizer(tmp_path: Path) -> None:
    body = hook(
        "configure_optimizer",
        "made = torch.optim.SGD(model.parameters(), lr=0.1); made.train = True; return made",
    )
    assert said(tmp_path, body) is None


def test_every_hook_is_tried() -> None:
    assert set(HOOKS) == set(SIGNATURES) - {"__init__", "passes_per_batch"}


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.parametrize(
    ("statement", "kind"),
    [("{}['x']", "KeyError: there is no key 'x'"), ("1 / 0", "ZeroDivisionError: division by zero"),
     ("assert False", "AssertionError: without a text"), ("next(iter(()))", "StopIteration")],
)  # fmt: skip
def test_what_a_hook_raises_names_the_hook_and_the_line(
    tmp_path: Path, name: str, statement: str, kind: str
) -> None:
    text = said(tmp_path, hook(name, statement))
    assert text is not None
    assert text.startswith(kind), text
    assert re.search(rf"\(mine\.py, line \d+, in Mine\.{name}\)", text), text
    assert not BARE.match(text)


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.parametrize(
    "value", ["None", "(n for n in range(3))", "lambda: 1", "'text'", "[None]", "{}", "1"]
)
def test_what_a_hook_returns_is_told_by_the_name_of_the_hook(
    tmp_path: Path, name: str, value: str
) -> None:
    text = said(tmp_path, hook(name, f"return {value}"))
    if (name, value) in ENDS_WELL:
        assert text is None, text
        return
    assert text is not None
    assert name in text
    assert "\n" not in text
    assert not BARE.match(text)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("x: float = lambda: 1", "x: needs a default that is a number, a bool or a string"),
        ("x: float = (n for n in range(3))", "x: needs a default"),
        ("x: torch.Tensor = 1.0", "in the class of hyperparameters: Unable to generate"),
        ("x = 0.5", "in the class of hyperparameters: A non-annotated attribute was detected"),
        ("x: float = float('inf')", "x: its default is inf, expected a finite number"),
        ("x: float = float('nan')", "x: its default is nan, expected a finite number"),
    ],
)
def test_hyperparameters_are_told_by_the_name_of_the_field(
    tmp_path: Path, field: str, expected: str
) -> None:
    more = f"    class Hyperparameters(Method.Hyperparameters):\n        {field}\n\n"
    text = said(tmp_path, hook("on_epoch_end", "pass"), more)
    assert text is not None
    assert expected in text
    assert "\n" not in text
    assert not BARE.match(text)


@pytest.mark.parametrize(
    "more",
    [
        "    class Hyperparameters:\n        lr: float = 0.1\n\n",
        "    hyperparameters_by_family = {'classification': {'lr': 0.1}}\n\n",
    ],
)
def test_hyperparameters_of_another_kind_are_refused(tmp_path: Path, more: str) -> None:
    text = said(tmp_path, hook("on_epoch_end", "pass"), more)
    assert text is not None
    assert text.endswith(" is no class that derives from Method.Hyperparameters")


def test_an_error_in_an_optimizers_step_names_the_step(tmp_path: Path) -> None:
    body = hook(
        "configure_optimizer",
        "class Own(torch.optim.SGD):\n"
        "            def step(self, closure=None):\n"
        "                return {}['lr']\n"
        "        return Own(model.parameters(), lr=0.1)",
    )
    text = said(tmp_path, body)
    assert text == "KeyError: there is no key 'lr' (mine.py, line 10, in Own.step)"


def test_groups_that_are_added_later_are_scheduled(tmp_path: Path) -> None:
    more = (
        "    def configure_optimizer(self, model):\n"
        "        *self.held, last = model.parameters()\n"
        "        self.optimizer = torch.optim.SGD([last], lr=0.1)\n"
        "        return self.optimizer\n\n"
        "    def training_step(self, step):\n"
        "        if self.plan.batch == 1:\n"
        "            self.optimizer.add_param_group({'params': self.held, 'lr': 0.5})\n"
        "        step.automatic()\n"
    )
    path = tmp_path / "mine.py"
    path.write_text(f"import torch\nfrom assay import Method\n\n\nclass Mine(Method):\n{more}")
    session = toy_session(load_method(path), 4)
    factor = session.method.lr_factor
    session.train_batches(4, lambda point: None)
    (optimizer,) = session.optimizers
    last = factor(3 / 4)  # before the last of four batches
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [0.1 * last, 0.5 * last]
    )


def test_groups_that_a_restored_state_brings_are_scheduled() -> None:
    class Restoring(Method):
        def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
            self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            return self.optimizer

        def training_step(self, step: Step) -> None:
            if self.plan.batch == 1:
                self.optimizer.load_state_dict(self.optimizer.state_dict())
            step.automatic()

    session = toy_session(Restoring, 4)
    session.train_batches(4, lambda point: None)
    (group,) = session.optimizers[0].param_groups
    assert group["lr"] == pytest.approx(0.1 * session.method.lr_factor(3 / 4))


@pytest.mark.parametrize("name", ["transform_batch", "sampler", "lr_factor"])
def test_passes_are_counted_in_whatever_hook_they_are_made(name: str) -> None:
    class Everywhere(Method):
        def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
            self.model = model
            return super().configure_optimizer(model)

        def spend(self, hook: str) -> None:
            if hook == name:
                self.model(torch.zeros(8, 1, 8, 8)).sum().backward()

        def transform_batch(self, batch: Batch) -> Batch:
            self.spend("transform_batch")
            return batch

        def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
            for indices in super().sampler(dataset):
                self.spend("sampler")
                yield indices

        def lr_factor(self, elapsed: float) -> float:
            self.spend("lr_factor")
            return 1.0

    session = toy_session(Everywhere, 4)
    session.train_batches(4, lambda point: None)
    assert (session.plan.batch, session.counter.passes) == (2, 4)
    assert session.plan.spent == session.plan.budget


def test_a_method_that_changes_calibration_inputs_changes_no_training_example() -> None:
    class Scaling(Method):
        def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
            for inputs in calibration.batches(2):
                inputs.mul_(2)
            return model

    session = toy_session(Scaling, 4)
    before = session.inputs.clone()
    session.take_point()
    assert torch.equal(session.inputs, before)


def test_an_optimizer_that_was_not_initialised_is_refused_by_name(tmp_path: Path) -> None:
    body = hook(
        "configure_optimizer",
        "class Own(torch.optim.Optimizer):\n"
        "            def __init__(self, base):\n"
        "                self.param_groups, self.state = base.param_groups, base.state\n"
        "        return Own(torch.optim.SGD(model.parameters(), lr=0.1))",
    )
    text = said(tmp_path, body)
    assert text is not None
    assert text.endswith("call super().__init__(params, defaults) in Own.__init__")


def test_an_optimizer_without_a_learning_rate_runs(tmp_path: Path) -> None:
    body = hook(
        "configure_optimizer",
        "class Own(torch.optim.Optimizer):\n"
        "            def step(self, closure=None):\n"
        "                for group in self.param_groups:\n"
        "                    for weight in group['params']:\n"
        "                        weight.data.sub_(0.1 * weight.grad)\n"
        "        return Own(model.parameters(), {'alpha': 1.0})",
    )
    assert said(tmp_path, body) is None


@pytest.mark.parametrize(
    "statement",
    [
        "return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]",
        "return {'optimizer': optimizer, 'lr_scheduler': torch.optim.lr_scheduler.StepLR("
        "optimizer, 1)}",
        "return torch.optim.lr_scheduler.StepLR(optimizer, 1)",
        "return [optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1)]",
    ],
)
def test_schedulers_of_ones_own_are_refused_by_name(tmp_path: Path, statement: str) -> None:
    body = hook(
        "configure_optimizer",
        f"optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n        {statement}",
    )
    text = said(tmp_path, body)
    assert text is not None
    assert text.startswith("configure_optimizer returned a ")
    assert text.endswith("schedules belong in lr_factor")


class OnAll(Method):
    """Trains on pictures of its choice; what is spent is counted."""

    updates = 0

    def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
        self.inputs, self.targets = dataset.inputs.repeat(5, 1, 1, 1), dataset.targets.repeat(5)
        return super().sampler(dataset)

    def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        self.model = model
        return super().configure_optimizer(model)

    def training_step(self, step: Step) -> None:
        step.zero_grad()
        step.backward(self.plan.loss(self.outputs(step), self.targets))
        step.optimizer_step()

    def outputs(self, step: Step) -> Tensor:
        raise NotImplementedError


class ByName(OnAll):
    def outputs(self, step: Step) -> Tensor:
        outputs: Tensor = step.model(input=self.inputs)
        return outputs


class BeforeTheStep(OnAll):
    def transform_batch(self, batch: Batch) -> Batch:
        self.found = self.model(self.inputs)
        return batch

    def outputs(self, step: Step) -> Tensor:
        return self.found


class PartsAtOnce(OnAll):
    def training_step(self, step: Step) -> None:
        def loss(w: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
            return self.plan.loss(functional_call(step.model, w, (inputs,)), targets)

        w = {name: p.detach() for name, p in step.model.named_parameters()}
        parts = self.inputs.view(5, 16, 1, 8, 8), self.targets.view(5, 16)
        gradients = vmap(grad(loss), (None, 0, 0))(w, *parts)
        for name, p in step.model.named_parameters():
            p.grad = gradients[name].mean(0)
        step.optimizer_step()


class ModelsAtOnce(OnAll):
    def training_step(self, step: Step) -> None:
        def loss(w: dict[str, Tensor]) -> Tensor:
            outputs = functional_call(step.model, w, (step.batch.inputs,))
            return self.plan.loss(outputs, step.batch.targets)

        named = dict(step.model.named_parameters())
        many = {name: p.detach().expand(10, *p.shape) for name, p in named.items()}
        for name, part in vmap(grad(loss))(many).items():
            named[name].grad = part.mean(0)
        step.optimizer_step()


@pytest.mark.parametrize("method", [ByName, BeforeTheStep, PartsAtOnce, ModelsAtOnce])
@pytest.mark.filterwarnings("ignore")  # of torch, as it loads its transforms
def test_examples_beyond_the_batch_are_counted_however_they_reach_the_model(
    method: type[Method],
) -> None:
    """80 examples a step, of a budget of 160."""
    session = toy_session(method, 20)
    session.train_batches(20, lambda point: None)
    assert (session.plan.batch, session.counter.example_passes) == (2, 160)


def test_a_run_of_the_model_that_nothing_is_made_of_is_not_charged_to_the_next_batch() -> None:
    class Looks(Method):
        def training_step(self, step: Step) -> None:
            step.automatic()
            step.forward()

    session = toy_session(Looks, 4)
    session.train_batches(4, lambda point: None)
    assert session.plan.batch == 4


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("-1", "n=int (-1)"),
        ("1 / 3", "n=float (0.3333333333333333)"),
        ("1, examples=-8", "examples=int (-8)"),
    ],
)
def test_passes_that_a_method_counts_are_whole_and_none_is_paid_back(
    tmp_path: Path, given: str, shown: str
) -> None:
    text = said(tmp_path, hook("training_step", f"step.automatic(); step.count_pass({given})"))
    assert text == f"step.count_pass was given {shown}, expected a whole number, 0 or more"


def test_a_snapshot_that_spends_the_rest_of_the_budget_is_the_last() -> None:
    class Calibrating(Method):
        def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
            own = copy.deepcopy(model)
            if 0.7 < self.plan.elapsed < 1:
                for inputs in (*calibration.batches(2), *calibration.batches(2)):
                    own(inputs).sum().backward()
            return own

    session, points = toy_session(Calibrating, 16), []
    session.train_batches(16, points.append)
    assert session.stopped
    assert [point.example_passes for point in points] == [32, 64, 128]


def test_a_method_that_gives_itself_a_larger_budget_has_the_cards() -> None:
    class Generous(Method):
        def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
            self.plan.budget *= 3
            return super().configure_optimizer(model)

    session = toy_session(Generous, 4)
    session.train_batches(12, lambda point: None)
    assert (session.stopped, session.plan.batch) == (True, 4)


def test_passes_of_a_snapshots_making_are_counted_outside_of_hooks_too() -> None:
    class Switching(torch.optim.SGD):
        def eval(self) -> None:
            torch.ones(1, requires_grad=True).backward()

    class Averaging(Method):
        @property
        def passes_per_batch(self) -> float:
            torch.ones(1, requires_grad=True).backward()
            return 1.0

        def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
            return Switching(model.parameters(), lr=0.1)

    session, points = toy_session(Averaging, 16), []
    assert session.counter.passes == 1
    session.train_batches(16, points.append)
    assert points[0].passes == points[0].batch + 2
