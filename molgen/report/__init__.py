"""Pages and pictures: the report, charts, candidate cards, drawings, analogues."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
