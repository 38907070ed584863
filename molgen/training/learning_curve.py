"""The learning curve of a training run, read from its log and drawn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from molgen.base.figures import new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LOG = "log.csv"
_COLUMNS = ("step", "molecules", "minutes", "lr", "clean", "blind", "kl")


def read_log(folder: str | os.PathLike) -> pd.DataFrame:
    """The log that ``molgen.train`` keeps in ``folder``, a row for every 50 steps.

    Losses are means of those steps, in nats a molecule: ``clean`` of molecules whose latent the
    decoder sees, ``blind`` of those written without a latent, ``kl`` the divergence of posteriors
    from the standard normal.

    Raises ValueError if there is no log yet, or it is another table.
    """
    import pandas as pd

    path = Path(folder) / LOG
    try:
        table = pd.read_csv(path)
    except (OSError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} is no training log: {error}") from error
    missing = [name for name in _COLUMNS if name not in table]
    if missing or table.empty:
        raise ValueError(f"{path} is no training log: it lacks {missing or 'rows'}")
    # a run that was killed repeats the steps after its last checkpoint when it is resumed
    return table.drop_duplicates("step", keep="last").sort_values("step", ignore_index=True)


def plot_training(
    folder: str | os.PathLike, path: str | os.PathLike | None = None, smooth: int = 5
) -> Figure:
    """Draw the losses of a run over the molecules seen, and the learning rate below.

    Args:
        folder: of the run. path: also save the figure here (.svg, .png, .pdf).
        smooth: rows of the log that the bold lines average.

    Raises ValueError if there is no log, or ``path`` cannot be written.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import molgen
        >>> header = "step,molecules,minutes,lr,clean,blind,kl"
        >>> folder = tempfile.TemporaryDirectory()
        >>> rows = [header, "50,25600,1,0.001,30,40,200", "100,51200,2,0.002,20,30,180"]
        >>> written = (Path(folder.name) / "log.csv").write_text(chr(10).join(rows))
        >>> figure = molgen.plot_training(folder.name)
        >>> figure.axes[1].get_xlabel()
        'molecules seen, millions'
        >>> folder.cleanup()
    """
    from matplotlib.ticker import LogFormatter

    table = read_log(folder)
    seen = table["molecules"] / 1e6
    figure = new_figure(figsize=(8, 5.2), layout="constrained")
    losses, rate = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    for name, label, colour in (
        ("blind", "written without a latent (language model)", "#2f6f8f"),
        ("clean", "written from the latent (reconstruction)", "#c2571a"),
    ):
        losses.plot(seen, table[name], color=colour, alpha=0.3, linewidth=0.8)
        mean = table[name].rolling(smooth, min_periods=1, center=True).mean()
        losses.plot(seen, mean, color=colour, linewidth=1.8, label=label)
        losses.annotate(f"{mean.iloc[-1]:.1f}", (seen.iloc[-1], mean.iloc[-1]), xytext=(4, 0),
                        textcoords="offset points", va="center", color=colour)  # fmt: skip
    losses.set_yscale("log")
    for axis in (losses.yaxis.set_major_formatter, losses.yaxis.set_minor_formatter):
        axis(LogFormatter(minor_thresholds=(2, 1)))
    losses.set_ylabel("-log p, nats a molecule")
    losses.legend(frameon=False)
    rate.plot(seen, table["lr"], color="#555555", linewidth=1.2)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("molecules seen, millions")
    for axes in (losses, rate):
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.02)
    if path is not None:
        try:
            figure.savefig(path)
        except (OSError, ValueError) as error:
            raise ValueError(f"Cannot write {path}: {error}.") from error
    return figure
