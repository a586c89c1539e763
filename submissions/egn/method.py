"""EGN: exact Gauss-Newton steps from the Jacobian of the batch (Korbit et al., 2024)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from assay import Choice, LogUniform, Method, Step
from torch import Tensor, nn, optim

MAX_BYTES = 2_000_000_000


class EGN(Method):
    """d = -J^T (Q J J^T + b lam I)^-1 r; w <- w + lr d, for cross-entropy. J (b c, p) is the
    Jacobian of c logits of b examples, r = softmax - onehot, Q = diag(s) - s s^T of each example.

    By Duncan and Guttman this is the step -(J^T Q J + b lam I)^-1 J^T r. The Jacobian costs c
    passes. Batch norm is frozen while it is taken: the running statistics stand in for the batch's.
    """

    # lam = 1 and lr = 0.5: the official code's for CNNs on MNIST and CIFAR-10; by data set its lr
    # is 0.005 to 1.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(3e-3, 1.0)] = 0.5
        lam: Annotated[float, LogUniform(1e-4, 10.0)] = 1.0
        momentum: Annotated[float, Choice((0.0, 0.9))] = 0.0

    @property
    def passes_per_batch(self) -> float:
        """One for each logit."""
        return float(self.plan.n_classes)

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """Moves along -grad = d, with a bias-corrected average of directions."""
        h = self.hyperparameters
        return Averaged(model.parameters(), lr=h.lr, momentum=h.momentum)

    def training_step(self, step: Step) -> None:
        """Jacobian, direction, step."""
        frozen = [part for part in step.model.modules() if isinstance(part, nn.BatchNorm2d)]
        if frozen:
            with torch.no_grad():
                step.forward()  # brings the running statistics up to date
        for part in frozen:
            part.eval()
        J, outputs = jacobian(step.model, step.batch.inputs, self.plan.n_classes)
        for part in frozen:
            part.train()
        step.count_pass(outputs.shape[1] - 1)
        step.loss(outputs)
        d = direction(J, outputs, step.batch.targets, self.hyperparameters.lam)
        w = list(step.model.parameters())
        for p, part in zip(w, d.split([p.numel() for p in w]), strict=True):
            p.grad = -part.view_as(p)
        step.optimizer_step()


class Averaged(optim.Optimizer):
    """w <- w - lr m / (1 - mu^t), m <- mu m + (1 - mu) grad."""

    def __init__(self, params: Any, *, lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            mu = group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                state["t"] = state.get("t", 0) + 1
                m = state.setdefault("m", torch.zeros_like(p)).lerp_(p.grad, 1 - mu)
                p.add_(m, alpha=-group["lr"] / (1 - mu ** state["t"]))


def jacobian(model: nn.Module, inputs: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """The Jacobian (n c, p) of the outputs (n, c) by all parameters, example by example.

    Raises:
        MemoryError: it would take more than MAX_BYTES.
    """
    named = {name: p.detach() for name, p in model.named_parameters()}
    n_bytes = 4 * len(inputs) * c * sum(p.numel() for p in named.values())
    if n_bytes > MAX_BYTES:
        raise MemoryError(
            f"the Jacobian of {len(inputs)} examples and {c} classes takes {n_bytes:,} bytes, "
            f"expected at most {MAX_BYTES:,}: EGN is for few classes and small networks"
        )

    def one(w: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        outputs = torch.func.functional_call(model, w, (x.unsqueeze(0),)).squeeze(0)
        return outputs, outputs.detach()

    parts, outputs = torch.func.vmap(torch.func.jacrev(one, has_aux=True), (None, 0))(named, inputs)
    rows = outputs.numel()
    return torch.cat([part.reshape(rows, -1) for part in parts.values()], dim=1), outputs


def direction(J: Tensor, outputs: Tensor, targets: Tensor, lam: float) -> Tensor:
    """Direction d (p,) of cross-entropy with logits `outputs` (b, c) and labels `targets` (b,)."""
    b, c = outputs.shape
    s = outputs.softmax(dim=1)
    r = (s - nn.functional.one_hot(targets, c).to(s)).flatten()
    K = (J @ J.T).view(b, c, b * c)
    QK = (s.unsqueeze(2) * (K - (s.unsqueeze(2) * K).sum(1, keepdim=True))).view(b * c, b * c)
    x = torch.linalg.solve(QK.diagonal_scatter(QK.diagonal() + b * lam), r)
    return -(x @ J)
