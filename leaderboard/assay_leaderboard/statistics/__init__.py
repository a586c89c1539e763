"""Arrays in, numbers out; nothing here knows a record or a page.

On one task: paired_tests, bca, corrections, time_to_target, learning_curves, sensitivity,
tuning_budgets. Across tasks: aggregate, contrasts, profiles, interquartile. Shared: bootstrap,
exact_sums, result_cache.
"""
