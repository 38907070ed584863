"""What CONTRIBUTING's table "How to add" promises: one of each kind is added here, and used.

Each test adds an entry where the table says, calls the public verb with it, and takes it out.
``FILES`` says which files a kind of change touches, for ``python -m tools.house_figures``; the test
named beside it adds one through those files alone.
"""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from scipy import stats

import molgen
import trial_sim as ts
from molgen.chem.properties import DESCRIPTORS, Descriptor
from molgen.filters.rules import RULES, Condition, Rule
from molgen.optimization import goal_directed
from molgen.optimization.settings import SearchSettings
from molgen.scoring.kinds import KINDS
from molgen.scoring.scales import UNIT, Kind, per_molecule
from trial_sim.data import endpoints
from trial_sim.data.endpoints import Continuous
from trial_sim.design.tests import TESTS, Statistic
from trial_sim.engine import analysis_registry
from trial_sim.outcomes.registry import HOMES
from trial_sim.outcomes.responses import continuous
from trial_sim.scenarios import OutcomeBatch, OutcomeScenario

#: Change -> the test that makes it, and the files that it touches.
FILES = {
    "descriptor": ("test_a_descriptor_is_one_entry", ["molgen/chem/properties.py"]),
    "search move with option": (
        "test_a_search_move_with_an_option_is_one_file",
        ["molgen/optimization/proposers.py"],
    ),
    "outcome kind": (
        "test_an_outcome_kind_is_four_files",
        [
            "trial_sim/data/endpoints.py",
            "trial_sim/outcomes/responses/",  # a module of its own
            "trial_sim/outcomes/registry.py",
            "trial_sim/design/tests.py",
        ],
    ),
    "test in simulate": (
        "test_a_test_statistic_is_one_registration",
        [
            "trial_sim/engine/response_analyses.py",
            "trial_sim/design/tests.py",
            "trial_sim/engine/analysis_registry.py",
        ],
    ),
}
ROOT = Path(molgen.__file__).parents[1]
SMILES = ["CCO", "c1ccccc1S(N)(=O)=O", "CSCC(N)C(=O)O"]
SULFURS = [0, 1, 1]
ARMS = {"control": 1, "treatment": 1}


def n_sulfurs(mol):
    return sum(atom.GetSymbol() == "S" for atom in mol.GetAtoms())


@pytest.fixture
def sulfurs(monkeypatch):
    monkeypatch.setitem(DESCRIPTORS, "sulfurs", Descriptor(n_sulfurs, "", "sulfur atoms"))


def test_a_descriptor_is_one_entry(sulfurs):
    assert molgen.describe(SMILES, properties=["sulfurs"])["sulfurs"].tolist() == SULFURS
    scored = molgen.score(SMILES, ["sulfurs at least 1"])
    assert (scored["score"].to_numpy() > 0.5).tolist() == [bool(n) for n in SULFURS]
    kept = molgen.filter_molecules(SMILES, {"sulfurs": (None, 0)})
    assert kept["passed"].tolist() == [n == 0 for n in SULFURS]


def test_a_filter_is_one_entry(monkeypatch, sulfurs):
    monkeypatch.setitem(RULES, "no_sulfur", Rule(((Condition("sulfurs", high=0),),), "this test"))
    table = molgen.filter_molecules(SMILES, ["no_sulfur"])
    assert table["passed"].tolist() == [n == 0 for n in SULFURS]
    assert "sulfurs 1 > 0" in " ".join(map(str, table.iloc[1]))
    assert molgen.score(SMILES, ["passes no_sulfur"])["score"].tolist() == [1.0, 0.0, 0.0]


def test_a_component_is_one_kind(monkeypatch):
    def carbon_share(parameters):
        return per_molecule(
            lambda mol: sum(a.GetSymbol() == "C" for a in mol.GetAtoms()) / mol.GetNumAtoms()
        )

    kind = Kind(
        "carbon_share", "share of carbon atoms", carbon_share, scale=lambda parameters: UNIT
    )
    monkeypatch.setitem(KINDS, "carbon_share", kind)
    scored = molgen.score(SMILES, ["maximise carbon_share"])
    assert scored["carbon_share"].to_numpy() == pytest.approx([2 / 3, 6 / 10, 4 / 8])


def test_a_search_move_is_one_callable():
    def lengthen(parents, n, rng):
        return [f"C{parents[int(rng.integers(len(parents)))]}" for _ in range(n)]

    few = SearchSettings(n_initial=5, batch_size=5, pool_size=10, rounds=1, use_surrogate=False)
    found = molgen.optimize(
        ["maximise logp"],
        model=None,
        n_calls=40,
        start=["CCO"],
        filters=None,
        settings=few,
        moves={"lengthen": (lengthen, 0.5)},
        seed=0,
    )
    longer = found[found["origin"] == "lengthen"]
    assert len(longer) and all(s.startswith("C") for s in longer["smiles"])
    assert all(Chem.MolFromSmiles(s) is not None for s in longer["smiles"])


def test_a_search_move_with_an_option_is_one_file(monkeypatch):
    """A factory and its entry among the defaults; a user gives another option in its place."""

    def lengthen(by):
        def propose(parents, n, rng):
            return [f"{'C' * by}{parents[int(rng.integers(len(parents)))]}" for _ in range(n)]

        return propose

    shipped = goal_directed.default_proposers

    def with_one_more(library, seed=0, n_fragment_molecules=1000):
        return {**shipped(library, seed, n_fragment_molecules), "lengthen": (lengthen(1), 0.9)}

    monkeypatch.setattr(goal_directed, "default_proposers", with_one_more)
    few = SearchSettings(n_initial=5, batch_size=5, pool_size=10, rounds=1, use_surrogate=False)
    found = molgen.optimize(
        ["maximise logp"],
        model=None,
        n_calls=40,
        start=["c1ccccc1"],
        filters=None,
        settings=few,
        moves={"longer": (lengthen(7), 0.9)},
        seed=0,
    )
    for name, chain in (("lengthen", "C"), ("longer", "CCCCCCC")):
        longer = found[found["origin"] == name]["smiles"]
        assert len(longer) and all(s.startswith(chain) for s in longer)


def test_an_outcome_model_is_one_module_and_one_line(monkeypatch):
    """A model that gives each patient the mean of the arm, beside the models that are there."""

    class ArmMeans:
        name = "arm_means"
        notes = ()

        def __init__(self, data):
            y = data.patients[data.endpoint.column].to_numpy(float)
            self.mean = np.array([y[data.arm == a].mean() for a in range(data.n_arms)])
            self.sd = float(y.std())
            self.column = data.endpoint.column

        def draw(self, rng):
            return self

        def sample(self, codes, arm, rng, drawn):
            return {self.column: rng.normal(self.mean[arm], self.sd)}

        def log_likelihood(self, patients, codes, arm):
            y = patients[self.column].to_numpy(float)
            return -0.5 * ((y - self.mean[arm]) / self.sd) ** 2 - np.log(self.sd)

    def fit(data, name):
        return ArmMeans(data) if name == "arm_means" else continuous.fit(data, name)

    module = SimpleNamespace(
        **{
            **vars(continuous),
            "models": lambda endpoint: (*continuous.models(endpoint), "arm_means"),
            "fit": fit,
        }
    )
    monkeypatch.setitem(HOMES, "continuous", module)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"arm": ["a", "b"] * 100, "x": rng.normal(size=200)})
    table["y"] = rng.normal(size=200) + 2.0 * (table["arm"] == "b")
    trial = ts.Trial(table, "arm", {"y": Continuous("y")}, ["x"])
    fitted = ts.fit(trial, "y", model="arm_means", seed=0)
    synthetic = fitted.sample_trial(seed=1).patients
    means = synthetic.groupby("arm")["y"].mean()
    assert abs(means["b"] - means["a"] - 2.0) < 0.5


class Share(Continuous):
    """A share between 0 and 1, compared by its mean: a kind of outcome of its own."""

    kind: ClassVar[str] = "share"

    def check(self, table):
        super().check(table)
        if not table[self.column].between(0, 1).all():
            raise ValueError(f"column {self.column!r} must hold shares between 0 and 1")


class BetaByArm:
    """Shares with a beta law in each arm."""

    name, notes = "beta", ()

    def __init__(self, data):
        y = data.patients[data.endpoint.column].to_numpy(float)
        mean = np.array([y[data.arm == a].mean() for a in range(data.n_arms)])
        size = (
            mean * (1 - mean) / np.array([y[data.arm == a].var() for a in range(data.n_arms)]) - 1
        )
        self.a, self.b, self.column = mean * size, (1 - mean) * size, data.endpoint.column

    def draw(self, rng):
        return self

    def quantiles(self, codes, arm, uniform, drawn):
        return stats.beta.ppf(uniform, self.a[arm], self.b[arm])

    def sample(self, codes, arm, rng, drawn):
        return {self.column: self.quantiles(codes, arm, rng.random(len(arm)), drawn)}

    def log_likelihood(self, patients, codes, arm):
        return stats.beta.logpdf(patients[self.column], self.a[arm], self.b[arm])


def test_an_outcome_kind_is_four_files(monkeypatch):
    """Record, model, the model's line, tests that suit it: fitted, audited, simulated."""
    monkeypatch.setitem(endpoints.KINDS, "share", Share)
    module = SimpleNamespace(
        models=lambda endpoint: ("beta",),
        candidates=lambda data: ("beta",),
        fit=lambda data, name: BetaByArm(data),
    )
    monkeypatch.setitem(HOMES, "share", module)
    test = TESTS["t_test"]
    monkeypatch.setitem(TESTS, "t_test", replace(test, kinds=(*test.kinds, "share")))
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"arm": ["a", "b"] * 100, "x": rng.normal(size=200)})
    table["y"] = rng.beta(np.where(table["arm"] == "b", 6, 3), 4)
    record = endpoints.endpoint_from_dict({"kind": "share", "column": "y"})
    trial = ts.Trial(table, "arm", {"y": record}, ["x"])
    with pytest.raises(ValueError, match="must hold shares between 0 and 1"):
        ts.Trial(table.assign(y=2.0), "arm", {"y": Share("y")}, ["x"])
    fitted = ts.fit(trial, "y", seed=0)
    synthetic = fitted.sample_trial(seed=1).patients
    assert synthetic["y"].between(0, 1).all()
    means = synthetic.groupby("arm")["y"].mean()
    assert abs(means["b"] - means["a"] - (0.6 - 3 / 7)) < 0.07
    report = ts.audit(trial, trial.with_patients(synthetic), seed=0)
    assert report.table["measure"].str.contains("curve gap").any()
    design = ts.Design(
        {"a": 1, "b": 1}, 100, ts.Accrual(10), looks=ts.EnrolmentLooks([100]), test="t_test"
    )
    assert ts.simulate(design, fitted.outcomes("a", "b"), n_trials=20, seed=1).power > 0.8


def test_the_files_that_are_counted_are_there():
    for test, files in FILES.values():
        assert test in globals()
        assert all((ROOT / file).exists() for file in files)


class AlwaysThree:
    """A test statistic that is 3 whatever the data."""

    scale = "difference"
    direction = 1.0

    def evaluate(self, batch, treated, look, active):
        n = batch.n_trials
        return np.full(n, 3.0), np.ones(n), np.full(n, 1 / 3)

    def estimate(self, batch, treated, look, active):
        raise AssertionError("evaluate gave the estimates")


def test_a_test_statistic_is_one_registration(monkeypatch):
    monkeypatch.setattr(analysis_registry, "_BUILDERS", dict(analysis_registry._BUILDERS))
    monkeypatch.setitem(TESTS, "always", None)  # so that it is taken out again at the end
    monkeypatch.delitem(TESTS, "always")
    analysis_registry.register_test(
        "always", Statistic(("time_to_event",)), lambda design, kind: AlwaysThree()
    )
    with pytest.raises(ValueError, match="there is a test 'always' already"):
        analysis_registry.register_test(
            "always", Statistic(("binary",)), lambda d, k: AlwaysThree()
        )
    design = ts.Design(ARMS, 60, ts.Accrual(10), looks=ts.EventLooks([20]), test="always")
    times = ts.PiecewiseExponential(control_median=6, hazard_ratio=1.0)
    assert ts.simulate(design, times, n_trials=20, seed=1).power == 1.0
    with pytest.raises(ValueError, match="does not go with test 'always'"):
        ts.Design(
            ARMS, 60, ts.Accrual(10), looks=ts.EventLooks([20]), test="always",
            strata={"sex": {"f": 0.5, "m": 0.5}}, stratified=True,
        )  # fmt: skip
    with pytest.raises(ValueError, match="'always' does not suit binary"):
        ts.simulate(design, ts.BinaryResponse(0.3, 0.3), n_trials=5, seed=1)


class AllAtOnce:
    """Every control patient has the event in month 1, every treated one in month 2."""

    kind = "time_to_event"

    def sample(self, batch):
        return OutcomeBatch(time=1.0 + (batch.arm > 0))


def test_an_outcome_scenario_is_any_object_of_that_shape():
    scenario = AllAtOnce()
    assert isinstance(scenario, OutcomeScenario)
    design = ts.Design(ARMS, 60, ts.Accrual(10), looks=ts.EventLooks([50]), test="logrank")
    assert ts.simulate(design, scenario, n_trials=20, seed=1).power == 1.0
