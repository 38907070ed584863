"""ADMET endpoints of ADMET-AI as descriptors, components and a radar picture.

Needs the optional extra: ``pip install 'digital-double[admet]'``. ADMET-AI (Swanson et al.,
Bioinformatics 40:btae416, 2024; MIT licence) predicts 41 endpoints with ensembles of graph
networks; its wheel carries the same predictions for 2,579 approved drugs of DrugBank, against which
percentiles are taken. Nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import re
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.arguments import nearest_name
from molgen.base.figures import new_figure
from molgen.chem.parsing import as_smiles_list, parse_or_none, quiet_rdkit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

RADAR_ENDPOINTS: tuple[str, ...] = ("BBB_Martins", "HIA_Hou", "hERG", "ClinTox", "AMES", "DILI")
"""Endpoints of the radar picture unless others are named; all are probabilities."""

_INHIBITION = re.compile(r"CYP\w+_Veith|Pgp_Broccatelli")


class AdmetMissing(ImportError):
    """The optional package admet-ai is not installed."""


def _package_folder() -> Path:
    """The folder of admet_ai, found without importing it (its import takes seconds)."""
    from importlib.util import find_spec

    spec = find_spec("admet_ai")
    if spec is None or spec.origin is None:
        raise AdmetMissing(
            "ADMET endpoints need the optional package admet-ai, which is not installed: "
            "pip install 'digital-double[admet]'"
        )
    return Path(spec.origin).parent


@lru_cache(maxsize=1)
def endpoints() -> pd.DataFrame:
    """The endpoints: name (index), category, meaning, task, units.

    Raises:
        AdmetMissing: Without the extra ``admet``.
    """
    import pandas as pd

    table = pd.read_csv(_package_folder() / "resources" / "data" / "admet.csv", na_filter=False)
    table = table.rename(columns={"name": "meaning", "task_type": "task"})
    return table.set_index("id")[["category", "meaning", "task", "units"]]


@lru_cache(maxsize=1)
def approved_drugs() -> pd.DataFrame:
    """ADMET-AI's predictions for approved drugs, one row a drug."""
    import pandas as pd

    return pd.read_csv(_package_folder() / "resources" / "data" / "drugbank_approved.csv")


def _predicted_names() -> list[str]:
    return [name for name in endpoints().index if name in approved_drugs().columns]


def check_endpoint(name: str) -> str:
    """``name``, after it was found among the endpoints; ValueError with the nearest otherwise."""
    known = _predicted_names()
    if name not in known:
        raise ValueError(
            f"unknown ADMET endpoint {name!r}.{nearest_name(name, known)} "
            f"The endpoints are: {', '.join(known)}"
        )
    return name


def endpoint_scale(name: str) -> tuple[float, float, float, bool]:
    """10 % and 90 % quantile and standard deviation over approved drugs; True for probabilities."""
    values = approved_drugs()[check_endpoint(name)].to_numpy(dtype=float)
    low, high = np.nanquantile(values, [0.1, 0.9])
    probability = endpoints().loc[name, "task"] == "classification"
    return float(low), float(high), float(np.nanstd(values)), bool(probability)


@contextlib.contextmanager
def _quiet() -> Any:
    """Silence the progress bars and notices of lightning and chemprop inside the block."""
    names = ("lightning", "lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "chemprop")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
            quiet_rdkit(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


@lru_cache(maxsize=1)
def _model() -> Any:
    _package_folder()
    with _quiet():
        from admet_ai import ADMETModel

        return ADMETModel(num_workers=0)


known_endpoints = endpoints  # parameters are called the same


def predict(
    smiles: str | Iterable[str],
    endpoints: Sequence[str] | None = None,
    percentiles: bool = False,
) -> pd.DataFrame:
    """ADMET-AI's predictions.

    Args:
        smiles: One SMILES or many.
        endpoints: Names to return; all by default.
        percentiles: Add for each endpoint ``NAME (percentile)``, the share in percent of approved
            drugs with a value not above the molecule's.

    Returns:
        One row a molecule in the order given, ``smiles`` first. Rows that are no molecules are NaN.

    Raises:
        AdmetMissing: Without the extra ``admet``.
        ValueError: For an unknown endpoint.
    """
    import pandas as pd

    names = [check_endpoint(name) for name in endpoints] if endpoints is not None else None
    texts = as_smiles_list(smiles)
    good = [i for i, text in enumerate(texts) if parse_or_none(text) is not None]
    if names is None:
        names = _predicted_names()
    values = np.full((len(texts), len(names)), np.nan)
    if good:
        unique = list(dict.fromkeys(texts[i] for i in good))
        with _quiet():
            table = _model().predict(unique)
        row = {text: i for i, text in enumerate(unique)}
        picked = table[names].to_numpy(dtype=float)
        values[good] = picked[[row[texts[i]] for i in good]]
    result = pd.DataFrame(values, columns=names)
    if percentiles:
        for name in names:
            reference = np.sort(approved_drugs()[name].dropna().to_numpy(dtype=float))
            rank = np.searchsorted(reference, result[name], side="right") / len(reference) * 100.0
            result[f"{name} (percentile)"] = np.where(result[name].isna(), np.nan, rank)
    result.insert(0, "smiles", pd.Series(texts, dtype=object))
    return result


def radar(
    smiles: str,
    endpoints: Sequence[str] = RADAR_ENDPOINTS,
    path: str | Path | None = None,
) -> Figure:
    """A radar picture of one molecule's percentiles against approved drugs.

    Endpoints of which less is better (the category toxicity; inhibition of CYPs and of
    P-glycoprotein) are turned round and say so, so that outward is better on these axes, too.

    Args:
        smiles: The molecule.
        endpoints: Axes, at least three.
        path: Where to save the picture, if anywhere.

    Raises:
        ValueError: For fewer than three axes or what is no molecule.
    """
    if len(endpoints) < 3:
        raise ValueError(f"a radar picture needs at least 3 endpoints; got {len(endpoints)}")
    if parse_or_none(smiles) is None:
        raise ValueError(f"{smiles!r} is not a molecule")
    table = predict([smiles], endpoints=endpoints, percentiles=True)
    known = known_endpoints()
    heights, labels = [], []
    for name in endpoints:
        percentile = float(table[f"{name} (percentile)"].iloc[0])
        turned = known.loc[name, "category"] == "Toxicity" or _INHIBITION.fullmatch(name)
        heights.append(100.0 - percentile if turned else percentile)
        label = textwrap.fill(str(known.loc[name, "meaning"]), 18)
        labels.append(f"{label}\n(less is better)" if turned else label)
    angles = [2.0 * math.pi * i / len(labels) for i in range(len(labels))]
    figure = new_figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot(projection="polar")
    axes.set_theta_zero_location("N")  # type: ignore[attr-defined]
    axes.set_theta_direction(-1)  # type: ignore[attr-defined]
    axes.plot([*angles, angles[0]], [*heights, heights[0]], linewidth=2, marker="o", markersize=4)
    axes.fill([*angles, angles[0]], [*heights, heights[0]], alpha=0.25)
    axes.set_xticks(angles, labels, fontsize=9)
    for text, angle in zip(axes.get_xticklabels(), angles, strict=True):
        # Beside the circle, not across it.
        side, height = math.sin(angle), math.cos(angle)
        text.set_horizontalalignment("left" if side > 0.1 else "right" if side < -0.1 else "center")
        text.set_verticalalignment(
            "bottom" if height > 0.9 else "top" if height < -0.9 else "center"
        )
    axes.set_ylim(0, 100)
    axes.set_yticks([25, 50, 75], ["25 %", "50 %", "75 %"], fontsize=7)
    axes.set_rlabel_position(180.0 / len(labels))  # type: ignore[attr-defined]
    shown = smiles if len(smiles) <= 70 else smiles[:67] + "..."
    axes.set_title(f"Percentile among approved drugs of DrugBank\n{shown}", fontsize=10, pad=24)
    if path is not None:
        figure.savefig(str(path), dpi=150)
    return figure
