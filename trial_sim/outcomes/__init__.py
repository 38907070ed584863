"""Outcome models fitted to real trials: one module a kind of endpoint.

base, registry  what a model offers; which models serve which kind, and the choice among them
features, linear    covariates as a design matrix; coefficients and their draws
cox, glm, mmrm      estimators with a ridge on covariates only (never on the treatment)
hazard_grid         arm x interval events and person-time: draws, margins, inversion
hazards, fine_gray, stratified, parametric    time to event and competing risks
survival, competing_risks, multistate, recurrent, binary, ordinal, continuous, count, longitudinal
visits, visits_normal, visits_copula, dropout, gaps    repeated visits; what is missing
effects, combine    the contrast that must be given back; arms that did not exist
scenario            fitted arms for the simulation engine
"""
