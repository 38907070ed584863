"""Analogues are near the lead, keep what must stay, and need no latent that gives the lead back."""

import gzip
from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import BulkTanimotoSimilarity

from molgen.generation.leads.changes import Lead, apply, small_changes
from molgen.generation.leads.near import near_table

IMATINIB = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"
#: Leads that the model cannot write: charges, boron, isotopes, stereo, a macrocycle, a large one.
HARD = (
    "C[N+](C)(C)CCOC(=O)c1ccccc1",
    "O=C(N[C@@H](CC(C)C)B(O)O)c1cnccn1",
    "[2H]C([2H])([2H])c1ccc(C(=O)NC2CC2)cc1",
    "C[C@@H]1CC[C@H](C(=O)N2CCCC2)/C=C/CCCCCCCO1",
    "CC(C)C[C@H](NC(=O)[C@H](CC(N)=O)NC(=O)c1ccccc1)C(=O)N[C@@H](Cc1ccc(O)cc1)C(=O)NCC(=O)O",
)


def drugs(n: int, step: int = 97) -> list[str]:
    path = Path(__file__).parents[1] / "data" / "approved_drugs.smi.gz"
    found = []
    for text in gzip.decompress(path.read_bytes()).decode().split()[::step]:
        mol = Chem.MolFromSmiles(text)
        if "." not in text and 12 <= mol.GetNumHeavyAtoms() <= 40:
            found.append(text)
    return found[:n]


def similarity(lead: str, others: list[str]) -> list[float]:
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    first, *rest = (morgan.GetFingerprint(Chem.MolFromSmiles(s)) for s in (lead, *others))
    return BulkTanimotoSimilarity(first, rest)


@pytest.mark.parametrize("lead", [IMATINIB, *HARD])
def test_analogues_are_near_different_and_valid(small_model, lead) -> None:
    table = small_model.near_table(lead, 12, seed=1)
    found = list(table["smiles"])
    assert found == small_model.sample_near(lead, 12, seed=1)
    assert len(set(found)) == 12 and Chem.CanonSmiles(lead) not in found
    assert all(Chem.CanonSmiles(s) == s for s in found)
    true = similarity(lead, found)
    assert sorted(true)[6] > 0.5
    assert abs(table["similarity"] - true).max() < 0.1  # 1,024 bits here, 2,048 there
    assert table["kept"].between(0.65, 1).all() and (table["change"] != "").all()


def test_the_same_seed_gives_the_same_analogues(small_model) -> None:
    lead = drugs(1)[0]
    assert small_model.sample_near(lead, 8, seed=3) == small_model.sample_near(lead, 8, seed=3)
    assert small_model.sample_near(lead, 8, seed=3) != small_model.sample_near(lead, 8, seed=4)


@pytest.mark.parametrize("radius", [0.05, 0.2, 0.5])
def test_radius_is_the_share_of_atoms_that_change(small_model, radius) -> None:
    lead = Lead(Chem.MolFromSmiles(IMATINIB))
    table = small_model.near_table(IMATINIB, 15, radius=radius, seed=2)
    assert (1 - table["kept"] <= max(1, round(radius * lead.n_heavy)) / lead.n_heavy + 1e-9).all()


@pytest.mark.parametrize("keep", ["c1cccnc1", "C(=O)Nc1ccccc1"])
def test_what_is_kept_stays_with_its_hydrogens(small_model, keep) -> None:
    mol = Chem.MolFromSmiles(IMATINIB)
    pattern = Chem.MolFromSmarts(keep)
    atoms = sorted({a for match in mol.GetSubstructMatches(pattern) for a in match})
    by_pattern = small_model.sample_near(IMATINIB, 10, keep=keep, seed=1)
    assert by_pattern == small_model.sample_near(IMATINIB, 10, keep=atoms, seed=1)
    query = Chem.RWMol(mol)
    for index in atoms:
        atom = mol.GetAtomWithIdx(index)
        inside = all(n.GetIdx() in atoms for n in atom.GetNeighbors())
        hydrogens = f";H{atom.GetTotalNumHs()}" if inside else ""
        query.ReplaceAtom(index, Chem.AtomFromSmarts(f"[#{atom.GetAtomicNum()}{hydrogens}]"))
    for index in sorted(set(range(mol.GetNumAtoms())) - set(atoms), reverse=True):
        query.RemoveAtom(index)
    assert mol.HasSubstructMatch(query)
    assert all(Chem.MolFromSmiles(s).HasSubstructMatch(query) for s in by_pattern)


def test_only_what_may_change_does(small_model) -> None:
    chlorine = 13
    lead = "Cc1ccc(C(=O)NC2CC2)cc1Cl"
    assert Chem.MolFromSmiles(lead).GetAtomWithIdx(chlorine).GetSymbol() == "Cl"
    rest = Chem.MolFromSmiles("Cc1ccc(C(=O)NC2CC2)cc1")
    table = small_model.near_table(lead, 5, change=[chlorine], seed=1)
    assert len(table) and all(
        Chem.MolFromSmiles(s).HasSubstructMatch(rest) for s in table["smiles"]
    )
    assert list(table["smiles"]) == small_model.sample_near(lead, 5, change="[Cl]", seed=1)


def test_charges_isotopes_and_untouched_stereo_stay(small_model) -> None:
    for s in small_model.sample_near(HARD[0], 10, keep="[N+]", seed=1):
        assert "[N+]" in s
    for s in small_model.sample_near(HARD[2], 10, keep="[2H]C", seed=1):
        assert s.count("[2H]") == 3
    lead = "C[C@@H](N)CCc1ccc(Cl)cc1"
    centre = Chem.MolFromSmiles("C[C@@H](N)CC")
    for s in small_model.sample_near(lead, 10, keep="C[CH](N)CC", seed=1):
        assert Chem.MolFromSmiles(s).HasSubstructMatch(centre, useChirality=True)


def test_a_labelled_lead_is_not_its_own_analogue(small_model) -> None:
    for lead in ("[13CH3]c1ccccc1", "C[C@H](N)c1ccccc1"):
        plain = Chem.MolToSmiles(Chem.MolFromSmiles(lead), isomericSmiles=False)
        found = small_model.sample_near_latent(lead, 5, radius=1.0, unique=False)
        assert not {lead, plain} & set(found)


def test_a_centre_at_a_changed_place_is_left_open_and_others_keep_their_hand() -> None:
    lead = Lead(Chem.MolFromSmiles("C[C@@H](O)c1cc([C@H](F)CC)ccc1Cl"))
    n_open = n_kept = 0
    for change in small_changes(lead, range(lead.n_atoms), 3):
        mol = apply(lead, [change])
        if mol is None:
            continue
        own = {a.GetIntProp("lead"): a for a in mol.GetAtoms() if a.HasProp("lead")}
        for centre in (1, 7):
            if centre not in own:
                continue
            if centre in change.place:
                n_open += own[centre].GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED
                assert own[centre].GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED
                continue
            # the same hand: the neighbours, by the lead's numbers, in the same sense as before
            before = lead.mol.GetAtomWithIdx(centre)
            if own[centre].GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED:
                continue  # the change made two neighbours alike
            n_kept += 1
            order = [b.GetOtherAtomIdx(centre) for b in before.GetBonds()]
            index = own[centre].GetIdx()
            now = [mol.GetAtomWithIdx(b.GetOtherAtomIdx(index)) for b in own[centre].GetBonds()]
            now_order = [a.GetIntProp("lead") if a.HasProp("lead") else -1 for a in now]
            missing = next((o for o in order if o not in now_order), None)
            now_order = [missing if a == -1 else a for a in now_order]
            odd = (
                sum(
                    order.index(x) > order.index(y)
                    for i, x in enumerate(now_order)
                    for y in now_order[i + 1 :]
                )
                % 2
            )
            same = own[centre].GetChiralTag() == before.GetChiralTag()
            assert same != bool(odd)
    assert n_open and n_kept


def test_an_analogue_fails_no_filter_that_the_lead_passes(small_model) -> None:
    import molgen

    for lead in drugs(3, 211):
        own = {r.filter for r in molgen.filter_molecules(lead)["reasons"][0].items}
        for reasons in molgen.filter_molecules(small_model.sample_near(lead, 10))["reasons"]:
            assert {r.filter for r in reasons.items} <= own


def test_fewer_come_with_their_reason(small_model) -> None:
    found = small_model.sample_near("C", 500, seed=1)
    assert len(found) < 500 and f"only {len(found)} of 500" in found.dropped[-1].reason
    assert "dropped" in near_table(small_model, "C", 500).attrs
    assert small_model.sample_near("CCO", 0) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"radius": 0}, "radius is 0"),
        ({"radius": 1.5}, "radius is 1.5; expected the share"),
        ({"radius": float("nan")}, "radius is nan"),
        ({"keep": [0, 1, 2]}, "no atom of CCO that may change"),
        ({"keep": "CCO"}, "no atom of CCO that may change"),
        ({"change": [7]}, "change names atom 7; CCO has 3 atoms"),
        ({"keep": "c1ccccc1"}, "is not a part of CCO"),
        ({"n": -1}, "n is -1"),
        ({"filters": "defualt"}, "did you mean 'default'"),
    ],
)
def test_bad_arguments_are_one_clear_sentence(small_model, arguments, says) -> None:
    with pytest.raises(ValueError, match=says):
        small_model.sample_near("CCO", **({"n": 3} | arguments))


# --- paths ----------------------------------------------------------------------------------------
PAIRS = [
    (IMATINIB, "CC(C)NCC(O)COc1cccc2ccccc12"),
    ("C[C@H](N)Cc1ccccc1", "CN1CC[C@]23CCCC[C@@H]2[C@@H]1Cc1ccc(O)cc13"),
    (HARD[0], HARD[1]),
    ("Cc1ccccc1", "O=C(N)c1ccncc1"),
]


@pytest.mark.parametrize(("start", "end"), PAIRS)
def test_a_path_has_its_ends_and_different_steps(small_model, start, end) -> None:
    path = small_model.interpolate(start, end, 6, seed=1)
    assert [path[0], path[-1]] == [Chem.CanonSmiles(start), Chem.CanonSmiles(end)]
    assert len(set(path)) == 6 and all(Chem.CanonSmiles(s) == s for s in path)
    assert path == small_model.interpolate(start, end, 6, seed=1)
    to_start, to_end = similarity(start, list(path)), similarity(end, list(path))
    monotone = to_start == sorted(to_start, reverse=True) and to_end == sorted(to_end)
    assert monotone or path.dropped


def test_a_path_that_cannot_be_says_so(small_model) -> None:
    same = small_model.interpolate("OCC", "CCO", 5)
    assert list(same) == ["CCO"] * 5 and "0 different molecules" in same.dropped[0].reason
    assert list(small_model.interpolate("CCO", "CCN", 2)) == ["CCO", "CCN"]
    with pytest.raises(ValueError, match="n_steps is 1"):
        small_model.interpolate("CCO", "CCN", 1)
