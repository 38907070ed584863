"""Fitted models of responses: binary, continuous, count, ordinal, repeated visits."""
