"""Assay's engine: it tunes, trains, scores and records, and knows no task, submission or page.

Layers, each importing only from those below it (checked by import-linter):

    cli
    pipeline, testing
    tuning, execution, scoring, recording      siblings
    isolation
    worker
    training
    families                                   shared parts of tasks: data recipe, model, scorer
    registry, data, models, quantization
    method, task                               the two contracts a plugin sees
    records
    cards, ruleset
    space, identity
    errors
"""

__version__ = "0.1.0"
