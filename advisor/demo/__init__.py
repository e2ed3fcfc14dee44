"""A small real training that ships with the package, for `advisor demo`."""
