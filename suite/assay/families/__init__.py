"""Families of tasks: base classes that draw data, train on it and score, one module for each.

metrics holds the metrics of labelled tasks, toys the tiny tasks of `assay check`. oracle, its
oracle_model and oracle_frames are how a method trains on a function without holding it.
"""
