"""Memory that is used again between chunks: only where nobody holds it any more."""

import threading

import numpy as np

import trial_sim as ts
from trial_sim.numerics.buffers import empty, recycling, release

SHAPE = (100, 500)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_nobody_holds_it():
    with recycling("work"):
        first = empty(SHAPE)
        place = address(first)
        held = empty(SHAPE)
        assert address(held) != place
        view = first[3:, 1]
        del first
        other = empty(SHAPE)  # the view still holds the first
        assert address(other) != place
        del view
        again = empty((500, 100), np.int64)  # same size, another shape and kind
        assert address(again) == place
        assert again.shape == (500, 100) and again.dtype == np.int64
    release()


def test_outside_of_the_block_and_for_small_arrays_memory_is_new():
    with recycling("work"):
        small = empty((3, 4))
        assert small.base is None
    outside = empty(SHAPE)
    assert outside.base is None
    release()


def test_other_work_and_other_threads_have_their_own():
    with recycling("work"):
        place = address(empty(SHAPE))
        assert address(empty(SHAPE)) == place
        found = []

        def work() -> None:
            with recycling("work"):
                found.append(empty(SHAPE))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        mine = empty(SHAPE)
        assert address(found[0]) != address(mine)
    with recycling("other work"):
        assert address(empty(SHAPE)) != address(mine)
    release()


def test_results_and_replays_do_not_share_memory_with_later_chunks():
    design = ts.Design(
        arms={"control": 1, "treatment": 1},
        n_patients=120,
        accrual=ts.Accrual(rate=10.0),
        looks=ts.EventLooks([40, 80]),
        dropout=ts.Dropout(rate=0.01),
    )
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    whole = ts.simulate(design, outcomes, n_trials=300, seed=3, chunk_trials=300)
    shown = whole.replay(17)
    before = shown.patients.copy()
    parts = ts.simulate(design, outcomes, n_trials=300, seed=3, chunk_trials=41, n_jobs=2)
    np.testing.assert_array_equal(whole.conducted.z, parts.conducted.z)
    np.testing.assert_array_equal(whole.conducted.look_time, parts.conducted.look_time)
    np.testing.assert_array_equal(whole.conducted.estimate, parts.conducted.estimate)
    assert shown.patients.equals(before)
