"""Foundation for the rest of the agent: patches, imports, the channel, forks."""
