"""Everything kept on disk: runs, documents, and the data files that ship with the package."""
