"""Commands of `assay` by theme: parsing and printing around library calls."""
