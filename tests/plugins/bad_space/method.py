"""A range whose low end lies above its high end, and one that no logarithm allows."""

from __future__ import annotations

from typing import Annotated

from assay import LogUniform, Method, Uniform


class BadSpace(Method):
    class Hyperparameters(Method.Hyperparameters):
        momentum: Annotated[float, Uniform(0.9, 0.5)] = 0.7
        lr: Annotated[float, LogUniform(0.0, 1.0)] = 0.1
