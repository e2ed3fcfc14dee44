"""Reading, applying and exporting `advisor.yaml`."""
