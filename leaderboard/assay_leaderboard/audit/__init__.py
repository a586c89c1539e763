"""The suite examined by its own records (`assay audit`).

Files: tasks (what each task can tell), false_positives (the A/A control), tiers (lite against
standard).
"""
