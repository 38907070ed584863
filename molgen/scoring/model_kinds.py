"""Properties that somebody's code predicts: QSAR and ADMET models, functions, programs.

Each function takes the parameters of its kind (``molgen.scoring.kinds``), checks their values and
returns an evaluator, or the scale of the predictions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from molgen.qsar import admet as admet_ai
from molgen.qsar.saved import load_qsar
from molgen.scoring.guarded_calls import (
    Answer,
    UserFunction,
    call_batch,
    call_each,
    run_program,
    split_command,
)
from molgen.scoring.scales import UNIT, Evaluator, Scale


# ---- models --------------------------------------------------------------------------------------
def _qsar_model(parameters: Mapping[str, Any]) -> Any:
    model = parameters["model"]
    if isinstance(model, (str, Path)):
        file = Path(model) / "model.json" if Path(model).is_dir() else Path(model)
        changed = file.stat().st_mtime_ns if file.is_file() else 0
        return _loaded_qsar(str(model), changed)
    if not hasattr(model, "predict"):
        raise TypeError(
            f"qsar: model is a fitted QSAR model or the path of one; got {type(model).__name__}"
        )
    return model


@lru_cache(maxsize=4)  # its scale and its label are asked for beside its predictions
def _loaded_qsar(path: str, changed: int) -> Any:
    return load_qsar(path)


_QSAR_VALUES = ("prediction", "lower", "upper")
_OUTSIDE = 0.1
"""Share of its score that a molecule just outside the domain of a model keeps."""


def qsar(parameters: Mapping[str, Any]) -> Evaluator:
    """Predictions of a fitted model; what lies outside its domain keeps a tenth of its score."""
    model = _qsar_model(parameters)
    value = parameters.get("value", "prediction")
    outside = parameters.get("outside", "cap")
    if value not in _QSAR_VALUES:
        raise ValueError(f"qsar: value is one of {', '.join(_QSAR_VALUES)}; got {value!r}")
    if outside not in ("cap", "flag") and isinstance(outside, (str, bool)):
        raise ValueError(
            f"qsar: outside is 'cap' (a molecule outside the domain keeps at most a tenth of its "
            f"score), 'flag' (it is only noted) or a number that caps the value; got {outside!r}"
        )

    def evaluate(smiles: list[str]) -> list[Answer]:
        table = model.predict(smiles)
        answers = []
        for row in table.to_dict("records"):
            number, inside = float(row[value]), bool(row["in_domain"])
            beside = {"in_domain": inside, "lower": row["lower"], "upper": row["upper"]}
            if not math.isfinite(number):
                answers.append(Answer(math.nan, "the model gave no prediction"))
                continue
            note, trust = (None if inside else "outside the model's domain"), 1.0
            if not inside and outside == "cap":
                # the nearer to the domain the better, so that a search finds its way there
                trust = _OUTSIDE * row["similarity"] / model.domain_threshold
                note = f"{note}: keeps {trust:.0%} of its score"
            elif not inside and outside != "flag":
                number = min(number, float(outside))
                note = f"{note}: capped"
            answers.append(Answer(number, None, note, trust, beside))
        return answers

    return evaluate


def qsar_scale(parameters: Mapping[str, Any]) -> Scale | None:
    """From the values that the model was fitted to."""
    model = _qsar_model(parameters)
    if model.task == "classification":
        return UNIT
    values = np.asarray(model.y)
    low, high = np.quantile(values, [0.1, 0.9])
    return Scale(float(low), float(high), float(values.std()))


def qsar_label(parameters: Mapping[str, Any]) -> str:
    """What the model predicts: "P(active)"; "qsar" for a value, or where it cannot be read yet."""
    try:
        positive = getattr(_qsar_model(parameters), "positive", None)
    except (OSError, ValueError):
        return "qsar"
    return "qsar" if positive is None else f"P({positive})"


def admet(parameters: Mapping[str, Any]) -> Evaluator:
    """One endpoint of ADMET-AI."""
    endpoint = admet_ai.check_endpoint(parameters["endpoint"])

    def evaluate(smiles: list[str]) -> list[Answer]:
        table = admet_ai.predict(smiles, endpoints=[endpoint])
        return [
            Answer(float(v)) if math.isfinite(v) else Answer(math.nan, "no prediction")
            for v in table[endpoint]
        ]

    return evaluate


def admet_scale(parameters: Mapping[str, Any]) -> Scale | None:
    """From approved drugs."""
    low, high, spread, unit = admet_ai.endpoint_scale(parameters["endpoint"])
    return Scale(low, high, spread, unit)


# ---- code of the user ----------------------------------------------------------------------------
def import_function(reference: str) -> Callable[..., Any]:
    """The callable named "package.module:function".

    Raises:
        ValueError: If there is no such module or function.
    """
    module_name, _, function_name = reference.partition(":")
    if not module_name or not function_name:
        raise ValueError(f"a function is named 'package.module:function'; got {reference!r}")
    try:
        function = getattr(import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"function {reference!r} cannot be imported: {error}") from error
    if not callable(function):
        raise ValueError(f"{reference!r} is a {type(function).__name__}, not a function")
    return function


def _timeout(parameters: Mapping[str, Any], default: float) -> float | None:
    timeout = parameters.get("timeout", default)
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise ValueError(f"timeout is a number of seconds above 0, or None; got {timeout!r}")
    return timeout


def python(parameters: Mapping[str, Any]) -> Evaluator:
    """What a Python function says of each molecule, or of all at once."""
    given = parameters["function"]
    function = import_function(given) if isinstance(given, str) else given
    if not callable(function):
        raise TypeError(f"python: function is a callable or its name; got {given!r}")
    batch = parameters.get("batch")
    timeout = _timeout(parameters, 600.0 if batch else 60.0)
    if batch is None:  # a function of one SMILES, or of a list: seen from its first answers
        return UserFunction(function, ("one", "list"), timeout, timeout and max(timeout, 600.0))
    if batch:
        return lambda smiles: call_batch(function, smiles, timeout)
    return lambda smiles: call_each(function, smiles, timeout)


def program(parameters: Mapping[str, Any]) -> Evaluator:
    """What a program that reads SMILES writes."""
    command = split_command(parameters["command"])
    timeout = _timeout(parameters, 600.0)
    if timeout is None:
        raise ValueError("program: timeout is a number of seconds; a program may hang")
    column = int(parameters.get("column", 0))
    return lambda smiles: run_program(command, smiles, timeout, column)


def given_scale(parameters: Mapping[str, Any]) -> Scale | None:
    """From the parameter ``scale``: (usual low, usual high)."""
    given = parameters.get("scale")
    if given is None:
        return None
    low, high = (float(value) for value in given)
    if not low < high:
        raise ValueError(f"scale is (usual low, usual high), low below high; got {given!r}")
    return Scale(low, high, (high - low) / 2.56)  # 10 % and 90 % quantiles of a normal
