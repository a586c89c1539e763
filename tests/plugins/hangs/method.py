"""Computes without end in its first batch."""

from assay import Method, Step


class Hangs(Method):
    def training_step(self, step: Step) -> None:
        while True:
            pass
