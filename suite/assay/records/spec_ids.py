"""Ids of many specs that have most of their content in common; each is the id of that RunSpec."""

from __future__ import annotations

from collections.abc import Mapping

from assay.identity import ID_LENGTH, canonical_json, sha256
from assay.records.schema import RunSpec
from assay.space import Value

_GAP = "\0"
"""Stands for a value; no text of a spec holds it."""


class SpecIds:
    """Ids of the specs that differ from one only in repetition, point and hyperparameters.

    What they have in common is made JSON once: a plan, or a results folder, has a million of them.
    """

    def __init__(self, spec: RunSpec) -> None:
        own = dict.fromkeys(("hyperparameters", "point", "repetition"), _GAP)
        text = canonical_json(spec.model_dump(mode="json") | own)
        self._pieces = text.split(canonical_json(_GAP))

    def of(self, repetition: int, point: int | None, hyperparameters: Mapping[str, Value]) -> str:
        """The id of such a spec; arguments are those of RunSpec."""
        first, second, third, last = self._pieces
        number = "null" if point is None else point
        values = canonical_json(hyperparameters)
        return sha256(f"{first}{values}{second}{number}{third}{repetition}{last}")[:ID_LENGTH]
