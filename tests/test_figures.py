"""Figures are pictures in a notebook that has not imported pyplot."""

from __future__ import annotations

import subprocess
import sys


def test_a_figure_draws_itself_without_pyplot() -> None:
    code = (
        "import sys, molgen\n"
        "from molgen.filters.funnel_plot import plot_funnel\n"
        "from trial_sim.base.figures import new_figure\n"
        "figures = plot_funnel(molgen.filter_molecules(['CCO', 'N#CC(=O)Cl'])), new_figure()\n"
        "print([f._repr_png_()[:4] for f in figures], 'matplotlib.pyplot' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == r"[b'\x89PNG', b'\x89PNG'] False"
