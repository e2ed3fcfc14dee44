"""The controller's side of running the user's script."""
