"""Digits with wrong labels, for the attacks."""

from __future__ import annotations

from assay.families.noisy_labels import NoisyLabels


class AttackDigits(NoisyLabels):
    """All of it is on the card."""
