"""Targets to run: a command, a function of a module or notebook, and the script's own options."""
