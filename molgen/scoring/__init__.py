"""From wishes to one number: desirability, kinds, components, values, objectives."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
