"""What runs inside the sandbox: a process that forks a child for each request and measures it.

serve          start, and the loop over requests
fork           one forked child: in the sandbox, watched, measured, cleared away
children       how a child is started and ended; the first process of its namespaces
plugin_host    what a child does with a plugin
session        one method on one task from one start: model, optimizers, steps
nudge          weights one unit in the last place away, after every batch
plans          what a method is told of its task and its budget
hook_returns   checks of what hooks return
training       sessions run through Lightning
pass_counter   counts the calls of autograd, or of an oracle
oracle_client  the worker's side of the oracle of a function
probe_method   checks of a method, for `assay check`
probe_subject  the method under test and the toy it is tried on
probe_cost     what a step of it costs, measured and counted
hook_mistakes  mistakes that its source shows, advice on its errors
probe_task     checks of a task, for `assay check`
findings       the log of such checks
"""
