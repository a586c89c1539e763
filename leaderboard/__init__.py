"""Records to statistics to tables: reads JSON and TOML only, never torch, never a plugin.

Layers, each importing only from those below it:

    cli
    text
    board, compare
    summary
    contest
    published
    evidence, aggregate, tables
    paired, multiple
"""
