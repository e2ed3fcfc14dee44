"""Random files, bounded to a minute."""
