"""A value without a default: trial 0 could not run."""

from __future__ import annotations

from typing import Annotated

from assay import LogUniform, Method


class MissingDefault(Method):
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 1e-2)]
