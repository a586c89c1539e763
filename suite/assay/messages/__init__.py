"""What the supervisor, its workers and its scorer say to each other: one JSON object a line.

Whoever receives a message validates it. What a worker's child leaves is written by whatever ran
there (`form.parse_claim`). Its sizes and numbers are bounded and its texts plain, but it may be
false, and no score is taken from it.
"""
