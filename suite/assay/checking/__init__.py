"""What authors and organisers check before anything is published.

check          `assay check`: everything that is wrong with methods and tasks
method_check   the checks of a method: its card, its code, its trials
trials         a method on toys and on a few batches of real tasks
task_check     the checks of a task
report         how results are grouped and shown
attack_range   `assay sandbox`: runs known attacks on this machine
attack_judge   what an attack achieved
canaries       secrets planted for attacks to find
"""
