"""What hung where in known molecules: cuts, counts, tables, proposals."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
