"""The border with RDKit: parsing, standardisation, ring systems, properties, similarity."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
