"""Several runs or versions side by side."""
