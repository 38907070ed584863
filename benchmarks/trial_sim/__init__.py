"""Commands that measure what is claimed of trial_sim."""
