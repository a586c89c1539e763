"""The static site: a function of the records and the cards, the same bytes every time.

Layers, each importing only from those below it:

    commands
    build, serve, artifacts
    gathering, jobs
    summaries
    parts
    pages, twins, feeds, citing
    answers, figures, grids, rendering
    views
    reports, sheets, words, links
    cache
    folder, workers
    pictures
"""
