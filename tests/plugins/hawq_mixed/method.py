"""Mixed precision by Hessian traces (Dong et al., 2020): bits where the loss is curved."""

from __future__ import annotations

from typing import Any

import torch
from assay import Method, Step
from assay.quantization import NearestWeights, QuantizedLayer
from torch import Tensor, nn

LOWEST, HIGHEST = 2, 8


class HawqMixed(Method):
    """Spends the task's bits by Omega_i = Tr(H_i) / n_i |Q(w_i) - w_i|^2 (HAWQ-V2, eq. 5)."""

    class Hyperparameters(Method.Hyperparameters):
        n_draws: int = 4

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.layers: list[QuantizedLayer] = []
        self.bits: list[int] = []

    def transform_model(self, model: nn.Module) -> nn.Module:
        quantized = self.plan.task_transform(model)
        found = [m for m in quantized.modules() if isinstance(m, QuantizedLayer)]
        self.layers = found[1:-1]  # the first and the last keep the task's eight bits
        return quantized

    def training_step(self, step: Step) -> None:
        if self.bits or not self.layers:
            step.automatic()
            return
        step.zero_grad()
        loss = step.loss()
        traces = self._mean_traces(loss, step)
        step.backward(loss)
        step.optimizer_step()
        budget = sum(layer.weight.numel() * layer.weight_quantizer.bits for layer in self.layers)
        self._apply(self._spent(traces, budget))

    def _mean_traces(self, loss: Tensor, step: Step) -> list[float]:
        """Hutchinson's estimate of Tr(H_i) / n_i, one Hessian product per draw."""
        weights = [layer.weight for layer in self.layers]
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        traces = [0.0] * len(weights)
        for _ in range(self.hyperparameters.n_draws):
            z = [
                torch.randint(0, 2, w.shape, generator=self.plan.generator).to(w) * 2 - 1
                for w in weights
            ]
            products = torch.autograd.grad(gradients, weights, grad_outputs=z, retain_graph=True)
            for number, (sign, product) in enumerate(zip(z, products, strict=True)):
                traces[number] += float((sign * product).mean()) / self.hyperparameters.n_draws
        return traces

    def _spent(self, traces: list[float], budget: int) -> list[int]:
        """From the fewest bits up, always one more where Omega falls most per bit."""
        bits = [LOWEST] * len(self.layers)
        sizes = [layer.weight.numel() for layer in self.layers]
        left = budget - LOWEST * sum(sizes)
        while True:
            gains = [
                (self._omega(i, traces[i], bits[i]) - self._omega(i, traces[i], bits[i] + 1)) / n
                if n <= left and bits[i] < HIGHEST
                else -1.0
                for i, n in enumerate(sizes)
            ]
            best = max(range(len(bits)), key=gains.__getitem__, default=None)
            if best is None or gains[best] < 0:
                return bits
            bits[best] += 1
            left -= sizes[best]

    def _omega(self, number: int, trace: float, bits: int) -> float:
        weight = self.layers[number].weight.detach()
        error = NearestWeights(bits)(weight) - weight
        return max(trace, 0.0) * float(error.square().sum())

    def _apply(self, bits: list[int]) -> None:
        self.bits = bits
        for layer, chosen in zip(self.layers, bits, strict=True):
            layer.weight_quantizer = NearestWeights(chosen)
