"""Evidence to rankings.

Files: board (everything `assay board` shows), task_comparisons (all pairs of methods on one task,
judged once), task_budgets (a task at every tuning budget), family_ranking (families and overall),
budget_ranking (these at every tuning budget), two_methods (`assay compare`), task_records and
task_details (the page of a task), search_spaces (the audit of hyperparameter ranges),
secondary_metrics.
"""
