"""Figures that a notebook shows, whether or not it has imported pyplot."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Any


def new_figure(**options: Any) -> Any:
    """An empty matplotlib figure that notebooks draw; ``options`` as of ``Figure``."""
    return _kind()(**options)


@lru_cache(maxsize=1)
def _kind() -> type:
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            content = BytesIO()
            self.savefig(content, format="png")
            return content.getvalue()

    return ShownFigure
