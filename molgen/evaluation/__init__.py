"""How generated molecules compare with a reference set: MOSES's metrics, ChemNet."""
