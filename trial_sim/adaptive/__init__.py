"""Adaptive trials: combination tests of independent stages."""
