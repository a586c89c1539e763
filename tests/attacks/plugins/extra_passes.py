"""Makes twenty forward-backward passes for each that it is counted for."""

from __future__ import annotations

from assay import Method
from torch import optim


class ExtraPasses(Method):
    """`loss.backward()` beside `step.backward` is a pass that no one counts."""

    def configure_optimizer(self, model):
        return optim.SGD(model.parameters(), lr=0.02, momentum=0.9)

    def training_step(self, step):
        for _ in range(20):
            step.zero_grad()
            outputs = step.model(step.batch.inputs)
            self.compute_loss(outputs, step.batch, self.plan.loss).backward()
            step.optimizer_step()
        step.automatic()
