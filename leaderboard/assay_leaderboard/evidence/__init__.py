"""What the records say, read against the checkout.

Files: cells (which study of a method counts on a task), results_folder (reads records), checkout
(the current cards and code hashes), flags (suspicious results).
"""
