"""Twenty steps for each batch, of which the engine's own counter sees one."""

from __future__ import annotations

import torch
from assay import Method
from torch.autograd import Variable


class HiddenEvaluations(Method):
    """The engine below torch.autograd is called by itself, and the model's forward by name."""

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
