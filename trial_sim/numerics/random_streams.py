"""Counter-based random streams: every number is a pure function of who asks for it.

A uniform is Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy
as 1, 2, 3") evaluated at a key made from ``(seed, scenario)`` and a counter made from
``(trial, patient, quantity, draw)``. So a trial's patients are the same whatever the chunk size,
the number of workers or the order of work, patient ``i`` is the same in a trial of 400 and of 500,
and scenarios that share a key share their random numbers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numba as nb
import numpy as np

from trial_sim.numerics.buffers import empty

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_S11 = np.uint64(11)
_S32 = np.uint64(32)
_ULP = 2.0**-53

# Patients are numbered in tiles of 64: one block of Philox serves patients j and j + 32 of a tile,
# so that the loop over blocks has no dependence and the compiler can vectorise it.
TILE = 64
HALF = 32

# log(x) for x in (0, 1]: the rational approximation of FreeBSD's e_log.c (error below 1 ulp),
# written without branches so that it vectorises.
_LN2_HI = 6.93147180369123816490e-01
_LN2_LO = 1.90821492927058770002e-10
_LG1 = 6.666666666666735130e-01
_LG2 = 3.999999999940941908e-01
_LG3 = 2.857142874366239149e-01
_LG4 = 2.222219843214978396e-01
_LG5 = 1.818357216161805012e-01
_LG6 = 1.531383769920937332e-01
_LG7 = 1.479819860511658591e-01
_SQRT_HALF_BITS = np.int64(0x3FE6A09E00000000)
_BIAS = np.int64(0x3FF0000000000000 - 0x3FE6A09E00000000)
_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_S52 = np.int64(52)
_E1023 = np.int64(1023)


@nb.njit(inline="always")
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Ten rounds of Philox4x32 on uint64 scalars that hold 32-bit words; returns four words."""
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _S32) ^ c1 ^ k0, p1 & _MASK, (p0 >> _S32) ^ c3 ^ k1, p0 & _MASK
        k0 = (k0 + _W0) & _MASK
        k1 = (k1 + _W1) & _MASK
    return c0, c1, c2, c3


@nb.njit(inline="always")
def _tile(buffer, tile, c1, c2, c3, k0, k1):
    """Fill ``buffer`` (64,) with the uniforms of one tile of patients."""
    for j in range(HALF):
        r0, r1, r2, r3 = philox4x32(np.uint64(tile * HALF + j), c1, c2, c3, k0, k1)
        buffer[j] = (np.float64(((r0 << _S32) | r1) >> _S11) + 0.5) * _ULP
        buffer[j + HALF] = (np.float64(((r2 << _S32) | r3) >> _S11) + 0.5) * _ULP


@nb.njit(inline="always")
def _minus_log(buffer, bits, exponent):
    """Replace x by -log(x) in ``buffer`` (64,); ``bits`` is the int64 view of the same memory.

    Two loops, because a loop that touches both views of one memory does not vectorise.
    """
    for j in range(TILE):
        shifted = bits[j] + _BIAS
        exponent[j] = np.float64((shifted >> _S52) - _E1023)
        bits[j] = (shifted & _MANTISSA) + _SQRT_HALF_BITS
    for j in range(TILE):
        k = exponent[j]
        f = buffer[j] - 1.0
        s = f / (2.0 + f)
        z = s * s
        r = z * (_LG1 + z * (_LG2 + z * (_LG3 + z * (_LG4 + z * (_LG5 + z * (_LG6 + z * _LG7))))))
        h = 0.5 * f * f
        buffer[j] = ((h - (s * (h + r) + k * _LN2_LO)) - f) - k * _LN2_HI


@nb.njit(nogil=True, cache=True, error_model="numpy")
def fill_uniforms(out, trials, quantity, draw, k0, k1):
    """Write uniforms on (0, 1) to ``out`` (n_trials, n); ``trials`` are trial numbers."""
    n_trials, n = out.shape
    buffer = np.empty(TILE)
    for t in range(n_trials):
        c2 = np.uint64(trials[t])
        for tile in range((n + TILE - 1) // TILE):
            _tile(buffer, tile, quantity, c2, draw, k0, k1)
            start = tile * TILE
            for j in range(min(TILE, n - start)):
                out[t, start + j] = buffer[j]


@nb.njit(nogil=True, cache=True, error_model="numpy")
def fill_exponentials(out, trials, quantity, draw, k0, k1):
    """Write unit exponentials, -log of the uniforms of :func:`fill_uniforms`, to ``out``."""
    n_trials, n = out.shape
    buffer = np.empty(TILE)
    bits = buffer.view(np.int64)
    exponent = np.empty(TILE)
    for t in range(n_trials):
        c2 = np.uint64(trials[t])
        for tile in range((n + TILE - 1) // TILE):
            _tile(buffer, tile, quantity, c2, draw, k0, k1)
            _minus_log(buffer, bits, exponent)
            start = tile * TILE
            for j in range(min(TILE, n - start)):
                out[t, start + j] = buffer[j]


@lru_cache(maxsize=1024)
def _key(seed: int, scenario: int) -> tuple[np.uint64, np.uint64]:
    """Two 32-bit words of key for a seed and a scenario."""
    state = np.random.SeedSequence([seed, scenario]).generate_state(2, np.uint32)
    return np.uint64(state[0]), np.uint64(state[1])


@lru_cache(maxsize=1024)
def quantity_code(name: str) -> np.uint64:
    """The 32-bit counter word of a named quantity (CRC-32 of the name)."""
    return np.uint64(zlib.crc32(name.encode()))


@dataclass(frozen=True)
class Streams:
    """The random numbers of a batch of trials.

    Attributes:
        seed: any non-negative integer.
        scenario: index of the scenario; 0 for all scenarios that share random numbers.
        trials: trial numbers of the batch, (n_trials,) int64.
    """

    seed: int
    scenario: int
    trials: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", _key(self.seed, self.scenario))

    @classmethod
    def span(cls, seed: int, first: int, stop: int, scenario: int = 0) -> Streams:
        """Streams of trials ``first`` to ``stop - 1``."""
        return cls(seed, scenario, np.arange(first, stop, dtype=np.int64))

    @property
    def n_trials(self) -> int:
        """Number of trials in the batch."""
        return len(self.trials)

    def uniform(self, quantity: str, n: int, draw: int = 0) -> np.ndarray:
        """Uniforms on (0, 1), (n_trials, n) float64.

        Args:
            quantity: what they are for; each name is its own stream.
            n: numbers per trial, usually the number of patients.
            draw: which of several independent draws of this quantity.
        """
        out = empty((self.n_trials, n))
        fill_uniforms(out, self.trials, quantity_code(quantity), np.uint64(draw), *self._key)  # type: ignore[attr-defined]
        return out

    def exponential(self, quantity: str, n: int, draw: int = 0) -> np.ndarray:
        """Unit exponentials, (n_trials, n) float64: minus the log of :meth:`uniform`."""
        out = empty((self.n_trials, n))
        fill_exponentials(out, self.trials, quantity_code(quantity), np.uint64(draw), *self._key)  # type: ignore[attr-defined]
        return out

    def normal(self, quantity: str, n: int, draw: int = 0) -> np.ndarray:
        """Standard normals, (n_trials, n) float64, by inversion of :meth:`uniform`."""
        from scipy.special import ndtri

        return ndtri(self.uniform(quantity, n, draw))

    def generator(self, index: int, quantity: str) -> np.random.Generator:
        """A NumPy generator of its own for trial ``trials[index]`` and this quantity."""
        words = [self.seed, self.scenario, int(self.trials[index]), int(quantity_code(quantity))]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """A counter-based generator of its own for each purpose."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number at or above 0, received {seed!r}")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([int(seed), *purpose])))
