"""Digits with wrong labels, for the attacks."""

from __future__ import annotations

from suite.families.noisy_labels import NoisyLabels


class AttackDigits(NoisyLabels):
    """All of it is on the card."""
