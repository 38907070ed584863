"""Designs: error control, families, futility, updates, records and their messages."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from trial_sim.sequential.boundaries import error_and_power, exit_probabilities
from trial_sim.sequential.design import GroupSequential, group_sequential

LD_OF = "lan_demets_obrien_fleming"
RULES = [
    "obrien_fleming",
    "pocock",
    ("wang_tsiatis", 0.25),
    LD_OF,
    "lan_demets_pocock",
    ("hwang_shih_decani", -4),
    ("kim_demets", 3),
    "haybittle_peto",
]
FUTILITY = ["obrien_fleming", "pocock", LD_OF, ("hwang_shih_decani", -2), ("kim_demets", 2)]


@pytest.mark.parametrize("efficacy", RULES)
@pytest.mark.parametrize("sided", [1, 2])
def test_alpha_and_power_are_exact(efficacy, sided):
    design = group_sequential((0.3, 0.55, 0.8, 1), 0.025 * sided, 0.85, sided, efficacy)
    assert design.alpha_spent[-1] == pytest.approx(0.025 * sided, abs=1e-11)
    assert design.power_at(design.drift) == pytest.approx(0.85, abs=1e-10)
    assert (design.futility_bounds == -np.inf).all()


@pytest.mark.parametrize("efficacy", RULES)
@pytest.mark.parametrize("futility", FUTILITY)
@pytest.mark.parametrize("binding", [False, True])
def test_futility_keeps_both_errors(efficacy, futility, binding):
    design = group_sequential((0.4, 0.7, 1), 0.025, 0.8, 1, efficacy, futility, binding)
    null = design.stage_probabilities(0.0).rejection.sum()
    assert design.power_at(design.drift) == pytest.approx(0.8, abs=1e-9)
    assert design.alpha_spent[-1] == pytest.approx(0.025, abs=1e-9)
    assert null == pytest.approx(0.025, abs=1e-9) if binding else null < 0.025
    assert design.futility_bounds[-1] == design.efficacy_bounds[-1]
    plain = group_sequential((0.4, 0.7, 1), 0.025, 0.8, 1, efficacy)
    if binding:
        assert design.efficacy_bounds[-1] < plain.efficacy_bounds[-1]
    else:
        np.testing.assert_allclose(design.efficacy_bounds, plain.efficacy_bounds, rtol=1e-12)
    assert design.inflation_factor > plain.inflation_factor


def test_two_sided_futility_is_an_inner_wedge():
    design = group_sequential(
        (1 / 3, 2 / 3, 1), 0.05, 0.9, 2, "obrien_fleming", "obrien_fleming", binding=True
    )
    exits = design.stage_probabilities(0.0)
    np.testing.assert_allclose(exits.upper, exits.lower, atol=1e-13)
    assert exits.rejection.sum() == pytest.approx(0.05, abs=1e-10)
    assert exits.futility[0] == 0.0 and design.futility_bounds[0] == -np.inf
    assert exits.futility[1] > 0.5
    assert exits.rejection.sum() + exits.futility.sum() == pytest.approx(1, abs=1e-12)


def test_rpact_wang_tsiatis_with_unequal_looks():
    """rpact's own tests (test-rpact.R): information .2, .5, 1, WT delta .3, alpha .025."""
    design = group_sequential((0.2, 0.5, 1), efficacy=("wang_tsiatis", 0.3))
    np.testing.assert_allclose(design.efficacy_bounds, [2.8688923, 2.3885055, 2.0793148], atol=1e-7)
    np.testing.assert_allclose(design.alpha_spent, [0.0020595603, 0.0098772988, 0.025], atol=1e-8)


def test_rpact_two_sided_inner_wedge():
    """rpact counts wrong-way rejections as power too: the drift differs in the sixth digit."""
    design = group_sequential(
        (0.4, 0.7, 1), 0.05, 0.8, 2, ("wang_tsiatis", 0.1), ("wang_tsiatis", 0.3), True
    )
    np.testing.assert_allclose(
        design.efficacy_bounds, [2.800197495, 2.238584247, 1.940942454], atol=2e-6
    )
    np.testing.assert_allclose(design.futility_bounds[:2], [0.6057535078, 1.36445614], atol=5e-6)


def test_haybittle_peto_and_custom_bounds():
    design = group_sequential((0.5, 0.75, 1), efficacy=("haybittle_peto", 3.29))
    assert design.efficacy_bounds[:2].tolist() == [3.29, 3.29]
    assert 1.96 < design.efficacy_bounds[2] < 1.97
    custom = group_sequential((0.5, 0.75, 1), efficacy=[None, 2.8, 2.0], futility=[0.0, None])
    assert custom.efficacy_bounds[0] == np.inf
    assert custom.futility_bounds.tolist() == [0.0, -np.inf, 2.0]
    assert custom.alpha == pytest.approx(custom.alpha_spent[-1])
    assert custom.stage_probabilities(0).upper[0] == 0.0
    assert custom.stage_probabilities(0).futility[0] == pytest.approx(0.5)


def test_user_spending_table_and_callable_equal_the_family():
    family = group_sequential((0.4, 0.7, 1), efficacy=("kim_demets", 2))
    called = group_sequential((0.4, 0.7, 1), efficacy=("user_spending", lambda t: t**2))
    table = group_sequential(
        (0.4, 0.7, 1), efficacy=("user_spending", [(0.4, 0.16), (0.7, 0.49), (1, 1)])
    )
    np.testing.assert_allclose(called.efficacy_bounds, family.efficacy_bounds, atol=1e-10)
    np.testing.assert_allclose(table.efficacy_bounds, family.efficacy_bounds, atol=1e-10)


def test_spending_by_calendar_time():
    design = group_sequential((0.4, 0.7, 1), efficacy=LD_OF, spending_fractions=(0.5, 0.75, 1))
    spent = 2 * norm.cdf(norm.ppf(0.0125) / np.sqrt([0.5, 0.75, 1]))
    np.testing.assert_allclose(design.alpha_spent, spent, atol=1e-12)
    by_information = group_sequential((0.4, 0.7, 1), efficacy=LD_OF)
    assert design.efficacy_bounds[0] < by_information.efficacy_bounds[0]


def test_no_exit_for_futility_without_a_bound():
    """An invariant that users of rpact found broken: a look without a bound never stops low."""
    plain = group_sequential((0.3, 0.6, 1))
    assert not plain.has_futility
    for drift in (-4.0, 0.0, 3.0):
        assert plain.stage_probabilities(drift).futility.tolist() == [0, 0, 0]
    one = group_sequential((0.3, 0.6, 1), futility=[None, 0.2])
    assert one.stage_probabilities(-3.0).futility[0] == 0.0
    assert one.stage_probabilities(-3.0).futility[1] > 0.9


def test_expected_sample_size_of_one_look_is_the_fixed_size():
    fixed = group_sequential([1.0])
    np.testing.assert_allclose(fixed.expected_sample_size, 1.0, atol=1e-12)
    assert fixed.inflation_factor == pytest.approx(1.0)
    assert fixed.efficacy_bounds[0] == pytest.approx(norm.isf(0.025))


def test_fifty_looks():
    design = group_sequential(np.arange(1, 51) / 50, efficacy="pocock")
    assert design.alpha_spent[-1] == pytest.approx(0.025, abs=1e-10)
    many = group_sequential(np.arange(1, 51) / 50, efficacy=LD_OF, futility=LD_OF, binding=True)
    assert many.alpha_spent[-1] == pytest.approx(0.025, abs=1e-9)


def test_constants_of_jennison_and_turnbull():
    """Tables 2.1 and 2.3 (two-sided .05): Pocock and O'Brien-Fleming constants."""
    looks = (2, 5, 10, 15, 20)

    def constants(rule):
        designs = (group_sequential(np.arange(1, k + 1) / k, 0.05, 0.9, 2, rule) for k in looks)
        return [round(float(d.efficacy_bounds[-1]), 3) for d in designs]

    assert constants("pocock") == [2.178, 2.413, 2.555, 2.626, 2.672]
    assert constants("obrien_fleming") == [1.977, 2.040, 2.087, 2.110, 2.126]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(5, 99), min_size=1, max_size=6, unique=True),
    st.floats(0.005, 0.1),
    st.sampled_from([LD_OF, "lan_demets_pocock", ("hwang_shih_decani", -1.5), ("kim_demets", 1.2)]),
)
def test_spending_designs_spend_what_they_say(percents, alpha, rule):
    times = np.array([*sorted(percents), 100]) / 100
    design = group_sequential(times, alpha, 0.9, efficacy=rule)
    np.testing.assert_allclose(
        design.alpha_spent, design.efficacy.spent(times, alpha), rtol=0, atol=1e-11
    )
    assert design.inflation_factor > 1.0 - 1e-12
    drifts = np.linspace(-1, 6, 8)
    assert (np.diff([design.power_at(d) for d in drifts]) > 0).all()
    stop = design.stage_probabilities(1.0).stop
    assert stop.sum() == pytest.approx(1.0) and (stop >= -1e-15).all()


# Looks a thousandth apart with tiny errors: Newton's method alone once left its bracket here.
CLOSE = (0.076, 0.118, 0.156, 0.233, 0.347, 0.366, 0.367, 0.431, 0.46, 0.538)
CLOSE = (*CLOSE, 0.616, 0.704, 0.785, 0.81, 0.811, 0.856, 0.873, 0.962, 0.963, 1.0)
HARD = [
    (CLOSE, {"alpha": 1e-5, "power": 0.99, "efficacy": LD_OF}),
    (CLOSE, {"efficacy": LD_OF, "futility": ("kim_demets", 3), "binding": True}),
    (
        (0.496, 0.892, 1.0),
        {
            "alpha": 0.005,
            "power": 0.5,
            "sided": 2,
            "efficacy": ("hwang_shih_decani", -4),
            "futility": "obrien_fleming",
            "binding": True,
        },
    ),
]


@pytest.mark.parametrize(("times", "kwargs"), HARD)
def test_hard_cases_keep_both_errors(times, kwargs):
    design = group_sequential(times, **kwargs)
    assert design.alpha_spent[-1] == pytest.approx(design.alpha, rel=1e-8)
    assert design.power_at(design.drift) == pytest.approx(design.power, abs=1e-9)


def test_a_futility_rule_that_meets_efficacy_early_is_refused():
    times = (0.06, 0.3, 0.504, 0.617, 0.719, 0.819, 0.984, 0.9995, 1.0)
    with pytest.raises(ValueError, match="ends the trial before its last look"):
        group_sequential(times, power=0.8, sided=2, efficacy=LD_OF, futility="pocock")


def test_update_with_the_planned_information_changes_nothing():
    design = group_sequential((0.4, 0.7, 1), efficacy=LD_OF, futility=("kim_demets", 2))
    same = design.update([0.4, 0.7])
    np.testing.assert_allclose(same.efficacy_bounds, design.efficacy_bounds, atol=1e-9)
    np.testing.assert_allclose(same.futility_bounds, design.futility_bounds, atol=1e-7)


@pytest.mark.parametrize("efficacy", [LD_OF, "pocock", "haybittle_peto"])
@pytest.mark.parametrize(
    ("actual", "final"), [([0.45], False), ([0.45, 0.66, 1.2], True), ([0.3, 0.8, 0.9], True)]
)
def test_update_keeps_alpha_whatever_the_information(efficacy, actual, final):
    design = group_sequential((0.4, 0.7, 1), efficacy=efficacy)
    updated = design.update(actual, final=final)
    assert updated.alpha_spent[-1] == pytest.approx(0.025, abs=1e-9)
    top = max(actual[-1], 1.0) if not final else actual[-1]
    assert updated.relative_information == pytest.approx(top)
    assert updated.drift == pytest.approx(design.drift * np.sqrt(top))
    assert updated.information_fractions[0] == pytest.approx(actual[0] / top)
    power = updated.power_at(updated.drift)
    assert power > 0.9 if top > 1 else power < 0.905


def test_update_leaves_bounds_of_looks_that_were_as_planned():
    design = group_sequential((0.4, 0.7, 1), efficacy=LD_OF)
    updated = design.update([0.4, 0.75])
    assert updated.efficacy_bounds[0] == pytest.approx(design.efficacy_bounds[0], abs=1e-10)
    under = design.update([0.4, 0.7, 0.9], final=True)
    np.testing.assert_allclose(under.efficacy_bounds[:2], design.efficacy_bounds[:2], atol=1e-10)
    # less information: what is left of alpha is spent all the same, at a lower correlation
    assert under.alpha_spent[-1] == pytest.approx(0.025, abs=1e-10)


def test_update_with_two_looks_past_the_plan():
    design = group_sequential((0.4, 0.7, 1), efficacy=LD_OF, futility="pocock")
    updated = design.update([0.5, 1.1, 1.6], final=True)
    assert np.isfinite(updated.efficacy_bounds).all()
    assert (np.diff(updated.alpha_spent) > 1e-4).all()
    assert updated.alpha_spent[-1] == pytest.approx(0.025, abs=1e-9)
    assert (updated.futility_bounds[:-1] < updated.efficacy_bounds[:-1]).all()
    extra = design.update([0.3, 0.5, 0.7, 0.9])
    assert extra.information_fractions.tolist() == [0.3, 0.5, 0.7, 0.9, 1.0]
    with pytest.raises(ValueError, match="actual_information must increase"):
        design.update([0.5, 0.4])


def test_update_leaves_fixed_bounds_where_they_are():
    """Values of the issue; the last bound by hand, from a bivariate normal distribution."""
    only_futility = group_sequential((0.5, 1), efficacy=[None, 1.959964], futility=[0.0])
    updated = only_futility.update([0.55])
    assert np.isinf(updated.efficacy_bounds[0]) and updated.futility_bounds[0] == 0.0
    assert updated.efficacy_bounds[1] == pytest.approx(1.959964, abs=1e-6)
    for fraction in (0.4, 0.6, 0.9):
        design = group_sequential((0.5, 1), efficacy=("haybittle_peto", 3.0)).update([fraction])
        assert design.efficacy_bounds[0] == 3.0
        r = np.sqrt(fraction)
        inside = multivariate_normal.cdf(design.efficacy_bounds, cov=[[1, r], [r, 1]])
        assert 1 - inside == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize("binding", [False, True])
@pytest.mark.parametrize("sided", [1, 2])
def test_update_of_numbers_look_by_look(binding, sided):
    """A look that was not planned cannot stop; a skipped look takes its numbers with it."""
    design = group_sequential(
        (0.3, 0.6, 1),
        efficacy=[3.2, None, 2.1],
        futility=[None, 0.2],
        binding=binding,
        sided=sided,
    )
    assert np.isinf(design.update([0.35, 0.7]).efficacy_bounds[1])
    for actual, efficacy, futility in (
        ([0.35], [3.2, np.inf], [-np.inf, 0.2]),
        ([0.7], [3.2], [-np.inf]),
        ([0.2, 0.5, 0.8], [3.2, np.inf, np.inf], [-np.inf, 0.2, -np.inf]),
    ):
        updated = design.update(actual)
        assert updated.efficacy_bounds[:-1].tolist() == efficacy
        assert updated.futility_bounds[:-1].tolist() == futility
        assert updated.alpha_spent[-1] == pytest.approx(design.alpha, abs=1e-9)
        again = updated.update(updated.information_fractions[:-1])
        np.testing.assert_allclose(again.efficacy_bounds, updated.efficacy_bounds, atol=1e-9)
        assert GroupSequential.from_json(updated.to_json()) == updated


def test_a_users_spending_function_must_spend_everything():
    for spend in (lambda t: 0.9 * t, lambda t: 1.2 * t, lambda t: float("nan")):
        with pytest.raises(ValueError, match="and 1 at time 1"):
            group_sequential((0.5, 1), efficacy=("user_spending", spend))
    square = group_sequential((0.5, 1), efficacy=("user_spending", lambda t: t**2))
    known = group_sequential((0.5, 1), efficacy=("kim_demets", 2))
    np.testing.assert_allclose(square.efficacy_bounds, known.efficacy_bounds, atol=1e-10)


def test_update_takes_fractions_not_counts():
    design = group_sequential((1 / 3, 2 / 3, 1))
    with pytest.raises(ValueError, match=r"fractions.*110.*divide numbers of events"):
        design.update([110])


def test_update_keeps_calendar_spending():
    design = group_sequential((0.4, 0.7, 1), efficacy=LD_OF, spending_fractions=(0.5, 0.75, 1))
    updated = design.update([0.5])
    np.testing.assert_allclose(updated.alpha_spent, design.alpha_spent, atol=1e-10)


def test_table_shows_the_bounds_on_every_scale():
    design = group_sequential((0.5, 1), efficacy=LD_OF, futility=LD_OF)
    table = design.table(events=331, n=500)
    assert table.index.tolist() == [1, 2]
    np.testing.assert_allclose(table["efficacy_p"], norm.sf(design.efficacy_bounds))
    ratio = np.exp(-design.efficacy_bounds * 2 / np.sqrt([165.5, 331]))
    np.testing.assert_allclose(table["efficacy_hazard_ratio"], ratio)
    np.testing.assert_allclose(table["patients"], [250, 500])
    assert table["power"].iloc[-1] == pytest.approx(0.9)
    assert table["beta_spent"].iloc[-1] == pytest.approx(0.1)
    unequal = design.table(events=331, allocation=2.0)
    assert unequal["efficacy_hazard_ratio"].iloc[1] == pytest.approx(
        np.exp(-design.efficacy_bounds[1] * 3 / np.sqrt(2 * 331))
    )


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"efficacy": [None, 2.4, 2.0], "futility": [0.1, None]},
        {"efficacy": ("user_spending", lambda t: t**1.5), "futility": "pocock"},
        {"efficacy": LD_OF, "futility": ("kim_demets", 2), "binding": True, "sided": 2},
    ],
)
def test_records_go_to_json_and_yaml_and_back(kwargs, tmp_path):
    design = group_sequential((0.3, 0.6, 1), alpha=0.03, **kwargs)
    for back in (
        GroupSequential.from_json(design.to_json()),
        GroupSequential.from_yaml(design.to_yaml()),
        GroupSequential.from_dict(json.loads(json.dumps(design.to_dict()))),
    ):
        assert back == design and hash(back) == hash(design)
        assert back.efficacy_bounds.tolist() == design.efficacy_bounds.tolist()
        assert back.futility_bounds.tolist() == design.futility_bounds.tolist()
    design.to_json(tmp_path / "design.json")
    assert GroupSequential.from_json(tmp_path / "design.json") == design
    design.to_yaml(tmp_path / "design.yaml")
    assert GroupSequential.from_yaml(tmp_path / "design.yaml") == design


def test_a_design_can_be_written_by_hand():
    text = "efficacy: [hwang_shih_decani, -4]\nfutility: lan_demets_pocock\nalpha: 0.02\n"
    assert GroupSequential.from_yaml(text) == group_sequential(
        alpha=0.02, efficacy=("hwang_shih_decani", -4), futility="lan_demets_pocock"
    )


def test_records_are_frozen_and_print():
    design = group_sequential()
    with pytest.raises(AttributeError):
        design.alpha = 0.1
    with pytest.raises(ValueError):
        design.efficacy_bounds[0] = 1.0
    text = repr(design)
    assert "3 looks, one-sided alpha 0.025" in text and "3.4711" in text
    assert design != group_sequential(alpha=0.02)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alpha": 2}, "alpha must be between 0 and 0.5, got 2"),
        ({"alpha": float("nan")}, "alpha must be finite, got nan"),
        ({"alpha": "x"}, "alpha must be a number, got 'x'"),
        ({"power": 0.01}, "power must be above alpha"),
        ({"power": 1.0}, "power must be between 0 and 1"),
        ({"sided": 3}, "sided must be 1 or 2, got 3"),
        ({"binding": "yes"}, "binding must be True or False, got 'yes'"),
        (
            {"information_fractions": (0.5, 0.4, 1)},
            r"information_fractions must increase from above 0, got \[0.5, 0.4, 1.0\]",
        ),
        ({"information_fractions": (0.5, 0.9)}, "information_fractions must end at 1"),
        ({"information_fractions": (0.5, np.nan, 1)}, "information_fractions must be finite"),
        ({"information_fractions": ()}, "must hold 1 to 50 numbers"),
        ({"information_fractions": np.arange(1, 52) / 51}, "must hold 1 to 50 numbers"),
        ({"information_fractions": "abc"}, "must be a sequence of numbers, got 'abc'"),
        ({"information_fractions": (0.5, 0.5 + 1e-9, 1)}, "at least 1e-6 apart"),
        ({"efficacy": "obrian_fleming"}, "did you mean 'obrien_fleming'"),
        ({"efficacy": ("wang_tsiatis",)}, "'wang_tsiatis' needs a parameter"),
        ({"efficacy": ("pocock", 2)}, "'pocock' takes no parameter, got 2"),
        ({"efficacy": ("kim_demets", -1)}, "rho of 'kim_demets' must be above 0, got -1"),
        ({"efficacy": ("wang_tsiatis", 3)}, "delta of 'wang_tsiatis' must be in"),
        ({"efficacy": ("hwang_shih_decani", 90)}, "gamma of 'hwang_shih_decani' must be in"),
        ({"efficacy": ("hwang_shih_decani", "a")}, "must be a number, got 'a'"),
        ({"efficacy": 3.2}, "efficacy must be a name"),
        ({"efficacy": [2.0, 2.0]}, "custom efficacy needs 3 bounds, one a look, got 2"),
        ({"efficacy": [2.0, np.nan, 2]}, "custom efficacy bounds must not be NaN"),
        ({"efficacy": ("user_spending", [(0.5, 1.2), (1, 1)])}, "must rise from 0 to 1"),
        (
            {"efficacy": ("user_spending", [(0.5, 0.2), (0.4, 1)])},
            "must increase from above 0 to 1",
        ),
        ({"efficacy": ("user_spending", lambda t: -t)}, "must return shares of the total in"),
        ({"efficacy": ("user_spending", 3)}, "needs a callable or"),
        ({"efficacy": ("haybittle_peto", 1.5)}, "the interim bounds spend all of alpha"),
        ({"futility": "haybittle_peto"}, "futility cannot be 'haybittle_peto'"),
        (
            {"futility": [3.6, 1]},
            "futility bound 3.6 is not below the efficacy bound 3.47109 at look 1",
        ),
        ({"futility": [1.0]}, "custom futility needs 2 or 3 bounds, got 1"),
        ({"spending_fractions": (0.5, 1)}, "spending_fractions must hold 3 numbers"),
    ],
)
def test_bad_input_is_told_in_one_sentence(kwargs, message):
    with pytest.raises((ValueError, TypeError), match=message):
        group_sequential(**kwargs)


def test_bad_records_and_keys():
    plain = group_sequential().to_dict()
    with pytest.raises(ValueError, match=r"unknown key 'efficcy'.*did you mean 'efficacy'"):
        GroupSequential.from_dict({**plain, "efficcy": 1})
    with pytest.raises(ValueError, match="needs the keys"):
        GroupSequential.from_dict({"efficacy_bounds": [2.0], "drift": 3.0})
    with pytest.raises(ValueError, match="futility bound 9 is not below the efficacy bound"):
        GroupSequential.from_dict({**plain, "futility_bounds": [9, None, None]})
    with pytest.raises(ValueError, match="efficacy_bounds must hold one number for each of 3"):
        GroupSequential.from_dict({**plain, "efficacy_bounds": [2.0, 2.0]})
    with pytest.raises(ValueError, match="events must be above 0"):
        group_sequential().table(events=-1)
    with pytest.raises(ValueError, match="drift must be finite"):
        group_sequential().power_at(float("inf"))


def test_exit_probabilities_add_up_under_any_drift():
    design = group_sequential((0.3, 0.6, 1), futility="pocock", efficacy="pocock")
    for drift in (-30.0, -2.0, 0.0, 4.0, 30.0):
        found = exit_probabilities(
            design.information_fractions,
            design.efficacy_bounds,
            design.futility_bounds,
            drift,
            1,
        )
        assert found.upper.sum() + found.futility.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("drift", [0.5, 3.4, 4.9, 7.0])
def test_one_walk_gives_the_error_and_power_of_two(sided, drift):
    times = np.array([0.05, 0.3, 0.45, 0.9, 1.0])
    efficacy, futility = 2.1 / np.sqrt(times), np.array([-np.inf, 0.1, 0.4, 1.2, -np.inf])
    error, power = error_and_power(times, efficacy, futility, drift, sided)
    null, alternative = (
        exit_probabilities(times, efficacy, futility, d, sided) for d in (0.0, drift)
    )
    assert error == pytest.approx(null.rejection.sum(), abs=1e-11)
    assert power == pytest.approx(alternative.upper.sum(), abs=1e-10)


def test_pampallona_tsiatis_bounds_of_ten_looks():
    """rpact 3.3.4: typeOfDesign "PT", both deltas 0, bindingFutility = TRUE, tolerance 1e-10."""
    design = group_sequential(
        np.arange(1, 11) / 10, efficacy="obrien_fleming", futility="obrien_fleming", binding=True
    )
    efficacy = [
        6.36087632821,
        4.49781878596,
        3.67245366037,
        3.18043816410,
        2.84467037327,
        2.59681688684,
        2.40418526927,
        2.24890939298,
        2.12029210940,
        2.01148571118,
    ]
    futility = [
        -3.4567101695268,
        -1.6729207584208,
        -0.7361356119405,
        -0.0920906684746,
        0.4054713972770,
        0.8154778183174,
        1.1672856336545,
        1.4775669499336,
        1.7566777946711,
    ]
    np.testing.assert_allclose(design.efficacy_bounds, efficacy, atol=1e-8)
    np.testing.assert_allclose(design.futility_bounds[:-1], futility, atol=3e-8)


def test_a_clock_without_a_spending_function_is_refused():
    for rules in ({}, {"efficacy": ("haybittle_peto", 3.0)}, {"futility": "pocock"}):
        with pytest.raises(ValueError, match="spending_fractions is the clock of a spending"):
            group_sequential((0.5, 1), spending_fractions=(0.3, 1), **rules)
    with pytest.raises(ValueError, match="futility_spending_fractions is the clock"):
        group_sequential((0.5, 1), efficacy=LD_OF, futility_spending_fractions=(0.3, 1))
    used = group_sequential((0.5, 1), efficacy=LD_OF, spending_fractions=(0.3, 1))
    assert used.efficacy_bounds[0] > group_sequential((0.5, 1), efficacy=LD_OF).efficacy_bounds[0]
    group_sequential((0.5, 1), futility=("kim_demets", 2), spending_fractions=(0.3, 1))
