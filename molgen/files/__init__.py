"""Files in and out: molecules, data sets, tables, records of provenance."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
