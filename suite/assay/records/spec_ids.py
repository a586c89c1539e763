"""Ids of many specs that have most of their content in common; each is the id of that RunSpec."""

from __future__ import annotations

from collections.abc import Mapping

from assay.identity import ID_LENGTH, canonical_json, sha256
from assay.records.schema import RunSpec
from assay.space import Value


class SpecIds:
    """Ids of the specs that differ from one only in repetition, point and hyperparameters.

    What they have in common is made JSON once: a plan, or a results folder, has a million of them.
    """

    def __init__(self, spec: RunSpec) -> None:
        fields = sorted(spec.model_dump(mode="json").items())
        self._parts = {key: canonical_json({key: value})[1:-1] for key, value in fields}

    def of(self, repetition: int, point: int | None, hyperparameters: Mapping[str, Value]) -> str:
        """The id of such a spec; arguments are those of RunSpec."""
        own = {
            "repetition": f'"repetition":{repetition}',
            "point": f'"point":{"null" if point is None else point}',
            "hyperparameters": f'"hyperparameters":{canonical_json(hyperparameters)}',
        }
        return sha256(f"{{{','.join((self._parts | own).values())}}}")[:ID_LENGTH]
