"""The data that a board consists of: values (intervals, comparisons), board, task_details."""
