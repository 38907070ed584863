"""Property rules by name: which descriptors must lie where, and who said so.

Libraries disagree about several of them. Each rule here follows the original publication; what is
common elsewhere is offered under a name of its own, and says in what it differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from molgen.base.arguments import unknown
from molgen.chem.properties import check_descriptors


@dataclass(frozen=True)
class Condition:
    """A descriptor, or a sum of several (``"hbd+hba"``), within closed bounds.

    Attributes:
        descriptor: names from ``properties.DESCRIPTORS``, joined by ``+``.
        low, high: bounds, both included; infinite for none.
    """

    descriptor: str
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        check_descriptors(self.names)
        if math.isnan(self.low) or math.isnan(self.high) or self.low > self.high:
            raise ValueError(
                f"Bounds of {self.descriptor} must be low <= high, got {self.low} and {self.high}."
            )

    @property
    def names(self) -> list[str]:
        """The descriptors that the condition needs."""
        return self.descriptor.split("+")

    def value(self, values: Mapping[str, float]) -> float:
        """The descriptor's value, from computed descriptors by name."""
        return sum(values[name] for name in self.names)

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether the value lies within the bounds (NaN does not)."""
        return self.low <= self.value(values) <= self.high

    def violation(self, values: Mapping[str, float]) -> str:
        """What is wrong, for example ``"mw 612.3 > 500"``."""
        value = self.value(values)
        if value < self.low:
            return f"{self.descriptor} {value:.4g} < {self.low:g}"
        if value > self.high:
            return f"{self.descriptor} {value:.4g} > {self.high:g}"
        return f"{self.descriptor} cannot be computed"

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"{self.descriptor} <= {self.high:g}"
        if math.isinf(self.high):
            return f"{self.descriptor} >= {self.low:g}"
        return f"{self.low:g} <= {self.descriptor} <= {self.high:g}"


@dataclass(frozen=True)
class Rule:
    """Clauses of conditions. A clause holds when any of its conditions does.

    Attributes:
        clauses: each a tuple of alternatives.
        source: the publication.
        allowed_violations: so many clauses may fail.
        note: how it differs from others of that name.
    """

    clauses: tuple[tuple[Condition, ...], ...]
    source: str
    allowed_violations: int = 0
    note: str = ""

    @property
    def names(self) -> list[str]:
        """The descriptors that the rule needs, each once."""
        return list(dict.fromkeys(n for c in self.clauses for a in c for n in a.names))

    def violations(self, values: Mapping[str, float]) -> list[str]:
        """What is wrong with a molecule, or an empty list when the rule is satisfied."""
        broken = [
            " and ".join(a.violation(values) for a in clause)
            for clause in self.clauses
            if not any(a.holds(values) for a in clause)
        ]
        return broken if len(broken) > self.allowed_violations else []

    def __str__(self) -> str:
        text = ", ".join(" or ".join(str(a) for a in clause) for clause in self.clauses)
        if self.allowed_violations:
            text += f" (at most {self.allowed_violations} violated)"
        return text


def _all(**bounds: tuple[float | None, float | None]) -> tuple[tuple[Condition, ...], ...]:
    """Clauses of one condition each, from ``descriptor=(low, high)``; None is no bound."""
    return tuple(
        (
            Condition(
                name,
                -math.inf if low is None else low,
                math.inf if high is None else high,
            ),
        )
        for name, (low, high) in bounds.items()
    )


_LIPINSKI = _all(mw=(None, 500), logp=(None, 5), lipinski_hbd=(None, 5), lipinski_hba=(None, 10))
_LIPINSKI_SOURCE = "Lipinski et al., Adv. Drug Deliv. Rev. 23:3 (1997)"
_VEBER_SOURCE = "Veber et al., J. Med. Chem. 45:2615 (2002)"
_GHOSE = _all(mw=(160, 480), logp=(-0.4, 5.6), mr=(40, 130))
_GHOSE_SOURCE = "Ghose et al., J. Comb. Chem. 1:55 (1999)"
_EGAN_SOURCE = "Egan et al., J. Med. Chem. 43:3867 (2000)"
_MUEGGE = _all(
    mw=(200, 600),
    logp=(-2, 5),
    tpsa=(None, 150),
    rings=(None, 7),
    rotatable_bonds=(None, 15),
    hba=(None, 10),
    hbd=(None, 5),
)
_MUEGGE_SOURCE = "Muegge, Heald and Brittelli, J. Med. Chem. 44:1841 (2001)"
_THREE = _all(mw=(None, 300), logp=(None, 3), hbd=(None, 3), hba=(None, 3))
_THREE_SOURCE = "Congreve et al., Drug Discov. Today 8:876 (2003)"
_MEDCHEM = "as in medchem's basic_rules"

#: Rules by name. logP is Crippen's throughout, where papers had ClogP, AlogP or XlogP.
RULES: dict[str, Rule] = {
    "lipinski": Rule(
        _LIPINSKI,
        _LIPINSKI_SOURCE,
        allowed_violations=1,
        note="the paper warns when two limits are exceeded; donors are N-H and O-H, acceptors "
        "N and O",
    ),
    "lipinski_strict": Rule(_LIPINSKI, _LIPINSKI_SOURCE, note="no violation allowed, " + _MEDCHEM),
    "veber": Rule(
        _all(rotatable_bonds=(None, 10), tpsa=(None, 140)),
        _VEBER_SOURCE,
        note="the paper's first form",
    ),
    "veber_or_hbonds": Rule(
        (
            (Condition("rotatable_bonds", high=10),),
            (Condition("tpsa", high=140), Condition("hbd+hba", high=12)),
        ),
        _VEBER_SOURCE,
        note="the paper's alternative: polar surface, or 12 or fewer donors and acceptors",
    ),
    "ghose": Rule(
        (*_GHOSE, *_all(atoms=(20, 70))),
        _GHOSE_SOURCE,
        note="atoms are counted with hydrogen, as in the paper; qualifying range",
    ),
    "ghose_heavy_atoms": Rule(
        (*_GHOSE, *_all(heavy_atoms=(20, 70))),
        _GHOSE_SOURCE,
        note="atoms counted without hydrogen, as some libraries do",
    ),
    "egan": Rule(
        _all(tpsa=(0, 131.6), logp=(-1, 5.88)),
        _EGAN_SOURCE,
        note="the box around the paper's 95 % ellipse",
    ),
    "egan_rounded": Rule(_all(tpsa=(0, 132), logp=(-1, 6)), _EGAN_SOURCE, note=_MEDCHEM),
    "muegge": Rule(
        (*_MUEGGE, *_all(carbons=(5, None), heteroatoms=(2, None))),
        _MUEGGE_SOURCE,
        note="more than 4 carbons and more than 1 heteroatom",
    ),
    "muegge_loose": Rule(
        (*_MUEGGE, *_all(carbons=(4, None), heteroatoms=(1, None))),
        _MUEGGE_SOURCE,
        note="at least 4 carbons and 1 heteroatom, as some implementations have it",
    ),
    "rule_of_three": Rule(_THREE, _THREE_SOURCE, note="the four limits of the abstract"),
    "rule_of_three_extended": Rule(
        (*_THREE, *_all(rotatable_bonds=(None, 3), tpsa=(None, 60))),
        _THREE_SOURCE,
        note="with the two that the paper calls useful in addition",
    ),
    "rule_of_three_rotatable": Rule(
        (*_THREE, *_all(rotatable_bonds=(None, 3))), _THREE_SOURCE, note=_MEDCHEM
    ),
    "lead_like": Rule(
        _all(mw=(100, 350), logp=(1, 3)),
        "Teague, Davis, Leeson and Oprea, Angew. Chem. Int. Ed. 38:3743 (1999)",
    ),
    "lead_like_zinc": Rule(
        _all(mw=(250, 350), logp=(None, 3.5), rotatable_bonds=(None, 7)),
        "ZINC's lead-like subset; Irwin et al., J. Chem. Inf. Model. 52:1757 (2012)",
        note="the subset that MOSES was drawn from; also SwissADME's",
    ),
    "lead_like_hann_oprea": Rule(
        _all(
            mw=(None, 460),
            logp=(-4, 4.2),
            rotatable_bonds=(None, 10),
            rings=(None, 4),
            hbd=(None, 5),
            hba=(None, 9),
        ),
        "Hann and Oprea, Curr. Opin. Chem. Biol. 8:255 (2004)",
        note="without the paper's limit on solubility, which RDKit does not predict",
    ),
    "fsp3": Rule(
        _all(fsp3=(0.42, None)),
        "Lovering, Bikker and Humblet, J. Med. Chem. 52:6752 (2009)",
        note="0.42 is what 84 % of drugs reach in later reviews; the paper gives means only",
    ),
    "fsp3_swissadme": Rule(
        _all(fsp3=(0.25, None)), "Daina, Michielin and Zoete, Sci. Rep. 7:42717 (2017)"
    ),
    "beyond_rule_of_five": Rule(
        _all(
            mw=(None, 1000),
            logp=(-2, 10),
            hbd=(None, 6),
            hba=(None, 15),
            tpsa=(None, 250),
            rotatable_bonds=(None, 20),
        ),
        "Doak et al., Chem. Biol. 21:1115 (2014)",
    ),
    "pfizer_3_75": Rule(
        ((Condition("logp", high=3), Condition("tpsa", low=75)),),
        "Hughes et al., Bioorg. Med. Chem. Lett. 18:4872 (2008)",
        note="refuses only what has both logP > 3 and TPSA < 75",
    ),
    "pfizer_3_75_strict": Rule(
        _all(logp=(None, 3), tpsa=(75, None)),
        "Hughes et al., Bioorg. Med. Chem. Lett. 18:4872 (2008)",
        note="both must hold, as in scikit-fingerprints: a much smaller set",
    ),
    "gsk_4_400": Rule(_all(mw=(None, 400), logp=(None, 4)), "Gleeson, J. Med. Chem. 51:817 (2008)"),
    "reos": Rule(
        _all(
            mw=(200, 500),
            logp=(-5, 5),
            hbd=(None, 5),
            hba=(None, 10),
            formal_charge=(-2, 2),
            rotatable_bonds=(None, 8),
            heavy_atoms=(15, 50),
        ),
        "Walters and Namchuk, Nat. Rev. Drug Discov. 2:259 (2003)",
        note="the property part; charge included, which medchem leaves out",
    ),
    "oprea": Rule(
        _all(hbd=(None, 2), hba=(2, 9), rotatable_bonds=(2, 8), rings=(1, 4)),
        "Oprea, J. Comput. Aided Mol. Des. 14:251 (2000)",
    ),
    "xu": Rule(
        _all(
            hbd=(None, 5),
            hba=(None, 10),
            rotatable_bonds=(2, 35),
            rings=(1, 7),
            heavy_atoms=(10, 50),
        ),
        "Xu and Stevenson, J. Chem. Inf. Comput. Sci. 40:1177 (2000)",
    ),
    "cns": Rule(
        _all(mw=(135, 582), logp=(-0.2, 6.1), tpsa=(3, 118), hbd=(None, 3), hba=(None, 5)),
        "Jeffrey and Summerfield, Neurobiol. Dis. 37:33 (2010)",
        note=_MEDCHEM,
    ),
    "respiratory": Rule(
        (
            *_all(mw=(240, 520), logp=(-2, 4.7), tpsa=(51, 135), rotatable_bonds=(3, 8)),
            *_all(rings=(1, 5)),
            (Condition("hbd+hba", 6, 12),),
        ),
        "Ritchie et al., J. Chem. Inf. Model. 49:1025 (2009)",
        note=_MEDCHEM,
    ),
    "rule_of_two": Rule(
        _all(mw=(None, 200), logp=(None, 2), hbd=(None, 2), hba=(None, 4)),
        "Goldberg et al., Drug Discov. Today 20:11 (2015)",
    ),
    "rule_of_four": Rule(
        _all(mw=(400, None), logp=(4, None), rings=(4, None), hba=(4, None)),
        "Morelli, Bourgeas and Roche, Curr. Opin. Chem. Biol. 15:475 (2011)",
        note="inhibitors of protein-protein interactions",
    ),
}


def find_rule(name: str) -> Rule:
    """The rule called ``name``.

    Raises:
        ValueError: no such rule; the message gives the nearest known name.
    """
    if name in RULES:
        return RULES[name]
    raise ValueError(unknown("rule", name, RULES))
