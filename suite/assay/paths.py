"""Where things lie: this package, and the checkout around it or the copy that a wheel carries."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
"""The folder of the import name `assay`."""
BUNDLED = PACKAGE / "bundled"
"""In an installed wheel: tasks, submissions, attacks and results, laid out as in a checkout."""
ROOT = BUNDLED if BUNDLED.is_dir() else PACKAGE.parents[1]
"""What holds `tasks/` and `submissions/`: the checkout, or what the wheel carries of it."""
RESULTS = ROOT / "leaderboard" / "results"
"""What is published: bundles, their log, epochs."""
EPOCHS = RESULTS / "epochs"
"""The organisers' commitments to hidden seeds."""
ATTACKS = ROOT / "tests" / "attacks"
"""What `assay sandbox` runs."""
STARTERS = PACKAGE / "starters"
"""Templates of new methods and tasks."""
