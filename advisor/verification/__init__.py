"""Comparison of several versions in fresh processes until the difference is decided."""
