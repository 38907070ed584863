"""Stratification factors of an ongoing trial, as codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.design.design import Design
from trial_sim.design.randomization import code_type, joint_stratum


def stratified_test(design: Design) -> bool:
    """Whether the test of a design looks at the strata."""
    return bool(design.strata) and (design.stratified or design.test_name == "cmh")


def read_factors(table: pd.DataFrame, design: Design) -> dict[str, np.ndarray]:
    """Codes of the design's stratification factors, (n,) each, in the order of the table.

    Empty where a factor is missing and the test does not need it.

    Raises:
        ValueError: if a stratified test lacks a factor, or a patient has an unknown level.
    """
    missing = [name for name in design.strata if name not in table]
    adjusted = [name for name in missing if name in design.adjust]
    if missing and "arm" in table and (stratified_test(design) or adjusted):
        does = "is stratified" if stratified_test(design) else f"adjusts for {adjusted[0]!r}"
        raise ValueError(
            f"the test {does}: patients need a column {missing[0]!r} with the levels "
            f"{list(design.strata[missing[0]])}"
        )
    if missing:
        return {}
    factors = {}
    for name, shares in design.strata.items():
        levels = [str(level) for level in shares]
        values = table[name].astype(str)
        for value in values.unique():
            if value not in levels:
                raise ValueError(f"{name} has an unknown level {value!r}{nearest(value, levels)}")
        codes = values.map({v: k for k, v in enumerate(levels)})
        factors[name] = codes.to_numpy(dtype=code_type(len(levels)))
    return factors


def strata_of(factors: Any, design: Design) -> np.ndarray:
    """Joint stratum of each patient from factor codes of any shape, int64."""
    n_levels = np.array([len(levels) for levels in design.strata.values()], dtype=np.int64)
    return joint_stratum(np.array([factors[name] for name in design.strata]), n_levels)
