import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

import trial_sim as ts
from trial_sim.covariates.bootstrap import Bootstrap
from trial_sim.covariates.cart import SequentialCart
from trial_sim.covariates.conditions import balanced_counts, predicate, sample_codes
from trial_sim.covariates.copula import (
    GaussianCopula,
    drawn_weights,
    hermite_coefficients,
    latent_correlation,
    nearest_correlation,
    shrunk,
)
from trial_sim.covariates.encoding import bounds_of, decode, encode, smooth_quantiles, told
from trial_sim.covariates.selection import (
    HARMLESS,
    SLACK,
    TIE,
    TIE_SMALL,
    fit_generator,
    membership_auc,
    resemblance,
)
from trial_sim.data.schema import Column, describe_column

GENERATORS = [SequentialCart, GaussianCopula, Bootstrap]


@pytest.fixture(scope="module")
def colon():
    trial = ts.load_trial("colon")
    columns = trial.schema().columns
    return trial, columns, encode(trial.baseline, columns)


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_encoding_is_undone_by_decoding(colon):
    trial, columns, codes = colon
    back = decode(codes, columns)
    pd.testing.assert_frame_equal(back, trial.baseline[[c.name for c in columns]])


@pytest.mark.parametrize("kind", GENERATORS)
def test_generators_keep_margins_pairs_gaps_and_types(colon, kind):
    trial, columns, codes = colon
    made = kind.fit(codes, columns, 0)
    drawn, _ = made.sample(4000, rng(1), made.draw(None))
    table = decode(drawn, columns)
    assert (table.dtypes == trial.baseline[[c.name for c in columns]].dtypes).all()
    real = trial.baseline
    assert abs(table["age"].mean() - real["age"].mean()) < 0.8
    assert abs(table["age"].std() - real["age"].std()) < 0.8
    assert abs(table["nodes"].isna().mean() - real["nodes"].isna().mean()) < 0.01
    assert table["age"].between(real["age"].min(), real["age"].max()).all()
    found = resemblance(codes, drawn[:929], columns, 0)
    assert found["margin"] < 0.06 and found["pairs"] < 0.06


def test_cart_keeps_a_column_that_others_determine(colon):
    _, columns, codes = colon
    made = SequentialCart.fit(codes, columns, 0)
    table = decode(made.sample(5000, rng(2), made.draw(None))[0], columns).dropna()
    real = decode(codes, columns).dropna()
    agree_real = ((real["nodes"] > 4) == (real["node4"] == 1)).mean()
    agree_made = ((table["nodes"] > 4) == (table["node4"] == 1)).mean()
    assert abs(agree_made - agree_real) < 0.02


def test_unique_values_are_not_given_back_and_shared_ones_are():
    real = pd.DataFrame({"x": np.r_[np.arange(1, 60) * 7.01, [10.0] * 40, 5000.0]})
    columns = (describe_column(real["x"], None),)
    made = SequentialCart.fit(encode(real, columns), columns, 0)
    values = made.sample(20_000, rng(3), made.draw(None))[0][:, 0]
    assert abs((values == 10).mean() - 0.4) < 0.02
    assert (values == 5000.0).mean() < 0.002 and values.max() <= 5000.0


def support_of(values):
    """What is told of a numeric column."""
    return told(values, describe_column(pd.Series(values, name="x"), "numeric"))[0]


def test_smooth_quantiles_keep_the_margin_and_forget_the_patient():
    real = np.sort(np.exp(rng(8).normal(size=80)))
    at, curve = smooth_quantiles(support_of(real))
    z = np.linspace(-1.5, 1.5, 13)
    assert np.allclose(np.interp(z, at, curve), np.quantile(real, ndtr(z)), rtol=0.25)
    low, high = bounds_of(support_of(real))
    assert curve.min() >= low - 1e-9 and curve.max() <= high + 1e-9
    # one patient's value moves the curve by far less than the empirical quantile, which follows it
    moved = real.copy()
    moved[60] = (real[60] + real[61]) / 2 + 0.1
    change = np.abs(
        np.interp(ndtri(60.5 / 80), at, curve)
        - np.interp(ndtri(60.5 / 80), *smooth_quantiles(support_of(np.sort(moved))))
    )
    assert change < 0.3 * (moved[60] - real[60])


def test_quantiles_of_few_distinct_values_are_finite():
    for values in ([0.0, 1.0, 2.0] * 6, [5.0] * 30 + [6.0, 900.0] * 5, list(range(3)) * 40):
        support = support_of(np.array(values))
        at, curve = smooth_quantiles(support)
        assert np.isfinite(curve).all() and len(at) == len(curve)
        low, high = bounds_of(support)
        assert curve.min() >= low - 1e-9 and curve.max() <= high + 1e-9


def test_membership_of_copies_is_seen_and_of_fresh_rows_is_not():
    g = rng(9)
    table = pd.DataFrame(g.normal(size=(600, 3)), columns=list("abc")).assign(
        d=g.choice(["x", "y"], 600)
    )
    columns = tuple(describe_column(table[c], None) for c in table)
    codes = encode(table, columns)
    inside, outside, fresh = codes[:200], codes[200:400], codes[400:]
    assert membership_auc(inside, outside, inside, columns) == 1.0
    assert abs(membership_auc(inside, outside, fresh, columns) - 0.5) < 0.09


def test_draws_spread_like_a_bootstrap(colon):
    _, columns, codes = colon
    made = SequentialCart.fit(codes, columns, 0)
    k = [c.name for c in columns].index("age")
    means = [made.sample(3000, rng(s), made.draw(rng(s + 1000)))[0][:, k].mean() for s in range(60)]
    expected = codes[:, k].std() * np.sqrt(1 / 929 + 1 / 3000)
    assert 0.7 < np.std(means) / expected < 1.35


@pytest.mark.parametrize("kind", GENERATORS)
def test_where_is_kept_and_matches_the_conditional_law(colon, kind):
    _, columns, codes = colon
    made = kind.fit(codes, columns, 0)
    where = {"age": "> 70", "sex": "female"}
    drawn = decode(sample_codes(made, 800, rng(4), made.draw(None), where), columns)
    assert (drawn["age"] > 70).all() and (drawn["sex"] == "female").all()
    free = decode(made.sample(60_000, rng(5), made.draw(None))[0], columns)
    inside = free[(free["age"] > 70) & (free["sex"] == "female")]
    for name in ("nodes", "obstruct", "extent"):
        error = 4 * inside[name].std() / 800**0.5
        assert abs(drawn[name].mean() - inside[name].mean()) < error


def test_a_condition_that_nobody_meets_is_refused_quickly(colon):
    _, columns, codes = colon
    made = SequentialCart.fit(codes, columns, 0)
    with pytest.raises(ValueError, match=r"age > 200\) is satisfied by 0 of"):
        sample_codes(made, 10, rng(), made.draw(None), {"age": "> 200"})
    with pytest.raises(ValueError, match="did you mean 'age'"):
        sample_codes(made, 10, rng(), made.draw(None), {"agge": "> 20"})
    with pytest.raises(ValueError, match="no level 'F'"):
        sample_codes(made, 10, rng(), made.draw(None), {"sex": "F"})


def test_constraints_hold_in_every_row():
    g = rng(6)
    real = pd.DataFrame({"low": g.normal(50, 10, 200).round(1)})
    real["high"] = (real["low"] + g.exponential(5, 200)).round(1)
    columns = tuple(describe_column(real[c], None) for c in real)
    made = GaussianCopula.fit(encode(real, columns), columns, 0)
    drawn = decode(sample_codes(made, 500, rng(7), made.draw(None), None, ["high >= low"]), columns)
    assert (drawn["high"] >= drawn["low"]).all()


def test_auto_never_takes_the_bootstrap_and_shows_its_table(colon):
    _, columns, codes = colon
    made, table = fit_generator(codes, columns, "auto", 0)
    assert not made.copies_rows and table["chosen"].sum() == 1
    assert (table["membership_auc"] < 0.55).all()
    with pytest.raises(ValueError, match="did you mean 'copula'"):
        fit_generator(codes, columns, "copulla", 0)


def test_of_candidates_that_tie_few_patients_get_the_copula():
    """Independent columns, which both generators draw rightly: which is worse is chance."""
    tied = set()
    for seed in range(6):
        many = rng(seed).normal(50, 10, (600, 3)).round(1)
        columns = tuple(describe_column(pd.Series(x, name=n), None) for n, x in zip("abc", many.T))
        for n, name, tie in ((120, "copula", TIE_SMALL), (600, "cart", TIE)):
            made, table = fit_generator(many[:n], columns, "auto", 0)
            apart = np.ptp(table["propensity_auc"].clip(lower=0.5))
            betrays = table["membership_auc"]
            if apart < tie and betrays.max() <= max(HARMLESS, betrays.min() + SLACK):
                assert made.name == name
                tied.add(n)
        if tied == {120, 600}:
            return
    raise AssertionError(f"no tie was met: {tied}")


def test_chance_correlations_are_left_out_and_strong_ones_stay():
    pairs = np.full((12, 12), 200.0)
    chance = np.corrcoef(rng(12).standard_normal((200, 12)).T)
    kept = shrunk(chance, pairs)
    assert np.allclose(np.diag(kept), 1)
    # 66 pairs, of which a chi-square of one degree exceeds 6 in .0143
    assert (kept[np.triu_indices(12, 1)] != 0).sum() <= 4
    strong = shrunk(np.array([[1, -0.8], [-0.8, 1]]), pairs[:2, :2])
    # the variance of r is (1 - .64)^2 / 200
    assert strong[0, 1] == pytest.approx(-0.8 * (1 - (6 * 0.36**2 / 200 / 0.64) ** 2))


@given(st.floats(-0.95, 0.95), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
@settings(max_examples=20, deadline=None)
def test_the_latent_correlation_of_two_flags_gives_back_their_table(r, p, q):
    """Against the bivariate normal law of scipy, which is no series of ours."""
    flags = [(np.arange(4000) < share * 4000).astype(float) for share in (p, q)]
    p, q = (f.mean() for f in flags)
    both = multivariate_normal(cov=[[1, r], [r, 1]]).cdf([ndtri(p), ndtri(q)])
    phi = (both - p * q) / np.sqrt(p * (1 - p) * q * (1 - q))
    seen = np.array([[1, phi], [phi, 1]])
    found = latent_correlation(seen, np.array([hermite_coefficients(f) for f in flags]))[0, 1]
    again = multivariate_normal(cov=[[1, found], [found, 1]]).cdf([ndtri(p), ndtri(q)])
    assert abs(again - both) < 2e-3


@pytest.mark.parametrize("sign", [1, -1])
def test_associations_of_cut_columns_are_those_of_the_truth(sign):
    """A number, a grade of four, a flag, one with gaps, a rare flag; latent correlations of .6."""
    g = rng(31)
    names = ["number", "grade", "flag", "gaps", "rare"]
    cuts = [None, [-0.5, 0.5, 1.2], [0.3], [-0.4, 0.4], [1.2]]

    def population(n):
        z = 0.6**0.5 * g.normal(size=(n, 1)) + 0.4**0.5 * g.normal(size=(n, 5))
        z[:, 0] *= sign
        made = [z[:, k] if c is None else np.digitize(z[:, k], c) for k, c in enumerate(cuts)]
        table = np.column_stack(made).astype(float)
        table[g.random(n) < 0.2, 3] = np.nan
        return table

    def ranks(table):
        return pd.DataFrame(table).corr("spearman").to_numpy()[np.triu_indices(5, 1)]

    truth, kept = ranks(population(100_000)), []
    for _ in range(12):
        codes = population(150)
        columns = tuple(describe_column(pd.Series(x, name=n), None) for n, x in zip(names, codes.T))
        codes = encode(pd.DataFrame(codes, columns=names), columns)
        made = GaussianCopula.fit(codes, columns, 0)
        kept.append(ranks(made.sample(4000, g, made.draw(None))[0]))
    ratio = np.mean(kept, axis=0) / truth  # standard errors: .04 to .08
    assert 0.93 < ratio.mean() < 1.04 and ratio.min() > 0.8


def test_the_copula_puts_levels_without_an_order_on_a_line():
    """Hospitals b and c give a drug, a and d do not: in the order of letters nothing is seen."""
    hospital = rng(13).integers(0, 4, 400)
    drug = np.isin(hospital, (1, 2)) ^ (rng(14).random(400) < 0.05)
    table = pd.DataFrame({"hospital": np.array(list("abcd"))[hospital], "drug": drug})
    columns = tuple(describe_column(table[c], None) for c in table)
    made = GaussianCopula.fit(encode(table, columns), columns, 0)
    drawn = decode(made.sample(4000, rng(15), made.draw(None))[0], columns)
    share = drawn.groupby("hospital")["drug"].mean()
    assert share[["b", "c"]].mean() > 0.7 and share[["a", "d"]].mean() < 0.3
    counts = table["hospital"].value_counts(normalize=True)
    assert (drawn["hospital"].value_counts(normalize=True) - counts).abs().max() < 0.03


def test_drawn_margins_spread_as_a_sample_does_and_neighbours_move_together():
    column = Column("age", "numeric", lower=0, upper=1, decimals=6)
    values = np.sort(rng(21).standard_normal(200))
    g = rng(22)
    drawn = np.stack([drawn_weights(np.ones(200), column, g) for _ in range(4000)])
    means = drawn @ values / drawn.sum(axis=1)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(0.98 * values.std() / np.sqrt(200), rel=0.05)
    assert np.ptp(drawn[:, :20], axis=1).max() < 1e-12  # within a tenth
    # levels: a Dirichlet law, whose share of a has variance a (n - a) / (n^2 (n + 1))
    level = Column("sex", "categorical", ("F", "M"))
    counts = np.array([30.0, 90.0])
    share = np.array(
        [w[0] / w.sum() for w in (drawn_weights(counts, level, g) for _ in range(4000))]
    )
    assert share.mean() == pytest.approx(0.25, abs=0.003)
    assert share.std() == pytest.approx(np.sqrt(30 * 90 / 120**2 / 121), rel=0.05)


def test_balanced_counts_add_up():
    columns = (Column("sex", "categorical", ("F", "M", "X")),)
    parts = balanced_counts(columns, {"sex": {"F": 0.5}}, 101)
    assert sum(c for _, c in parts) == 101 and parts[0] == ({"sex": "F"}, 50)
    with pytest.raises(ValueError, match="at most 1"):
        balanced_counts(columns, {"sex": {"F": 0.7, "M": 0.6}}, 10)
    with pytest.raises(ValueError, match="no level 'Q'"):
        balanced_counts(columns, {"sex": {"Q": 0.5}}, 10)


@given(st.integers(2, 8), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_nearest_correlation_is_one(d, seed):
    a = rng(seed).uniform(-1, 1, (d, d))
    made = nearest_correlation((a + a.T) / 2)
    assert np.allclose(np.diag(made), 1) and np.linalg.eigvalsh(made).min() > 0


@given(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.integers(-5, 5))
@settings(max_examples=40, deadline=None)
def test_predicates_agree_with_python(sign, value):
    column = Column("x", "integer", lower=-9, upper=9)
    codes = np.append(np.arange(-9, 10, dtype=float), np.nan)
    found = predicate(column, f"{sign} {value}")(codes)
    expected = [eval_like(sign, v, value) for v in codes]
    assert found.tolist() == expected


def eval_like(sign, v, value):
    if np.isnan(v):
        return False
    return {
        "<": v < value,
        "<=": v <= value,
        ">": v > value,
        ">=": v >= value,
        "==": v == value,
        "!=": v != value,
    }[sign]
