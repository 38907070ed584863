"""Compiled kernels by name: the one place from which an engine imports them.

They take plain contiguous arrays, validate nothing, release the interpreter lock, and are compiled
once for each combination of array types and kept on disk. ``*_sorted`` kernels expect one trial in
ascending order of duration; ``*_batch`` kernels take ``(n_trials, n_patients)`` arrays in any order.
"""

from trial_sim.statistics.kernels_cutoff import logrank_at_cutoff, sort_at_cutoff
from trial_sim.statistics.kernels_logrank import (
    FLEMING_HARRINGTON,
    LOGRANK,
    MAGIRR_BURMAN,
    MODESTLY_WEIGHTED,
    logrank_stratified_sums_sorted,
    logrank_stratified_z,
    logrank_stratified_z_batch,
    logrank_sums_sorted,
    logrank_z,
    logrank_z_batch,
    logrank_z_sorted,
    standardise,
    weighted_logrank_batch,
    weighted_logrank_sorted,
    weighted_logrank_stratified,
)

__all__ = [
    "FLEMING_HARRINGTON",
    "LOGRANK",
    "MAGIRR_BURMAN",
    "MODESTLY_WEIGHTED",
    "logrank_at_cutoff",
    "logrank_stratified_sums_sorted",
    "logrank_stratified_z",
    "logrank_stratified_z_batch",
    "logrank_sums_sorted",
    "logrank_z",
    "logrank_z_batch",
    "logrank_z_sorted",
    "sort_at_cutoff",
    "standardise",
    "weighted_logrank_batch",
    "weighted_logrank_sorted",
    "weighted_logrank_stratified",
]
