"""Conversion of measured windows to a profile."""
