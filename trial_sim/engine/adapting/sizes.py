"""How large a trial becomes, and how its allocation changes, by what a milestone shows."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from trial_sim.adaptive.posteriors import (
    allocation_shares,
    thompson_shares,
)
from trial_sim.adaptive.rules import Reallocate, Resize
from trial_sim.design.milestones import NotSimulated
from trial_sim.engine.adapting.quantities import State


def more_information(state: State, action: Resize) -> np.ndarray:
    """Information still needed over information so far, (n,), for the target conditional power.

    Of several arms for the one with the best estimate; infinite where nothing speaks for it.
    """
    z = state._by_comparison(state.combined, None)
    drift = state._by_comparison(state.stage.z, None)
    estimate = state.direction * state._by_comparison(state.stage.estimate, None)
    se = state._by_comparison(state.stage.se, None)
    level = np.where(state.open & np.isfinite(estimate), estimate, -np.inf)
    rows, best = np.arange(len(z)), level.argmax(axis=1)
    t = float(state.adaptive.fractions[state.k])
    c = state.adaptive.final_bound
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = (c - np.sqrt(t) * z[rows, best]) / np.sqrt(1.0 - t)
        wanted = np.maximum(needed + float(ndtri(action.target)), 0.0)
        if action.by == "conditional_power":
            seen = drift[rows, best]
        else:
            seen = state.direction * float(action.by) / se[rows, best]
        ratio = np.where(seen > 0, (wanted / seen) ** 2, np.inf)
    return np.where(np.isnan(ratio), np.inf, ratio)


def blinded_size(state: State, action: Resize) -> np.ndarray:
    """Patients in all of a fixed trial for the effect assumed, from all arms together, (n,)."""
    design = state.adaptive.design
    assert action.effect is not None
    control, treated = design.arms.values()
    r = float(treated) / float(control)
    z_alpha, z_beta = -float(ndtri(state.adaptive.alpha)), float(ndtri(action.target))
    if state.kind == "continuous":
        sd = np.asarray(state.value("pooled_sd"))
        return (1 + r) ** 2 / r * (sd * (z_alpha + z_beta) / action.effect) ** 2
    if state.kind == "binary":
        p = np.asarray(state.value("pooled_rate"))
        d = abs(float(action.effect))
        p1 = np.clip(p + d / (1 + r), 0.0, 1.0)
        p0 = np.clip(p - d * r / (1 + r), 0.0, 1.0)
        spread = np.sqrt(r * p0 * (1 - p0) + p1 * (1 - p1))
        root = z_alpha * np.sqrt((1 + r) * p * (1 - p)) + z_beta * spread
        each = (root / d) ** 2 / r  # of the control
        inside = (p - d * r / (1 + r) >= -1e-9) & (p + d / (1 + r) <= 1 + 1e-9)
        return np.where(inside, (1 + r) * np.ceil(each - 1e-12), 0.0)
    if state.kind == "count":
        mean, k = (np.asarray(state.value(f"pooled_{name}")) for name in ("rate", "dispersion"))
        ratio = np.exp(float(action.effect))
        m0 = mean * (1 + r) / (1 + r * ratio)
        with np.errstate(divide="ignore", invalid="ignore"):
            null = (1 / mean + k) * (1 + 1 / r)
            true = 1 / m0 + k + (1 / (m0 * ratio) + k) / r
            each = ((z_alpha * np.sqrt(null) + z_beta * np.sqrt(true)) / action.effect) ** 2
        return (1 + r) * np.where(mean > 0, each, np.nan)
    if state.kind == "time_to_event":
        needed = ((z_alpha + z_beta) * (1 + r) / action.effect) ** 2 / r
        return needed / event_chance(state)
    raise NotSimulated(f"a blinded Resize is not simulated for {state.kind} outcomes")


def event_chance(state: State) -> np.ndarray:
    """Chance (n,) that a patient has the event within the design's follow-up, from the rates of
    events and of drop-out of all arms together, constant over time."""
    batch, month = state.batch, state.month[:, None]
    limit = state.adaptive.design.follow_up
    assert limit is not None
    entered = batch.enrolment <= month
    months = np.where(entered, np.minimum(batch.exit, month) - batch.enrolment, 0.0).sum(axis=1)
    over = entered & (batch.exit <= month)
    events = (over & (batch.event == 1)).sum(axis=1)
    left = (over & (batch.event == 0) & (batch.time < limit * (1 - 1e-9))).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (events + left) / months
        return np.where(events > 0, events / (events + left), np.nan) * -np.expm1(-rate * limit)


def new_shares(state: State, action: Reallocate) -> np.ndarray:
    """Shares (n, n_arms) of the arms by a rule that looks at the data."""
    here = np.column_stack([np.ones(len(state.open), bool), state.open])
    if action.by == "thompson":
        power = action.tuning
        if power == "n/2N":
            power = state.patients / (2.0 * state.target)
        wanted = thompson_shares(state.best(), np.broadcast_to(power, len(here)))
    else:
        data = state.arm_data()
        if state.kind == "binary":
            with np.errstate(invalid="ignore"):
                rate = (np.where(data.n > 0, data.mean, 0.0) * data.n + 1) / (data.n + 2)
            if state.direction < 0:
                rate = 1.0 - rate
            root = rate if action.by == "rsihr" else rate * (1 - rate)
            wanted = np.sqrt(root)
        elif action.by == "rsihr":
            raise NotSimulated(f"by='rsihr' is for rates, not for {state.kind} outcomes")
        elif state.kind == "time_to_event":
            # asymptotic variance of a log hazard is one over the expected events
            with np.errstate(divide="ignore", invalid="ignore"):
                share = data.n / np.maximum(state_patients(state), 1)
                wanted = 1.0 / np.sqrt(np.maximum(share, 1e-6))
        else:
            wanted = np.sqrt(np.where(data.n > 1, data.variance, np.nan))
            middle = np.nanmean(
                np.where(np.isfinite(wanted), wanted, np.nan), axis=1, keepdims=True
            )
            wanted = np.where(np.isfinite(wanted), wanted, np.nan_to_num(middle, nan=1.0))
    return allocation_shares(wanted, here, action.least, action.control_share)


def state_patients(state: State) -> np.ndarray:
    """Patients enrolled in each arm, (n, n_arms)."""
    entered = state.batch.enrolment <= state.month[:, None]
    return np.column_stack(
        [(entered & (state.batch.arm == a)).sum(axis=1) for a in range(len(state.adaptive.arms))]
    )
