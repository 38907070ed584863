"""Study files of adaptive trials that cannot be: one sentence from ``trial-sim simulate``."""

import copy

import pytest
import yaml
from typer.testing import CliRunner

import trial_sim as ts
from trial_sim.cli import app

STUDY = {
    "design": {
        "design": {
            "arms": {"control": 1, "treatment": 1},
            "n_patients": 200,
            "accrual": {"rate": 20},
            "looks": {"type": "EventLooks", "events": [60, 120]},
            "boundaries": {
                "type": "Bounds",
                "efficacy_bounds": [2.7965, 1.9774],
                "information_fractions": [0.5, 1],
            },
        },
        "milestones": [
            {"name": "interim", "when": {"type": "EventLooks", "events": [60]}, "rules": []},
            {"name": "final", "when": {"type": "EventLooks", "events": [120]}},
        ],
        "closed_test": {"combine": "inverse_normal"},
    },
    "outcomes": {"type": "PiecewiseExponential", "control_median": 12, "hazard_ratio": 0.7},
    "simulation": {"n_trials": 20, "seed": 1},
}
GROW = {"type": "Resize", "n": 300}
FUTILE = {"type": "Stop", "reason": "futility"}


def changed(*rules: tuple[str, object], when: object = None, **fields: object) -> dict:
    """The study with rules at its interim, and other fields of its parts."""
    study = copy.deepcopy(STUDY)
    interim = study["design"]["milestones"][0]
    interim["rules"] = [{"when": text, "action": action} for text, action in rules]
    if when is not None:
        interim["when"] = when
    for name, value in fields.items():
        part = study["design"]["design"] if name in ("boundaries", "looks") else study["design"]
        if value is None:
            del part[name]
        else:
            part[name] = value
    return study


CASES = {
    "never fires": (changed(("p > 1", "DropArm")), "the rule can never fire: no value meets p > 1"),
    "never here": (changed(("n > 500", {"type": "Pause", "months": 1})), "n is at most 200 here"),
    "pre-empted by a stop": (
        changed(("z <= 0.5", FUTILE), ("z < 0.2", GROW)),
        "the rule if z < 0.2 can never fire: whenever it holds, an earlier rule has stopped",
    ),
    "pre-empted by several": (
        changed(("z <= 0.5", FUTILE), ("z >= 2.8", "Stop"), ("z > 3 or z < 0.2", GROW)),
        "can never fire: whenever it holds, an earlier rule",
    ),
    "always stops": (
        changed(("n >= 0", FUTILE)),
        "milestone 'interim' always stops the trial: milestone 'final' never comes",
    ),
    "two stops": (
        changed(("z >= 1", "Stop"), ("z <= 2", FUTILE)),
        "two rules contradict: z >= 1 and z <= 2 hold at once",
    ),
    "drops and adds": (
        changed(
            ("z < 1", {"type": "DropArm", "arm": "b"}), ("z < 0", {"type": "AddArm", "arm": "b"}),
            later_arms=[{"name": "b", "opens": 2}], closed_test={"intersection": "simes"},
        ),
        "arm 'b' is dropped and added",
    ),
    "two sizes": (
        changed(("z > 1", GROW), ("z > 1", {"type": "Resize", "n": 400})),
        "two rules if z > 1 contradict",
    ),
    "before the first patient": (
        changed(when={"type": "CalendarLooks", "months": [0.01]}),
        "comes before the first patient, expected in month 0.05",
    ),
    "n_max below n": (
        changed(("z > 1", {"type": "Resize", "n": 150})),
        "Resize to at most 150 patients is below the 200 planned",
    ),
    "no weights": (
        changed(("z > 1", GROW), boundaries=None, looks={"type": "EventLooks", "events": [120]}),
        "the closed test has no weights for its stages",
    ),
    "added too late": (
        changed(
            ("n >= 0", {"type": "AddArm", "arm": "b"}),
            when={"type": "EnrolmentLooks", "patients": [200]},
            later_arms=[{"name": "b"}], closed_test={"intersection": "simes"},
        ),
        "adds the arm 'b' after enrolment ended",
    ),
    "opens too late": (
        changed(later_arms=[{"name": "b", "opens": 60}], closed_test={"intersection": "simes"}),
        "the later arm 'b' opens at month 60, after enrolment ended",
    ),
    "no method": (
        changed(("z > 1", GROW), closed_test=None),
        "Resize by z > 1 needs a method for the type I error, which is not controlled",
    ),
    "no family": (
        changed(
            ("n > 5", {"type": "Pause", "months": 1}), later_arms=[{"name": "b", "opens": 2}],
            closed_test=None,
        ),
        "the error of the family is not controlled",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_file_of_no_adaptive_trial_is_refused_in_one_sentence(case, tmp_path) -> None:
    study, sentence = CASES[case]
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    found = CliRunner().invoke(app, ["simulate", str(path), "--no-progress"])
    assert found.exit_code == 2, found.output
    said = " ".join(found.output.split())
    assert sentence in said
    assert "Traceback" not in said and len(said) < 400


def test_rules_that_only_look_alike_are_taken() -> None:
    z = ts.Quantity("z")
    design = ts.AdaptiveDesign.from_dict(
        changed(("z <= 0.5", FUTILE), ("z < 1", GROW))["design"] | {"type": "AdaptiveDesign"}
    )
    assert len(design.milestones[0].rules) == 2
    several = design.replace(
        design=design.design.replace(
            arms={"control": 1, "a": 1, "b": 1}, multiplicity="unadjusted"
        ),
        milestones=[
            ts.Milestone(
                "interim",
                ts.EventLooks([60]),
                [ts.Rule(z >= 2.8, ts.Stop()), ts.Rule(z >= 3, ts.Resize(n=300))],
            ),
            design.milestones[1],
        ],
        closed_test=ts.ClosedTest(intersection="simes"),
    )
    assert several.needs_engine  # of several arms a bound of z need not reject


def test_an_adaptive_result_prints_on_a_screen() -> None:
    design = ts.AdaptiveDesign.from_dict(
        changed(("z < 1", GROW))["design"] | {"type": "AdaptiveDesign"}
    )
    result = ts.simulate(design, ts.PiecewiseExponential(12, hazard_ratio=0.7), 20, seed=1)
    assert str(result).startswith("AdaptiveResult(20 trials: power")
    assert "closed test: stages by inverse_normal" in str(result) and len(str(result)) < 400
