"""Root finders for smooth functions of one number or two, without scipy.optimize's import."""

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


def solve_pair(
    function: Callable[[float, float], tuple[float, float]],
    guess: tuple[float, float],
    slopes: tuple[tuple[float, float], tuple[float, float]],
    ftol: float,
    largest_step: float = 1.0,
    limit: int = 25,
) -> bool:
    """Move two numbers until both values of `function` are within `ftol` of zero.

    Broyden's method (1965): Newton's with derivatives that every step corrects, so that each round
    costs one call. For functions that are nearly straight and a guess that is near.

    function: may return NaN where it has no value. slopes: rough derivatives of (first, second)
        value by (first, second) number, a row a value.
    largest_step: no number moves further than this in one round.

    Returns whether it got there; the last call of `function` was at the answer.
    """
    x, y = guess
    (a, b), (c, d) = slopes
    f, g = function(x, y)
    for _ in range(limit):
        if abs(f) <= ftol and abs(g) <= ftol:
            return True
        determinant = a * d - b * c
        if determinant == 0.0 or not np.isfinite(f + g + determinant):
            return False
        u, v = (b * g - d * f) / determinant, (c * f - a * g) / determinant
        shrink = largest_step / max(abs(u), abs(v), largest_step)
        before = f, g
        for _ in range(6):
            f, g = function(x + shrink * u, y + shrink * v)
            if np.isfinite(f + g):
                break
            shrink *= 0.5  # beyond where `function` is defined: less far that way
        u, v = u * shrink, v * shrink
        x, y = x + u, y + v
        size = u * u + v * v
        if size == 0.0:
            return False
        # What the straight lines did not foresee, laid along the step just taken.
        miss_f = (f - before[0] - a * u - b * v) / size
        miss_g = (g - before[1] - c * u - d * v) / size
        a, b, c, d = a + miss_f * u, b + miss_f * v, c + miss_g * u, d + miss_g * v
    return False


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
