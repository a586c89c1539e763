"""Publication: from a results folder to the results log, and what is checked on the way.

pack           bundles of a results folder's whole, current cells
verify         checks of a bundle without running anything (tier T1)
cell_checks    checks of the runs of a cell taken together
record_checks  checks of one run record against its task's card
origin_checks  checks of where a run record says it was made
replay         runs done again and compared with their records (tier T2)
bundle_replays  samples of bundles for it, and the pools that they share
comparison     a record and its replay side by side
drift          whether records are better than their replays on average
publish        adds a bundle to a published folder and its log
git            a checkout, read and given new branches
submit         `assay submit`: a branch for a pull request
gate           checks of a pull request, read as data
queue          `assay queue`: submissions that wait for something
"""
