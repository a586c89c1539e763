"""Assay from Python: what `assay.run`, `board`, `compare`, `judge` and `Results` lead to.

    run           train methods, and give back their `Results`
    results       records of runs, with the questions below as methods
    questions     board, compare, judge
    answers       how an answer looks on a terminal and in a notebook
    class_source  makes a method file of a class

This wing is imported when one of the names is first used. It alone calls the leaderboard, inside
functions.
"""
