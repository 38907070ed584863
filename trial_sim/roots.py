"""One root finder for smooth monotone functions of one number, without scipy.optimize's import."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def find_root(
    function: Callable[[float], float],
    guess: float,
    step: float,
    lower: float = -np.inf,
    upper: float = np.inf,
    xtol: float = 1e-12,
    ftol: float = 0.0,
    what: str = "the equation",
    slope: float | None = None,
) -> float:
    """The x in [lower, upper] where `function` changes sign.

    Steps out from `guess` by doubling `step` until the sign changes, then closes in with
    Chandrupatla's method (1997: inverse quadratic interpolation guarded by bisection).

    ftol: a value within this of zero counts as zero.
    slope: the rough slope of `function`, where it is known: the first step then leads just past
        the root of a line with it, instead of `step` away.
    Raises ValueError, naming `what`, when no sign change is found.
    """
    near, f_near = guess, function(guess)
    if abs(f_near) <= ftol:
        return float(near)
    if slope is not None and np.isfinite(f_near):
        straight = -1.1 * f_near / slope
        step = float(np.copysign(max(abs(straight), 1e-3 * abs(step)), straight))
    far = float(np.clip(guess + step, lower, upper))
    f_far = function(far)
    # The function is monotone: walk in the direction in which it comes nearer to zero.
    if np.sign(f_near) == np.sign(f_far) and abs(f_far) > abs(f_near):
        near, far, f_near, f_far = far, near, f_far, f_near
    width = far - near
    for _ in range(200):
        if abs(f_far) <= ftol:
            return float(far)
        if np.sign(f_near) != np.sign(f_far):
            return _close_in(function, near, far, f_near, f_far, xtol, ftol)
        # A secant step doubled jumps past the root when the function is nearly straight.
        secant = -f_far * (far - near) / (f_far - f_near) if f_far != f_near else 0.0
        width = np.sign(width) * min(
            max(abs(secant) * 1.05, 0.05 * abs(width)) if secant else 2 * abs(width),
            4 * abs(width),
        )
        following = float(np.clip(far + width, lower, upper))
        if following == far:
            break
        near, f_near = far, f_far
        far = following
        f_far = function(far)
    raise ValueError(f"no solution for {what} between {lower:g} and {upper:g}")


def solve_between(
    function: Callable[[float], float],
    lower: float,
    upper: float,
    xtol: float = 1e-13,
    ftol: float = 0.0,
    what: str = "the equation",
) -> float:
    """The x in [lower, upper] where `function`, of opposite signs at the ends, is zero.

    For functions that are flat over part of the interval, where a walk would lose its way.
    Raises ValueError, naming `what`, when the signs are the same.
    """
    f_lower, f_upper = function(lower), function(upper)
    if np.sign(f_lower) == np.sign(f_upper):
        raise ValueError(f"no solution for {what} between {lower:g} and {upper:g}")
    return _close_in(function, lower, upper, f_lower, f_upper, xtol, ftol)


def _close_in(
    function: Callable[[float], float],
    b: float,
    a: float,
    fb: float,
    fa: float,
    xtol: float,
    ftol: float,
) -> float:
    """Chandrupatla's method on a bracket [a, b] with values of opposite sign."""
    c, fc = a, fa
    first = True
    share = 0.5
    for _ in range(100):
        if not first and np.isfinite(fa + fb + fc) and fa not in (fb, fc) and fb != fc:
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            share = 0.5
            if phi**2 < xi and (1 - phi) ** 2 < 1 - xi:
                share = fa / (fb - fa) * fc / (fb - fc)
                share += (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        elif first and np.isfinite(fa + fb):
            share = fa / (fa - fb)  # secant
        else:
            share = 0.5
        first = False
        tolerance = xtol * (1.0 + min(abs(a), abs(b)))
        edge = tolerance / max(abs(b - a), 1e-300)
        if edge > 0.5:
            break
        x = a + min(max(share, edge), 1 - edge) * (b - a)
        fx = function(x)
        if np.sign(fx) == np.sign(fa):
            c, fc = a, fa
        else:
            c, fc, b, fb = b, fb, a, fa
        a, fa = x, fx
        if abs(fa) <= ftol:
            break
    return float(a if abs(fa) <= abs(fb) else b)
