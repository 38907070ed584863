"""The ``molgen`` command: each submodule registers its own commands on ``app``."""

from molgen.cli import (
    audit,
    batch,
    chemistry,
    design,
    desk,
    generate,
    objectives,
    optimize,
    reporting,
    trust,
)
from molgen.cli.app import app
from molgen.cli.common import with_manners

__all__ = [
    "app",
    "audit",
    "batch",
    "chemistry",
    "design",
    "desk",
    "generate",
    "objectives",
    "optimize",
    "reporting",
    "trust",
]

for _group in (app, objectives.qsar_app):
    for _command in _group.registered_commands:
        if _command.callback is not None:
            _command.callback = with_manners(_command.callback)
