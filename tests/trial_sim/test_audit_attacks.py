"""Attacks and distances of the audit, and the seven traps of the reference tools."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trial_sim.auditing.compared import distances
from trial_sim.auditing.compared.exposure import Exposure
from trial_sim.auditing.compared.intervals import Interval, auc
from trial_sim.auditing.compared.rules import judge
from trial_sim.auditing.compared.tables import gower, learn_schema
from trial_sim.auditing.privacy import attacks, membership
from trial_sim.auditing.privacy.measures import attack_counts
from trial_sim.auditing.privacy.membership_measures import membership_scores


def encode(*frames):
    schema = learn_schema(*frames)
    return schema, *(schema.encode(frame) for frame in frames)


def people(n, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 10, n)
    return pd.DataFrame(
        {
            "age": age,
            "weight": 0.8 * age + rng.normal(20, 8, n),
            "sex": rng.choice(["F", "M"], n),
            "stage": rng.choice(["I", "II", "III"], n, p=[0.5, 0.3, 0.2]),
            "change": rng.normal(-3, 4, n),
        }
    )


# ------------------------------------------------------------------ distances


def test_gower_by_hand_with_missing_values():
    a = pd.DataFrame({"x": [0.0, 10.0, np.nan, 4.0], "c": ["u", None, "v", "u"]})
    schema, table = encode(a)
    found = gower(table, table, schema.ranges)
    # 0 to 10: distance 1, "u" to missing: 1; 0 to 4: .4, same letter
    assert found[0] == pytest.approx([0, 1, 1, 0.2])
    assert np.diag(found) == pytest.approx(np.zeros(4))  # missing against missing is 0


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 25), st.integers(2, 25), st.integers(0, 10**6))
def test_gower_is_symmetric_and_bounded(n, m, seed):
    schema, a, b = encode(people(n, seed), people(m, seed + 1))
    found = gower(a, b, schema.ranges)
    assert found == pytest.approx(gower(b, a, schema.ranges).T, abs=1e-6)
    assert found.min() >= 0 and found.max() <= 1 + 1e-6


def test_adversarial_accuracy_is_zero_for_copies_and_half_for_an_honest_sample():
    schema, a, b = encode(people(300), people(300, 1))
    among = distances.without_self(gower(a, a, schema.ranges))
    copy = distances.adversarial_accuracy(gower(a, a, schema.ranges), among, among)
    assert copy.estimate == 0
    other = distances.without_self(gower(b, b, schema.ranges))
    honest = distances.adversarial_accuracy(gower(a, b, schema.ranges), among, other)
    assert honest.lower <= 0.5 <= honest.upper


# ------------------------------------------------------------------ the seven traps


def test_trap_1_a_negative_guess_is_not_always_right():
    """anonymeter divides by the signed guess, so change-from-baseline columns look disclosed."""
    truth = pd.DataFrame({"change": np.linspace(-20.0, 20.0, 41), "c": ["a", "b"] * 20 + ["a"]})
    schema, table = encode(truth)
    column = schema.columns.index("change")
    guess = table.rows(np.zeros(41, dtype=int))  # always guess -20
    right = attacks.guessed(schema, column, guess, table)
    assert right.sum() <= 2 and right[0]


def test_trap_2_members_and_unseen_are_attacked_in_equal_numbers():
    schema, inside, outside, synthetic = encode(people(400), people(90, 1), people(400, 2))
    counts = attack_counts(Exposure(schema, inside, synthetic, outside), np.random.default_rng(0))
    for name in ("linkability", "attribute inference"):
        for (attack, _), (on_members, control) in counts.items():
            if attack == name:
                assert on_members.attempts == control.attempts == 90


def test_trap_3_a_pessimistic_generator_is_judged_like_an_optimistic_one():
    up, down = Interval(0.2, 0.15, 0.25), Interval(-0.2, -0.25, -0.15)
    assert judge(up, 0.04, "zero") == judge(down, 0.04, "zero") == "red"


def test_trap_4_the_entropy_weights_are_used():
    schema, a, b = encode(people(200), people(200, 1))
    weights = distances.entropy_weights(schema, a)
    assert len(np.unique(weights.round(6))) == len(weights)
    plain = gower(a, b, schema.ranges)
    weighted = gower(a, b, schema.ranges, weights)
    assert np.abs(plain - weighted).max() > 0.05
    # a column of two even levels has entropy ln 2
    assert weights[schema.columns.index("sex")] == pytest.approx(1 / np.log(2), rel=0.01)


@given(st.integers(2, 60))
def test_trap_5_reference_and_tested_records_never_overlap(n):
    for reference, tested in membership.reference_split(n, np.random.default_rng(n)):
        assert not set(reference) & set(tested)
        assert len(reference) + len(tested) == n


def test_trap_6_ties_are_split_in_half():
    rng = np.random.default_rng(0)
    frames = [pd.DataFrame({"c": rng.choice(list("abcd"), 200)}) for _ in range(3)]
    schema, real, holdout, synthetic = encode(*frames)
    share = distances.closest_share(
        gower(synthetic, real, schema.ranges), gower(synthetic, holdout, schema.ranges)
    )
    assert share.estimate == 0.5  # every distance is 0 on both sides


def test_trap_7_small_tables_can_be_attacked():
    schema, a, b = encode(people(30), people(30, 1))
    rng = np.random.default_rng(0)
    assert attacks.linkability(schema, a, b, rng).attempts == 30
    assert attacks.singling_out_multivariate(schema, a, b, rng, attempts=500).attempts <= 30


# ------------------------------------------------------------------ attacks


def test_a_copy_is_singled_out_linked_and_inferred():
    schema, a = encode(people(150))
    rng = np.random.default_rng(0)
    single = attacks.singling_out_univariate(schema, a, a)
    assert single.successes == single.attempts > 100
    multi = attacks.singling_out_multivariate(schema, a, a, rng)
    assert multi.successes == multi.attempts > 50
    assert attacks.linkability(schema, a, a, rng).successes == 150
    assert all(c.successes == 150 for c in attacks.attribute_inference(schema, a, a, rng).values())


def test_an_honest_sample_succeeds_no_more_often_than_the_patients_themselves():
    schema, a, b = encode(people(400), people(400, 1))
    rng = np.random.default_rng(0)
    attack = attacks.attribute_inference(schema, b, a, rng)
    control = attacks.attribute_inference(schema, a, a, rng, itself=True)
    for name, found in attack.items():
        gap = abs(found.successes - control[name].successes) / 400
        assert gap < 0.12, name


def test_identical_rows_allow_one_percent_and_missing_values():
    real = pd.DataFrame({"x": [100.0, 50.0, np.nan, 7.0], "c": ["a", "b", None, "a"]})
    synthetic = pd.DataFrame({"x": [100.9, 51.0, np.nan, 7.0], "c": ["a", "b", None, "b"]})
    schema, a, b = encode(real, synthetic)
    assert attacks.identical(schema, b, a).tolist() == [True, False, True, False]
    assert not attacks.identical(schema, a, a, itself=True).any()


def test_membership_attacks_find_a_copy_and_not_an_honest_sample():
    schema, members, others, honest = encode(people(200), people(200, 1), people(200, 2))
    rng = np.random.default_rng(0)
    for synthetic, low, high in ((members, 0.75, 1.0), (honest, 0.4, 0.6)):
        scores = membership_scores(Exposure(schema, members, synthetic, others), rng)
        assert set(scores) == {"distance", "density ratio"}
        for inside, outside in scores.values():
            area = auc(inside, outside).estimate
            assert low <= area <= high


def test_shadow_models_find_a_leak_that_one_look_does_not():
    """Records differ in difficulty far more than membership moves them; shadow models see that."""
    rng = np.random.default_rng(1)
    models, n = 24, 400
    member = np.zeros((models, n), dtype=bool)
    for k in range(0, models, 2):
        member[k, rng.permutation(n)[: n // 2]] = True
        member[k + 1] = ~member[k]
    scores = rng.normal(0, 5, n) + rng.normal(0, 1, (models, n)) + 1.0 * member
    pair = np.arange(models) // 2
    ratios = membership.shadow_score(scores, member, pair)
    plain = auc(scores[member], scores[~member]).estimate
    shadow = auc(ratios[member], ratios[~member]).estimate
    assert plain < 0.58 and shadow > 0.7
    none = membership.shadow_score(scores - 1.0 * member, member, pair)
    assert auc(none[member], none[~member]).estimate == pytest.approx(0.5, abs=0.03)


def test_near_copies_are_measured_by_each_records_own_isolation():
    to_source = np.array([[0.05, 0.4], [0.2, 0.3]])
    assert distances.copied(to_source, np.array([0.4, 0.4])).tolist() == [True, False]


def test_the_pooled_rate_counts_each_patient_once():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(size=4000), rng.normal(size=1000)
    found = membership.pooled_rate(inside, outside, 4)
    assert found.estimate == pytest.approx(0.01, abs=0.01)
    assert found.upper - found.lower > membership.pooled_rate(inside, outside, 1).upper * 0.5
