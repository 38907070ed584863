"""Learned properties: data, features, learners, calibration, saved models, ADMET."""
