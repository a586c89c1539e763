"""Assay from Python: what `assay.run`, `board`, `compare`, `judge` and `Results` lead to.

`calls` has the functions, `results` what a run returns, `answers` how answers look on a terminal
and in a notebook, `class_source` makes a method file of a class. The names are used as
`import assay; assay.run(...)`; this wing is imported when one of them is first used. It alone calls
the leaderboard, inside functions.
"""
