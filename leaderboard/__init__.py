"""Records to statistics to pages: reads JSON and TOML only, never torch, never a plugin.

Layers, each importing only from those below it:

    cli
    text, claims_text, audit_text, site
    formats
    claims, controls
    hearing, calibration
    depth
    board, compare, dossier, slider
    summary
    contest
    published, trajectories
    aa
    evidence, aggregate, tables, details, secondary
    profiles, budgets, survival, sensitivity
    format
    paired, multiple
"""
