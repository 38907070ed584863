"""The picture of the README: molecules of the shipped model, a real and a synthetic arm, a what-if.

python -m tools.picture --output docs/picture.svg
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

INK, REAL, MADE, SOFT = "#1c1e21", "#2f6f8f", "#c2410c", "#7a808a"


def molecules(axes: Any) -> None:
    """The four best of 200 samples by drug-likeness, unlike one another, as structures."""
    import matplotlib.image
    from rdkit import Chem
    from rdkit.Chem import Draw

    import molgen

    sample = molgen.load_model("moses").sample(200, seed=2)
    table = molgen.filter_molecules(sample)
    kept = list(table.loc[table["passed"], "smiles"])
    best = molgen.score(kept, ["maximise qed", "minimise sa_score"])
    best = best.sort_values("score", ascending=False)["smiles"].head(4)
    options = Draw.MolDrawOptions()
    options.bondLineWidth = 3
    image = Draw.MolsToGridImage(
        [Chem.MolFromSmiles(s) for s in best], molsPerRow=2, subImgSize=(420, 330),
        drawOptions=options, returnPNG=True,
    )  # fmt: skip
    data = image if isinstance(image, bytes) else image.data
    axes.imshow(matplotlib.image.imread(io.BytesIO(data)))
    axes.set_axis_off()
    axes.set_title("molgen: generated, filtered, ranked")


def arms(axes: Any) -> None:
    """Kaplan–Meier curves of two arms of the colon trial, real and synthetic."""
    import trial_sim as ts

    trial = ts.load_trial("colon")
    fitted = ts.fit(trial, endpoint="death", seed=0)
    synthetic = fitted.sample_trial({"Obs": 315, "Lev": 310, "Lev+5FU": 304}, seed=0)
    for label, source, line in (("real", trial, "-"), ("synthetic", synthetic, "--")):
        for arm, colour in (("Obs", SOFT), ("Lev+5FU", REAL)):
            rows = source.patients[source.patients[source.arm].astype(str) == arm]
            record = source.endpoints["death"]
            curve = ts.kaplan_meier(rows[record.duration], rows[record.event])
            axes.step(
                [0, *curve.time], [1, *curve.survival], line, where="post", color=colour,
                label=f"{arm}, {label}",
            )  # fmt: skip
    axes.set(xlabel=trial.time_unit, ylabel="survival", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("trial_sim: a real trial and its double")


def what_if(axes: Any) -> None:
    """Power over the delay of the effect, for three sizes."""
    import trial_sim as ts

    bounds = ts.group_sequential(
        information_fractions=(1 / 3, 2 / 3, 1), alpha=0.025, power=0.9,
        efficacy="lan_demets_obrien_fleming",
    )  # fmt: skip
    delays = [0.5, 2, 4, 6, 8]
    for n, colour in ((400, SOFT), (500, REAL), (600, MADE)):
        events = [round(n * share) for share in (0.22, 0.44, 0.662)]
        design = ts.Design(
            arms={"control": 1, "treatment": 1}, n_patients=n, accrual=ts.Accrual(rate=20.0),
            dropout=ts.Dropout(rate=0.001), looks=ts.EventLooks(events), boundaries=bounds,
        )  # fmt: skip
        power = []
        for delay in delays:
            outcomes = ts.PiecewiseExponential(
                control_median=12, breakpoints=[delay], hazard_ratio=[1.0, 0.6]
            )
            power.append(ts.simulate(design, outcomes, n_trials=2_000, seed=1).power)
        axes.plot(delays, power, "o-", color=colour, label=f"{n} patients", markersize=4)
    axes.set(xlabel="months until the drug works", ylabel="power", ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("trial_sim: what if the effect is delayed?")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("docs/picture.svg"))
    output = parser.parse_args().output
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams |= {
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
        "axes.titlesize": 10, "axes.titleweight": "bold", "text.color": INK, "svg.hashsalt": "0",
    }  # fmt: skip
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for draw, place in zip((molecules, arms, what_if), axes):
        draw(place)
    figure.savefig(output, facecolor="white", dpi=110, metadata={"Date": None})
    print(f"wrote {output}, {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
