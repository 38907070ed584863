"""Outcome models fitted to real trials: one module a kind of endpoint.

base, registry  what a model offers; which models serve which kind, and the choice among them
features, linear    covariates as a design matrix; coefficients and their draws
glm                 estimators with a ridge on covariates only (never on the treatment)
hazard_grid         arm x interval events and person-time: draws, margins, inversion
times/              survival, competing risks, multistate, recurrent; Cox, Fine-Gray, parametric
responses/          binary, ordinal, continuous, count, longitudinal; MMRM and copula of visits
dropout, gaps       what is missing
effects, combine    the contrast that must be given back; arms that did not exist
"""
