"""Evidence to rankings.

Files: board (everything `assay board` shows), task_comparisons (the tests on one task),
family_ranking, budget_ranking, two_methods (`assay compare`), task_records and task_details (the
page of a task), secondary_metrics.
"""
