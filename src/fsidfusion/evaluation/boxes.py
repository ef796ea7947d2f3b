"""Boxes of labels and of detectors: corners (N, 4) x0, y0, x1, y1 in pixels, x1 and y1 exclusive."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Boxes:
    """The objects of one frame, true or found."""

    corners: NDArray[np.float32]  # (N, 4)
    classes: NDArray[np.int64]  # (N,), from 0
    scores: NDArray[np.float32]  # (N,), 0..1; 1 where true

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Boxes":
        """Those that an index or a mask chooses."""
        return Boxes(self.corners[chosen], self.classes[chosen], self.scores[chosen])

    @staticmethod
    def true(corners: object, classes: object) -> "Boxes":
        """Labelled boxes from anything like arrays; () for none."""
        whole = np.asarray(corners, np.float32).reshape(-1, 4)
        return Boxes(whole, np.asarray(classes, np.int64).reshape(-1), np.ones(len(whole), np.float32))


def overlap(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each with each: (N, 4), (M, 4) -> (N, M) in 0..1."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (ours, theirs)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9), np.float32)


def suppress(found: Boxes, limit: float) -> Boxes:
    """Non-maximum suppression: of boxes of one class that overlap by more than ``limit``, the likeliest.

    Returns:
        those that remain, likeliest first.
    """
    found = found[np.argsort(-found.scores, kind="stable")]
    kept = np.ones(len(found), bool)
    for number in np.unique(found.classes):
        left = np.flatnonzero(found.classes == number)
        while len(left):  # detectors give thousands: only those that remain are held against the rest
            first, left = left[:1], left[1:]
            clashes = overlap(found.corners[first], found.corners[left])[0] > limit
            kept[left[clashes]] = False
            left = left[~clashes]
    return found[kept]


def time_of_day(name: str) -> str:
    """``day`` or ``night`` where a name ends in D or N (before an S for smoke), as in MSRS; else ""."""
    match = re.search(r"\d([DN])S?$", name)
    return {"D": "day", "N": "night"}[match[1]] if match else ""
