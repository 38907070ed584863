"""A chemist's verbs: scaffolds, cutting, growing, property windows, balancing, the Generator."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
