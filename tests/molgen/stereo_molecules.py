"""Molecules with stereo of every kind, for tests; names of drugs as in public use."""

DRUGS = {
    "imatinib": "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "atorvastatin": (
        "CC(C)c1c(C(=O)Nc2ccccc2)c(-c2ccccc2)c(-c2ccc(F)cc2)n1CC[C@@H](O)C[C@@H](O)CC(=O)O"
    ),
    "testosterone": "C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@]34C)[C@@H]1CC[C@@H]2O",
    "dexamethasone": (
        "C[C@@H]1C[C@H]2[C@@H]3CCC4=CC(=O)C=C[C@]4(C)[C@@]3(F)[C@@H](O)C[C@]2(C)[C@@]1(O)C(=O)CO"
    ),
    "morphine": "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5",
    "penicillin G": "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",
    "sitagliptin": "N[C@@H](CC(=O)N1CCn2c(nnc2C(F)(F)F)C1)Cc1cc(F)c(F)cc1F",
    "tamoxifen": "CC/C(=C(\\c1ccccc1)c1ccc(OCCN(C)C)cc1)c1ccccc1",
    "entacapone": "CCN(CC)C(=O)/C(C#N)=C/c1cc(O)c(O)c([N+](=O)[O-])c1",
    "neostigmine": "CN(C)C(=O)Oc1cccc([N+](C)(C)C)c1",
    "glycopyrronium": "C[N+]1(C)CCC(OC(=O)C(O)(c2ccccc2)C2CCCC2)C1",
    "quinine": "C=C[C@H]1CN2CC[C@H]1C[C@H]2[C@H](O)c1ccnc2ccc(OC)cc12",
    "menthol": "CC(C)[C@@H]1CC[C@@H](C)C[C@H]1O",
    "esomeprazole": "COc1ccc2[nH]c([S@@](=O)Cc3ncc(C)c(OC)c3C)nc2c1",
    "fosfomycin": "C[C@@H]1O[C@@H]1P(=O)(O)O",
    "griseofulvin": "COC1=CC(=O)C[C@@H](C)[C@]12Oc1c(Cl)c(OC)cc(OC)c1C2=O",
    "zopiclone": "CN1CCN(C(=O)OC2c3nccnc3C(=O)N2c2ccc(Cl)cn2)CC1",
    "thalidomide": "O=C1CCC(N2C(=O)c3ccccc3C2=O)C(=O)N1",
    "cefuroxime": ("CO/N=C(\\C(=O)N[C@@H]1C(=O)N2C(C(=O)O)=C(COC(N)=O)CS[C@H]12)c1ccco1"),
    "retinoic acid": "CC1=C(/C=C/C(C)=C/C=C/C(C)=C/C(=O)O)C(C)(C)CCC1",
    "cis-tranexamic acid": "NC[C@H]1CC[C@@H](C(=O)O)CC1",
    "tranexamic acid": "NC[C@H]1CC[C@H](C(=O)O)CC1",
    "erythromycin ring": "CC[C@@H]1OC(=O)[C@H](C)[C@@H](O)[C@H](C)[C@@H](O)CCC(=O)CC1",
    "oxime": "C/C(=N\\O)c1ccccc1",
    "sertraline": "CN[C@H]1CC[C@@H](c2ccc(Cl)c(Cl)c2)c2ccccc21",
    "ritalin": "COC(=O)[C@H](c1ccccc1)[C@H]1CCCCN1",
    "levofloxacin": "C[C@H]1COc2c(N3CCN(C)CC3)c(F)cc3c(=O)c(C(=O)O)cn1c23",
    "tropicamide": "CCN(Cc1ccncc1)C(=O)C(CO)c1ccccc1",
    "chiral ammonium": "CC[N@+](C)(CC=C)Cc1ccccc1",
}
KINDS = {
    "meso": "O[C@H](C(=O)O)[C@@H](O)C(=O)O",
    "pseudo-asymmetric r": "OC[C@H](O)[C@H](O)[C@H](O)CO",
    "pseudo-asymmetric s": "OC[C@H](O)[C@@H](O)[C@H](O)CO",
    "half open": "C[C@H](O)C(C)O",
    "ring of three": "C[C@H]1C[C@@H](C)C[C@H](C)C1",
    "spiro": "O[C@H]1CC[C@]2(CC1)CCNC2",
    "diene": "C/C=C/C=C\\C",
    "open bond beside a closed one": "CC=C/C=C/C",
    "alkylidene ring": "C/C=C1\\CC[C@H](O)C1",
    "deuterium": "[2H][C@H](O)c1ccccc1",
    "bridged": "C[C@@]12CC[C@@H](CC1=O)C2(C)C",
    "phosphine oxide": "CC[P@](=O)(OC)c1ccccc1",
    "sulfoximine": "C[S@](=N)(=O)c1ccccc1",
}
ALL = {**DRUGS, **KINDS}
