"""Files for the user and for other tools, one format a file."""
