"""The board as files for programs: JSON, CSV and Parquet, BibTeX, Atom feeds."""
