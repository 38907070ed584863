"""How generated molecules compare with a reference set: MOSES's metrics, ChemNet."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
