"""Reads the checkout: its history, other people's results, the tests, the records."""

from __future__ import annotations

from pathlib import Path

import assay
import targets
from kit import Attack, below


class RepositoryHistory(Attack):
    """A history may hold labels, seeds or the solution that someone took out again."""

    def ways(self):
        return {
            "a checkout": lambda: below(targets.CHECKOUT),
            "beside the package": self.beside,
            "results": lambda: below(targets.RESULTS),
        }

    def beside(self):
        root = Path(assay.__file__).parents[1]
        names = (".git", "tests", "submissions", "leaderboard", "pyproject.toml", "assay-results")
        found = [name for name in names if (root / name).exists()]
        return f"{found} beside the package" if found else None
