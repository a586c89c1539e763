"""Assay's engine: it tunes, trains, scores and records, and knows no task, submission or page.

Layers, each importing only from those below it (checked by import-linter):

    cli
    commands                                   parsing around the calls below
    listing, templates, running, testing       what the commands do
    attacks                                    every known attack, run against this machine
    publishing, replaying, queueing, gating, planning
    submitting
    verification, packing, checkout            bundles: checked, made; git
    progress, reports, pipeline, coherence     coherence: could one record's numbers be?
    recording, execution                       trusted: records; the pool of workers
    outcomes                                   how a run ended
    peers                                      the supervisor's side of worker and scorer
    tuning, scoring, isolation, worker
    answering                                  what a worker's child does: plugins are imported
    probing, auditing                          what `assay check` tries, in a worker
    findings, toys, canaries
    training
    session, weights
    families                                   shared parts of tasks: data recipe, model, scorer
    registry, data, models, quantization
    method                                     the two contracts
    task                                       a plugin sees
    detectors                                  signs of a false result
    store, bundles, publog                     write-once files; what is published, its log
    organising                                 epochs and their hidden seeds
    reading                                    records from JSON
    records
    cards
    leavings                                   what a run left in its sandbox
    ruleset, space, identity
    untrusted, archives, strict_json, texts    reading what strangers wrote
    limits, seccomp, landlock, selfprobe       parts of the sandbox
    errors

Modules in one line do not import each other. What stands in registry's line or below, beside
models and quantization, imports no torch when it is imported. Templates for new plugins lie in
`starters`.
"""

__version__ = "0.1.0"
