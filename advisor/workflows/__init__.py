"""One verb a file: what `advisor` does from the request to the stored result."""
