"""From records to a leaderboard: statistics, boards, claims, terminal output and the site.

Reads JSON and TOML only, never torch, never a plugin. Wings, each importing only from those below:

    cli                              the commands
    site, terminal                   show
    claims, audit                    judge papers' claims; judge the suite itself
    boards                           rank
    evidence, statistics, format     read records; compute; put numbers in words
    schema                           what is written out
"""
