"""Records to evidence: which runs count, as arrays of repetitions and points.

Files: runs (what was read, in a light form, and the rules by which it ranks), groups (which runs
make a cell), cells (the runs of one method on one task, and whether they rank), results_folder
(bundles and local records), checkout (the tasks and methods they are read against), flags (signs
that a result may be false), environments (what differs among the machines of a cell).
"""
