"""A warning points at the line of the user's that caused it, in both packages."""

from __future__ import annotations

import pytest

import molgen
import trial_sim as ts


def test_a_warning_names_the_users_file() -> None:
    model = molgen.load_model("moses")
    with pytest.warns(UserWarning, match="does not write") as found:
        model.encode(["C1CC2(C1)C1CC21C1OS1"])
    assert [w.filename for w in found if "does not write" in str(w.message)] == [__file__]


def test_a_warning_of_a_record_names_the_users_file() -> None:
    with pytest.warns(UserWarning, match="multiplicity is not named") as found:
        ts.Design(
            arms={"control": 1, "low": 1, "high": 1},
            n_patients=90,
            accrual=ts.Accrual(rate=10.0),
            looks=ts.CalendarLooks([18.0]),
        )
    assert {w.filename for w in found} == {__file__}
