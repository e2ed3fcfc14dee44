"""The package version, for everything that is stored or shown."""

__version__ = "0.2.0"
