"""Molecule to motif tree to arrays and back, without torch: trees, assembly, vocabulary, orders."""
