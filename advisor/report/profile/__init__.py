"""A profile, for a terminal and as a page."""
