"""The static site: a function of the records and the cards, the same bytes every time.

Layers, each importing only from those below it:

    serve
    build
    pages, twins
    answers, figures, grids, rendering
    views, words, links
    pictures
"""
