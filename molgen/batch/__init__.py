"""Long runs: plan, chunks, workers, cluster, folder, known molecules, results."""

from typing import Any

from molgen.base.fronts import find, names_of

__all__ = names_of(__name__)


def __getattr__(name: str) -> Any:
    return find(__name__, name)


def __dir__() -> list[str]:
    return __all__
