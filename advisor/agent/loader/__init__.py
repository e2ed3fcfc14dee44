"""Hooks on torch's data loaders."""
