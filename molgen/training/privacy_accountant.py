"""How much privacy noisy training spends: Rényi accounting of the subsampled Gaussian mechanism.

A step of DP-SGD takes each molecule with probability q, clips its gradient to norm C and adds
Gaussian noise of standard deviation sigma C to the sum. Its Rényi divergence of integer order a is
log A_a / (a - 1) with

    A_a = sum_k binom(a, k) (1 - q)^(a - k) q^k exp((k^2 - k) / (2 sigma^2))

(Mironov, Talwar and Zhang 2019, "Rényi Differential Privacy of the Sampled Gaussian Mechanism",
section 3.3). log A_a is convex in a, so that between two whole orders the straight line is an upper
bound. Steps add up, and the sum becomes (epsilon, delta) by the conversion of Canonne, Kamath and
Steinke (2020, proposition 12), the best over all orders. Neighbouring data sets differ by one
molecule that is there or not.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, logsumexp

_WHOLE = np.array([1, *range(2, 129), 160, 192, 256, 384, 512], dtype=np.float64)
ORDERS = np.unique(np.concatenate([np.arange(1.05, 12, 0.05), _WHOLE[1:]]))
"""Orders over which the best is taken."""


def renyi_divergence(
    sampling_rate: float, noise_multiplier: float, orders: np.ndarray
) -> np.ndarray:
    """Rényi divergence of one step, (n_orders,) float64.

    Args:
        sampling_rate: q, the probability of each molecule to be taken, 0 to 1.
        noise_multiplier: sigma, the noise over the clipping norm; 0 gives infinity.
        orders: (n_orders,) above 1.

    Raises:
        ValueError: a rate outside 0 to 1, negative noise, or an order that is not above 1.
    """
    orders = np.asarray(orders, dtype=np.float64)
    if not 0 <= sampling_rate <= 1:
        raise ValueError(f"sampling_rate is {sampling_rate}; expected a number from 0 to 1")
    if not noise_multiplier >= 0:
        raise ValueError(f"noise_multiplier is {noise_multiplier}; expected at least 0")
    if not (orders > 1).all():
        raise ValueError(f"the smallest order is {orders.min()}; expected all above 1")
    if sampling_rate == 0:
        return np.zeros(len(orders))
    if noise_multiplier == 0:
        return np.full(len(orders), math.inf)
    if sampling_rate == 1:
        return orders / (2 * noise_multiplier**2)
    whole = np.unique(np.concatenate([np.floor(orders), np.ceil(orders)]))
    log_a = np.array([_log_a(sampling_rate, noise_multiplier, int(a)) for a in whole])
    return np.interp(orders, whole, log_a) / (orders - 1)


@lru_cache(maxsize=4096)
def _log_a(q: float, sigma: float, order: int) -> float:
    """log A of a whole order; 0 for order 1."""
    k = np.arange(order + 1, dtype=np.float64)
    binomial = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    terms = binomial + (order - k) * math.log1p(-q) + k * math.log(q)
    return max(float(logsumexp(terms + (k * k - k) / (2 * sigma**2))), 0.0)


def epsilon_spent(
    sampling_rate: float, noise_multiplier: float, n_steps: int, delta: float
) -> float:
    """The epsilon of ``n_steps`` steps at this ``delta``.

    Raises:
        ValueError: a delta outside 0 to 1, or see :func:`renyi_divergence`.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta is {delta}; expected a number between 0 and 1")
    if n_steps < 0:
        raise ValueError(f"n_steps is {n_steps}; expected at least 0")
    if n_steps == 0 or sampling_rate == 0:
        return 0.0
    total = n_steps * renyi_divergence(sampling_rate, noise_multiplier, ORDERS)
    with np.errstate(invalid="ignore"):
        epsilon = total + np.log1p(-1 / ORDERS) - (math.log(delta) + np.log(ORDERS)) / (ORDERS - 1)
    return float(max(np.min(epsilon), 0.0))


def noise_for(epsilon: float, delta: float, sampling_rate: float, n_steps: int) -> float:
    """The smallest noise multiplier (to .1 %) with which ``n_steps`` steps spend ``epsilon``.

    Raises:
        ValueError: an epsilon that is not positive or that no noise reaches, or see
            :func:`epsilon_spent`.
    """
    if not epsilon > 0 or not math.isfinite(epsilon):
        raise ValueError(f"epsilon is {epsilon}; expected a number above 0")
    low, high = 0.01, 1.0
    while epsilon_spent(sampling_rate, high, n_steps, delta) > epsilon:
        low, high = high, 2 * high
        if high > 1e6:
            raise ValueError(f"no noise gives epsilon {epsilon} at delta {delta}")
    while high > 1.001 * low:
        middle = math.sqrt(low * high)
        if epsilon_spent(sampling_rate, middle, n_steps, delta) > epsilon:
            low = middle
        else:
            high = middle
    return high
