"""Folders of this package, and of the checkout around it or the copy in an installed wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
"""The folder of the import name `assay`."""
BUNDLED = PACKAGE / "bundled"
"""Only in a wheel: tasks, submissions, attacks and results, in the layout of a checkout."""
ROOT = BUNDLED if BUNDLED.is_dir() else PACKAGE.parents[1]
"""The folder of `tasks/` and `submissions/`: the checkout or BUNDLED."""
RESULTS = ROOT / "leaderboard" / "results"
"""Published results: bundles, their log, epochs."""
EPOCHS = RESULTS / "epochs"
"""The organisers' commitments to hidden seeds."""
ATTACKS = ROOT / "tests" / "attacks"
"""The attacks that `assay sandbox` runs."""
STARTERS = PACKAGE / "starters"
"""Templates of new methods and tasks."""
TEXTS = PACKAGE / "data" / "texts"
"""Texts that are data sets of tasks; no worker may read them."""
