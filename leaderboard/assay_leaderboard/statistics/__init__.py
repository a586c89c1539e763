"""Arrays in, numbers out; no page is known here, and records only by learning_curves.

On one task: sign_flips (tests), subset_means (intervals), pair_family (all pairs judged together),
verdicts, tuning_budgets, time_to_target, learning_curves, sensitivity. Across tasks: aggregate,
contrasts, profiles, interquartile. Shared: corrections, holm, bootstrap, result_cache.
"""
