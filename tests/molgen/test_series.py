"""The SAR desk: R-groups, Free-Wilson shares, matched pairs, cliffs, and its command."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from scipy.optimize import minimize
from scipy.stats import norm
from typer.testing import CliRunner

import molgen
from molgen.chem.parsing import canonical
from molgen.cli import app
from molgen.qsar.assay_values import QsarError
from molgen.qsar.series.assays import read_series, unit_of_name
from molgen.qsar.series.censored import fit_linear
from molgen.qsar.series.cliffs import find_cliffs
from molgen.qsar.series.free_wilson import fit_free_wilson
from molgen.qsar.series.matched_pairs import find_pairs, joined
from molgen.qsar.series.r_groups import RGroups, assembled, decompose
from molgen.qsar.series.transformations import Transformations

FIRST = ("F", "Cl", "OC", "C(F)(F)F", "[H]")
SECOND = ("C", "C(=O)NC", "C#N", "[C@H](C)O", "N1CCOCC1")
THIRD = ("C", "CC", "C4CC4", "[H]")


def indole(a: str, b: str, c: str) -> str:
    return canonical(f"c1c({a})cc2c(c1{b})ccn2{c}" if b != "[H]" else f"c1c({a})cc2c(c1)ccn2{c}")


SERIES = [indole(*groups) for groups in itertools.product(FIRST, SECOND, THIRD)]


# ---- reading -------------------------------------------------------------------------------------
def test_limits_salts_repeats_and_units_are_read() -> None:
    series = read_series(
        ["CCO", "CCN.Cl", "CCN", "CCC", "xx", "CCF", "CCCl"],
        ["100", ">10000", "<1", "50", "3", "n.d.", "0"],
        names=["a", "b", "c", "d", "e", "f", "g"],
        unit="nM",
    )
    assert series.smiles == ("CCO", "CCC")
    assert series.y == pytest.approx([7.0, -math.log10(50e-9)])
    reasons = {entry["line"]: entry["reason"] for entry in series.rejected}
    assert "limits on both sides" in reasons[2] and "no logarithm" in reasons[7]
    assert "not a molecule" in reasons[5] and reasons[6] == "no value"
    flipped = read_series(["CCN"], [">10"], unit="uM")
    assert flipped.relations == ("<",) and flipped.y == pytest.approx([5.0])
    with pytest.raises(QsarError, match="unit is one of"):
        read_series(["CCN"], ["1"], unit="mg/ml")


# ---- R-groups ------------------------------------------------------------------------------------
@settings(max_examples=6, deadline=None)
@given(st.data())
def test_core_and_groups_are_the_compound(data) -> None:
    """Whatever is drawn from the series, every row's parts are the compound, or it is listed."""
    chosen = data.draw(st.lists(st.sampled_from(SERIES), min_size=2, max_size=12, unique=True))
    strange = data.draw(st.sampled_from(["CCO", "c1ccc2c(c1)CCC2", "C1CCCCC1"]))
    groups = decompose([*chosen, canonical(strange)], "c1ccc2[nH]ccc2c1")
    assert [e["row"] for e in groups.unmatched] == [len(chosen)]
    for row, core, own in zip(groups.rows, groups.cores, groups.groups):
        assert assembled(core, own) == chosen[row]


def test_enantiomers_have_different_cores() -> None:
    compounds = [canonical(s) for s in ("C[C@H]1CCN(C(C)=O)C1", "C[C@@H]1CCN(C(C)=O)C1",
                                        "CC1CCN(C(C)=O)C1", "F[C@H]1CCN(CC)C1")]  # fmt: skip
    groups = decompose(compounds, "C1CCNC1")
    assert len(set(groups.cores[:3])) == 3
    assert groups.core == canonical(groups.core, stereo=False)


def test_alike_groups_of_a_symmetric_core_meet_at_one_site() -> None:
    """para-Disubstituted benzenes, written in either direction."""
    compounds = [
        canonical(f"c1cc({a})ccc1{b}") for a in ("F", "Cl", "OC") for b in ("N", "O", "CC")
    ]
    groups = decompose(compounds, "c1ccccc1")
    assert len({g[0] for g in groups.groups}) + len({g[1] for g in groups.groups}) == 6


def test_rings_onto_the_core_and_closed_sites_are_listed() -> None:
    groups = decompose([canonical(s) for s in ("C1CC2CNCC2C1", "CC1CCNC1", "FC1CCNC1")], "C1CCNC1")
    assert [e["reason"] for e in groups.unmatched] == ["a substituent closes a ring onto the core"]
    sited = decompose([canonical(s) for s in ("Cc1ccc(F)cc1", "Cc1ccc(F)c(Cl)c1")],
                      "c1cc([*:2])ccc1[*:1]")  # fmt: skip
    assert [e["row"] for e in sited.unmatched] == [1]
    with pytest.raises(ValueError, match="neither SMILES nor SMARTS"):
        decompose(["CCO"], "c1cc")
    with pytest.raises(ValueError, match="no compound contains"):
        decompose(["CCO"], "c1ccccc1")


# ---- Free-Wilson ---------------------------------------------------------------------------------
def drawn(n: int, seed: int, rows=SERIES) -> tuple[RGroups, np.ndarray, np.ndarray]:
    """Groups, expectations and values of part of the series, additive by construction."""
    rng = np.random.default_rng(seed)
    names = list(itertools.product(range(5), range(5), range(4)))
    shares = [rng.normal(size=k) for k in (5, 5, 4)]
    at = rng.permutation(len(names))[:n]
    mean = np.array([sum(s[k] for s, k in zip(shares, names[i])) for i in at])
    labels = [(f"[*:1]{FIRST[a]}", f"[*:2]{SECOND[b]}", f"[*:3]{THIRD[c]}")
              for a, b, c in (names[i] for i in at)]  # fmt: skip
    core = "c1c([*:1])cc2c(c1[*:2])ccn2[*:3]"
    groups = RGroups(
        core, False, ("R1", "R2", "R3"), tuple(range(n)), tuple(labels), (core,) * n, ()
    )
    return groups, mean, mean + 0.3 * rng.normal(size=n)


def test_shares_are_least_squares() -> None:
    groups, _, y = drawn(60, 0)
    model = fit_free_wilson(groups, y, ["="] * 60)
    table = model.table
    x = np.ones((60, 1))
    names = [row for row in table.itertuples() if row.note == "" and row.site != "constant"]
    for row in names:
        k = model.factors.index(row.site)
        x = np.column_stack([x, [float(g[k] == row.group) for g in groups.groups]])
    beta, rest = np.linalg.lstsq(x, y, rcond=None)[:2]
    shares = [table["share"].iloc[0], *(row.share for row in names)]
    assert np.abs(np.array(shares) - beta).max() < 1e-8
    error = np.sqrt(rest[0] / (60 - len(beta)) * np.diag(np.linalg.inv(x.T @ x)))
    half = np.array([(row.upper - row.lower) / 2 for row in names])
    assert half / error[1:] == pytest.approx(2.0117, rel=1e-3)  # t of 48 degrees of freedom: 2.0106


#: log 1/C of N,N-dimethyl-2-bromophenethylamines by meta and para group, the classical series of
#: Free-Wilson analysis (Unger and Hansch, J. Med. Chem. 16:745, 1973), and its published shares.
PUBLISHED = """H H 7.46;H F 8.16;H Cl 8.68;H Br 8.89;H I 9.25;H C 9.30;F H 7.52;Cl H 8.16;Br H 8.30;
I H 8.40;C H 8.46;Cl F 8.19;Br F 8.57;C F 8.82;Cl Cl 8.89;Br Cl 8.92;C Cl 8.96;Cl Br 9.00;
Br Br 9.35;C Br 9.22;C C 9.30;Br C 9.52"""
SHARES = {
    "R1": {"F": -0.30, "Cl": 0.21, "Br": 0.43, "I": 0.58, "C": 0.45},
    "R2": {"F": 0.34, "Cl": 0.77, "Br": 1.02, "I": 1.43, "C": 1.26},
}


def test_a_published_series_has_its_published_shares() -> None:
    rows = [row.split() for row in PUBLISHED.split(";")]
    smiles = [
        "CN(C)CC(Br)c1ccc" + "".join(f"({g})" * (g != "H") + "c" for g in (para, meta)) + "1"
        for meta, para, _ in rows
    ]
    core = "CN(C)CC(Br)c1ccc([*:2])c([*:1])c1"
    desk = molgen.sar(smiles, [float(row[2]) for row in rows], core=core)
    table = desk.tables["free_wilson"].set_index(["site", "group"])["share"]
    assert table.iloc[0] == pytest.approx(7.82, abs=0.005)
    for site, shares in SHARES.items():
        for group, share in shares.items():
            assert table[site, f"{group}[*:{site[1]}]"] == pytest.approx(share, abs=0.0051)
    assert desk.free_wilson.fit.sigma == pytest.approx(0.194, abs=0.0006)


def test_what_the_compounds_do_not_determine_has_no_number() -> None:
    core = "c1cc([*:2])ccc1[*:1]"
    pairs = [("F", "C"), ("F", "N"), ("Cl", "C"), ("Cl", "N"), ("Br", "O"), ("Br", "O"), ("F", "S"),
             ("Cl", "S")]  # fmt: skip
    named = tuple((f"{a}[*:1]", f"{b}[*:2]") for a, b in pairs)
    groups = RGroups(core, False, ("R1", "R2"), tuple(range(8)), named, (core,) * 8, ())
    model = fit_free_wilson(groups, np.arange(8.0), ["="] * 6 + [">", ">"])
    notes = dict(zip(model.table["group"], model.table["note"]))
    assert notes["Br[*:1]"] == notes["O[*:2]"] == "always together with another group"
    assert notes["S[*:2]"] == "limits only"
    assert np.isnan(model.predict([("Br[*:1]", "C[*:2]")])[0][0])
    assert model.predict([("Br[*:1]", "O[*:2]")])[0][0] == pytest.approx(4.5)
    with pytest.raises(ValueError, match="nothing"):
        fit_free_wilson(groups, np.arange(8.0), ["="] + [">"] * 7)


@pytest.mark.parametrize("seed", range(3))
def test_limits_enter_by_their_likelihood(seed: int) -> None:
    """The maximum of a general optimiser, and its value."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(50), rng.integers(0, 2, 50), rng.normal(size=50)])
    y = x @ np.array([6.0, 1.0, -0.5]) + 0.5 * rng.normal(size=50)
    signs = np.where(y < 5.6, "<", np.where(y > 7.0, ">", "="))
    y = np.clip(y, 5.6, 7.0)
    fit = fit_linear(x, y, list(signs))

    def loss(p: np.ndarray) -> float:
        r = (y - x @ p[:3]) / math.exp(p[3])
        exact = norm.logpdf(r) - p[3]
        beyond = np.where(signs == ">", norm.logsf(r), norm.logcdf(r))
        return -float(np.where(signs == "=", exact, beyond).sum())

    best = minimize(loss, [6, 0, 0, 0], method="BFGS", options={"gtol": 1e-9})
    assert fit.coefficients == pytest.approx(best.x[:3], abs=2e-5)


@pytest.mark.parametrize("censored", [False, True])
def test_intervals_cover(censored: bool) -> None:
    hits = []
    for seed in range(40):
        groups, mean, y = drawn(70, seed)
        limit = np.quantile(mean, 0.2)
        signs = ["<" if censored and v < limit else "=" for v in y]
        model = fit_free_wilson(groups, np.maximum(y, limit) if censored else y, signs)
        truth = fit_free_wilson(groups, mean, ["="] * 70).table
        same = model.references == tuple(
            truth.loc[(truth["site"] == s) & (truth["note"] == "reference"), "group"].iloc[0]
            for s in model.factors
        )
        table = model.table.merge(truth, on=["site", "group"], suffixes=("", "_true"))
        table = table[(table["note"] == "") & same & (table["site"] != "constant")]
        hits += list(
            (table["lower"] <= table["share_true"]) & (table["share_true"] <= table["upper"])
        )
    assert 0.925 < np.mean(hits) < 0.975 and len(hits) > 250


def test_untested_combinations_come_best_first() -> None:
    groups, _, y = drawn(40, 3)
    model = fit_free_wilson(groups, y, ["="] * 40)
    table = model.untested(1000, [assembled(groups.core, g) for g in groups.groups], False)
    assert table["prediction"].is_monotonic_decreasing
    assert len(table) == 60  # 5 x 5 x 4 groups, 40 made
    assert set(table["smiles"]) <= {canonical(s) for s in SERIES}
    assert (table["lower"] < table["prediction"]).all()


# ---- matched pairs -------------------------------------------------------------------------------
def flat(part: str) -> str:
    mol = Chem.MolFromSmiles(part)
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
    Chem.RemoveStereochemistry(mol)
    return Chem.MolToSmiles(mol)


def test_every_pair_is_its_constant_part_with_either_side() -> None:
    smiles = [*SERIES[::3], *map(canonical, ("C/C=C/c1ccccc1", "C/C=C\\c1ccccc1", "F/C=C/c1ccccc1",
              "CC(C)c1ccncc1", "C[C@H](F)c1ccncc1", "C[C@@H](Cl)c1ccncc1"))]  # fmt: skip
    pairs = find_pairs(smiles)
    assert len(pairs) > 80
    for row in pairs.table().itertuples():
        left, right = row.transformation.split(">>")
        for side, at in ((left, row.first), (right, row.second)):
            whole = joined(f"{side}.{row.constant}")
            # a configuration that isopropyl does not state is stated in the pair
            assert whole == smiles[at] or flat(whole) == smiles[at], row


def test_single_changes_of_a_series_are_all_found() -> None:
    """In a combinatorial series the pairs of one small group are known without any search."""
    names = list(itertools.product(FIRST[:3], SECOND[:3], THIRD[:2]))
    smiles = [indole(*n) for n in names]
    pairs = find_pairs(smiles, max_variable=4, max_cuts=1)
    found = {frozenset((int(a), int(b))) for a, b in zip(pairs.first, pairs.second)}
    wanted = {
        frozenset((i, j))
        for (i, a), (j, b) in itertools.combinations(enumerate(names), 2)
        if sum(x != y for x, y in zip(a, b)) == 1
    }
    assert found == wanted


def test_hydrogen_and_new_stereocentres_pair() -> None:
    smiles = [canonical(s) for s in ("c1ccncc1", "Cc1ccncc1", "CC(C)c1ccncc1", "C[C@H](F)c1ccncc1")]
    table = find_pairs(smiles).table()
    told = {(r.first, r.second, r.transformation) for r in table.itertuples()}
    assert (1, 0, "[*:1]C>>[H][*:1]") in told
    assert (2, 3, "[*:1]C>>[*:1]F") in told


def test_a_molecule_without_pairs_is_told() -> None:
    with pytest.warns(UserWarning, match="more than 2"):
        pairs = find_pairs(["CCOCCOCCOC", "CCO"], max_rotatable=2)
    assert pairs.left_out[0]["row"] == 0 and not len(pairs)


def test_changes_count_what_limits_say() -> None:
    smiles = [canonical(f"{a}c1ccc({b})nc1") for b in ("N", "OC", "C#N", "F") for a in ("C", "Cl")]
    y = np.array([5.0, 6.0, 5.5, 6.3, 5.2, 7.0, 6.0, 6.9])
    signs = ["=", "=", "=", "=", "=", ">", "<", "<"]
    changes = Transformations(find_pairs(smiles, max_cuts=1, max_variable=1), y, signs)
    row = changes.table().query("transformation == '[*:1]C>>[*:1]Cl' and radius == 0").iloc[0]
    assert (row["n"], row["limits"], row["compounds"]) == (2, 1, 6)  # < against < says nothing
    assert row["mean"] > (1.0 + 0.8) / 2 and row["lower"] < row["mean"] < row["upper"]
    exact = Transformations(find_pairs(smiles[:4], max_cuts=1, max_variable=1), y[:4], signs[:4])
    row = exact.table().query("transformation == '[*:1]C>>[*:1]Cl' and radius == 0").iloc[0]
    half = 12.70620474 * np.std([1.0, 0.8], ddof=1) / 2**0.5
    assert [row["mean"], row["lower"], row["upper"]] == pytest.approx([0.9, 0.9 - half, 0.9 + half])


def test_changes_are_applied_to_a_lead_with_their_context() -> None:
    smiles = [canonical(f"{a}c1ccc({b})nc1") for b in ("N", "OC") for a in ("C", "Cl", "[H]")]
    y = np.array([5.0, 6.0, 4.0, 5.5, 6.3, 4.1])
    changes = Transformations(find_pairs(smiles), y, ["="] * 6)
    table = changes.apply("Cc1ccc(OC)nc1", 5.5, known=smiles)
    row = table.set_index("smiles").loc[canonical("Clc1ccc(OC)nc1")]
    assert row["change"] == pytest.approx(0.9) and row["prediction"] == pytest.approx(6.4)
    assert row["n"] == 2 and row["radius"] == 3 and row["known"]
    assert not table["smiles"].str.contains("NCl|ClN", regex=True).any()
    assert table["change"].is_monotonic_decreasing


# ---- cliffs --------------------------------------------------------------------------------------
def test_cliffs_are_those_of_every_pair() -> None:
    rng = np.random.default_rng(0)
    smiles, y = SERIES[:40], rng.normal(6, 1, 40)
    signs = ["<" if i % 7 == 0 else "=" for i in range(40)]
    table = find_cliffs(smiles, y, signs, n=25)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, includeChirality=True)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in smiles]
    expected = []
    for i, j in itertools.combinations(range(40), 2):
        high = max((i, j), key=lambda k: y[k])
        low = i + j - high
        if signs[high] == "=":  # a limit above says nothing, one below makes the least difference
            alike = DataStructs.TanimotoSimilarity(prints[i], prints[j])
            expected.append((y[high] - y[low]) / max(1 - alike, 0.01))
    assert table["sali"].to_numpy() == pytest.approx(sorted(expected, reverse=True)[:25], rel=1e-5)


# ---- the command ---------------------------------------------------------------------------------
@pytest.fixture
def table(tmp_path):
    groups, _, y = drawn(30, 1)
    rows = [f"c{i},{assembled(groups.core, g)},{v:.2f}" for i, (g, v) in
            enumerate(zip(groups.groups, y + 6))]  # fmt: skip
    rows[3] = rows[3].rsplit(",", 1)[0] + ",>7"
    path = tmp_path / "series.csv"
    path.write_text("\n".join(["id,SMILES,pIC50", *rows, "bad,xx,5", "none,CCO,n.d."]) + "\n")
    return path


def test_the_command_writes_tables_and_a_page(table, tmp_path) -> None:
    done = CliRunner().invoke(app, ["sar", str(table), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = {p.name for p in (tmp_path / "out").iterdir()}
    tables = [
        "compounds",
        "free_wilson",
        "untested",
        "matrix",
        "pairs",
        "transformations",
        "cliffs",
    ]
    assert {"page.html", "lead.csv", "left_out.csv", *(f"{name}.csv" for name in tables)} <= written
    page = (tmp_path / "out" / "page.html").read_text()
    assert (
        page.count("<symbol") > 20 and "http" not in page.split("</style>")[1].split("<script")[0]
    )
    cliff = pd.read_csv(tmp_path / "out" / "cliffs.csv").iloc[0]
    assert f"{cliff['name_1']}: {cliff['value_1']}" in page
    left = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert set(left["line"].astype(int)) == {31, 32}
    compounds = pd.read_csv(tmp_path / "out" / "compounds.csv")
    assert compounds.loc[compounds["name"] == "c3", "relation"].tolist() == [">"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--core", "c1cc"], "neither SMILES nor SMARTS"),
        (["--target", "pIC5"], "Did you mean"),
        (["--unit", "mg"], "unit is one of"),
    ],
)
def test_wrong_input_is_one_sentence(table, tmp_path, arguments, said) -> None:
    done = CliRunner().invoke(app, ["sar", str(table), "-o", str(tmp_path / "o"), *arguments])
    assert done.exit_code == 2 and said in done.output


def test_a_table_and_column_names_are_taken() -> None:
    frame = pd.DataFrame({"smiles": SERIES[:20], "pKi": np.linspace(5, 8, 20), "id": range(20)})
    desk = molgen.sar(frame, "pKi", names="id", lower_is_better=True, lead="Cc1ccncc1")
    assert desk.quantity == "pKi" and desk.lead == "Cc1ccncc1"
    assert desk.tables["untested"]["prediction"].is_monotonic_increasing
    with pytest.raises(ValueError, match="no column 'pKd'"):
        molgen.sar(frame, "pKd")


# ---- what a stranger's table brings --------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IC50 [nM]", ("IC50", "nM")), ("Ki (uM)", ("Ki", "uM")), ("EC50_nM", ("EC50", "nM")),
        ("IC50 µM", ("IC50", "µM")), ("Kd, pM", ("Kd", "pM")), ("conc (M)", ("conc", "M")),
        ("pIC50 (M)", ("pIC50 (M)", None)), ("log Ki [nM]", ("log Ki [nM]", None)),
        ("inhibition at 10uM", ("inhibition at 10uM", None)), ("M", ("M", None)),
        ("SUM", ("SUM", None)), ("% at 10 uM", ("% at 10 uM", None)),
        ("activity at 1 uM", ("activity at 1 uM", None)), ("value", ("value", None)),
    ],
)  # fmt: skip
def test_the_unit_in_a_columns_name_is_read(name: str, expected: tuple) -> None:
    assert unit_of_name(name) == expected


def test_concentrations_become_logarithms_by_their_columns_name() -> None:
    smiles = [f"c1cc({a})ccc1{b}" for a in ("F", "Cl", "OC", "C") for b in ("C", "O", "N")]
    values = [10.0 * (i + 1) for i in range(len(smiles))]
    told = molgen.sar(pd.DataFrame({"smiles": smiles, "IC50 [nM]": values}), "IC50 [nM]")
    asked = molgen.sar(pd.DataFrame({"smiles": smiles, "IC50": values}), "IC50", unit="nM")
    assert told.quantity == asked.quantity == "pIC50"
    np.testing.assert_array_equal(told.series.y, asked.series.y)
    assert any("the column's name" in note for note in told.notes)


def test_a_core_among_alike_rings_is_told_by_what_all_share() -> None:
    """Aryl ureas whose other ring is a benzene, too, in some: the benzene of the urea is meant."""
    smiles = [
        canonical(f"CNC(=O)Nc1cc({a})cc({b})c1")
        for a in ("C", "F", "OC", "CC") for b in ("c2ccccc2", "c2ccncc2", "C2CCCCC2")
    ]  # fmt: skip
    groups = decompose(smiles)
    assert len(groups.rows) == len(smiles) and len(groups.sites) == 2
    assert sorted(len(set(column)) for column in zip(*groups.groups)) == [3, 4]
    model = fit_free_wilson(groups, np.arange(12.0), ["="] * 12)
    assert np.isfinite(model.table["share"]).all()
