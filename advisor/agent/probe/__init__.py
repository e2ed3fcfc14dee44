"""Agent of a probe, which carries out the controller's windows."""
