"""Records to statistics to pages: reads JSON and TOML only, never torch, never a plugin.

Layers, each importing only from those below it:

    cli
    text, site
    claims, controls
    depth
    board, compare, dossier, slider
    summary
    contest
    published, trajectories
    evidence, aggregate, tables, details
    profiles, budgets, survival, sensitivity
    format
    paired, multiple
"""
