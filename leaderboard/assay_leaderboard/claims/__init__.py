"""The claims on the cards of methods, held against the records.

Files: one_task (a claim on each task that it names), pooled (its one test, on all tasks of a tier
together), ledger (all claims of all cards).
"""
