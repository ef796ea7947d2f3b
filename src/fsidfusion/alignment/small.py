"""An infrared field that is a small part of the visible frame: many places are tried, and have to agree.

A small field shares few edges with the frame, and somewhere else others look like them. What is found is
believed where the best ends of the search, which began at different places, meet within a pixel; ends that
score nearly as well elsewhere say that the place, or its last pixels, cannot be told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fsidfusion.alignment.judgement import Fit, measure
from fsidfusion.alignment.models import Matrix, Model, Points, transform_points
from fsidfusion.alignment.sampling import pixel_grid
from fsidfusion.alignment.search import Shot, View, refine

_FINALISTS = 4  # ends that are refined to the last
_MARGIN = 0.35  # of the field's size, of the visible picture kept around it
_LEAST = 48  # pixels: longer side of the smallest pictures that are matched
_NEARLY = 0.04  # of the score: an end that loses by less is a rival
_MEET = 1.0  # pixels of the finest comparison, within which rivals are the same place
_SIGMAS = 6.0  # a score of a small field so far above those of wrong shifts is believed


@dataclass(frozen=True)
class Rival:
    """An end of the search that fits nearly as well as the best one."""

    score: float
    distance: float  # from the best, in visible pixels: the median over the infrared field


def place_small(
    views: Sequence[View], starts: Sequence[Matrix], model: Model, sides: Sequence[int]
) -> tuple[Matrix, list[Rival]]:
    """The best end of a search from several starts, and those that come near it in score.

    Args:
        views: of the pairs, at the size at which places are compared.
        starts: visible to infrared pixels.
        model: family of the transform.
        sides: longer sides of the visible frame, from coarse to fine.
    """
    shots = [view.shot for view in views]
    ends = [_refined(shots, start, model, sides[:1], 5) for start in starts]
    ends.sort(key=lambda end: -measure(views, end))
    finished = [_refined(shots, end, model, sides[1:], 4) for end in ends[:_FINALISTS]]
    scored = sorted(((measure(views, end), end) for end in finished), key=lambda item: -item[0])
    top, best = scored[0]
    size = shots[0].infrared.shape
    return best, [Rival(score, _apart(best, end, size)) for score, end in scored[1:] if score > top - _NEARLY]


def doubt_of(best: Fit, rivals: Sequence[Rival], pixel: float) -> str:
    """Why the place cannot be told, in words; "" where it can.

    ``pixel`` is the size of one of the comparison, in visible pixels.
    """
    far = max(rivals, key=lambda rival: rival.distance, default=None)
    if far is not None and far.distance > _MEET * pixel:
        return (
            f"{far.distance:.1f} visible pixels away they fit as well as at the best place"
            f" (score {best.score:.3f}, there {far.score:.3f})"
        )
    if best.sigmas < _SIGMAS:
        return (
            "the small infrared field shares too few edges with the frame"
            f" (score {best.score:.3f}, by chance {best.chance:.3f} with a spread of {best.spread:.3f})"
        )
    return ""


def _refined(shots: list[Shot], matrix: Matrix, model: Model, sides: Sequence[int], radius: int) -> Matrix:
    """As :func:`refine`, of the part of the visible frame around the field alone, which is quicker."""
    height, width = shots[0].visible.shape
    corners = transform_points(_inverse(matrix), _grid(shots[0].infrared.shape, 2))
    room = _MARGIN * (corners.max(0) - corners.min(0))
    left, top = np.clip(np.floor(corners.min(0) - room), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0) + room), 0, (width, height)).astype(int)
    if min(right - left, bottom - top) < _LEAST // 2:  # hardly anything of it lies in the frame
        return matrix
    part = slice(top, bottom), slice(left, right)
    near = [
        Shot(shot.infrared, shot.visible[part], shot.infrared_mask, shot.visible_mask[part]) for shot in shots
    ]
    share = max(right - left, bottom - top) / max(height, width)
    moved = np.array([[1.0, 0, left], [0, 1, top], [0, 0, 1]])
    sides = [max(_LEAST, round(share * side)) for side in sides]
    return np.asarray(refine(near, matrix @ moved, model, sides, radius) @ _inverse(moved))


def _apart(first: Matrix, second: Matrix, size: Sequence[int]) -> float:
    """The median distance, in visible pixels, of where two maps have the infrared field (h, w)."""
    points = _grid(size, 12)
    there = [transform_points(_inverse(matrix), points) for matrix in (first, second)]
    return float(np.median(np.linalg.norm(there[0] - there[1], axis=1)))


def _inverse(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _grid(size: Sequence[int], number: int) -> Points:
    """``number`` x ``number`` points (N, 2) of a picture (h, w), corners included."""
    cells = pixel_grid((number, number)).reshape(-1, 2).astype(np.float64) / (number - 1)
    return np.asarray(cells * (size[1] - 1, size[0] - 1), np.float64)
