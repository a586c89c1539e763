"""The supervisor: plans runs, has workers train and the scorer score, and records what comes out.

planning       what the user asked for: methods, tasks, devices
cells          one method on one task: its search space and all its runs
points         hyperparameter points of a repetition
descriptions   search spaces, as workers and the scorer give them
pipeline       cells to records: what is missing, in which order, and what to do if it fails
executors      where runs are done: threads of this process, or slots on the nodes of a cluster
pool           the scorer and the workers: started, lent, replaced, closed
runs           one run, from its spec to its record
clients        the supervisor's side of the scorer and of a worker
outcomes       how a worker's child ended and what it left
scorer         the trusted process that holds labels and scores weights
diagnoses      recorded runs done again, and what their networks were like
diagnostics    measures of a trained network, from weights alone
curvature      gradients, Hessian products and the top eigenvalue of a training loss
oracle         a process of the scorer's for each run on a function, which holds that function
mirror         the thread that copies records to MLflow and Optuna, and what it could not copy
tracking       records as MLflow has them: experiments, parent runs, runs
tracked_fields one record in MLflow's terms: tags, parameters, metrics, times
metric_names   names that MLflow takes
studies        repetitions as Optuna studies
databases      the SQLite files of both: opened under any path, made anew, moved
"""
