"""Records: what runs leave behind, on disk, in bundles and in the log.

schema         runs and their parts, as typed records
parsing        records from JSON, checked
rounding       the digits that numbers of a record keep
selection      which run of a repetition counts
staleness      whether a record was made with the code and rules of now
store          a results folder: one file a run
bundle         all runs and the source of one (task, method), in one published file
columns        a bundle's runs as columns of JSON
column_reader  and back, from a file that a stranger may have made
former         results of ruleset 1, kept for reference
formats        whether a bundle's file is of ruleset 1
log            what was published, replayed, refused or withdrawn
log_entry      one line of the log
log_state      what the log says of bundles and epochs, and which entry may follow
"""
