"""Agent inside the script's process: hooks, step clock, windows. Uses only the standard library and torch."""
