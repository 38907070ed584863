"""Exact one-arm and two-arm designs, and the one-sample log-rank test, against published values."""

import itertools

import numpy as np
import pytest
from scipy import stats

import trial_sim as ts


def test_two_stage_designs_go_to_yaml_and_back():
    designs = ts.simon_designs(0.1, 0.3, alpha=0.05, beta=0.2)
    assert type(designs).from_yaml(designs.to_yaml()) == designs


def test_every_admissible_design_is_the_best_for_some_weight_and_no_other_is():
    designs = ts.simon_designs(0.05, 0.3, beta=0.15)
    assert designs.admissible[0] == designs.minimax
    assert designs.admissible[-1] == designs.optimal
    every = enumerated(0.05, 0.3, 0.05, 0.15, designs.optimal.n + 3)
    best = set()
    for q in np.linspace(0.0005, 0.9995, 2000):
        n, expected = min(every, key=lambda d: q * d[0] + (1 - q) * d[1])
        best.add((n, round(expected, 9)))
    assert best == {(d.n, round(d.expected_n, 9)) for d in designs.admissible}


def enumerated(p0, p1, alpha, beta, most):
    """(n, expected n) of the best design of each n, from the definition, one r1 and r at a time."""
    found = {}
    for n in range(10, most + 1):
        for n1 in range(1, n):
            x1 = np.arange(n1 + 1)
            first = [stats.binom.pmf(x1, n1, p) for p in (p0, p1)]
            second = [stats.binom.pmf(np.arange(n - n1 + 1), n - n1, p) for p in (p0, p1)]
            for r1, r in itertools.product(range(min(n1, 4)), range(6)):
                level, power = (
                    sum(one[x] * two[max(r - x + 1, 0) :].sum() for x in range(r1 + 1, n1 + 1))
                    for one, two in zip(first, second)
                )
                if level <= alpha and power >= 1 - beta:
                    expected = n1 + first[0][r1 + 1 :].sum() * (n - n1)
                    found[n] = min(found.get(n, np.inf), expected)
    return list(found.items())


def test_predictive_probability_design_of_lee_and_liu():
    design = ts.predictive_probability_design(
        0.2, 36, prior=(0.2, 0.8), success=0.922, stop_below=0.001
    )
    first_at = {}
    for n, stop in zip(design.n, design.stop_at):
        first_at.setdefault(stop, n)
    stops = {(n, stop) for stop, n in first_at.items() if n < 36}
    assert stops == {
        (10, 0), (17, 1), (21, 2), (24, 3), (27, 4), (29, 5), (31, 6), (33, 7), (34, 8), (35, 9)
    }  # fmt: skip
    null, hoped = design.probabilities(0.2), design.probabilities(0.4)
    assert design.reject_at[-1] == 11
    assert null.power == pytest.approx(0.0877792621, abs=1e-8)
    assert null.early_futility == pytest.approx(0.8571164673, abs=1e-8)
    assert null.expected_n == pytest.approx(27.66766809, abs=1e-8)
    assert hoped.power == pytest.approx(0.9061814994, abs=1e-8)
    assert type(design).from_yaml(design.to_yaml()) == design


def test_one_arm_sequence_against_every_path():
    design = ts.BinomialSequence(n=[2, 4, 7], stop_at=[0, 1, 3], reject_at=[2, None, 4])
    p, ended = 0.37, {}
    for path in itertools.product((0, 1), repeat=7):
        chance = p ** sum(path) * (1 - p) ** (7 - sum(path))
        decision = design.decide([sum(path[:n]) for n in design.n])
        ended[decision] = ended.get(decision, 0.0) + chance
    found = design.probabilities(p)
    for k in range(3):
        assert found.rejection[k] == pytest.approx(ended.get(("reject", k + 1), 0.0), abs=1e-14)
        assert found.futility[k] == pytest.approx(ended.get(("stop", k + 1), 0.0), abs=1e-14)
    assert sum(found.rejection) + sum(found.futility) == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("test", ["pooled_z", "unpooled_z", "fisher"])
def test_two_arm_sequence_against_every_pair_of_counts(test):
    design = ts.TwoSampleBinomialSequence(
        [4, 9], [3, 8], efficacy=[2.0, 1.6], futility=[-0.5, None], test=test
    )
    p1, p2, total = 0.7, 0.35, 0.0

    def z(x1, n1, x2, n2):
        if test == "fisher":
            table = [[x1, n1 - x1], [x2, n2 - x2]]
            return stats.norm.isf(stats.fisher_exact(table, alternative="greater").pvalue)
        if x1 / n1 == x2 / n2:
            return 0.0
        rate = (x1 + x2) / (n1 + n2)
        pooled = rate * (1 - rate) * (1 / n1 + 1 / n2)
        unpooled = x1 * (n1 - x1) / n1**3 + x2 * (n2 - x2) / n2**3
        variance = pooled if test == "pooled_z" else unpooled
        return (x1 / n1 - x2 / n2) / np.sqrt(variance) if variance else np.inf * (x1 / n1 - x2 / n2)

    pmf = stats.binom.pmf
    for a, b in itertools.product(range(5), range(4)):
        first = pmf(a, 4, p1) * pmf(b, 3, p2)
        early = z(a, 4, b, 3)
        if early >= 2.0:
            total += first
        elif early >= -0.5:
            for c, d in itertools.product(range(6), range(6)):
                if z(a + c, 9, b + d, 8) >= 1.6:
                    total += first * pmf(c, 5, p1) * pmf(d, 5, p2)
    assert design.probabilities(p1, p2).power == pytest.approx(total, abs=1e-13)
    assert type(design).from_yaml(design.to_yaml()) == design


def test_one_look_of_two_arms_has_the_exact_power_of_fishers_test():
    one = ts.TwoSampleBinomialSequence([25], [25], efficacy=[-stats.norm.ppf(0.025)], test="fisher")
    known = ts.exact_power_proportions(0.6, 0.2, 25, 25, alpha=0.025, test="fisher")
    assert one.probabilities(0.6, 0.2).power == pytest.approx(known, abs=1e-12)
    assert one.probabilities(0.4, 0.4).power <= 0.025


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: ts.simon_designs(0.3, 0.2), "p1, the rate of interest, must be above p0"),
        (lambda: ts.simon_designs(0.1, 0.3, max_n=20), "no two-stage design of at most 20"),
        (lambda: ts.simon_designs(0.3, 0.301), "too near for an exact two-stage design"),
        (lambda: ts.BinomialSequence([10, 10], [0, 3], [None, 4]), "n must increase"),
        (lambda: ts.BinomialSequence([10, 20], [3, 4], [3, 5]), "they contradict"),
        (lambda: ts.BinomialSequence([10, 20], [1, 4], [None, 7]), "the last look must decide"),
        (lambda: ts.BinomialSequence([10], [1], [2]).decide([11]), "at most the 10 new patients"),
        (lambda: ts.BinomialSequence([10], [1], [2]).probabilities(1.2), "rate must be between"),
        (lambda: ts.predictive_probability_design(0.9, 5, first_look=2, success=0.99), "not even"),
        (
            lambda: ts.TwoSampleBinomialSequence([5], [5], [1.0], [2.0]),
            "futility 2 is above efficacy 1",
        ),
        (lambda: ts.one_sample_logrank([1, 2], [1, 0], reference=-1), "reference must be above 0"),
    ],
)
def test_what_makes_no_design_is_named(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()


def test_one_sample_logrank_against_its_definition_and_under_the_null():
    rng = np.random.default_rng(3)
    z = []
    for _ in range(500):
        times = rng.weibull(1.4, 60) * 10
        cut = rng.uniform(4, 12, 60)
        seen, events = np.minimum(times, cut), times <= cut
        test = ts.one_sample_logrank(seen, events, lambda t: (t / 10) ** 1.4, variance="average")
        z.append(test.z)
    expected = ((seen / 10) ** 1.4).sum()
    assert test.expected == pytest.approx(expected)
    assert test.z == pytest.approx(
        (expected - events.sum()) / np.sqrt((expected + events.sum()) / 2)
    )
    assert np.mean(z) == pytest.approx(0.0, abs=0.15)
    assert np.std(z) == pytest.approx(1.0, abs=0.11)
    interval = stats.poisson.cdf(test.observed, test.upper * expected)
    assert interval == pytest.approx(0.025, abs=1e-9)
