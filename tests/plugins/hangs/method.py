"""Never finishes its first batch, nor sleeps in it."""

from assay import Method, Step


class Hangs(Method):
    def training_step(self, step: Step) -> None:
        while True:
            pass
