"""Several endpoints of the same patients: a model for each, joined by a Gaussian copula.

Each endpoint keeps its own model given covariates and arm, so that margins and effects are those of
a fit of it alone. What a model draws from (an exponential of a hazard, a uniform of a response, the
normals of visits) is a standard normal, its driver; drivers of different endpoints correlate. The
correlation comes from the real patients: a known outcome says where its driver lies, a censored
time or a category between which values (data augmentation; Albert and Chib 1993, Hoff 2007).

Progression and death have a model of their own (illness and death, see `times.multistate`), so that
nobody progresses after death; its three drivers join the copula. Another time that never exceeds
the time of death is ended by death. Times that end at one time in the real patients share their
end of follow-up.
"""
