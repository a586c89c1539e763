"""The build of the site: from folders of results to a folder of static files.

`inputs` reads what all tasks share, `plan` decides what has to be made, `task_part` and
`family_part` make it in worker processes, `cache` keeps it for the next build under the keys of
`keys`, and `build` puts everything together.
"""
