"""What a command writes, made from arguments that a record holds: by the command, and by `verify`.

Each function takes ``arguments`` (plain values) and ``inputs`` (name -> file) and makes one object;
`MAKERS` writes it to a file for the name of function that stands in a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from trial_sim.arms.fitting import fit, load_fitted
from trial_sim.auditing import audit
from trial_sim.base.parquet import write_parquet
from trial_sim.base.plain_yaml import read_plain
from trial_sim.base.records import from_plain
from trial_sim.data.datasets import load_trial, read_table, read_trial
from trial_sim.exploration.grid import what_if
from trial_sim.exploration.report import simulation_report
from trial_sim.exploration.study import Study, read_design, read_outcomes, read_study
from trial_sim.exploration.what_if_result import WhatIf
from trial_sim.prediction.predicting import predict
from trial_sim.simulation.simulate import simulate

Inputs = Mapping[str, Path]


class CannotBeMade(ValueError):
    """Something that nobody can make again, with the reason."""


def trial_inputs(source: str, spec: Path | None) -> dict[str, Path]:
    """The files of a trial: none for a built-in one; description and table for one of files."""
    if spec is None and not Path(source).exists():
        return {}
    if spec is not None:
        return {"trial": Path(source), "spec": spec}
    path = Path(source)
    fields = read_plain(path.read_text(encoding="utf-8"))
    named = fields.get("data") if isinstance(fields, Mapping) else None
    return {"trial": path} | ({} if named is None else {"table": path.parent / str(named)})


def trial_of(arguments: Mapping[str, Any], inputs: Inputs) -> Any:
    """A built-in trial by its name, or a trial from files."""
    if "trial" not in inputs:
        return load_trial(arguments["trial"])
    return read_trial(inputs["trial"], inputs.get("spec"))


def study_inputs(study: Path) -> dict[str, Path]:
    """A study file and the saved fits that it names."""
    files = {"study": study}
    content = read_plain(study.read_text(encoding="utf-8"))
    if not isinstance(content, Mapping):
        return files
    named = content.get("scenarios") or {}
    scenarios = dict(named) if isinstance(named, Mapping) else {}
    for name, outcomes in {"outcomes": content.get("outcomes"), **scenarios}.items():
        path = outcomes.get("path") if isinstance(outcomes, Mapping) else None
        if path is not None and Path(str(path)).exists():
            files[f"fit of {name}"] = Path(str(path))
    return files


def fitted(arguments: Mapping[str, Any], inputs: Inputs) -> Any:
    """A trial, fitted."""
    options = {k: v for k, v in arguments.items() if k not in ("trial", "allow_copies")}
    return fit(trial_of(arguments, inputs), **options)


def audited(arguments: Mapping[str, Any], inputs: Inputs) -> Any:
    """The audit of a saved fit, or of a synthetic table, against the real trial."""
    real, seed = trial_of(arguments, inputs), arguments["seed"]
    told = {name: arguments[name] for name in ("arm", "folds_by") if name in arguments}
    if "model" in inputs:
        return load_fitted(inputs["model"]).audit(real=real, seed=seed, **told)
    held = None if "holdout" not in inputs else real.with_patients(read_table(inputs["holdout"]))
    made = read_table(inputs["synthetic"])
    if "arm" not in told:
        made = real.with_patients(made)
    return audit(real, made, holdout=held, endpoint=arguments["endpoint"], seed=seed, **told)


def simulated(study: Study, arguments: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """The planned outcomes and all scenarios of a study, simulated."""
    return {
        name: simulate(study.design, outcomes, **{**study.simulation, **arguments}, **options)
        for name, outcomes in {"planned": study.outcomes, **study.scenarios}.items()
    }


def characteristics(results: Mapping[str, Any]) -> pd.DataFrame:
    """Operating characteristics of all scenarios, one below the other."""
    return pd.concat(
        [r.operating_characteristics.assign(scenario=name) for name, r in results.items()]
    )


def varied(study: Study, arguments: Mapping[str, Any], **options: Any) -> WhatIf:
    """The what-if analysis of a study."""
    told = {**study.what_if, **arguments}
    if "variations" not in told:
        raise ValueError("the study has no what_if: variations")
    return what_if(study.design, study.outcomes, told.pop("variations"), **told, **options)


def reported(
    study: Study, results: Mapping[str, Any], progress: bool = False, **options: Any
) -> Any:
    """The report of a study with its scenarios and its what-if."""
    table = varied(study, {}, progress=progress) if study.what_if else None
    return simulation_report(results, study.title, study.rationale, table, **options)


def predicted(arguments: Mapping[str, Any], inputs: Inputs) -> Any:
    """The prediction of an ongoing trial from its patients so far."""
    study = read_study(inputs["study"])
    outcomes = study.outcomes
    usable = hasattr(outcomes, "hazards") or getattr(outcomes, "kind", "") != "time_to_event"
    more: dict[str, Any] = {}
    if "recurrences" in inputs:
        more["recurrences"] = read_table(inputs["recurrences"])
    return predict(
        read_table(inputs["patients"]), study.design, outcomes=outcomes if usable else None,
        **arguments, **more,
    )  # fmt: skip


def drawn(model: Any, arguments: Mapping[str, Any]) -> pd.DataFrame:
    """Patients of a fitted model: of one arm, or of a whole trial where ``arm`` is None."""
    options = dict(arguments)
    arm, n, effect = (options.pop(name) for name in ("arm", "n", "effect"))
    if arm is not None:
        by_text = {str(a): a for a in model.arms}
        chosen = by_text.get(str(arm), arm)
        return model.sample_arm(chosen, 100 if n is None else n, effect=effect, **options)
    sizes = None if n is None else dict.fromkeys(model.arms or (None,), n)
    effects = None if effect is None else dict.fromkeys(model.arms[1:], effect)
    return model.sample_trial(sizes, effects=effects, **options).patients


def write_table(table: pd.DataFrame, place: Path) -> None:
    """A table as Parquet or CSV, by the ending."""
    table = pd.DataFrame(table)
    table.attrs = {}
    if place.suffix == ".parquet":
        write_parquet(table, place)
    else:
        table.to_csv(place, index=False)


def write_prediction(prediction: Any, place: Path, what: str, earlier: Path | None) -> None:
    """The numbers by month (CSV), the page (HTML) or the prediction to keep (JSON)."""
    if what == "table":
        prediction.curve.to_csv(place, index=False, float_format="%.4g")
    elif what == "page":
        prediction.to_html(place, earlier=earlier)
    else:
        prediction.save(place)


def _fit(arguments: Mapping[str, Any], inputs: Inputs, place: Path) -> None:
    if arguments.get("epsilon") is not None:
        raise CannotBeMade(
            "the fit has differential privacy: its noise came from the operating system and is "
            "kept nowhere, which is what protects the patients"
        )
    fitted(arguments, inputs).save(place, allow_copies=bool(arguments.get("allow_copies")))


def _sample(arguments: Mapping[str, Any], inputs: Inputs, place: Path) -> None:
    write_table(drawn(load_fitted(inputs["model"]), arguments), place)


def _audit(arguments: Mapping[str, Any], inputs: Inputs, place: Path) -> None:
    audited(arguments, inputs).to_html(place)


def _design(arguments: Mapping[str, Any], inputs: Inputs, place: Path) -> None:
    place.write_text(read_study(inputs["study"]).design.to_yaml(), encoding="utf-8")


def _simulate(arguments: Mapping[str, Any], inputs: Inputs, place: Path) -> None:
    write_table(characteristics(simulated(read_study(inputs["study"]), arguments)), place)


def _report(arguments: Mapping[str, Any], inputs: Inputs, place: Path) -> None:
    study = read_study(inputs["study"])
    reported(study, simulated(study, arguments)).write(place)


def _what_if(arguments: Mapping[str, Any], inputs: Inputs, place: Path) -> None:
    if "study" in inputs:
        found = varied(read_study(inputs["study"]), arguments)
    else:
        told = dict(arguments)
        design = read_design(told.pop("design"))
        try:
            outcomes = read_outcomes(told.pop("outcomes"))
            pairs = [(_field(k), _values(v)) for k, v in told.pop("variations")]
        except (TypeError, ValueError, KeyError) as error:
            raise CannotBeMade(f"the record cannot hold what was varied ({error})") from error
        found = what_if(design, outcomes, dict(pairs), **told)
    write_table(found.table, place)


def _field(key: Any) -> Any:
    """A field of a what-if as it was given: a tuple of names stands as a list in a record."""
    return tuple(key) if isinstance(key, list) else key


def _values(values: Any) -> list[Any]:
    """Values of a field as they were given.

    Raises:
        TypeError: they were a distribution, or something else that no file holds.
    """
    if not isinstance(values, list):
        raise TypeError(f"values {values!r}")
    return [from_plain(v) for v in values]


def _figure(arguments: Mapping[str, Any], inputs: Inputs, place: Path) -> None:
    draw_figure(varied(read_study(inputs["study"]), arguments), place)


def draw_figure(found: WhatIf, place: Path) -> None:
    """The figure of a what-if analysis."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8))
    found.plot(ax=figure.subplots())
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(place.suffix, {})
    with matplotlib.rc_context({"svg.hashsalt": "what-if"}):  # the same picture, the same bytes
        figure.savefig(place, dpi=150, metadata=undated)


def _predict(arguments: Mapping[str, Any], inputs: Inputs, place: Path) -> None:
    told = dict(arguments)
    what = told.pop("writes")
    write_prediction(predicted(told, inputs), place, what, inputs.get("compare"))


#: Name of function in a record -> what writes the file again.
MAKERS: dict[str, Callable[[Mapping[str, Any], Inputs, Path], None]] = {
    "fit": _fit,
    "sample": _sample,
    "audit": _audit,
    "design": _design,
    "simulate": _simulate,
    "report": _report,
    "what_if": _what_if,
    "what_if figure": _figure,
    "predict": _predict,
}
