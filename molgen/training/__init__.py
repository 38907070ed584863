"""Training a model: configuration, step, state, whole run, learning curve, private run."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
