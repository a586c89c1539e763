"""Records to statistics to pages: reads JSON and TOML only, never torch, never a plugin.

Layers, each importing only from those below it:

    cli
    site
    text, claims_text, audit_text
    terminal
    claims, controls
    hearing, calibration
    slider, depth
    board, compare
    dossier
    summary
    contest
    published, trajectories
    aa
    evidence
    aggregate
    tables, details
    suspicions, secondary
    profiles, budgets, survival, sensitivity
    format
    paired
    bca
    middle, multiple, memo, distributions
    exact
"""
