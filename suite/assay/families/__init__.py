"""Shared parts of tasks, one module per family: how data are drawn, trained on and scored."""
