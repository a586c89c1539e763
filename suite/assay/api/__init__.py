"""Assay from Python: what `assay.run`, `board`, `compare`, `judge`, `diagnose` and `Results` do.

    run           train methods, and give back their `Results`
    diagnose      what the networks of recorded runs were like
    results       records of runs, with the questions below as methods
    questions     board, compare, judge
    answers       how an answer looks on a terminal and in a notebook
    class_source  makes a method file of a class

This wing is imported when one of the names is first used. It alone calls the leaderboard, inside
functions.
"""
