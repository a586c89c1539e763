"""Recognises the task it runs on, to use what was tuned for it offline."""

from __future__ import annotations

from assay import Method
from kit import Reached
from torch import optim

TUNED_OFFLINE = {("noisy_labels", 200, 200, 20): ("attack_digits", 0.05)}


class Fingerprint(Method):
    """What a method may know of its run tells the tasks of a suite apart."""

    def configure_optimizer(self, model):
        key = (
            self.plan.family,
            self.plan.n_examples,
            self.plan.total_batches,
            self.plan.batch_size,
        )
        if key in TUNED_OFFLINE:
            raise Reached(f"REACHED the plan: this is {TUNED_OFFLINE[key][0]}")
        return optim.SGD(model.parameters(), lr=1e-3)
