"""The charged form that a molecule has at a pH, for docking and other output.

Models, filters and scores here take neutral molecules; charges are put on at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from molgen.chem.parsing import MoleculeError, as_smiles_list, canonical, parse, quiet_rdkit

if TYPE_CHECKING:
    import pandas as pd

_NEEDED = "protonation needs Dimorphite-DL: pip install 'digital-double[protonation]'"


def protonate(smiles: str | Iterable[str], ph: float = 7.4) -> pd.DataFrame:
    """The form of each molecule that prevails at a pH, by Dimorphite-DL's table of groups.

    Ropp et al., J. Cheminform. 11:14 (2019). A group is judged by itself, with the mean pKa of its
    kind: of two amines near each other (a piperazine) both are charged, where one would be. Stereo
    stays; tautomers are not changed.

    Args:
        smiles: Molecules, with or without charges.
        ph: From 0 to 14.

    Returns:
        One row a molecule, in order: ``smiles`` at that pH, its net ``charge``, the molecule as
        ``given``, and the ``problem`` where there is no form (then ``smiles`` is empty).

    Raises:
        ValueError: The pH is outside its range, or Dimorphite-DL is not installed.

    Examples:
        >>> import molgen
        >>> molgen.protonate([], ph=7.4).columns.tolist()
        ['smiles', 'charge', 'given', 'problem']
    """
    import pandas as pd

    if not 0 <= ph <= 14:
        raise ValueError(f"ph is {ph!r}; expected a number from 0 to 14")
    texts = [smiles] if isinstance(smiles, str) else as_smiles_list(smiles)
    rows = [(*_form(text, float(ph)), text) for text in texts]
    table = pd.DataFrame(rows, columns=["smiles", "charge", "problem", "given"])
    table["charge"] = table["charge"].astype("Int64")
    return table[["smiles", "charge", "given", "problem"]]


def _form(text: str, ph: float) -> tuple[str, int | None, str]:
    try:
        from dimorphite_dl import protonate_smiles
    except ImportError as error:
        raise ValueError(_NEEDED) from error
    from rdkit import Chem

    try:
        whole = canonical(parse(text))
    except MoleculeError as error:
        return "", None, error.reason
    with quiet_rdkit():
        forms = protonate_smiles(whole, ph_min=ph, ph_max=ph, precision=0.0, max_variants=1)
        mol = Chem.MolFromSmiles(forms[0]) if forms else None
    if mol is None:
        return "", None, "Dimorphite-DL gives no form"
    return canonical(mol), Chem.GetFormalCharge(mol), ""
