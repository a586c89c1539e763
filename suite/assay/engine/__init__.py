"""The supervisor: plans runs, has workers train and the scorer score, and records what comes out.

planning       what the user asked for: methods, tasks, devices
cells          one method on one task: its search space and all its runs
points         hyperparameter points; repetitions as Optuna studies
descriptions   search spaces, as workers and the scorer give them
pipeline       cells to records: what is missing, in which order, and what to do if it fails
pool           the scorer and the workers: started, lent, replaced, closed
runs           one run, from its spec to its record
clients        the supervisor's side of the scorer and of a worker
outcomes       how a worker's child ended and what it left
scorer         the trusted process that holds labels and scores weights
oracle         a process of the scorer's for each run on a function, which holds that function
mirror         records as seen in MLflow and Optuna
"""
