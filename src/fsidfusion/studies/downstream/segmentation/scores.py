"""Scores of label maps from one confusion matrix, as in the published tables.

With TP, FP and FN pixels of a class over all pictures: IoU = TP / (TP + FP + FN), accuracy = TP / (TP + FN),
F-score = 2 TP / (2 TP + FP + FN), all in 0..1. A mean is over the classes that occur in the masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.studies.downstream.segmentation.classes import IGNORED, Mask

SCORES = ("IoU", "accuracy", "F-score")
Confusion = NDArray[np.int64]  # (C, C) pixels: rows are the true classes, columns the predicted ones


def confusion_matrix(truth: Mask, predicted: Mask, number: int) -> Confusion:
    """Count pixels by true and predicted class; those that are IGNORED in the truth are left out.

    Args:
        truth: (H, W) indices 0 .. number - 1 or IGNORED.
        predicted: (H, W) indices 0 .. number - 1.
        number: of classes.

    Raises:
        InputError: different sizes, or an index that is no class.
    """
    if truth.shape != predicted.shape:
        raise InputError(
            f"a prediction of {predicted.shape} cannot be scored against a mask of {truth.shape}"
        )
    counted = truth != IGNORED
    rows, columns = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    if max(rows.max(initial=0), columns.max(initial=0)) >= number:
        raise InputError(f"a mask or a prediction holds an index beyond the {number} classes")
    return np.bincount(rows * number + columns, minlength=number * number).reshape(number, number)


@dataclass(frozen=True)
class SegmentationScores:
    """Scores of one confusion matrix; NaN where a class does not occur."""

    classes: tuple[str, ...]
    by_class: dict[str, tuple[float, ...]]  # IoU, accuracy, F-score: one value for each class
    mean: dict[str, float]
    pixel_accuracy: float  # share of all counted pixels that are right
    pixels: tuple[int, ...]  # of each class in the masks

    def record(self) -> dict[str, Any]:
        """As JSON holds it, NaN as None."""
        rows = {
            name: {score: _finite(self.by_class[score][place]) for score in SCORES}
            for place, name in enumerate(self.classes)
        }
        mean = {score: _finite(value) for score, value in self.mean.items()}
        return {
            "mean": mean,
            "pixel_accuracy": _finite(self.pixel_accuracy),
            "classes": rows,
            "pixels": dict(zip(self.classes, self.pixels)),
        }


def score(matrix: Confusion, names: Sequence[str]) -> SegmentationScores:
    """All scores of a confusion matrix.

    A class that is in no mask has no accuracy and takes no part in any mean; where it is predicted all the
    same, those pixels count against the classes that they hide.
    """
    hits = np.diagonal(matrix).astype(float)
    true, predicted = matrix.sum(1).astype(float), matrix.sum(0).astype(float)
    present = true > 0
    with np.errstate(invalid="ignore"):
        values = {
            "IoU": hits / (true + predicted - hits),
            "accuracy": hits / true,
            "F-score": 2 * hits / (true + predicted),
        }
        pixel_accuracy = float(hits.sum() / np.float64(matrix.sum()))
    rows = {name: np.where(present, value, np.nan) for name, value in values.items()}
    return SegmentationScores(
        tuple(names),
        {name: tuple(row.tolist()) for name, row in rows.items()},
        {name: float(row[present].mean()) if present.any() else float("nan") for name, row in rows.items()},
        pixel_accuracy,
        tuple(int(count) for count in true),
    )


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else value
