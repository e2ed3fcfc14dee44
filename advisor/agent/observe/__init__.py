"""Observation while a window is counted."""
