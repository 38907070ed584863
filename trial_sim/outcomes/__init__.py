"""Outcome models fitted to real trials: one module a kind of endpoint.

features        covariates as a design matrix
cox             Cox regression by Newton's method, stratified, with a ridge on covariates only
hazard_grid     arm x interval events and person-time: draws, marginal calibration, inversion
parametric      parametric survival families
survival, competing_risks, multistate, recurrent, binary, ordinal, continuous, count, longitudinal
effects         the contrast of two arms that each kind must replicate
"""
