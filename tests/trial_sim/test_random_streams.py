"""Random streams against known answers of Philox, and their independence of chunks."""

import numba as nb
import numpy as np
import pytest
from scipy import stats

from trial_sim.numerics.random_streams import Streams, philox4x32


@nb.njit
def _words(c0, c1, c2, c3, k0, k1):
    return philox4x32(c0, c1, c2, c3, k0, k1)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # kat_vectors of Random123 (Salmon and others 2011), philox4x32 with 10 rounds
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    words = _words(*(np.uint64(w) for w in (*counter, *key)))
    assert tuple(int(w) for w in words) == expected


def test_a_number_depends_only_on_its_own_keys():
    whole = Streams.span(7, 0, 40).uniform("event", 500)
    assert np.array_equal(Streams.span(7, 13, 14).uniform("event", 500)[0], whole[13])
    assert np.array_equal(Streams.span(7, 0, 40).uniform("event", 130), whole[:, :130])
    for other in (
        Streams.span(8, 0, 40).uniform("event", 500),
        Streams.span(7, 0, 40, scenario=1).uniform("event", 500),
        Streams.span(7, 0, 40).uniform("dropout", 500),
        Streams.span(7, 0, 40).uniform("event", 500, draw=1),
    ):
        assert not (other == whole).any()
        assert abs(np.corrcoef(other.ravel(), whole.ravel())[0, 1]) < 0.03


def test_uniforms_are_uniform_and_exponentials_are_their_logs():
    streams = Streams.span(1, 0, 200)
    u = streams.uniform("event", 500)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-4
    assert u.min() > 0 and u.max() < 1
    assert np.allclose(streams.exponential("event", 500), -np.log(u), rtol=1e-15, atol=0)
    lagged = np.corrcoef(u[:, 1:].ravel(), u[:, :-1].ravel())[0, 1]
    assert abs(lagged) < 0.015
    assert stats.kstest(streams.normal("event", 500).ravel(), "norm").pvalue > 1e-4


def test_generators_are_keyed_by_trial():
    first = Streams.span(1, 0, 10).generator(4, "parameters").random(3)
    again = Streams.span(1, 4, 5).generator(0, "parameters").random(3)
    assert np.array_equal(first, again)
