"""A default that lies outside its range."""

from __future__ import annotations

from typing import Annotated

from assay import LogUniform, Method


class BadDefault(Method):
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 1e-2)] = 0.1
