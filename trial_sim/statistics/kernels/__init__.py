"""Compiled kernels by name: the one place from which an engine imports them.

They take plain contiguous arrays, validate nothing, release the interpreter lock, and are compiled
once for each combination of array types and kept on disk. ``*_sorted`` kernels expect one trial in
ascending order of duration; ``*_batch`` kernels take ``(n_trials, n_patients)`` arrays in any
order.
"""

from trial_sim.numerics.normal_kernels import (
    COARSE_PATH,
    FINE_PATH,
    bivariate_normal_cdf,
    max_combo_p,
    max_combo_p_batch,
    max_combo_rejects,
    maximum_tail,
    multivariate_normal_cdf,
    normal_cdf,
)
from trial_sim.statistics.kernels.counts import lwyy, negative_binomial, negative_binomial_batch
from trial_sim.statistics.kernels.cox import (
    cox_batch,
    cox_newton,
    cox_score_z,
    cox_z_sorted,
    order_by_stratum,
)
from trial_sim.statistics.kernels.cox_fast import (
    cox_fast_batch,
    cox_fast_z_sorted,
    cox_three_sorted,
)
from trial_sim.statistics.kernels.curves import (
    milestone_batch,
    milestone_sorted,
    reach_sorted,
    rmst_batch,
    rmst_sorted,
)
from trial_sim.statistics.kernels.gray import gray_z_batch, gray_z_sorted
from trial_sim.statistics.kernels.logrank import (
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
from trial_sim.statistics.kernels.means import ancova_batch, linear_model, t_batch
from trial_sim.statistics.kernels.mmrm import mmrm_batch, mmrm_unstructured
from trial_sim.statistics.kernels.proportions import (
    farrington_manning_z,
    fisher_p,
    pooled_z,
    proportions_batch,
)

__all__ = [
    "COARSE_PATH",
    "FINE_PATH",
    "FLEMING_HARRINGTON",
    "LOGRANK",
    "MAGIRR_BURMAN",
    "MODESTLY_WEIGHTED",
    "ancova_batch",
    "bivariate_normal_cdf",
    "cox_batch",
    "cox_fast_batch",
    "cox_fast_z_sorted",
    "cox_newton",
    "cox_score_z",
    "cox_three_sorted",
    "cox_z_sorted",
    "farrington_manning_z",
    "fisher_p",
    "gray_z_batch",
    "gray_z_sorted",
    "linear_model",
    "logrank_stratified_sums_sorted",
    "logrank_stratified_z",
    "logrank_stratified_z_batch",
    "logrank_sums_sorted",
    "logrank_z",
    "logrank_z_batch",
    "logrank_z_sorted",
    "lwyy",
    "max_combo_p",
    "max_combo_p_batch",
    "max_combo_rejects",
    "maximum_tail",
    "milestone_batch",
    "milestone_sorted",
    "mmrm_batch",
    "mmrm_unstructured",
    "multivariate_normal_cdf",
    "negative_binomial",
    "negative_binomial_batch",
    "normal_cdf",
    "order_by_stratum",
    "pooled_z",
    "proportions_batch",
    "reach_sorted",
    "rmst_batch",
    "rmst_sorted",
    "standardise",
    "t_batch",
    "weighted_logrank_batch",
    "weighted_logrank_sorted",
    "weighted_logrank_stratified",
]
