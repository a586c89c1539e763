"""Never finishes its first batch, nor sleeps in it."""

from suite.method import Method, Step


class Hangs(Method):
    def training_step(self, step: Step) -> None:
        while True:
            pass
