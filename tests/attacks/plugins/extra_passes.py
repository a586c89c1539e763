"""Makes twenty forward-backward passes for each that it is counted for."""

from __future__ import annotations

import torch
from assay import Method
from torch import optim
from torch.autograd import Variable


class ExtraPasses(Method):
    """The engine below torch.autograd is called by itself, and the model's forward by name."""

    def configure_optimizer(self, model):
        return optim.SGD(model.parameters(), lr=0.02, momentum=0.9)

    def training_step(self, step):
        engine = Variable._execution_engine
        for _ in range(20):
            step.zero_grad()
            loss = self.compute_loss(step.model.forward(step.batch.inputs), step.batch)
            engine.run_backward(
                (loss,), (torch.ones_like(loss),), False, False, (),
                allow_unreachable=True, accumulate_grad=True,
            )  # fmt: skip
            step.optimizer_step()
        step.automatic()
