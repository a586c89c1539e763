"""Records: what runs and studies leave behind, on disk, in bundles and in the log.

schema      runs, studies and their parts, as typed records
parsing     records from JSON, checked
staleness   whether a record was made with the code and rules of now
store       a results folder: one file per record
bundle      all records and the source of one (task, method), in one published file
log         what was published, replayed or withdrawn
"""
