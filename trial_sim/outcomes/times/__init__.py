"""Fitted models of times: hazards, Cox, parametric, competing risks, multistate, recurrent."""
