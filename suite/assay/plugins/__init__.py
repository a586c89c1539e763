"""Plugins, which are tasks and methods: found by folder, and imported where their code is needed.

registry    cards, refs of records, which method may enter which task; reads files as data
task_code   what the hash of a task covers: its own files, and what they use of the suite
files       which files of a folder are the plugin's, and how large they may be
class_card  what a single file or an installed class enters, from its class attributes
imports     what files import, and where modules lie
installed   methods of installed packages and the modules that they need
libraries   what a plugin imports of others, with versions
packages    distributions that a method needs, and whether they are installed
loading     imports task.py and method.py; only the scorer and workers use it
"""
