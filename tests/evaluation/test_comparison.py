import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.evaluation.comparison import RESAMPLES, mean_intervals, pair_wins, ranks
from fsidfusion.evaluation.evaluate import Evaluation

NAN = float("nan")


def evaluation(name="ours", **columns):
    pairs = zip(*columns.values())
    scores = {str(place): dict(zip(columns, row)) for place, row in enumerate(pairs)}
    return Evaluation(name, "cddfuse", scores, {}, {})


def test_interval_is_that_of_resampled_means():
    values = np.random.default_rng(5).gamma(2, 3, 40)
    low, high = mean_intervals(evaluation(EN=values))["EN"]
    rng = np.random.default_rng(0)
    means = sorted(values[rng.integers(0, 40, 40)].mean() for _ in range(RESAMPLES))
    assert low == pytest.approx(np.percentile(means, 2.5))
    assert high == pytest.approx(np.percentile(means, 97.5))
    error = values.std() / np.sqrt(40)  # what theory says of the mean
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20))
def test_interval_encloses_the_values_reach(values):
    low, high = mean_intervals(evaluation(EN=values))["EN"]
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert mean_intervals(evaluation(EN=values))["EN"] == (low, high)  # always the same


def test_undefined_pairs_are_left_out():
    assert mean_intervals(evaluation(EN=[1, NAN, 1]))["EN"] == (1, 1)
    assert np.isnan(mean_intervals(evaluation(EN=[NAN]))["EN"]).all()


def test_wins_follow_the_direction_of_the_metric():
    ours = evaluation(VIF=[1, 2, 3, NAN], Nabf=[1, 2, 3, 4])
    theirs = evaluation("theirs", VIF=[0, 2, 5, 1], Nabf=[0, 2, 5, 9])
    assert pair_wins(ours, theirs) == {"VIF": (1, 1, 1), "Nabf": (2, 1, 1)}


def test_best_and_second():
    rows = [{"EN": 3.0, "Qcv": 3.0}, {"EN": 5.0, "Qcv": 5.0}, {"EN": 4.0, "Qcv": 4.0}]
    assert ranks(rows) == [{"Qcv": 1}, {"EN": 1}, {"EN": 2, "Qcv": 2}]
    assert ranks([{"EN": 1.0}]) == [{}]
    assert ranks([{"EN": 2.0}, {"EN": 2.0}, {"EN": 1.0}]) == [{"EN": 1}, {"EN": 1}, {}]
    assert ranks([{"EN": NAN}, {"EN": 1.0}]) == [{}, {"EN": 1}]
    assert ranks([{"EN": NAN}, {"EN": NAN}]) == [{}, {}]
