"""Which of several methods is better on the same pairs, and how sure that is."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fsidfusion.evaluation.evaluate import Evaluation
from fsidfusion.metrics import find_metric

RESAMPLES = 2000
SEED = 0
LEVEL = 95  # percent of the resampled means that lie inside the interval

Interval = tuple[float, float]
Rank = Literal[1, 2]


def mean_intervals(evaluation: Evaluation) -> dict[str, Interval]:
    """Bootstrap 95% interval of each mean: the 2.5 and 97.5 percentiles of the means of resampled pairs.

    Efron, "Bootstrap methods: another look at the jackknife", 1979. The seed is fixed, so that every method's
    pairs are drawn alike; pairs where the metric is undefined are left out, (nan, nan) where none is left.
    """
    return {metric: _interval(_values(evaluation, metric)) for metric in evaluation.metrics}


def pair_wins(ours: Evaluation, theirs: Evaluation) -> dict[str, tuple[int, int, int]]:
    """Metric -> on how many pairs the first is better, equal, worse; where either is undefined, none."""
    wins = {}
    for metric in ours.metrics:
        difference = _values(ours, metric) - _values(theirs, metric)
        if not find_metric(metric, ours.convention).higher_is_better:
            difference = -difference
        wins[metric] = (
            int((difference > 0).sum()),
            int((difference == 0).sum()),
            int((difference < 0).sum()),
        )
    return wins


def ranks(means: Sequence[Mapping[str, float]], convention: str = "cddfuse") -> list[dict[str, Rank]]:
    """For each row the metrics where it is best (1) or second (2) of all rows; equal values share a place."""
    marks: list[dict[str, Rank]] = [{} for _ in means]
    for metric in means[0] if len(means) > 1 else ():
        sign = 1 if find_metric(metric, convention).higher_is_better else -1
        values = [sign * row[metric] for row in means]
        best, *others = sorted({value for value in values if not np.isnan(value)}, reverse=True) or [np.nan]
        for mark, value in zip(marks, values):
            if value == best:
                mark[metric] = 1
            elif others and value == others[0] and values.count(best) == 1:
                mark[metric] = 2
    return marks


def _values(evaluation: Evaluation, metric: str) -> NDArray[np.float64]:
    return np.array([row[metric] for row in evaluation.scores.values()])


def _interval(values: NDArray[np.float64]) -> Interval:
    values = values[~np.isnan(values)]
    if not values.size:
        return np.nan, np.nan
    drawn = np.random.default_rng(SEED).integers(0, values.size, (RESAMPLES, values.size))
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(values[drawn].mean(1), [tail, 100 - tail])
    return float(low), float(high)
