"""Settings applied to a running script, and taken back."""
