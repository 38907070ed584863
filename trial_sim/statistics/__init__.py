"""Tests and estimators of single trials, and the compiled kernels under them.

    records              the small frozen records that every function returns
    survival_tests       logrank, max_combo
    survival_curves      kaplan_meier, rmst_difference, milestone_difference
    regression           cox
    competing            aalen_johansen, gray_test
    recurrent            andersen_gill (LWYY)
    means, proportions, counts
    mmrm                 mixed model for repeated measures
    kernels, kernels_*   what an engine calls in a loop over trials

Every test has ``.z > 0`` where the group coded 1 does better, and a one-sided ``.p_value``. Names
are imported on first use.
"""
