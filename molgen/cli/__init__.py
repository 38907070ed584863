"""The ``molgen`` command: each submodule registers its own commands on ``app``."""

from molgen.cli import audit, batch, chemistry, design, generate, objectives, optimize, reporting
from molgen.cli.app import app

__all__ = [
    "app",
    "audit",
    "batch",
    "chemistry",
    "design",
    "generate",
    "objectives",
    "optimize",
    "reporting",
]
