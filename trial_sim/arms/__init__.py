"""Fitted trials: fit, FittedTrial, sampling of arms, differential privacy."""
