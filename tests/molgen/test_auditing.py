"""The audit's arithmetic, its sets and its report; what samples alone show of cheats."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import molgen
from molgen.auditing.intervals import Interval, attack_result, share_difference, wilson
from molgen.auditing.measures import Measure
from molgen.auditing.membership import measure_membership, nearest_sample_attacks
from molgen.auditing.memorisation import copied_with_one_change, measure_memorisation
from molgen.auditing.power import found_from, power_in_words
from molgen.auditing.report import _RULES, AuditReport
from molgen.auditing.sets import read_generated, read_sets
from tests.molgen.test_motifs import read


@pytest.fixture(scope="module")
def moses() -> list[str]:
    return read("moses_sample")


@pytest.fixture(scope="module")
def sets(moses):
    return read_sets(moses[:1000], moses[1000:2000])[:2]


def verdicts(measures) -> dict[tuple[str, str], str]:
    return {(m.measure, m.subject): m.verdict for m in measures}


# ---- intervals -----------------------------------------------------------------------------------
def test_wilson_and_newcombe_give_published_values() -> None:
    # anonymeter's tests: 850 of 1,000 → .849 ± .022
    found = wilson(850, 1000)
    assert (found.lower + found.upper) / 2 == pytest.approx(0.849, abs=5e-4)
    assert (found.upper - found.lower) / 2 == pytest.approx(0.022, abs=5e-4)
    # Newcombe (1998), table II, method 10: 56/70 - 48/80 and 9/10 - 3/10
    assert share_difference(56, 70, 48, 80) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert share_difference(9, 10, 3, 10) == pytest.approx((0.6, 0.1705, 0.8090), abs=5e-5)


def test_attack_result_agrees_with_scikit_learn_and_brute_force() -> None:
    rng = np.random.default_rng(5)
    members = np.round(rng.normal(0.7, 1, 700), 1)  # rounded: many ties
    others = np.round(rng.normal(0, 1, 500), 1)
    members[:3], others[:5] = -np.inf, -np.inf
    found = attack_result(members, others, seed=1)
    label = np.repeat([1, 0], [700, 500])
    ranks = np.nan_to_num(np.concatenate([members, others]), neginf=-1e9)
    assert found.auc.estimate == pytest.approx(roc_auc_score(label, ranks), abs=1e-12)
    for rate, value in ((0.01, found.tpr_at_1_percent), (0.001, found.tpr_at_01_percent)):
        best = max(
            (members >= t).mean()
            for t in [*np.unique(others), np.inf, *np.unique(members)]
            if (others >= t).mean() <= rate
        )
        assert value.estimate == pytest.approx(best)
        assert value.lower <= value.estimate <= value.upper


def test_interval_of_the_area_covers_the_truth() -> None:
    """Of 95 % intervals of a known area, 95 in 100 hold it."""
    rng = np.random.default_rng(0)
    truth, hits = 0.6382, 0  # P(N(.5, 1) > N(0, 1)) = Phi(.5 / sqrt 2)
    for _ in range(150):
        found = attack_result(rng.normal(0.5, 1, 150), rng.normal(0, 1, 150), n_resamples=300)
        hits += found.auc.lower <= truth <= found.auc.upper
    assert 133 <= hits <= 149


def test_an_attack_without_scores_or_with_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0 and 2"):
        attack_result(np.array([]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="NaN"):
        attack_result(np.array([1.0, math.nan]), np.array([1.0]))


# ---- verdicts and report -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("interval", "rule", "verdict"),
    [
        ((0.50, 0.48, 0.52), "limit", "pass"),
        ((0.52, 0.45, 0.59), "limit", "unclear"),  # too few molecules to say
        ((0.54, 0.53, 0.56), "limit", "fail"),  # a leak is proved, and may exceed the limit
        ((0.70, 0.60, 0.80), "limit", "fail"),
        ((0.53, 0.51, 0.549), "limit", "pass"),
        ((math.nan, math.nan, math.nan), "limit", "unclear"),
        ((0.51, 0.50, 0.52), "excess", "pass"),
        ((0.56, 0.54, 0.58), "excess", "fail"),
        ((0.54, 0.52, 0.58), "least", "pass"),
        ((0.40, 0.38, 0.42), "least", "fail"),
        ((0.99, 0.98, 1.0), "", "note"),
    ],
)
def test_verdicts(interval, rule, verdict) -> None:
    measure = Measure(
        "membership", "AUC", Interval(*interval), "how", baseline=0.5, threshold=0.55, rule=rule
    )
    assert measure.verdict == verdict
    report = AuditReport((measure,))
    assert report.passed == (verdict in ("pass", "note"))
    assert len(report.failures) == (not report.passed)


def test_a_measure_is_checked() -> None:
    one = Interval(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="section is 'privacy'; expected one of memorisation"):
        Measure("privacy", "AUC", one, "how")
    with pytest.raises(ValueError, match="needs a threshold"):
        Measure("membership", "AUC", one, "how", rule="limit")
    with pytest.raises(ValueError, match="at least one measure"):
        AuditReport(())
    report = AuditReport((Measure("membership", "AUC", one, "how"),))
    with pytest.raises(KeyError, match="there are: AUC"):
        report.measure("auc")


# ---- sets ----------------------------------------------------------------------------------------
def test_sets_that_overlap_are_refused_whatever_their_spelling(moses) -> None:
    with pytest.raises(ValueError, match="1 molecules are both members and non-members"):
        molgen.audit_samples(
            moses[200:300], [*moses[:100], "C(O)CN[C@@H](C)Cl"], [*moses[100:200], "CC(Cl)NCCO"]
        )


def test_ten_molecules_are_too_few(moses) -> None:
    with pytest.raises(ValueError, match=r"There are 10 distinct readable members; .* at least 50"):
        molgen.audit_samples(moses[200:300], moses[:10], moses[100:200])
    with pytest.raises(ValueError, match="There are 10 distinct readable non-members"):
        molgen.audit_samples(moses[200:300], moses[100:200], moses[:10])


def test_duplicates_and_unreadable_rows_are_left_out_with_a_warning(moses) -> None:
    with pytest.warns(UserWarning) as caught:
        inside, outside, notes = read_sets(
            [*moses[:60], *moses[:20], "not a molecule"], moses[60:120]
        )
    assert (len(inside), len(outside)) == (60, 60)
    assert notes == [
        "1 of 81 members cannot be read and are left out",
        "20 duplicates among the members are merged",
    ]
    assert any("not a molecule" in str(w.message) for w in caught)


def test_nothing_readable_generated_and_wrong_settings(moses) -> None:
    with pytest.raises(ValueError, match="None of the 2 generated molecules can be read"):
        molgen.audit_samples(["x", "y"], moses[:60], moses[60:120])
    with pytest.raises(ValueError, match="seed is -1"):
        molgen.audit_samples(moses[200:300], moses[:60], moses[60:120], seed=-1)
    with pytest.raises(ValueError, match="shadow_models is 3; expected 0 or an even number"):
        molgen.audit("moses", moses[:60], moses[60:120], shadow_models=3)
    with pytest.raises(ValueError, match=r"properties\['ic50'\] has no value for 1 of 60 members"):
        molgen.audit_samples(
            moses[200:300], moses[:60], moses[60:120],
            properties={"ic50": dict.fromkeys(moses[1:120], 1.0)},
        )  # fmt: skip


def test_one_change_on_the_same_scaffold() -> None:
    targets = ["Cc1ccc(C(=O)NC2CC2)cc1", "CCCCCC(=O)N1CCOCC1", "c1ccc(-c2ccncc2)cc1"]
    inside, _ = read_generated(targets)
    close = ["Clc1ccc(C(=O)NC2CC2)cc1", "CCCCCC(=O)N1CCOCC1", "Cc1ccc(-c2ccncc2)cc1"]
    assert copied_with_one_change(read_generated(close)[0], inside).tolist() == [True] * 3
    far = [
        "Clc1ccc(C(=O)NC2CC2)c(F)c1",  # two changes
        "OC(=O)CCCCC(=O)N1CCOCC1",  # a substituent of more than three atoms
        "Cc1ccc(-c2ccccc2)cc1",  # another scaffold
    ]
    found = copied_with_one_change(read_generated(far)[0], inside)
    assert found.tolist() == [False, True, False]  # CCCC... + COOH: three atoms, one change
    lost = ["c1ccc(C(=O)NC2CC2)cc1"]  # the methyl replaced by hydrogen
    assert copied_with_one_change(read_generated(lost)[0], inside).tolist() == [True, False, False]
    pyrrole, _ = read_generated(["Cn1cccc1C(=O)O"])
    assert copied_with_one_change(read_generated(["O=C(O)c1ccc[nH]1"])[0], pyrrole).all()


# ---- cheats, from samples alone ------------------------------------------------------------------
def test_a_copier_is_caught_and_an_honest_sample_is_not(moses, sets) -> None:
    inside, outside = sets
    honest, counts = read_generated(moses[2000:4000])
    found = [
        *measure_memorisation(honest, counts, inside, outside),
        *measure_membership(nearest_sample_attacks(honest, inside, outside)),
    ]
    assert set(verdicts(found).values()) <= {"pass", "note"}
    copier, counts = read_generated(moses[:1000])
    seen = verdicts(
        [
            *measure_memorisation(copier, counts, inside, outside),
            *measure_membership(nearest_sample_attacks(copier, inside, outside)),
        ]
    )
    for subject in ("all", "rare scaffolds", "isolated molecules"):
        assert seen["exact copies", subject] == "fail"
        assert seen["near copies", subject] == "fail"
        assert seen["copies with one change", subject] == "fail"
    assert seen["AUC", "nearest sample"] == "fail"
    assert seen["AUC", "nearest sample over reference"] == "fail"


def test_a_copier_of_three_in_a_hundred_is_caught(moses, sets) -> None:
    inside, outside = sets
    generated, counts = read_generated([*moses[:30], *moses[2000:4000]])
    seen = verdicts(measure_memorisation(generated, counts, inside, outside))
    assert seen["exact copies", "all"] == "fail"


def test_swapped_labels_are_caught(moses, sets) -> None:
    inside, outside = sets
    trained_on_the_hold_out, _ = read_generated([*moses[1000:1500], *moses[2000:3000]])
    measures = measure_membership(nearest_sample_attacks(trained_on_the_hold_out, inside, outside))
    swapped = [m for m in measures if m.measure == "AUC with labels swapped"]
    assert swapped
    assert swapped[0].verdict == "fail"
    assert "trained on the hold-out" in swapped[0].reading


def test_report_of_samples_is_whole_offline_and_names_no_member(moses, tmp_path) -> None:
    members, others = moses[:300], moses[300:600]
    report = molgen.audit_samples([*members[:150], *members[:50], "junk"], members, others, seed=3)
    assert not report.passed
    assert list(report.table.columns)[:10] == [
        "section", "measure", "subject", "estimate", "lower", "upper", "baseline", "threshold",
        "verdict", "reading",
    ]  # fmt: skip
    assert set(report.table["section"]) == {
        "memorisation", "membership", "utility", "fidelity", "balance",
    }  # fmt: skip
    assert report.table["reading"].str.len().min() > 20
    assert report.measure("exact copies", "all").interval.estimate == pytest.approx(0.5)
    assert report.measure("distinct").interval.estimate == pytest.approx(0.75)
    assert "1 of 201 generated molecules cannot be read" in report.about["notes"]
    assert "fail: memorisation, exact copies (all)" in str(report)
    page = report.to_html(tmp_path / "audit.html")
    assert (tmp_path / "audit.html").read_text("utf-8") == page
    assert "http" not in page.replace("http-equiv", "")
    assert "prefers-color-scheme:dark" in page
    data = json.loads(report.to_json(tmp_path / "deep" / "audit.json"))
    assert json.loads((tmp_path / "deep" / "audit.json").read_text()) == data
    assert data["passed"] is False
    assert data["provenance"]["seed"] == 3
    assert len(data["measures"]) == len(report.measures)
    text = page + json.dumps(data)
    assert not any(s in text for s in (*members, *others) if len(s) > 12)
    assert page.count("<tr data-verdict") == len(report.measures)
    with pytest.raises(ValueError, match="Cannot write"):
        report.to_html(tmp_path / "audit.html" / "below.html")


@pytest.mark.long
@pytest.mark.slow
def test_a_real_hold_out_passes_as_a_sample(moses) -> None:
    """Real molecules that are neither: the best generator there can be."""
    report = molgen.audit_samples(moses[2000:4000], moses[:1000], moses[1000:2000])
    assert report.passed, str(report)


def test_the_rule_on_the_page_is_the_rule_applied():
    """Read back from the words: a line passes only if what they say is so."""
    rng = np.random.default_rng(0)
    for rule, words in _RULES.items():
        for _ in range(40 if rule else 1):
            e, half, limit = rng.uniform(0.3, 0.8), rng.uniform(0.01, 0.2), rng.uniform(0.4, 0.7)
            interval = Interval(e, e - half, e + half)
            line = Measure("membership", "AUC", interval, "r", threshold=limit, baseline=limit,
                           rule=rule)  # fmt: skip
            low, high = e - 1.68 * half, e + 1.68 * half
            kept = {
                "upper end at most": e + half <= limit,
                "99.9 % interval not above": low <= limit,
                "99.9 % interval not below": high >= limit,
                "": None,
            }[words]
            assert kept is None or (line.verdict == "pass") == kept
            assert AuditReport((line,)).to_html().index("Attacked: a sample") > 0


def test_what_an_audit_would_have_found_is_found_in_nine_of_ten() -> None:
    """Leaks of the size that the sentence names, drawn as normal estimates, by each rule."""
    rng = np.random.default_rng(1)
    error = 0.02
    for rule, chance, more in (("limit", 0.5, {"threshold": 0.55}), ("excess", 0.0, {})):

        def line(estimate: float, rule=rule, chance=chance, more=more) -> Measure:
            ends = Interval(estimate, estimate - 1.96 * error, estimate + 1.96 * error)
            return Measure("membership", "AUC", ends, "-", baseline=chance, rule=rule, **more)

        truth = found_from(line(chance))
        caught = [line(x).verdict != "pass" for x in rng.normal(truth, error, 4_000)]
        assert abs(np.mean(caught) - 0.9) < 0.02, rule
    few = Interval(0.5, 0.0, 1.0)
    copies = Measure("memorisation", "exact copies", few, "-", baseline=0.0, rule="excess")
    (told,) = power_in_words([copies])
    assert told == "Training molecules that come out: it could not have seen any at these sizes."
    page = AuditReport((copies,)).to_html()
    assert "What it would have found" in page and told in page
