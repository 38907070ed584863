"""What CONTRIBUTING's table "How to add" promises: one of each kind is added here, and used.

Each test adds an entry where the table says, calls the public verb with it, and takes it out.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

import molgen
import trial_sim as ts
from molgen.chem.properties import DESCRIPTORS, Descriptor
from molgen.filters.rules import RULES, Condition, Rule
from molgen.optimization.settings import SearchSettings
from molgen.scoring.kinds import KINDS
from molgen.scoring.scales import UNIT, Kind, per_molecule
from trial_sim.data.endpoints import Continuous
from trial_sim.design.tests import TESTS, Statistic
from trial_sim.engine import analysis_registry
from trial_sim.outcomes.registry import HOMES
from trial_sim.outcomes.responses import continuous
from trial_sim.scenarios import OutcomeBatch, OutcomeScenario

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
