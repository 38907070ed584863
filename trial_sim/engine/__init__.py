"""A batch of simulated trials, held look by look."""
