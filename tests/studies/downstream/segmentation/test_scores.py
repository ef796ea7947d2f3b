import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fsidfusion.errors import FusionError
from fsidfusion.studies.downstream.segmentation.classes import IGNORED, MSRS
from fsidfusion.studies.downstream.segmentation.pictures import confusion_plot
from fsidfusion.studies.downstream.segmentation.scores import SCORES, confusion_matrix, score
from fsidfusion.studies.downstream.segmentation.tables import scores_json

NAMES = ("road", "car", "person", "tree")

maps = arrays.arrays(np.uint8, (7, 9), elements=st.integers(0, 3))
masks = arrays.arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 1, 2, 3, IGNORED]))


def brute_force(truth, predicted, place):
    """IoU, accuracy and F-score of a class, by sets of pixels."""
    pixels = [(y, x) for y, x in np.ndindex(truth.shape) if truth[y, x] != IGNORED]
    true = {at for at in pixels if truth[at] == place}
    found = {at for at in pixels if predicted[at] == place}
    if not true:
        return (math.nan,) * 3
    hits = len(true & found)
    precision, recall = hits / len(found) if found else 0.0, hits / len(true)
    f_score = 2 * precision * recall / (precision + recall) if hits else 0.0
    return hits / len(true | found), recall, f_score


@given(masks, maps)
def test_scores_are_those_of_sets_of_pixels(truth, predicted):
    result = score(confusion_matrix(truth, predicted, 4), NAMES)
    expected = [brute_force(truth, predicted, place) for place in range(4)]
    for place, values in enumerate(expected):
        np.testing.assert_allclose([result.by_class[name][place] for name in SCORES], values, rtol=1e-12)
    known = [values for values in expected if not math.isnan(values[0])]
    if known:
        np.testing.assert_allclose([result.mean[name] for name in SCORES], np.mean(known, axis=0), rtol=1e-12)


@given(maps)
def test_a_perfect_prediction_scores_one(truth):
    result = score(confusion_matrix(truth, truth, 4), NAMES)
    assert result.mean == dict.fromkeys(SCORES, 1.0)
    assert result.pixel_accuracy == 1.0


@given(masks, maps, st.permutations(range(4)))
def test_renaming_the_classes_renames_the_scores(truth, predicted, order):
    table = np.full(256, IGNORED, np.uint8)
    table[:4] = order
    plain = score(confusion_matrix(truth, predicted, 4), NAMES)
    renamed = score(confusion_matrix(table[truth], table[predicted], 4), NAMES)
    for name in SCORES:
        np.testing.assert_array_equal([renamed.by_class[name][new] for new in order], plain.by_class[name])
        np.testing.assert_allclose(renamed.mean[name], plain.mean[name], rtol=1e-12)


@given(masks, maps, maps)
def test_what_is_predicted_on_ignored_pixels_does_not_matter(truth, one, other):
    mixed = np.where(truth == IGNORED, other, one)
    np.testing.assert_array_equal(confusion_matrix(truth, one, 4), confusion_matrix(truth, mixed, 4))


def test_values_by_hand():
    truth = np.array([[0, 0, 0, 0], [1, 1, IGNORED, 3]], np.uint8)
    predicted = np.array([[0, 0, 1, 2], [1, 0, 1, 3]], np.uint8)
    result = score(confusion_matrix(truth, predicted, 4), NAMES)
    assert result.by_class["IoU"] == (2 / 5, 1 / 3, pytest.approx(math.nan, nan_ok=True), 1.0)
    assert result.by_class["accuracy"][:2] == (2 / 4, 1 / 2)
    assert result.by_class["F-score"][:2] == (pytest.approx(4 / 7), 1 / 2)
    assert result.mean["IoU"] == pytest.approx((2 / 5 + 1 / 3 + 1) / 3)  # without the class in no mask
    assert result.pixel_accuracy == 4 / 7
    assert result.pixels == (4, 2, 0, 1)


def test_nothing_labelled_has_no_score():
    empty = np.full((2, 2), IGNORED, np.uint8)
    result = score(confusion_matrix(empty, np.zeros((2, 2), np.uint8), 4), NAMES)
    assert math.isnan(result.mean["IoU"])
    assert result.record()["mean"]["IoU"] is None


def test_wrong_predictions_are_refused():
    truth = np.zeros((2, 2), np.uint8)
    with pytest.raises(FusionError, match="cannot be scored"):
        confusion_matrix(truth, np.zeros((2, 3), np.uint8), 4)
    with pytest.raises(FusionError, match="beyond the 4 classes"):
        confusion_matrix(truth, np.full((2, 2), 4, np.uint8), 4)


def test_json_and_plot_hold_the_matrix():
    matrix = np.zeros((9, 9), np.int64)
    matrix[0, 0], matrix[1, 1], matrix[1, 0] = 900, 30, 10
    content = json.loads(scores_json({"all": matrix}, MSRS))
    assert content["scores"]["all"]["classes"]["car"]["accuracy"] == 0.75
    assert content["scores"]["all"]["confusion"] == matrix.tolist()
    plot = confusion_plot(matrix, MSRS.names, "a < b")
    assert "true car, predicted unlabelled: 10 pixels" in plot
    assert ">75<" in plot
    assert "a &lt; b" in plot
