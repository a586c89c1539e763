"""What authors and organisers check before anything is published.

check          `assay check`: everything that is wrong with a method or a task
report         how its findings are shown
attack_range   `assay sandbox`: runs known attacks on this machine
attack_judge   what an attack achieved
canaries       secrets planted for attacks to find
"""
