"""A search, for a terminal, as a page and as JSON."""
