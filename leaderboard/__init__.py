"""Records to statistics to pages: reads JSON and TOML only, never torch, never a plugin.

Layers, each importing only from those below it:

    cli
    text, claims_text, audit_text, site
    formats
    claims, controls
    hearing, calibration
    board, compare, dossier
    summary
    contest
    published
    aa
    evidence, aggregate, tables, details, secondary
    profiles, budgets, survival, sensitivity
    paired, multiple
"""
