"""Why a molecule is refused: rules, alerts, ring frequency, sets of filters."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
