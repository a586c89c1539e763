"""The networks of tasks, by name; initial weights come from an explicit generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from assay.errors import PluginError, UnknownName
from assay.space import Value

Shape = Sequence[int]


def build(
    name: str,
    parameters: Mapping[str, Value],
    *,
    in_shape: Shape,
    n_classes: int,
    generator: Generator | None = None,
) -> nn.Module:
    """The network `name` for inputs (n, *in_shape), giving logits (n, n_classes).

    Args:
        name: one of MODELS.
        parameters: keyword arguments of that network (width, depth, ...).
        in_shape: shape of one input: (features,) or (channels, height, width).
        n_classes: number of logits.
        generator: where the initial weights come from; by default one seeded with 0. Torch's
            global generator is never touched.

    Raises:
        UnknownName: no network has this name.
        PluginError: the network does not take these parameters or these inputs.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    try:
        # On the meta device the constructors' own initialisation costs nothing and draws nothing.
        with torch.device("meta"):
            model = MODELS[name](tuple(in_shape), n_classes, **parameters)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unfit(name, parameters, in_shape, str(error)) from error
    if not all(weights.numel() for weights in model.parameters()):
        raise _unfit(name, parameters, in_shape, "a layer has no weights")
    model = model.to_empty(device="cpu")
    initialise(model, generator or Generator().manual_seed(0))
    return model


def _unfit(name: str, parameters: Mapping[str, Value], in_shape: Shape, why: str) -> PluginError:
    """The error for a network that cannot be built."""
    given = ", ".join(f"{key} = {value!r}" for key, value in parameters.items()) or "no parameters"
    return PluginError(
        f"model {name!r} with {given} cannot be built for inputs of shape {tuple(in_shape)}: {why}"
    )


def initialise(model: nn.Module, generator: Generator) -> None:
    """Set every weight: PyTorch's defaults, drawn from `generator` in the order of modules.

    Linear and convolution weights and biases are uniform in +-1/sqrt(fan_in) (LeCun et al.,
    "Efficient BackProp", 1998, as torch.nn.Linear.reset_parameters does); batch norm starts at the
    identity.

    Raises:
        PluginError: a module holds weights of a kind not named above.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                bound = 1 / math.sqrt(module.weight[0].numel())
                module.weight.uniform_(-bound, bound, generator=generator)
                if module.bias is not None:
                    module.bias.uniform_(-bound, bound, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif any(True for _ in module.parameters(recurse=False)):
                raise PluginError(f"no initial weights are defined for {type(module).__name__}")


class Mlp(nn.Sequential):
    """Fully connected ReLU network; inputs of any shape are flattened."""

    def __init__(self, in_shape: Shape, n_classes: int, *, width: int, depth: int) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        n_in = math.prod(in_shape)
        for _ in range(depth):
            layers += [nn.Linear(n_in, width), nn.ReLU()]
            n_in = width
        super().__init__(*layers, nn.Linear(n_in, n_classes))


class Cnn(nn.Sequential):
    """Blocks of 3x3 convolution, optional batch norm, ReLU and 2x2 max-pooling; then linear.

    The width doubles from block to block.
    """

    def __init__(
        self,
        in_shape: Shape,
        n_classes: int,
        *,
        width: int,
        blocks: int = 2,
        batch_norm: bool = False,
    ) -> None:
        layers: list[nn.Module] = []
        channels, height, breadth = in_shape
        for block in range(blocks):
            n_out = width * 2**block
            layers.append(nn.Conv2d(channels, n_out, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(n_out))
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            channels, height, breadth = n_out, height // 2, breadth // 2
        super().__init__(*layers, nn.Flatten(), nn.Linear(channels * height * breadth, n_classes))


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a parameter-free shortcut (option A of He et al. 2016)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.stride, self.n_padded = stride, n_out - n_in

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, n_in, h, w) to (n, n_out, h / stride, w / stride)."""
        hidden = functional.relu(self.bn1(self.conv1(inputs)))
        shortcut = inputs
        if self.n_padded:
            before = self.n_padded // 2
            shortcut = functional.pad(
                inputs[:, :, :: self.stride, :: self.stride],
                (0, 0, 0, 0, before, self.n_padded - before),
            )
        return functional.relu(self.bn2(self.conv2(hidden)) + shortcut)


class CifarResnet(nn.Module):
    """Residual network for 32x32 images with 6 n + 2 layers, three stages of widths w, 2 w, 4 w.

    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, with its
    option A shortcuts (stride and zero channels, no parameters).
    """

    def __init__(self, in_shape: Shape, n_classes: int, *, depth: int, width: int = 16) -> None:
        super().__init__()
        n_blocks = (depth - 2) // 6
        if n_blocks < 1 or n_blocks * 6 + 2 != depth:
            raise TypeError(f"depth must be 6 n + 2 with n >= 1, but got {depth}")
        self.conv = nn.Conv2d(in_shape[0], width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        n_in = width
        for stage in range(3):
            for block in range(n_blocks):
                stride = 2 if stage and not block else 1
                blocks.append(_BasicBlock(n_in, width * 2**stage, stride))
                n_in = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(n_in, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, h, w) to logits (n, n_classes)."""
        hidden = self.blocks(functional.relu(self.bn(self.conv(inputs))))
        logits: Tensor = self.linear(hidden.mean((2, 3)))
        return logits


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a projection shortcut; the output is 4 times the width."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = 4 * width
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, n_in, h, w) to (n, 4 width, h / stride, w / stride)."""
        hidden = functional.relu(self.bn1(self.conv1(inputs)))
        hidden = functional.relu(self.bn2(self.conv2(hidden)))
        return functional.relu(self.bn3(self.conv3(hidden)) + self.shortcut(inputs))


class Resnet50(nn.Module):
    """ResNet-50 with a 3x3 stem and no first pooling, for 32x32 images.

    Layout of https://github.com/kuangliu/pytorch-cifar (models/resnet.py).
    """

    def __init__(self, in_shape: Shape, n_classes: int, *, width: int = 64) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_shape[0], width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        n_in = width
        for stage, n_blocks in enumerate((3, 4, 6, 3)):
            for block in range(n_blocks):
                stride = 2 if stage and not block else 1
                blocks.append(_Bottleneck(n_in, width * 2**stage, stride))
                n_in = 4 * width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(n_in, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, h, w) to logits (n, n_classes)."""
        hidden = self.blocks(functional.relu(self.bn(self.conv(inputs))))
        logits: Tensor = self.linear(hidden.mean((2, 3)))
        return logits


MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": Mlp,
    "cnn": Cnn,
    "cifar_resnet": CifarResnet,
    "resnet50": Resnet50,
}
