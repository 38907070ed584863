"""Joint generators of baseline covariates.

encoding     tables as float arrays, and back with types, levels, bounds and digits restored
bootstrap    rows drawn again (copies patients, and says so)
smoothing    a smoothed bootstrap on the scale of ranks
cart         sequential classification and regression trees
copula       Gaussian copula with empirical margins
relations    what holds between columns in every patient, found and kept
conditions   where, balance, shift, constraints: what-if on who is sampled
selection    the choice among generators by fidelity, subject to privacy
"""
