"""Records to evidence: which runs count, as arrays of repetitions and points.

Files: runs (what was read, in a light form), cells (the runs of one method on one task),
results_folder (bundles and local records), checkout (the tasks and methods they are read against),
flags (signs that a result may be false).
"""
