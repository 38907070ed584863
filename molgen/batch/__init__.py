"""Long runs: plan, chunks, workers, cluster, folder, known molecules, results."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
