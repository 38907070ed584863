"""Rules, alerts, ring rarity, windows, SMARTS: definitions, reasons, funnel, YAML."""

from __future__ import annotations

import gzip
import math
import pickle
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import FilterCatalog

from molgen.chem.parsing import parse, parse_or_none
from molgen.chem.properties import DESCRIPTORS, compute
from molgen.filters.alerts import (
    ALERT_SETS,
    alert_catalog,
    compile_alerts,
    passes_moses_filters,
    read_smarts_file,
)
from molgen.filters.fast_filters import _names_in
from molgen.filters.filter_sets import (
    NOT_A_MOLECULE,
    PRESETS,
    Filter,
    FilterSet,
    Reason,
    Reasons,
    as_filter_set,
    filter_molecules,
    filter_names,
    funnel_table,
    named_filter,
)
from molgen.filters.funnel_plot import plot_funnel
from molgen.filters.ring_frequency import (
    BloomFilter,
    chembl_ring_filter,
    find_ring_systems,
    moses_ring_counts,
)
from molgen.filters.rules import RULES, Condition, find_rule

DATA = Path(__file__).parents[1] / "data"


def rows(name: str, n: int | None = None) -> list[str]:
    return gzip.decompress((DATA / f"{name}.smi.gz").read_bytes()).decode().split()[:n]


def verdict(rule: str, **values: float) -> bool:
    """Whether a molecule whose descriptors are ``values`` (others 0) satisfies a rule."""
    return not RULES[rule].violations({**dict.fromkeys(DESCRIPTORS, 0.0), **values})


# --- rules ---


@pytest.mark.parametrize(
    ("rule", "values", "passes"),
    [
        ("lipinski", {"mw": 501}, True),  # one violation is allowed, as in the paper
        ("lipinski", {"mw": 501, "logp": 5.1}, False),
        ("lipinski_strict", {"mw": 500, "logp": 5, "lipinski_hbd": 5, "lipinski_hba": 10}, True),
        ("lipinski_strict", {"mw": 500.1}, False),
        ("veber", {"rotatable_bonds": 10, "tpsa": 140}, True),
        ("veber", {"rotatable_bonds": 11}, False),
        ("veber", {"tpsa": 141, "hbd": 2, "hba": 3}, False),
        ("veber_or_hbonds", {"tpsa": 141, "hbd": 2, "hba": 3}, True),
        ("veber_or_hbonds", {"tpsa": 141, "hbd": 6, "hba": 7}, False),
        ("ghose", {"mw": 160, "logp": -0.4, "mr": 40, "atoms": 20}, True),
        ("ghose", {"mw": 480, "logp": 5.6, "mr": 130, "atoms": 70}, True),
        ("ghose", {"mw": 300, "mr": 90, "atoms": 19, "heavy_atoms": 25}, False),
        ("ghose_heavy_atoms", {"mw": 300, "mr": 90, "atoms": 19, "heavy_atoms": 25}, True),
        ("egan", {"tpsa": 131.6, "logp": 5.88}, True),
        ("egan", {"tpsa": 131.8, "logp": 2}, False),
        ("egan_rounded", {"tpsa": 131.8, "logp": 5.9}, True),
        ("muegge", {"mw": 200, "carbons": 5, "heteroatoms": 2}, True),
        ("muegge", {"mw": 200, "carbons": 4, "heteroatoms": 2}, False),
        ("muegge_loose", {"mw": 200, "carbons": 4, "heteroatoms": 1}, True),
        ("rule_of_three", {"mw": 300, "logp": 3, "hbd": 3, "hba": 3, "tpsa": 90}, True),
        ("rule_of_three_extended", {"mw": 300, "tpsa": 61}, False),
        ("rule_of_three_rotatable", {"rotatable_bonds": 4}, False),
        ("lead_like", {"mw": 350, "logp": 3}, True),
        ("lead_like", {"mw": 350, "logp": 3.4}, False),
        ("lead_like_zinc", {"mw": 350, "logp": 3.4, "rotatable_bonds": 7}, True),
        ("fsp3", {"fsp3": 0.41}, False),
        ("fsp3_swissadme", {"fsp3": 0.25}, True),
        ("pfizer_3_75", {"logp": 3.5, "tpsa": 80}, True),
        ("pfizer_3_75", {"logp": 3.5, "tpsa": 60}, False),
        ("pfizer_3_75_strict", {"logp": 2.5, "tpsa": 60}, False),
        ("gsk_4_400", {"mw": 401}, False),
        ("reos", {"mw": 300, "heavy_atoms": 20, "formal_charge": 3}, False),
        ("respiratory", {"mw": 300, "tpsa": 60, "rotatable_bonds": 4, "rings": 2, "hba": 6}, True),
        ("rule_of_four", {"mw": 399, "logp": 5, "rings": 5, "hba": 5}, False),
    ],
)
def test_rule_definitions(rule, values, passes):
    assert verdict(rule, **values) is passes


def test_every_rule_has_a_source_and_known_descriptors():
    for name, rule in RULES.items():
        assert any(c.isdigit() for c in rule.source), name
        assert set(rule.names) <= set(DESCRIPTORS), name
        assert str(rule)


def test_known_drugs():
    cyclosporin = next(s for s in rows("approved_drugs") if s.count("N(C)") > 5)
    table = filter_molecules([cyclosporin, "CC(=O)Oc1ccccc1C(=O)O"], "lipinski")
    assert table["passed"].tolist() == [False, True]
    assert "mw" in table["reasons"][0]
    assert "> 500" in table["reasons"][0]


def test_drugs_pass_lipinski_and_moses_passes_moses():
    drugs = [s for s in rows("approved_drugs", 400) if parse_or_none(s)]
    assert filter_molecules(drugs, "lipinski")["passed"].mean() > 0.8
    assert filter_molecules(rows("moses_sample", 60), "moses")["passed"].all()


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-10, 10))
def test_conditions_are_closed_intervals(low, high, value):
    if low > high:
        with pytest.raises(ValueError, match="low <= high"):
            Condition("logp", low, high)
        return
    condition = Condition("logp", low, high)
    assert condition.holds({"logp": value}) == (low <= value <= high)
    assert condition.holds({"logp": low})
    assert condition.holds({"logp": high})
    assert not condition.holds({"logp": math.nan})
    assert "cannot be computed" in condition.violation({"logp": math.nan})


def test_unknown_rule():
    with pytest.raises(ValueError, match="Unknown rule 'lipinsky'; did you mean 'lipinski"):
        find_rule("lipinsky")


# --- alerts ---


@pytest.mark.parametrize(
    ("alerts", "size"),
    [
        ("pains_a", 16),
        ("pains_b", 55),
        ("pains_c", 409),
        ("pains", 480),
        ("brenk", 105),
        ("nih", 180),
        ("chembl_glaxo", 55),
        ("chembl_dundee", 105),
        ("chembl_bms", 180),
        ("chembl_surechembl", 166),
        ("chembl_mlsmr", 116),
        ("chembl_inpharmatica", 91),
        ("chembl_lint", 57),
        ("moses_mcf", 22),
        ("moses_pains", 480),
    ],
)
def test_alert_sets_have_the_published_number_of_patterns(alerts, size):
    assert len(alert_catalog(alerts)) == size
    assert ALERT_SETS[alerts].citation


def test_alerts_agree_with_rdkits_catalog_and_name_atoms():
    params = FilterCatalog.FilterCatalogParams()
    params.AddCatalog(FilterCatalog.FilterCatalogParams.FilterCatalogs.BRENK)
    theirs = FilterCatalog.FilterCatalog(params)
    for smiles in rows("approved_drugs", 250):
        mol = parse_or_none(smiles)
        if mol is None:
            continue
        ours = alert_catalog("brenk").matches(mol)
        assert [m.name for m in ours] == [e.GetDescription() for e in theirs.GetMatches(mol)]
        assert alert_catalog("brenk").any_match(mol) == bool(ours)
        assert all(m.atoms and max(m.atoms) < mol.GetNumAtoms() for m in ours)


def test_every_place_where_an_alert_matches_is_named():
    [halide] = alert_catalog("brenk").matches(parse("CC(C)(O)C(Cl)(Cl)Cl"))
    assert halide.name == "alkyl_halide"
    assert halide.atoms == (4, 5, 6, 7)
    [mine] = compile_alerts({"chlorine": "[Cl]"}).matches(parse("ClCCCl"))
    assert mine.atoms == (0, 3)


def test_a_quinone_is_a_pain_at_its_own_atoms():
    [reason] = filter_molecules("CCCCC1=CC(=O)C=CC1=O", "pains_a")["reasons"][0].items
    assert reason.filter == "pains_a"
    assert reason.what == "quinone_A(370)"
    assert set(reason.atoms) == {4, 5, 6, 7, 8, 9, 10, 11}
    assert str(reason) == "pains_a: quinone_A(370) (atoms 4,5,6,7,8,9,10,11)"


@pytest.mark.parametrize(
    ("smiles", "what"),
    [
        ("C[N+](C)(C)C", "charged atom"),
        ("CCI", "element I"),
        ("C1CCCCCCC1", "ring of 8 atoms"),
        ("C=CC#N", "alpha,beta-unsaturated nitrile (MCF1: [#6]=&!@[#6]-[#6]#[#7])"),
        ("CCF", "primary alkyl halide (MCF4: [H]C([H])([#6])[F,Cl,Br,I])"),
    ],
)
def test_moses_filters(smiles, what):
    reasons = filter_molecules(smiles, "moses")["reasons"][0]
    assert what in [r.what for r in reasons.items]
    assert not passes_moses_filters(parse(smiles))
    assert passes_moses_filters(parse("c1ccccc1CCO"))


def test_every_numbered_alert_says_what_it_means_with_its_pattern():
    for entry in _names_in("moses_mcf"):
        meaning, pattern = re.fullmatch(r"(.+) \(MCF\d+: (.+)\)", entry).groups()
        assert not meaning.startswith("MCF")
        assert Chem.MolFromSmarts(pattern) is not None


@pytest.mark.parametrize(
    ("smiles", "what"),
    [
        ("CC[CH2]", "radical"),
        ("C[N]C", "radical"),
        ("CC(C)[O]", "radical"),
        ("CC[Fe]", "metal or unusual element"),
        ("O=[Os](=O)(=O)=O", "metal or unusual element"),
        ("CC(C)OOC", "peroxide"),
    ],
)
def test_what_no_drug_has_does_not_pass_by_default(smiles, what):
    for preset in ("default", "strict", "lead_like", "fragment"):
        items = filter_molecules(smiles, preset)["reasons"][0].items
        assert [r.what for r in items if r.filter == "unsound"] == [what]


def test_sound_molecules_are_not_called_unsound():
    """The truth by RDKit: no radical electrons, no metals, no O-O bond, in 500 approved drugs."""
    usual = {"H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"}
    peroxide = Chem.MolFromSmarts("O-O")
    for smiles in rows("approved_drugs", 2_500)[::5]:
        mol = parse(smiles)
        unsound = any(
            a.GetNumRadicalElectrons() or a.GetSymbol() not in usual for a in mol.GetAtoms()
        ) or mol.HasSubstructMatch(peroxide)
        assert bool(Filter("alerts", {"alerts": "unsound"}).refuse(mol, {})) == unsound, smiles


def test_moses_verdicts_and_reasons_never_disagree():
    for smiles in rows("chembl_sample", 120):
        mol = parse_or_none(smiles)
        if mol is not None and mol.GetNumAtoms() < 50:
            passed = not Filter("moses").refuse(mol, {})
            assert passed == passes_moses_filters(mol)


# --- ring systems ---


def test_ring_counts_and_chembl_membership():
    counts = moses_ring_counts()
    assert counts["c1ccccc1"] > 900_000
    assert sum(c >= 5 for c in counts.values()) > 1000
    benzene, odd = find_ring_systems("c1ccccc1C1CC23CC1(C2)N3")
    assert (benzene.smiles, benzene.in_chembl) == ("c1ccccc1", True)
    assert benzene.moses_count == counts["c1ccccc1"]
    assert (odd.moses_count, odd.in_chembl) == (0, False)
    assert odd.atoms == (6, 7, 8, 9, 10, 11, 12)


def test_most_ring_systems_of_chembl_molecules_are_in_the_filter():
    systems = [
        s
        for smiles in rows("chembl_sample", 400)
        if parse_or_none(smiles)
        for s in find_ring_systems(smiles)
    ]
    assert sum(s.in_chembl for s in systems) / len(systems) > 0.97


def test_bloom_filter_says_no_to_nonsense():
    members = chembl_ring_filter()
    assert "c1ccncc1" in members
    assert sum(f"c1ccc{i}cc1" in members for i in range(2000)) == 0
    with pytest.raises(ValueError, match="Not a Bloom filter"):
        BloomFilter(b"something else")
    with pytest.raises(ValueError, match="cut off"):
        BloomFilter(b"BLOOM\x02" + (15).to_bytes(4, "little") + (800).to_bytes(8, "little"))


def test_ring_rarity_filter():
    strange = "O=C1NC2=CCCCC23c2[nH]c4ccccc4c2CCN13"
    table = filter_molecules([strange, "c1ccccc1C"], "ring_systems")
    assert table["passed"].tolist() == [False, True]
    assert "MOSES molecules and not in ChEMBL" in table["reasons"][0]
    lenient = Filter("ring_systems", {"min_count": 0})
    assert filter_molecules([strange], lenient)["passed"].all()


# --- windows, SMARTS ---


def test_windows():
    mol = parse("CCO")
    logp = compute(mol, ["logp"])["logp"]
    assert not Filter("window", {"property": "logp", "low": logp, "high": logp}).refuse(
        mol, {"logp": logp}
    )
    table = filter_molecules(["CCO"], {"mw": (100, 200), "logp": (None, 3)})
    assert table["reasons"][0] == "100 <= mw <= 200: mw 46.07 < 100"


def test_smarts_files(tmp_path):
    path = tmp_path / "mine.smarts"
    path.write_text("# my dislikes\n[N+](=O)[O-] nitro\nC(=O)Cl\n\n[#6] any carbon\n")
    patterns = read_smarts_file(path)
    assert list(patterns) == ["nitro", "C(=O)Cl", "any carbon"]
    table_file = tmp_path / "mine.csv"
    table_file.write_text("name,smarts\nnitro,[N+](=O)[O-]\nacid,C(=O)[OH]\n")
    chosen = Filter("smarts", {"patterns": str(table_file)}, name="mine")
    table = filter_molecules(["C[N+](=O)[O-]", "CC(=O)O", "CC"], chosen)
    assert table["reasons"].tolist() == [
        "mine: nitro (atoms 1,2,3)",
        "mine: acid (atoms 1,2,3)",
        "",
    ]
    required = Filter("smarts", {"patterns": ["c1ccccc1"], "mode": "require"})
    assert filter_molecules(["CC", "Cc1ccccc1"], required)["passed"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("C(=O\n", "Line 1 of .* is not SMARTS: 'C\\(=O'"),
        ("C ok\n[[ bad\n", "Line 2 of .* is not SMARTS"),
        ("# nothing\n", "holds no patterns"),
        ("", "holds no patterns"),
        ("name,smarts\na,C\nb,((\n", "Line 3 of .* is not SMARTS"),
    ],
)
def test_bad_smarts_files(tmp_path, content, message):
    path = tmp_path / "bad.smarts"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_smarts_file(path)


def test_smarts_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="There is no SMARTS file"):
        read_smarts_file(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"C\xff\n")
    with pytest.raises(ValueError, match="not UTF-8 text"):
        read_smarts_file(tmp_path / "bytes")
    with pytest.raises(ValueError, match="Pattern 'x' is not SMARTS"):
        compile_alerts({"x": "((("})


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_smarts_file_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "x.smarts"
    path.write_text(text, "utf-8", errors="replace")
    try:
        patterns = read_smarts_file(path)
    except ValueError as error:
        assert str(error)
    else:
        assert all(Chem.MolFromSmarts(s) is not None for s in patterns.values())


# --- sets, tables, YAML ---


def test_reasons_list_everything_that_is_wrong():
    table = filter_molecules("CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC[N+](=O)[O-]", "strict")
    named = {r.filter for r in table["reasons"][0].items}
    assert {"lipinski_strict", "veber", "brenk"} <= named
    assert all(isinstance(r, Reason) for r in table["reasons"][0].items)


def test_default_filters_keep_most_of_moses():
    table = filter_molecules(rows("moses_sample", 150))
    assert list(table.columns) == ["smiles", "passed", "reasons"]
    assert table["passed"].mean() > 0.97
    assert (table["reasons"][table["passed"]] == "").all()


def test_funnel_adds_up():
    smiles = [*rows("approved_drugs", 120), "C1CC", ""]
    table = filter_molecules(smiles, "strict")
    funnel = funnel_table(table)
    assert funnel["filter"].tolist() == [NOT_A_MOLECULE, *PRESETS["strict"]]
    assert funnel["entered"].iloc[0] == len(smiles)
    assert (funnel["entered"] - funnel["fell"] == funnel["passed"]).all()
    assert funnel["entered"].iloc[1:].tolist() == funnel["passed"].iloc[:-1].tolist()
    assert funnel["passed"].iloc[-1] == table["passed"].sum()
    assert (funnel["fell_alone"] >= funnel["fell"]).all()
    unreadable = sum(parse_or_none(s) is None for s in smiles)
    assert funnel["fell"].iloc[0] == unreadable >= 2
    with pytest.raises(ValueError, match="no funnel"):
        funnel_table(pd.DataFrame({"smiles": []}))


def test_funnel_plot(tmp_path):
    table = filter_molecules(rows("approved_drugs", 40), ["lipinski", "brenk"])
    figure = plot_funnel(table, tmp_path / "funnel.svg")
    assert (tmp_path / "funnel.svg").read_text().startswith("<?xml")
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels == [NOT_A_MOLECULE, "lipinski", "brenk"]
    with pytest.raises(ValueError, match="Cannot write"):
        plot_funnel(table, tmp_path / "no" / "folder.svg")


@pytest.mark.parametrize("preset", PRESETS)
def test_yaml_round_trip_of_presets(preset, tmp_path):
    chosen = as_filter_set(preset)
    text = chosen.to_yaml(tmp_path / "f.yaml")
    assert FilterSet.from_yaml(tmp_path / "f.yaml") == chosen == FilterSet.from_yaml(text)
    assert yaml.safe_load(text) == {"filters": chosen.to_list()}


def test_yaml_round_trip_of_everything():
    chosen = as_filter_set(
        [
            *(named_filter(n) for n in filter_names()),
            {"logp": [1, 3]},
            Filter("window", {"property": "hbd+hba", "high": 12}, name="bonds"),
            Filter("smarts", {"patterns": {"nitro": "[N+](=O)[O-]"}}),
            Filter("smarts", {"patterns": ["c1ccccc1"], "mode": "require"}),
            Filter("ring_systems", {"min_count": 100, "chembl": False}, name="common rings"),
            Filter("rule", {"rule": "veber"}, name="my veber"),
        ]
    )
    again = FilterSet.from_yaml(chosen.to_yaml())
    assert again == chosen
    smiles = rows("approved_drugs", 15)
    assert filter_molecules(smiles, again).equals(filter_molecules(smiles, chosen))


def test_hand_written_yaml(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(
        "filters:\n- lipinski\n- logp: [1, 3]\n- window: {property: tpsa, high: 90}\n"
        "- alerts: brenk\n- ring_systems:\n- smarts: {patterns: {acid: 'C(=O)[OH]'}}\n"
    )
    chosen = as_filter_set(path)
    assert [f.name for f in chosen.filters] == [
        "lipinski",
        "1 <= logp <= 3",
        "tpsa <= 90",
        "brenk",
        "ring_systems",
        "smarts",
    ]
    assert as_filter_set(str(path)) == chosen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filters: [lipinsky]\n", "Unknown filter 'lipinsky'; did you mean 'lipinski"),
        ("filters: {a: 1}\n", "must hold a list called 'filters'"),
        ("filters: [\n", "is not YAML"),
        ("- logp: [1]\n", r"window of logp must be \[low, high\]"),
        ("- logp: [3, 1]\n", "low <= high"),
        ("- logP: [1, 3]\n", "Unknown property 'logP'; did you mean 'logp'"),
        ("- windw: {property: logp, low: 1}\n", "Unknown kind of filter 'windw'"),
        ("- window: {property: logp, lo: 1}\n", "Unknown option of window 'lo'"),
        ("- window: {property: logp}\n", "needs low, high or both"),
        ("- window: {property: logp, low: x}\n", "must be numbers, got 'x'"),
        ("- ring_systems: {min_count: -1}\n", "whole number from 0"),
        ("- ring_systems: {chembl: 3}\n", "true or false"),
        ("- smarts: {patterns: {a: '(('}}\n", "Pattern 'a' is not SMARTS"),
        ("- smarts: {patterns: {a: C}, mode: maybe}\n", "mode must be"),
        ("- smarts: {mode: exclude}\n", "patterns must be"),
        ("- 3\n", "A filter is a name or one"),
        ("- lipinski\n- lipinski\n", "occurs more than once"),
        ("- alerts: {alerts: brenck}\n", "Unknown alert set 'brenck'; did you mean 'brenk'"),
        ("- rule: {rule: vebr}\n", "Unknown rule 'vebr'; did you mean 'veber'"),
        ("- rule: 3\n", "Options of rule must be a mapping"),
    ],
)
def test_bad_yaml_gets_one_clear_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        FilterSet.from_yaml(text)


def test_filter_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="There is no filter file"):
        filter_molecules("CC", "missing.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="not UTF-8 text"):
        filter_molecules("CC", tmp_path / "bytes.yaml")
    with pytest.raises(ValueError, match="Unknown filter 'defualt'; did you mean 'default'"):
        filter_molecules("CC", "defualt")
    with pytest.raises(TypeError, match="filters must be"):
        filter_molecules("CC", 3)


@given(st.text(max_size=50))
@settings(max_examples=150, deadline=None)
def test_any_yaml_text_is_read_or_refused(text):
    try:
        FilterSet.from_yaml(text + "\n")
    except ValueError as error:
        assert str(error)


def test_what_is_not_a_molecule_fails_with_a_reason():
    table = filter_molecules(["CCO", "", None, "C1CC", "C" * 5001], ["veber"])
    assert table["passed"].tolist() == [True, False, False, False, False]
    assert table["reasons"][1] == "not a molecule: empty"
    assert "ring closure 1" in table["reasons"][3]
    assert "5,001 characters" in table["reasons"][4]
    assert len(filter_molecules([])) == 0


def test_processes_do_not_change_the_table():
    smiles = rows("approved_drugs", 600)
    one = filter_molecules(smiles, ["veber", "brenk"])
    assert filter_molecules(smiles, ["veber", "brenk"], n_jobs=2).equals(one)


def test_reasons_survive_pickling():
    reasons = Reasons([Reason("a", "b", (1, 2))])
    again = pickle.loads(pickle.dumps(reasons))
    assert again == reasons == "a: b (atoms 1,2)"
    assert again.items == reasons.items
