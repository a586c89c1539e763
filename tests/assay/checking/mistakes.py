"""Natural mistakes: the body of a method, and what `assay check` has to say about it."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = """
from __future__ import annotations
import copy, math, os, sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated
import torch
from torch.optim.lr_scheduler import LambdaLR, StepLR
from assay.method import Method
from assay.space import Choice, IntUniform, LogInt, LogUniform, Uniform
"""


@dataclass(frozen=True)
class Mistake:
    """One small method and the finding that it must lead to."""

    body: str
    """The class's body, or a whole file if it starts at the margin."""
    expected: str
    """A regular expression in the detail of the only failure (or note)."""
    check: str = "runs"
    status: str = "failed"
    family: str = "functions"

    @property
    def source(self) -> str:
        """The whole method.py."""
        body = self.body.strip("\n")
        return HEAD + (body if not body.startswith(" ") else f"class Mine(Method):\n{body}") + "\n"


SGD = "torch.optim.SGD(model.parameters(), lr=1e-3)"

NAMES = {
    "misspelt: configure_optimiser": Mistake(
        f"""
    def configure_optimiser(self, model):
        return {SGD}
""",
        r"^configure_optimiser is never called: did you mean configure_optimizer\?",
        "hooks",
    ),
    "misspelt: transform_gradient": Mistake(
        """
    def transform_gradient(self, model):
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
""",
        r"^transform_gradient is never called: did you mean transform_gradients\?",
        "hooks",
    ),
    "misspelt: finalise_model": Mistake(
        "    def finalise_model(self, model, calibration): return model",
        r"did you mean finalize_model\?",
        "hooks",
    ),
    "misspelt: compute_losses": Mistake(
        "    def compute_losses(self, outputs, batch): return outputs.mean()",
        r"did you mean compute_loss\?",
        "hooks",
    ),
    "misspelt: train_step": Mistake(
        "    def train_step(self, step): step.automatic()",
        r"did you mean training_step\?",
        "hooks",
    ),
    "misspelt: passes_per_batches": Mistake(
        """
    @property
    def passes_per_batches(self): return 2.0
""",
        r"did you mean passes_per_batch\?",
        "hooks",
    ),
    "misspelt: class HyperParameters": Mistake(
        """
    class HyperParameters(Method.Hyperparameters):
        lr: float = 0.1
""",
        r"class HyperParameters is never used: did you mean Hyperparameters\?",
        "hooks",
    ),
}

LIGHTNING = {
    "Lightning: configure_optimizers": Mistake(
        f"    def configure_optimizers(self): return {SGD.replace('model', 'self.model')}",
        r"^configure_optimizers is never called: the hook here is configure_optimizer$",
        "hooks",
    ),
    "Lightning: returns (lists of optimizers, of schedulers)": Mistake(
        f"""
    def configure_optimizer(self, model):
        optimizer = {SGD}
        return [optimizer], [StepLR(optimizer, 10)]
""",
        r"configure_optimizer returned a tuple of list, as in Lightning; .* belong in lr_factor",
    ),
    "Lightning: returns a dict": Mistake(
        f"""
    def configure_optimizer(self, model):
        optimizer = {SGD}
        return {{"optimizer": optimizer, "lr_scheduler": StepLR(optimizer, 10)}}
""",
        r"configure_optimizer returned a dict, as in Lightning; expected one optimizer or a list",
    ),
    "Lightning: returns optimizer and scheduler": Mistake(
        f"""
    def configure_optimizer(self, model):
        optimizer = {SGD}
        return optimizer, StepLR(optimizer, 10)
""",
        r"returned a tuple of SGD and StepLR, as in Lightning; .* schedules belong in lr_factor",
    ),
    "Lightning: returns a scheduler": Mistake(
        f"    def configure_optimizer(self, model): return StepLR({SGD}, 10)",
        r"configure_optimizer returned a StepLR, as in Lightning",
    ),
    "Lightning: self.log": Mistake(
        """
    def training_step(self, step):
        step.automatic()
        self.log("loss", 1.0)
""",
        r"self.log does not exist here: remove it, losses .*\(method.py, line 14\)",
        "hooks",
    ),
    "Lightning: self.trainer": Mistake(
        "    def lr_factor(self, elapsed): return 1 - self.trainer.current_epoch / 10",
        r"self.trainer does not exist here: use self.plan, which knows the budget",
        "hooks",
    ),
    "Lightning: self.manual_backward": Mistake(
        """
    def training_step(self, step):
        self.manual_backward(step.loss())
        step.optimizer_step()
""",
        r"self.manual_backward does not exist here: use step.backward\(loss\)",
        "hooks",
    ),
    "Lightning: a scheduler stepped by hand": Mistake(
        f"""
    def configure_optimizer(self, model):
        optimizer = {SGD}
        self.scheduler = StepLR(optimizer, 100)
        return optimizer
    def training_step(self, step):
        step.automatic()
        self.scheduler.step()
""",
        r"has a scheduler of torch.optim.lr_scheduler; .* put the schedule into lr_factor",
        "learning rate",
    ),
    "a learning rate set by hand": Mistake(
        """
    def training_step(self, step):
        step.automatic()
        for group in step.optimizers[0].param_groups:
            group["lr"] *= 0.99
""",
        r"the method changed a group's lr from .* to .*; .* put the schedule into lr_factor",
        "learning rate",
    ),
    "Lightning: callbacks": Mistake(
        "    def callbacks(self): return []",
        r"callbacks is never called: the hook here is training_step, on_epoch_end or finalize_",
        "hooks",
    ),
    "Lightning: on_train_epoch_end": Mistake(
        "    def on_train_epoch_end(self): pass",
        r"on_train_epoch_end is never called: the hook here is on_epoch_end",
        "hooks",
    ),
    "contract 1: state_dict": Mistake(
        "    def state_dict(self): return {}",
        r"state_dict is never called: a run is short and starts over, so no state is saved",
        "hooks",
    ),
    "Lightning: validation_step": Mistake(
        "    def validation_step(self, batch): pass",
        r"validation_step is never called: validation data never reach a method",
        "hooks",
    ),
}

SIGNATURES = {
    "contract 1: configure_optimizer(model, plan)": Mistake(
        f"    def configure_optimizer(self, model, plan): return {SGD}",
        r"^configure_optimizer takes no plan any more: use self.plan \(method.py, line 12\)$",
        "hooks",
    ),
    "contract 1: transform_batch(batch, plan)": Mistake(
        "    def transform_batch(self, batch, plan): return batch",
        r"^transform_batch takes no plan any more: use self.plan",
        "hooks",
    ),
    "contract 1: compute_loss(outputs, batch, task_loss)": Mistake(
        """
    def compute_loss(self, outputs, batch, task_loss):
        return task_loss(outputs, batch.targets)
""",
        r"^compute_loss takes no task_loss any more: use self.plan.loss",
        "hooks",
    ),
    "contract 1: step.plan": Mistake(
        """
    def training_step(self, step):
        if step.plan.elapsed < 0.5:
            step.automatic()
""",
        r"^step has no plan any more: use self.plan \(method.py, line 13\)",
        "hooks",
    ),
    "too many parameters": Mistake(
        "    def transform_gradients(self, model, optimizer): pass",
        r"^transform_gradients takes \(self, model, optimizer\), expected \(self, model\) \(meth",
        "hooks",
    ),
    "self forgotten": Mistake(
        "    def lr_factor(elapsed): return 1.0",
        r"^lr_factor takes \(elapsed\), expected \(self, elapsed\)",
        "hooks",
    ),
    "__init__ without hyperparameters": Mistake(
        "    def __init__(self): self.k = 1",
        r"^__init__ takes \(self\), expected \(self, hyperparameters\)",
        "hooks",
    ),
    "__init__ without super": Mistake(
        f"""
    def __init__(self, hyperparameters): self.k = 1
    def configure_optimizer(self, model):
        print(self.hyperparameters)
        return {SGD}
""",
        r"AttributeError: .* \(.*line 14, in \S+\): call super\(\).__init__\(hyperparameters\)",
    ),
    "plan used in __init__": Mistake(
        """
    def __init__(self, hyperparameters):
        super().__init__(hyperparameters)
        self.n = self.plan.total_batches
""",
        r"AttributeError: .* \(method.py, line 14, in \S+\): self.plan is set after __init__",
    ),
}

TRAINING = {
    "no weight changes: optimizer of a copy": Mistake(
        """
    def configure_optimizer(self, model):
        return torch.optim.SGD(copy.deepcopy(model).parameters(), lr=0.1)
""",
        r"no weight changed in 64 batches: the optimizer must hold the parameters of the model",
    ),
    "no weight changes: no optimizer step": Mistake(
        """
    def training_step(self, step):
        step.zero_grad()
        step.backward(step.loss())
""",
        r"no weight changed in 64 batches: .* training_step must call step.optimizer_step\(\)",
    ),
    "hyperparameters without their base": Mistake(
        """
    class Hyperparameters:
        lr: float = 0.1
""",
        r"^Mine.Hyperparameters is no class that derives from Method.Hyperparameters",
        "search space",
    ),
    "sampler scales the training set": Mistake(
        """
    def sampler(self, dataset):
        sizes = dataset.inputs.flatten(1)
        sizes -= sizes.mean(0) + 1
        while True:
            yield from dataset.shuffled(self.plan.order_generator, self.plan.batch_size)
""",
        r"the training set was changed in place \(inputs by up to .*\): work on a clone",
        family="classification",
    ),
    "an optimizer within the optimizer is out of the schedule's reach": Mistake(
        """
    def configure_optimizer(self, model):
        class Outer(torch.optim.Optimizer):
            def __init__(self, params, lr):
                params = list(params)
                super().__init__(params, {"lr": lr})
                self.base = torch.optim.SGD(params, lr=lr)
            def step(self, closure=None):
                self.base.step()
        return Outer(model.parameters(), 1e-3)
""",
        r"lr_factor does not reach Outer.base, which has groups of its own: .* self.param_groups",
        "learning rate",
        "note",
        family="classification",
    ),
    "finite sampler": Mistake(
        """
    def sampler(self, dataset):
        yield from dataset.shuffled(self.plan.order_generator, self.plan.batch_size)
""",
        r"sampler ended after 15 batches; expected an endless stream .* wrap it in `while True`",
        family="classification",
    ),
    "sampler without yield": Mistake(
        """
    def sampler(self, dataset):
        dataset.shuffled(self.plan.order_generator, self.plan.batch_size)
""",
        r"sampler returned NoneType \(None\), expected an endless iterator: `yield` one tensor",
    ),
    "sampler yields lists": Mistake(
        """
    def sampler(self, dataset):
        while True:
            yield [0, 1]
""",
        r"sampler yielded list \(\[0, 1\]\), expected a tensor of shape \(n,\) and type torch.int",
    ),
    "sampler yields floats": Mistake(
        """
    def sampler(self, dataset):
        while True:
            yield torch.zeros(2)
""",
        r"sampler yielded a tensor of shape \(2,\) and type torch.float32, expected a tensor",
    ),
    "sampler yields single numbers": Mistake(
        """
    def sampler(self, dataset):
        while True:
            yield torch.tensor(0)
""",
        r"sampler yielded a tensor of shape \(\) and type torch.int64 with values in 0..0, expect",
    ),
    "sampler yields indices out of range": Mistake(
        """
    def sampler(self, dataset):
        while True:
            yield torch.arange(10**6, 10**6 + 2)
""",
        r"sampler yielded .* with values in 1000000..1000001, expected .* with values in 0..\d+,",
    ),
    "a loss that is not finite": Mistake(
        "    def compute_loss(self, outputs, batch): return outputs.sum() * math.inf",
        r"the loss was not finite .* choose defaults that are stable on an easy problem",
    ),
    "graph kept from batch to batch": Mistake(
        """
    total = 0.0
    def compute_loss(self, outputs, batch):
        self.total = self.total + self.plan.loss(outputs, batch.targets)
        return self.total
""",
        r"RuntimeError: .* second time.*: detach what is kept from one batch to the next",
    ),
    "weights changed outside of no_grad": Mistake(
        """
    def transform_gradients(self, model):
        for weight in model.parameters():
            weight.mul_(0.99)
""",
        r"RuntimeError: a leaf Variable .* \(.*line 14, in \S+\): .*with torch.no_grad\(\)",
    ),
    "an exception": Mistake(
        """
    def on_epoch_end(self, model):
        self.seen[3] = 1
""",
        r"^AttributeError: 'Mine' object has no attribute 'seen' \(method.py, line 13, in \S+\)$",
    ),
    "exit": Mistake(
        """
    def transform_batch(self, batch):
        sys.exit(3)
""",
        r"the method's process exited with code 1 without a result: SystemExit: 3",
    ),
    "exit past Python": Mistake(
        """
    def transform_batch(self, batch):
        print("about to go")
        os._exit(0)
""",
        r"the method's process exited with code 0 without a result: about to go",
    ),
}

RETURNS = {
    "transform_model returns None": Mistake(
        "    def transform_model(self, model): model.train()",
        r"^transform_model returned NoneType, expected Module: is a `return` missing\?",
    ),
    "transform_model returns parameters": Mistake(
        "    def transform_model(self, model): return list(model.parameters())",
        r"^transform_model returned list, expected Module",
    ),
    "configure_optimizer returns None": Mistake(
        f"    def configure_optimizer(self, model): {SGD}",
        r"^configure_optimizer returned NoneType, expected Optimizer: is a `return` missing\?",
    ),
    "configure_optimizer returns the class": Mistake(
        "    def configure_optimizer(self, model): return torch.optim.SGD",
        r"^configure_optimizer returned type, expected Optimizer",
    ),
    "configure_optimizer returns []": Mistake(
        "    def configure_optimizer(self, model): return []",
        r"^configure_optimizer returned no optimizer",
    ),
    "lr_factor returns NaN": Mistake(
        "    def lr_factor(self, elapsed): return math.nan",
        r"^lr_factor returned float \(nan\) for elapsed=0, expected a number, 0 or more",
    ),
    "lr_factor returns a negative number": Mistake(
        "    def lr_factor(self, elapsed): return 0.5 - elapsed",
        r"^lr_factor returned float \(-0.01\d*\) for elapsed=0.51\d*, expected a number, 0 or",
    ),
    "lr_factor returns None": Mistake(
        "    def lr_factor(self, elapsed): 1 - elapsed",
        r"^lr_factor returned NoneType \(None\) for elapsed=0, expected a number",
    ),
    "lr_factor returns a tensor": Mistake(
        "    def lr_factor(self, elapsed): return torch.tensor(1.0)",
        r"^lr_factor returned a tensor of shape \(\) and type torch.float32 .*, expected a number",
    ),
    "transform_batch returns None": Mistake(
        "    def transform_batch(self, batch): batch.inputs.add_(0)",
        r"^transform_batch returned NoneType, expected Batch: is a `return` missing\?",
    ),
    "transform_batch returns a tuple": Mistake(
        "    def transform_batch(self, batch): return batch.inputs, batch.targets",
        r"^transform_batch returned tuple, expected Batch",
    ),
    "compute_loss returns losses of examples": Mistake(
        """
    def compute_loss(self, outputs, batch):
        return self.plan.loss(outputs, batch.targets, reduction="none")
""",
        r"^compute_loss returned a tensor of shape \(16,\), expected a scalar Tensor",
        family="classification",
    ),
    "compute_loss returns a float": Mistake(
        """
    def compute_loss(self, outputs, batch):
        return self.plan.loss(outputs, batch.targets).item()
""",
        r"^compute_loss returned float, expected a scalar Tensor",
    ),
    "compute_loss returns None": Mistake(
        "    def compute_loss(self, outputs, batch): outputs.mean()",
        r"^compute_loss returned NoneType, expected a scalar Tensor: is a `return` missing\?",
    ),
    "compute_loss returns a loss without gradient": Mistake(
        """
    def compute_loss(self, outputs, batch):
        return self.plan.loss(outputs.detach(), batch.targets)
""",
        r"does not require grad .*: the loss must be computed from the model's outputs, without",
        family="classification",
    ),
    "transform_gradients returns a list": Mistake(
        """
    def transform_gradients(self, model):
        return [w.grad * 2 for w in model.parameters()]
""",
        r"^transform_gradients returned list .*, expected None: change .*`.grad` in place",
    ),
    "training_step returns the loss": Mistake(
        "    def training_step(self, step): return step.loss()",
        r"^training_step returned a tensor .*, expected None: it must call step.backward and step",
    ),
    "on_epoch_end returns something": Mistake(
        "    def on_epoch_end(self, model): return model",
        r"^on_epoch_end returned .*, expected None: keep values in `self`",
    ),
    "finalize_model returns a state dict": Mistake(
        "    def finalize_model(self, model, calibration): return model.state_dict()",
        r"^finalize_model returned OrderedDict, expected Module",
    ),
    "finalize_model returns None": Mistake(
        "    def finalize_model(self, model, calibration): model.eval()",
        r"^finalize_model returned NoneType, expected Module: is a `return` missing\?",
    ),
    "passes_per_batch is a function": Mistake(
        "    def passes_per_batch(self): return 2.0",
        r"^passes_per_batch is method \(.*\), expected a positive number: is `@property` missing",
    ),
    "passes_per_batch is 0": Mistake(
        "    passes_per_batch = 0",
        r"^passes_per_batch is int \(0\), expected a positive number",
    ),
}

PASSES = {
    "finite differences not counted": Mistake(
        """
    def training_step(self, step):
        generator, eps = self.plan.generator, 1e-3
        with torch.no_grad():
            for weight in step.model.parameters():
                weight.grad = torch.zeros_like(weight)
                for _ in range(4):
                    v = torch.randn(weight.shape, generator=generator)
                    weight.add_(eps * v)
                    high = step.loss()
                    weight.sub_(2 * eps * v)
                    low = step.loss()
                    weight.add_(eps * v)
                    weight.grad += (high - low) / (8 * eps) * v
        step.optimizer_step()
""",
        r"the model runs \d+ times per batch, but 1 passes per batch are counted: call step.count_",
        "cost",
        family="classification",
    ),
    "passes_per_batch is wrong": Mistake(
        """
    def training_step(self, step):
        step.zero_grad()
        step.backward(step.loss())
        step.zero_grad()
        step.backward(step.loss())
        step.optimizer_step()
""",
        r"2 passes per batch are counted, but passes_per_batch is 1: .* set passes_per_batch = 2",
        "passes",
        "note",
    ),
}

STATE = {
    "state kept in the module between runs": Mistake(
        """
runs = []
class Mine(Method):
    def configure_optimizer(self, model):
        runs.append(1)
        return torch.optim.SGD(model.parameters(), lr=1e-3 * len(runs))
""",
        r"two runs with the same seeds differ: after batch 16, x by up to .*; keep nothing in the",
        "repeatable",
    ),
    "random numbers of its own": Mistake(
        """
    def transform_gradients(self, model):
        generator = torch.Generator()
        generator.seed()
        for weight in model.parameters():
            weight.grad += 0.1 * torch.randn(weight.shape, generator=generator)
""",
        r"two runs with the same seeds differ: .* draw from self.plan.generator",
        "repeatable",
    ),
    "gradient kept by reference": Mistake(
        """
    previous = None
    def transform_gradients(self, model):
        gradient = model.x.grad
        if self.previous is not None:
            model.x.grad = gradient + 0.1 * (gradient - self.previous)
        self.previous = gradient
""",
        r"the method may keep a gradient by reference; clone what is kept",
        "gradients in place",
        "note",
    ),
    "finalize_model changes the training model": Mistake(
        """
    def finalize_model(self, model, calibration):
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(0.5)
        return model
""",
        r"changes the model it is given \(x by up to .*\); .* work on copy.deepcopy\(model\)",
        "finalize_model",
    ),
}

SPACES = {
    "int field on a float range": Mistake(
        """
    class Hyperparameters(Method.Hyperparameters):
        k: Annotated[int, Uniform(1, 10)] = 3
""",
        r"k: is of type int, which Uniform.* cannot search: IntUniform or LogInt",
        "search space",
    ),
    "float field on an int range": Mistake(
        """
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, IntUniform(1, 10)] = 3.0
""",
        r"lr: is of type float, which IntUniform.* cannot search: Uniform or LogUniform",
        "search space",
    ),
    "default outside a Choice": Mistake(
        """
    class Hyperparameters(Method.Hyperparameters):
        mode: Annotated[str, Choice(("a", "b"))] = "c"
""",
        r"mode: its default 'c' lies outside its range Choice",
        "search space",
    ),
    "default outside a range": Mistake(
        """
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 0.1)] = 1.0
""",
        r"lr: its default 1.0 lies outside its range LogUniform",
        "search space",
    ),
    "a log range from 0": Mistake(
        """
    class Hyperparameters(Method.Hyperparameters):
        decay: Annotated[float, LogUniform(0, 0.1)] = 0.01
""",
        r"decay: `0 < low` must hold on a log scale",
        "search space",
    ),
    "a field without a default": Mistake(
        """
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 0.1)]
""",
        r"lr: needs a default that is a number, a bool or a string",
        "search space",
    ),
    "fails at one value only": Mistake(
        """
    class Hyperparameters(Method.Hyperparameters):
        mode: Annotated[str, Choice(("plain", "broken"))] = "plain"
    def compute_loss(self, outputs, batch):
        if self.hyperparameters.mode == "broken":
            raise KeyError("mode")
        return self.plan.loss(outputs, batch.targets)
""",
        r"mode='broken': KeyError: there is no key 'mode' \(method\.py, line 16, in \S+\)",
        "search space",
    ),
}

MISTAKES = (
    NAMES | LIGHTNING | SIGNATURES | TRAINING | RETURNS | PASSES | STATE | SPACES
)  # by what the author did

WRAPPED = Mistake(
    """
    def configure_optimizer(self, model):
        self.averaged = torch.optim.swa_utils.AveragedModel(model)
        return super().configure_optimizer(model)
    def training_step(self, step):
        step.automatic()
        self.averaged.update_parameters(step.model)
    def finalize_model(self, model, calibration): return self.averaged
""",
    r"unexpected tensors \['module.x', 'n_averaged'\]; missing tensors \['x'\]",
    "snapshot",
)
"""Its names are wrong, whatever its weights."""
