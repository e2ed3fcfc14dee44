"""The side that lives in the script's process: hooks, step clock, windows. Standard library and torch only."""
