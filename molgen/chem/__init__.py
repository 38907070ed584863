"""The border with RDKit: parsing, standardisation, ring systems, properties, similarity."""
