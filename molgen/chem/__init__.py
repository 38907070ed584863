"""The border with RDKit: parsing, standardisation, ring systems, properties, fingerprints, similarity."""
