"""Training a model: configuration, step, state, whole run, learning curve, private run."""
