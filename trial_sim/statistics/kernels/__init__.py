"""Compiled kernels by name: the one place from which an engine imports them.

They take plain contiguous arrays, validate nothing, release the interpreter lock, and are compiled
once for each combination of array types and kept on disk. ``*_sorted`` kernels expect one trial in
ascending order of duration.
"""

from trial_sim.numerics.normal_kernels import (
    COARSE_PATH,
    FINE_PATH,
    bivariate_normal_cdf,
    max_combo_p,
    maximum_tail,
    multivariate_normal_cdf,
    normal_cdf,
)
from trial_sim.statistics.kernels.counts import lwyy, negative_binomial
from trial_sim.statistics.kernels.cox import (
    cox_newton,
    cox_score_z,
    cox_z_sorted,
    order_by_stratum,
)
from trial_sim.statistics.kernels.cox_fast import (
    cox_fast_z_sorted,
    cox_three_sorted,
)
from trial_sim.statistics.kernels.curves import (
    milestone_sorted,
    reach_sorted,
    rmst_sorted,
)
from trial_sim.statistics.kernels.gray import gray_z_sorted
from trial_sim.statistics.kernels.logrank import (
    FLEMING_HARRINGTON,
    LOGRANK,
    MAGIRR_BURMAN,
    MODESTLY_WEIGHTED,
    logrank_stratified_sums_sorted,
    logrank_sums_sorted,
    logrank_z,
    logrank_z_sorted,
    standardise,
    weighted_logrank_sorted,
    weighted_logrank_stratified,
)
from trial_sim.statistics.kernels.means import linear_model
from trial_sim.statistics.kernels.mmrm import mmrm_unstructured
from trial_sim.statistics.kernels.proportions import (
    farrington_manning_z,
    fisher_p,
    pooled_z,
)

__all__ = [
    "COARSE_PATH",
    "FINE_PATH",
    "FLEMING_HARRINGTON",
    "LOGRANK",
    "MAGIRR_BURMAN",
    "MODESTLY_WEIGHTED",
    "bivariate_normal_cdf",
    "cox_fast_z_sorted",
    "cox_newton",
    "cox_score_z",
    "cox_three_sorted",
    "cox_z_sorted",
    "farrington_manning_z",
    "fisher_p",
    "gray_z_sorted",
    "linear_model",
    "logrank_stratified_sums_sorted",
    "logrank_sums_sorted",
    "logrank_z",
    "logrank_z_sorted",
    "lwyy",
    "max_combo_p",
    "maximum_tail",
    "milestone_sorted",
    "mmrm_unstructured",
    "multivariate_normal_cdf",
    "negative_binomial",
    "normal_cdf",
    "order_by_stratum",
    "pooled_z",
    "reach_sorted",
    "rmst_sorted",
    "standardise",
    "weighted_logrank_sorted",
    "weighted_logrank_stratified",
]
