"""Behaves otherwise when it is run again: it goes by the clock, for want of another sign."""

from __future__ import annotations

import time

from assay import Method
from torch import optim


class Audited(Method):
    """The first run cheats, the replay is to look honest; nothing else tells them apart."""

    def configure_optimizer(self, model):
        return optim.SGD(model.parameters(), lr=0.05 + (time.time_ns() % 1_000_003) * 1e-12)
