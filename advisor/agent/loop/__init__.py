"""Training loop: phases, updates, models, samples and the device."""
