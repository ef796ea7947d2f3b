"""How well pictures fit under a map, and whether that could be chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.features import similarity
from fsidfusion.alignment.models import Matrix
from fsidfusion.alignment.search import View

_SIGMAS = 4.0  # a score so far above those of wrong shifts is not chance
_ABOVE_CHANCE = 0.09  # and at least by so much


@dataclass(frozen=True)
class Fit:
    """How well pictures fit under a map."""

    score: float  # normalised correlation of edge directions, at most 1
    chance: float  # the mean score of wrong shifts
    spread: float  # their standard deviation

    @property
    def sigmas(self) -> float:
        """By how many standard deviations the score is above those of wrong shifts."""
        return (self.score - self.chance) / max(self.spread, 1e-9)

    @property
    def is_real(self) -> bool:
        """Whether the pictures share more than chance would give."""
        above = self.score - self.chance
        return above > max(_ABOVE_CHANCE, _SIGMAS * self.spread)


def measure(views: Sequence[View], matrix: Matrix, field: NDArray[Any] | None = None) -> float:
    """The score of a map: normalised correlation of edge directions where both pictures are, averaged."""
    total = 0.0
    for view in views:
        features, mask = view.infrared(matrix, field)
        total += similarity(view.features * mask, features * view.mask)
    return total / len(views)


def fit(views: Sequence[View], matrix: Matrix, field: NDArray[Any] | None = None) -> Fit:
    """The score of a map beside those of the same map shifted by 7 to 16 % of the frame."""
    height, width = views[0].shot.visible.shape
    scores = []
    for radius in (0.07, 0.11, 0.16):
        for turn in np.arange(8) * math.pi / 4 + 10 * radius:
            shift = np.eye(3)
            shift[:2, 2] = radius * width * math.cos(turn), radius * height * math.sin(turn)
            scores.append(measure(views, matrix @ shift))
    return Fit(measure(views, matrix, field), float(np.mean(scores)), float(np.std(scores)))
