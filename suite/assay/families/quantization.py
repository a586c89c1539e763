"""Quantization-aware training: from a trained float network to an integer network of few bits.

The worker exports integer codes, scales and what the rule leaves in float. The scorer rebuilds the
network from these with its own integer layers and scores that; the worker's float network is never
scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from assay import atomic, models
from assay.data.loading import cache_dir
from assay.errors import BadWeights, PluginError, StorageError
from assay.families import classification
from assay.families.classification import Classification
from assay.families.integer_export import export_layers
from assay.identity import code_hash, content_id
from assay.quantization import (
    FLOAT_BITS,
    LayerBits,
    kernel_of,
    layer_bits,
    quantize_layers,
)
from assay.space import Hyperparameters, LogUniform
from assay.task import Problem, Seeds, Tensors

EXACT_IN_FLOAT32 = 2**22
"""Float32 holds every multiple of 1/4 up to here, so sums of products of codes are exact."""
PRETRAIN_MOMENTUM = 0.9
PRETRAIN_WEIGHT_DECAY = 5e-4
PRETRAIN_SEEDS = ("split", "order/train", "init", "pretrain")
"""Names of the seeds that a pretrained network depends on."""


class Quantization(Classification):
    """A classification task that starts from a trained float network and ends in integers.

    Reads from the card, beside what Classification does: `recipe.weight_bits` and
    `recipe.activation_bits` (see quantization.layer_bits), `recipe.pretrain_batches` and
    `recipe.pretrain_lr` (the float training: Nesterov momentum 0.9, weight decay 5e-4, linear
    decay to zero, the task's batch size and augmentation). Beyond the lite tier the float networks
    are trained on a GPU where there is one and kept on disk, in the cache folder of assay.data.

    Mixed precision is allowed: a layer may have up to 8 bits per weight, as long as all layers
    together need no more bits than the rule gives them. Activations keep the rule in each layer.
    """

    class Reference(Hyperparameters):
        """SGD with Nesterov momentum 0.9."""

        lr: Annotated[float, LogUniform(1e-3, 0.3)] = 0.05
        weight_decay: Annotated[float, LogUniform(1e-6, 1e-3)] = 1e-4

    def prepare(self, seeds: Seeds) -> Problem:
        """As Classification; the start is trained in float, with the same recipe for everyone.

        Raises:
            DataError, PluginError: see Classification; also a recipe that cannot be followed.
        """
        self._check_recipe()
        problem = super().prepare(seeds)
        size, n = self.card.budget.batch_size, len(problem.train["targets"])
        if size > n:
            raise PluginError(
                f"task {self.card.slug}: {n} training examples make no batch of {size}"
            )
        if self.card.tier == "lite":
            start = self._pretrained(problem, seeds["pretrain"], torch.device("cpu"))
        else:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            name = f"{self._pretrained_id(seeds, device)}.safetensors"
            path = cache_dir() / "pretrained" / name
            kept = _kept(path)
            start = kept or self._pretrained(problem, seeds["pretrain"], device)
            if kept is None:
                _publish(start, path)
        self._check_start(start)
        return Problem(problem.train, [start], problem.sealed)

    def _check_recipe(self) -> None:
        """Refuse a recipe that lacks a number or has one that makes no sense.

        Raises:
            PluginError: names every problem.
        """
        recipe, problems = self.card.recipe, []
        bits, lr = range(1, 9), recipe.get("pretrain_lr")
        for name, allowed, expected in (
            ("weight_bits", bits, "1 to 8"),
            ("activation_bits", (*bits, FLOAT_BITS), f"1 to 8, or {FLOAT_BITS} for float"),
            ("pretrain_batches", range(1, 10**9), "1 or more"),
        ):
            if type(recipe.get(name)) is not int or recipe[name] not in allowed:
                problems.append(f"{name} is {recipe.get(name)!r}, expected {expected}")
        if not isinstance(lr, int | float) or isinstance(lr, bool) or not 0 < lr < math.inf:
            problems.append(f"pretrain_lr is {lr!r}, expected a number above 0")
        if problems:
            raise PluginError(f"task {self.card.slug}, recipe on the card: " + "; ".join(problems))

    def _check_start(self, start: Tensors) -> None:
        """Refuse a float network whose training has diverged, before methods are charged with it.

        Raises:
            PluginError: a weight is not finite.
        """
        for name, value in start.items():
            if value.is_floating_point() and not bool(value.isfinite().all()):
                raise PluginError(
                    f"task {self.card.slug}: {name} of the float network is not finite after its "
                    "training: choose a smaller pretrain_lr on the card"
                )

    def _pretrained_id(self, seeds: Seeds, device: torch.device) -> str:
        """An id of everything that a pretrained network depends on."""
        key = {
            "card": self.card.model_dump(mode="json", include={"dataset", "split", "model"}),
            "recipe": {k: v for k, v in self.card.recipe.items() if "bits" not in k},
            "batch_size": self.card.budget.batch_size,
            "seeds": {name: seeds[name] for name in PRETRAIN_SEEDS},
            "torch": torch.__version__,
            "device": device.type,
            "code": code_hash(
                Path(file) for file in (__file__, classification.__file__, models.__file__)
            ),
        }
        return content_id(key)

    def _pretrained(self, problem: Problem, seed: int, device: torch.device) -> dict[str, Tensor]:
        """Weights of the float network, trained from the problem's start on one thread."""
        n_batches, size = int(self.card.recipe["pretrain_batches"]), self.card.budget.batch_size
        inputs, targets = problem.train["inputs"], problem.train["targets"]
        model = self.build_model(problem.train)
        model.load_state_dict(dict(problem.starts[0]))
        model.to(device).train()
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=float(self.card.recipe["pretrain_lr"]),
            momentum=PRETRAIN_MOMENTUM,
            nesterov=True,
            weight_decay=PRETRAIN_WEIGHT_DECAY,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / n_batches)
        generator = Generator().manual_seed(seed)
        order = _epochs(len(targets), size, generator)
        with _one_thread():
            for _ in range(n_batches):
                indices = next(order)
                batch = self.augment(self.decode(inputs[indices]), generator)
                optimizer.zero_grad()
                outputs = model(batch.to(device))
                self.loss(outputs, targets[indices].to(device)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        return {name: value.cpu().contiguous() for name, value in model.state_dict().items()}

    def transform_model(self, model: nn.Module) -> nn.Module:
        """Round to nearest: quantization.NearestWeights and RunningRange."""
        return quantize_layers(model, self.card.recipe)

    def export(self, model: nn.Module) -> dict[str, Tensor]:
        """Integer codes, scales and what stays in float: see integer_export.export_layers."""
        return export_layers(model)

    def layout(self, problem: Problem) -> dict[str, tuple[str, tuple[int, ...]]]:
        """The tensors that `export` must return, by name."""
        layout = super().layout(problem)
        for name in layer_bits(self.build_model(problem.train), self.card.recipe):
            shape = layout.pop(f"{name}.weight")[1]
            layout[f"{name}.weight_codes"] = ("U8", shape)
            layout[f"{name}.weight_scale"] = layout[f"{name}.weight_zero"] = ("F32", shape[:1])
            layout[f"{name}.input_scale"] = layout[f"{name}.input_zero"] = ("F32", ())
            layout[f"{name}.weight_bits"] = layout[f"{name}.input_bits"] = ("U8", ())
        return layout

    def restore(self, problem: Problem, state: Tensors) -> nn.Module:
        """The integer network that the exported tensors describe.

        Raises:
            BadWeights: codes, bits or grids break the task's rule; every problem is named.
        """
        model = self.build_model(problem.train)
        check_export(state, layer_bits(model, self.card.recipe))
        return rebuild(model, state)

    def secondary(self, problem: Problem, model: nn.Module, logits: Tensor) -> dict[str, float]:
        """As Classification, and the network's size and work (see `cost`)."""
        example = self.decode(problem.sealed["val_inputs"][:1])
        return super().secondary(problem, model, logits) | cost(model, example)


class IntegerLayer(nn.Module):
    """A layer on integer codes: sums of products are exact, then one scale per output channel."""

    steps: Tensor
    """`code - zero` of every weight."""
    scale: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.kernel = kernel_of(layer)
        self.bias = layer.bias
        self.weight_bits = int(tensors["weight_bits"])
        self.input_bits = int(tensors["input_bits"])
        per_row = (-1,) + (1,) * (layer.weight.dim() - 1)
        steps = tensors["weight_codes"].float() - tensors["weight_zero"].view(per_row)
        self.register_buffer("steps", steps)
        self.input_scale, self.input_zero = tensors["input_scale"], tensors["input_zero"]
        self.highest = 2**self.input_bits - 1
        scale = tensors["weight_scale"]
        if self.input_bits != FLOAT_BITS:
            scale = scale * self.input_scale
        # Per channel, behind the batch axis and before the image's axes.
        self.per_channel = (-1,) + (1,) * (layer.weight.dim() - 2)
        self.register_buffer("scale", scale.view(self.per_channel))
        largest = max(self.highest - float(self.input_zero), float(self.input_zero))
        reach = float(steps.abs().flatten(1).sum(1).max()) * largest
        exact = self.input_bits == FLOAT_BITS or reach <= EXACT_IN_FLOAT32
        self.carrier = torch.float32 if exact else torch.float64

    def forward(self, inputs: Tensor) -> Tensor:
        """As the float layer: (n, in, ...) to (n, out, ...), float32."""
        if self.input_bits != FLOAT_BITS:
            low, high = -self.input_zero, self.highest - self.input_zero
            inputs = (inputs / self.input_scale).round().clamp(low, high)
        sums = self.kernel(inputs.to(self.carrier), self.steps.to(self.carrier), None)
        outputs = sums.float() * self.scale
        return outputs if self.bias is None else outputs + self.bias.view(self.per_channel)


def rebuild(model: nn.Module, state: Tensors) -> nn.Module:
    """`model` (float, weights not set) with integer layers made from exported tensors."""
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and f"{name}.weight_codes" in state
    }
    floats = {key: value for key, value in state.items() if key in model.state_dict()}
    unset = {f"{name}.weight": layer.weight.detach() for name, layer in layers.items()}
    model.load_state_dict({**floats, **unset})
    for name, layer in layers.items():
        inside = {key.removeprefix(f"{name}."): value for key, value in state.items()}
        model.set_submodule(name, IntegerLayer(layer, inside))
    return model.eval()


def check_export(state: Tensors, rule: Mapping[str, LayerBits]) -> None:
    """Check exported tensors, whose names, types and shapes are right, against the task's rule.

    Raises:
        BadWeights: too many codes or bits, or an invalid grid; names every problem.
    """
    problems: list[str] = []
    spent = allowed = 0
    for name, bits in rule.items():
        codes, weight_bits = state[f"{name}.weight_codes"], int(state[f"{name}.weight_bits"])
        input_bits, input_zero = int(state[f"{name}.input_bits"]), state[f"{name}.input_zero"]
        spent += codes.numel() * weight_bits
        allowed += codes.numel() * bits.weight
        if not 1 <= weight_bits <= 8:
            problems.append(f"{name}: {weight_bits} bits per weight, expected 1 to 8")
        elif int(codes.max()) >= 2**weight_bits:
            problems.append(
                f"{name}: weight code {int(codes.max())} does not fit into {weight_bits} bits"
            )
        if not (1 <= input_bits <= bits.input and (input_bits <= 8 or input_bits == FLOAT_BITS)):
            problems.append(f"{name}: {input_bits} bits per input, expected 1 to {bits.input}")
        for scale in (state[f"{name}.weight_scale"], state[f"{name}.input_scale"]):
            if not bool((scale > 0).all()):
                problems.append(f"{name}: a scale is {float(scale.min())}, expected more than 0")
        zeros = 2 * state[f"{name}.weight_zero"]
        if not bool((zeros == zeros.round()).all()) or float(zeros.abs().max()) > 2**9:
            problems.append(f"{name}: expected weight zeros to be multiples of 1/2, within +-256")
        if not bool(input_zero == input_zero.round()) or not 0 <= float(input_zero) <= 255:
            problems.append(f"{name}: input zero is {float(input_zero)}, expected 0, 1, ... 255")
    if spent > allowed:
        problems.append(f"weights take {spent} bits, the task allows {allowed}")
    if problems:
        raise BadWeights("the exported network breaks the task's rule: " + "; ".join(problems))


@torch.inference_mode()
def cost(model: nn.Module, example: Tensor) -> dict[str, float]:
    """Size and work of a rebuilt network.

    `total_bits`: codes at their bits, every number kept in float (scales, zeros, biases, batch
    norm) at 32. `average_weight_bits`: over the weights of all quantized layers.
    `bit_operations`: per example, multiply-accumulates x weight bits x input bits.

    Args:
        model: from `rebuild`.
        example: one decoded input, (1, ...).
    """
    work: list[float] = []

    def note(module: nn.Module, inputs: Any, outputs: Tensor) -> None:
        assert isinstance(module, IntegerLayer)
        macs = outputs.numel() * module.steps[0].numel()
        work.append(float(macs) * module.weight_bits * module.input_bits)

    layers = [module for module in model.modules() if isinstance(module, IntegerLayer)]
    handles = [layer.register_forward_hook(note) for layer in layers]
    model(example)
    for handle in handles:
        handle.remove()
    n_weights = sum(layer.steps.numel() for layer in layers)
    code_bits = sum(layer.steps.numel() * layer.weight_bits for layer in layers)
    inside = {id(buffer) for layer in layers for buffer in layer.buffers()}
    others = [*model.parameters(), *(b for b in model.buffers() if id(b) not in inside)]
    n_floats = sum(value.numel() for value in others if value.is_floating_point())
    # Scale and zero of every output channel and of every layer's input.
    n_floats += sum(2 * len(layer.steps) + 2 for layer in layers)
    return {
        "total_bits": float(code_bits + FLOAT_BITS * n_floats),
        "average_weight_bits": code_bits / n_weights,
        "bit_operations": math.fsum(work),
    }


def _epochs(n: int, size: int, generator: Generator) -> Iterator[Tensor]:
    """Batches of indices of shuffled epochs, incomplete last batches dropped, endless."""
    while True:
        order = torch.randperm(n, generator=generator)
        yield from torch.split(order[: n - n % size], size)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: sums of gradients, and so pretrained weights, depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _kept(path: Path) -> dict[str, Tensor] | None:
    """The tensors in a file; None if there is none or it is damaged.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        return load_file(path)
    except (FileNotFoundError, SafetensorError):
        return None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _publish(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a pretrained network; two processes may do so at once, as their tensors are equal."""
    try:
        with atomic.new_file(path) as temporary:
            save_file(tensors, temporary)
    except OSError as error:
        raise atomic.storage_error(path, error, "choose another with ASSAY_CACHE") from error
