"""Reads the data set from where the machine keeps it, labels of val and test included."""

from __future__ import annotations

import os

import targets
from kit import Attack, below


class DatasetCache(Attack):
    """Every data set of the suite is public and lies on the machine that scores."""

    def ways(self):
        return {
            "the folder of data sets": lambda: below(targets.DATA_DIR),
            "what the environment names": self.environment,
            "home": lambda: below(targets.HOME),
            "the package's digits": self.bundled,
        }

    def environment(self):
        names = ("ASSAY_DATA", "ASSAY_CACHE", "HOME", "TMPDIR")
        return b"".join(below(os.environ[name]) for name in names if name in os.environ)

    def bundled(self):
        from sklearn.datasets import load_digits

        return f"{len(load_digits().target)} clean labels from scikit-learn"
