"""Plugins, which are tasks and methods: found by folder, and imported where their code is needed.

registry    cards, hashes of code, which method may enter which task; reads files as data
loading     imports task.py and method.py; only the scorer and workers use it
"""
