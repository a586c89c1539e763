"""Arrays in, numbers out; nothing here knows a record or a page.

On one task: subset_means (intervals), sign_flips (tests), pair_family (all pairs judged together),
verdicts, tuning_budgets, time_to_target, learning_curves, sensitivity. Across tasks: aggregate,
contrasts, profiles, interquartile. Shared: corrections, holm, bootstrap, result_cache.
"""
