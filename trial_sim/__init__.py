"""trial_sim: synthetic patient arms fitted to real trials, and whole trials run in silico.

The rooms, from the ground up; each imports only from those above it in this list:

    base            arguments, records, written files, storage
    numerics        random streams, buffers, roots, piecewise hazards, multivariate normal
    statistics      tests and estimates of one trial, compiled kernels under them
    sequential      bounds, spending, integration, futility, inference, monitoring, update
    sample_size     fixed designs, one module a kind of endpoint; assurance
    scenarios       what happens to simulated patients
    data            Trial, endpoints, schema, constraints, CDISC, built-in trials
    covariates      joint generators of baseline columns
    outcomes        fitted models of times and of responses
    arms            fit, FittedTrial, sampling of arms, differential privacy
    auditing        fidelity, utility, privacy and balance of synthetic arms
    adaptive        single-arm and re-estimated designs, closed tests, graphs, words of rules
    design          Design, milestones, accrual, looks, randomisation, names of tests
    engine          a batch of trials, held look by look
    simulation      simulate, operating characteristics, replay, files of results
    exploration     what_if: grids, search, assurance by simulation, report
    prediction      an ongoing trial
    qualification   the kit of independent values, saved results made again: qualify, verify
    cli             parses, calls one public function, prints

``dir(trial_sim)`` has the names of the README, the tours and most how-to pages. The others are
found in their rooms: ``ts.statistics``, ``ts.sample_size``, ``ts.sequential``, ``ts.scenarios``,
``ts.adaptive``, ``ts.design`` (its looks are ``ts.looks``), ``ts.data``, ``ts.exploration``,
``ts.prediction``. All of them can be written flat, too: ``ts.logrank``.

Names are imported on first use, so that ``import trial_sim`` stays fast.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_HOMES = {
    "TrialSimError": "base.errors",
    "Trial": "data.trial",
    "TimeToEvent": "data.trial",
    "CompetingRisks": "data.trial",
    "Recurrent": "data.trial",
    "Binary": "data.trial",
    "Ordinal": "data.trial",
    "Continuous": "data.trial",
    "Count": "data.trial",
    "Longitudinal": "data.trial",
    "load_trial": "data.datasets",
    "list_trials": "data.datasets",
    "read_trial": "data.datasets",
    "trial_from_cdisc": "data.datasets",
    "fit": "arms.fitting",
    "FittedTrial": "arms.fitting",
    "load_fitted": "arms.fitting",
    "audit": "auditing",
    "group_sequential": "sequential.design",
    "GroupSequential": "sequential.design",
    "events_required": "sample_size",
    "power_of_events": "sample_size",
    "sample_size_means": "sample_size",
    "sample_size_proportions": "sample_size",
    "sample_size_survival": "sample_size",
    "sample_size_counts": "sample_size",
    "sample_size_recurrent": "sample_size",
    "sample_size_rmst": "sample_size",
    "sample_size_ordinal": "sample_size",
    "sample_size_equivalence_means": "sample_size",
    "sample_size_equivalence_proportions": "sample_size",
    "exact_power_proportions": "sample_size",
    "survival_scenario": "sample_size.average_hazard",
    "average_hazard_ratio": "sample_size.average_hazard",
    "expected_events": "sample_size.average_hazard",
    "survival_expectations": "sample_size.group_sequential_survival",
    "probability_of_success": "sample_size.assurance",
    "BetaMixture": "sample_size.assurance",
    "borrowing_power": "sample_size.assurance",
    "sample_size_prognostic": "sample_size.assurance",
    "graphical_test": "sequential.multiplicity",
    "dunnett_critical_value": "sequential.multiplicity",
    "adjust_p_values": "sequential.multiplicity",
    "fisher_design": "adaptive.combination_tests",
    "combine_p_values": "adaptive.combination_tests",
    "conditional_error": "adaptive.conditional_errors",
    "closed_combination_test": "adaptive.closed_tests",
    "intersection_p_value": "adaptive.intersections",
    "repeated_intervals": "adaptive.closed_tests",
    "nested_population_levels": "adaptive.intersections",
    "multi_arm_bounds": "adaptive.several_arms",
    "step_down_bounds": "adaptive.several_arms",
    "conditional_dunnett": "adaptive.closed_tests",
    "PromisingZone": "adaptive.reestimation",
    "SampleSizeReestimation": "adaptive.reestimation",
    "BlindedRates": "adaptive.reestimation",
    "blinded_sample_size_means": "adaptive.reestimation",
    "smallest_promising_power": "adaptive.reestimation",
    "sequential_graph_test": "adaptive.sequential_graph",
    "repeated_p_value": "adaptive.conditional_errors",
    "BinomialSequence": "adaptive.binomial_sequences",
    "TwoSampleBinomialSequence": "adaptive.binomial_sequences",
    "simon_designs": "adaptive.single_arm",
    "predictive_probability_design": "adaptive.single_arm",
    "Quantity": "adaptive.rules",
    "Rule": "adaptive.rules",
    "Stop": "adaptive.rules",
    "DropArm": "adaptive.rules",
    "AddArm": "adaptive.rules",
    "Resize": "adaptive.rules",
    "Restrict": "adaptive.rules",
    "Reallocate": "adaptive.rules",
    "Pause": "adaptive.rules",
    "ClosedTest": "adaptive.rules",
    "Arm": "adaptive.rules",
    "Milestone": "design.milestones",
    "AdaptiveDesign": "design.adaptive_design",
    "milestones_of": "design.stops_by_z",
    "logrank": "statistics",
    "max_combo": "statistics",
    "one_sample_logrank": "statistics",
    "rmst_difference": "statistics",
    "milestone_difference": "statistics",
    "kaplan_meier": "statistics",
    "cox": "statistics",
    "andersen_gill": "statistics",
    "aalen_johansen": "statistics",
    "gray_test": "statistics",
    "t_test": "statistics",
    "ancova": "statistics",
    "chi_square_test": "statistics",
    "fisher_test": "statistics",
    "farrington_manning_test": "statistics",
    "cmh_test": "statistics",
    "negative_binomial_test": "statistics",
    "mmrm": "statistics",
    "Design": "design.design",
    "Accrual": "design.design",
    "Dropout": "design.design",
    "EventLooks": "design.design",
    "CalendarLooks": "design.design",
    "EnrolmentLooks": "design.design",
    "FollowUpLooks": "design.design",
    "FirstOf": "design.design",
    "LastOf": "design.design",
    "PermutedBlocks": "design.design",
    "CompleteRandomization": "design.design",
    "BiasedCoin": "design.design",
    "Minimization": "design.design",
    "ResponseAdaptive": "design.design",
    "PiecewiseExponential": "scenarios",
    "Weibull": "scenarios",
    "SurvivalTable": "scenarios",
    "SampledTimes": "scenarios",
    "IllnessDeath": "scenarios",
    "BinaryResponse": "scenarios",
    "CompetingEvents": "scenarios",
    "ContinuousResponse": "scenarios",
    "CountResponse": "scenarios",
    "OrdinalResponse": "scenarios",
    "RecurrentEvents": "scenarios",
    "LongitudinalResponse": "scenarios",
    "WithCovariates": "scenarios",
    "BySubgroup": "scenarios",
    "WithDrift": "scenarios",
    "WithEndpoints": "scenarios",
    "simulate": "simulation.simulate",
    "what_if": "exploration.grid",
    "simulate_assurance": "exploration.assurance",
    "worst_case_type_one_error": "exploration.worst_case",
    "family_wise_error": "exploration.family_error",
    "compare_designs": "exploration.compare",
    "simulation_report": "exploration.report",
    "predict": "prediction.predicting",
    "qualify": "qualification",
    "verify": "qualification",
    "read_ongoing": "prediction.reading.ongoing",
    "OngoingTrial": "prediction.reading.ongoing",
    "ongoing_from_adam": "prediction.reading.adam",
    "load_prediction": "prediction.saved",
    "backtest": "prediction.backtesting",
}

try:
    __version__ = version("digital-double")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"

#: What ``dir(trial_sim)`` has of them; all others work as well.
_FRONT = (
    "Accrual", "AdaptiveDesign", "BinaryResponse", "CalendarLooks", "ClosedTest",
    "ContinuousResponse", "Design", "DropArm", "Dropout", "EnrolmentLooks", "EventLooks",
    "Milestone", "PiecewiseExponential", "Quantity", "Resize", "Rule", "Stop", "Trial",
    "TrialSimError", "audit", "cox", "events_required", "family_wise_error", "fit",
    "group_sequential", "list_trials", "load_fitted", "load_trial", "predict", "qualify",
    "read_trial", "simulate", "simulation_report", "trial_from_cdisc", "verify", "what_if",
)  # fmt: skip
#: Rooms in which public names are found, and where they are if not in the folder of that name.
_ROOMS = {
    "adaptive": "adaptive",
    "data": "data",
    "design": "design",
    "exploration": "exploration",
    "looks": "design.look_rules",
    "prediction": "prediction",
    "sample_size": "sample_size",
    "scenarios": "scenarios",
    "sequential": "sequential",
    "statistics": "statistics",
}

__all__ = sorted([*_FRONT, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"trial_sim.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return import_module(f"trial_sim.{_ROOMS[name]}")
    every = ", ".join(sorted([*_HOMES, *_ROOMS]))
    raise AttributeError(f"module 'trial_sim' has no attribute {name!r}; it has: {every}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
