"""The supervisor: plans runs, has workers train and the scorer score, and records what comes out.

planning       what the user asked for: methods, tasks, devices
cells          one method on one task: its points, runs and study record
points         hyperparameter points, drawn by Optuna
descriptions   search spaces, as workers and the scorer give them
pipeline       cells to records: tune, select, repeat, resume
pool           the scorer and the workers: started, lent, replaced, closed
runs           one run, from its spec to its record
clients        the supervisor's side of the scorer and of a worker
outcomes       how a worker's child ended and what it left
scorer         the trusted process that holds labels and scores weights
mirror         records as seen in MLflow and Optuna
"""
