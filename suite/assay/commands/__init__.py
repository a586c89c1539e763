"""The commands of `assay`, one file each: parsing and printing around library calls.

`options` has the options that several commands share, `progress` the progress bar, `interrupts`
what signals do, `run_many` and `run_one` the library calls behind `assay run`, which `assay.run` in
Python uses too. Heavy imports stand inside the functions that need them, so that `assay --help` and
`assay list` answer at once.
"""
