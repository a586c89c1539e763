"""Pictures as inline SVG: plain values in, a figure with caption and numbers out.

Colours and fonts come from static/pictures.css: a picture has no style attribute and no script.
The same values draw the same bytes. Where there is nothing to draw, a paragraph says why.

Layers, each importing only from those below it:

    lines, intervals, scatter, matrices, landscapes
    frame
    axes, svg
"""

from assay_leaderboard.site.pictures.frame import Measure, standalone
from assay_leaderboard.site.pictures.intervals import Estimate, intervals, sensitivity_strip
from assay_leaderboard.site.pictures.landscapes import trajectories
from assay_leaderboard.site.pictures.lines import (
    budget_curves,
    learning_curves,
    performance_profile,
    reached,
    survival,
)
from assay_leaderboard.site.pictures.matrices import critical_difference, win_matrix
from assay_leaderboard.site.pictures.scatter import SpentPoint, cost_against_score, learning_rate

__all__ = [
    "Estimate",
    "Measure",
    "SpentPoint",
    "budget_curves",
    "cost_against_score",
    "critical_difference",
    "intervals",
    "learning_curves",
    "learning_rate",
    "performance_profile",
    "reached",
    "sensitivity_strip",
    "standalone",
    "survival",
    "trajectories",
    "win_matrix",
]
