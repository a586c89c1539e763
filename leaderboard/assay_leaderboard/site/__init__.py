"""The static site: a function of the records and the cards, with the same bytes every time.

`commands` is the command line; `build` makes the folder that `serve` shows. `pages` turns `views`
into HTML with the help of `html` and `pictures`; `exports` writes the same data for programs;
`reports` reads what other commands printed; `output` puts the folder in place.
"""
