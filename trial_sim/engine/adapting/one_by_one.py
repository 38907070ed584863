"""A user's decision about one trial at a time: slow, for rules that arrays cannot say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trial_sim.adaptive.rules import Action
from trial_sim.engine.adapting.quantities import State

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class OneByOne:
    """A ``decide`` of whole batches made of a function of one trial's patients.

    Attributes:
        function: of the milestone's name and a table of the patients enrolled by the data cut (arm,
            enrolment, time and event as seen then, response where it is known, strata), returns
            actions. It is called for every trial that is still running.
    """

    function: Callable[[str, pd.DataFrame], Iterable[Action]]

    def __call__(self, state: State) -> list[tuple[np.ndarray, Action]]:
        """Pairs of trials and action, as ``decide`` returns them."""
        made: list[tuple[np.ndarray, Action]] = []
        for row in np.flatnonzero(state.running):
            for action in self.function(state.milestone, patients_seen(state, int(row))) or ():
                if not isinstance(action, Action):
                    raise TypeError(f"decide_one must return actions, got {action!r}")
                for mask, other in made:
                    if other == action and not mask[row]:
                        mask[row] = True
                        break
                else:
                    mask = np.zeros(len(state.running), bool)
                    mask[row] = True
                    made.append((mask, action))
        return made


def patients_seen(state: State, row: int) -> pd.DataFrame:
    """The patients of one trial enrolled by the data cut, as they are known then."""
    import pandas as pd

    batch, month = state.batch, float(state.month[row])
    came = batch.enrolment[row] <= month
    ended = batch.exit[row, came] <= month
    names = np.array(list(state.adaptive.arms), dtype=object)
    enrolment = batch.enrolment[row, came]
    table: dict[str, Any] = {
        "arm": names[batch.arm[row, came]],
        "enrolment": enrolment,
        "time": np.where(ended, batch.time[row, came], month - enrolment),
        "event": ended & (batch.event[row, came] == 1),
    }
    if batch.outcome.response is not None:
        known = table["event"]
        table["response"] = np.where(known, batch.outcome.response[row, came], np.nan)
    for factor, codes in batch.factors.items():
        levels = np.array(list(state.adaptive.design.strata[factor]), dtype=object)
        table[factor] = levels[codes[row, came]]
    return pd.DataFrame(table)
