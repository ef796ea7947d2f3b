"""Estimate how the pictures of two cameras lie on each other, and tell whether it is worth applying."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.judgement import Fit, fit, measure
from fsidfusion.alignment.methods import by_ecc, by_mutual_information
from fsidfusion.alignment.models import Matrix, Model, Points, fit_model, transform_points
from fsidfusion.alignment.search import (
    COARSE_SIDE,
    Shot,
    View,
    next_best,
    refine,
    refine_field,
    residual,
    wide_search,
)
from fsidfusion.alignment.small import doubt_of, place_small
from fsidfusion.alignment.transform import Alignment, Size, today
from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.pixels import Pixels, check_pixels

Method = Literal["edges", "ecc", "mi"]

MAX_PAIRS = 16  # more pairs of one rig take time, but tell hardly anything new
SMALLEST = 32  # pixels a side
SIDES = (160, 320, 640)  # longer sides of the pyramid, in pixels
_SCORED_SIDE = 320
_ANGLES = tuple(range(-12, 13, 2))  # degrees
_SCALES = (0.94, 1.0, 1.06)  # around a scale that is known
_UNKNOWN_SCALES = tuple(1.07**step for step in range(-8, 9))  # sizes differ, and no field of view is given
_REACH = 0.15  # longest shift, as a share of the visible frame, where both fields are alike
_MARGIN, _FARTHEST = 0.05, 0.5  # added to what the fields of view allow, and the limit
_FINEST = 3.0  # times as many pixels a side, where the infrared field is a small part of the frame
_SMALL = 1.5  # times: from there on the infrared field is a small part of the frame
_PLACES, _PEAKS = 10, 3  # of a small field that are tried, and of them of each rotation and scale
_STANDS_OUT = 0.03  # by which the score of a place is above those of all others, at least
_GAIN = 0.005  # of the score, below which an estimate is no better than none
_LONGEST = 0.5  # of the frame: a corner that moves further is no alignment
_FLAT = 1e-3  # standard deviation of luma 0..1
_STIFFNESS = 0.5  # cells of the residual field


class NotBetterError(InputError):
    """The estimate is no better than the pictures as they are, which fit to some degree."""


def estimate(
    pairs: Sequence[tuple[Pixels, Pixels]],
    *,
    model: Model = "affine",
    field: bool = False,
    method: Method = "edges",
    infrared_fov: float | None = None,
    visible_fov: float | None = None,
) -> Alignment:
    """Estimate one alignment from the pairs of one rig (or from a single pair).

    A wide search by Fourier correlation of edge directions gives several starts. From each of them, ``edges``
    matches patches that move together, ``ecc`` climbs the correlation of gradient magnitudes, ``mi`` the
    mutual information. The best end counts, if it beats the pictures as they are.

    Args:
        pairs: (infrared, visible), of any depth, gray or RGB; one size for all infrared, and one for all
            visible ones. Of more than 16, 16 are taken, evenly spread.
        model: family of the transform; an infrared field of two thirds of the frame or less bears a
            similarity at most.
        field: also estimate a smooth field of what the family cannot follow.
        method: see above.
        infrared_fov: horizontal field of view in degrees; both or none. Without, equal fields are assumed,
            and where the sizes differ, factors of 0.58 to 1.72 on that are searched.
        visible_fov: likewise.

    Raises:
        InputError: no pairs, sizes that differ between pairs, pictures that are flat, small, or share
            nothing.
        NotBetterError: the estimate is no better than none; the message gives both scores.
    """
    if method not in get_args(Method) or model not in get_args(Model):
        raise InputError(
            f"method {method!r}, model {model!r}: expected one of {get_args(Method)}, {get_args(Model)}"
        )
    shots = _shots(pairs)
    visible_size, infrared_size = _size(shots[0].visible), _size(shots[0].infrared)
    plain = _plain_resize(visible_size, infrared_size)
    start: Matrix = plain
    scales: Sequence[float] = _SCALES
    if infrared_fov is not None and visible_fov is not None:
        start = _from_fields_of_view(visible_size, infrared_size, visible_fov, infrared_fov)
    elif (infrared_fov is None) != (visible_fov is None):
        raise InputError(
            "one field of view says nothing without the other; give `infrared_fov` and `visible_fov`"
        )
    elif visible_size != infrared_size:
        start, scales = _equal_areas(visible_size, infrared_size), _UNKNOWN_SCALES
    reach, finer = _range_of_search(visible_size, infrared_size, start, infrared_fov is not None)
    is_small = finer >= _SMALL and method == "edges"
    many = {"most": _PLACES, "peaks": _PEAKS} if is_small else {}
    starts = wide_search(shots, start, _ANGLES, scales, reach, round(finer * COARSE_SIDE), **many)
    sides = tuple(round(finer * side) for side in SIDES)
    views = [View(shot, round(finer * _SCORED_SIDE)) for shot in shots]
    if is_small:
        model = "translation" if model == "translation" else "similarity"
        matrix, rivals = place_small(views, starts, model, sides)
    else:
        matrix = _from_starts(views, starts, plain, model, method, sides)
    warp = None
    if field:
        warp = refine_field(shots, matrix, sides[1:], 4, _STIFFNESS)
        if measure(views, matrix, warp) <= measure(views, matrix):
            warp = None
    with_, without = fit(views, matrix, warp), measure(views, plain)
    if not (with_.is_real and with_.score > without + _GAIN and _is_plausible(matrix, start, visible_size)):
        raise _refusal(with_, fit(views, plain))
    if is_small:
        if doubt := doubt_of(with_, rivals, views[0].scale):
            raise InputError(
                f"the pictures cannot be aligned: {doubt}; give more pairs of the rig, or matched points"
                " (`points`)"
            )
    elif (beyond := next_best(shots, matrix, reach, round(finer * COARSE_SIDE))) > -_STANDS_OUT:
        raise InputError(
            "the pictures cannot be aligned: at another place they fit as well as at the best (score"
            f" {with_.score:.3f}, {max(0.0, with_.score + beyond):.3f} elsewhere);"
            " give more pairs of the rig, fields of view, or matched points (`points`)"
        )
    return Alignment(
        matrix,
        visible_size,
        infrared_size,
        model,
        method,
        warp,
        score=with_.score,
        score_without=without,
        residual=residual(shots, matrix, warp, SIDES[-1]),
        pairs=len(shots),
        date=today(),
    )


def from_points(
    visible: Points, infrared: Points, visible_size: Size, infrared_size: Size, model: Model = "affine"
) -> Alignment:
    """The alignment of matched points (N, 2) in pixels, by least squares; ``residual`` is their mean error.

    Raises:
        InputError: too few points, points on one line, or outside their picture.
    """
    for name, points, (height, width) in (
        ("visible", visible, visible_size),
        ("infrared", infrared, infrared_size),
    ):
        outside = ~((points > -1) & (points < (width + 1, height + 1))).all(1)
        if outside.any():
            x, y = points[outside][0]
            raise InputError(
                f"the {name} point {x:g},{y:g} lies outside the picture of {width}x{height} pixels"
            )
    matrix = fit_model(visible, infrared, model)
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:2, :2]))))
    error = np.linalg.norm(transform_points(matrix, visible) - infrared, axis=1).mean() / max(scale, 1e-9)
    return Alignment(
        matrix, visible_size, infrared_size, model, "points", residual=float(error), date=today()
    )


def _shots(pairs: Sequence[tuple[Pixels, Pixels]]) -> list[Shot]:
    if not pairs:
        raise InputError("no pairs to align; give an infrared and a visible picture")
    step = max(1.0, len(pairs) / MAX_PAIRS)
    chosen = [pairs[int(place * step)] for place in range(min(len(pairs), MAX_PAIRS))]
    shots = []
    for pair in chosen:
        for name, pixels, first in zip(("infrared", "visible"), pair, chosen[0]):
            check_pixels(pixels, name)
            if pixels.shape[:2] != first.shape[:2]:
                raise InputError(
                    f"{name} pictures of {first.shape[1]}x{first.shape[0]} and"
                    f" {pixels.shape[1]}x{pixels.shape[0]} are not of one camera; align groups of one size"
                )
            if min(pixels.shape[:2]) < SMALLEST:
                raise InputError(
                    f"the {name} picture has {pixels.shape[1]}x{pixels.shape[0]} pixels, too few to align;"
                    f" expected {SMALLEST} a side or more"
                )
        shots.append(Shot.of(*pair))
    structured = [shot for shot in shots if not _flat_side(shot)]
    if not structured:
        raise InputError(f"the {_flat_side(shots[0])} picture is flat: it has no edges to align by")
    return structured


def _flat_side(shot: Shot) -> str:
    for name, image, mask in (
        ("infrared", shot.infrared, shot.infrared_mask),
        ("visible", shot.visible, shot.visible_mask),
    ):
        inside = image[mask > 0]
        if inside.size < SMALLEST**2 or float(inside.std()) < _FLAT:
            return name
    return ""


def _from_starts(
    views: Sequence[View],
    starts: Sequence[Matrix],
    plain: Matrix,
    model: Model,
    method: Method,
    sides: Sequence[int],
) -> Matrix:
    shots = [view.shot for view in views]
    if method == "ecc":
        return by_ecc(shots, [*starts, plain], model)
    if method == "mi":
        return by_mutual_information(shots, starts[:2], model)
    ends = [refine(shots, start, model, sides[:1], 5) for start in starts]
    best = max(ends, key=lambda end: measure(views, end))
    return refine(shots, best, model, sides, 4)


def _range_of_search(
    visible: Size, infrared: Size, start: Matrix, is_known: bool
) -> tuple[tuple[float, float], float]:
    """How far to look, down and across as shares of the visible frame, and how much finer than usual.

    Where the fields of view are known, the smaller field may lie anywhere in the larger one.
    """
    scale = math.sqrt(abs(float(np.linalg.det(start[:2, :2]))))
    shares = [ours / (scale * theirs) for ours, theirs in zip(infrared, visible)]  # of the visible frame
    if not is_known:
        return (_REACH, _REACH), 1.0
    down, across = (min(_FARTHEST, max(_REACH, abs(1 - share) / 2 + _MARGIN)) for share in shares)
    return (down, across), min(_FINEST, max(1.0, 1 / max(shares)))


def _is_plausible(matrix: Matrix, start: Matrix, size: Size) -> bool:
    """Whether a matrix keeps the corners of the frame near where the start has them, and mirrors nothing."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    moved = transform_points(np.linalg.inv(start) @ matrix, corners) - corners
    return bool(np.abs(moved).max() < _LONGEST * max(size)) and float(np.linalg.det(matrix)) > 0


def _refusal(with_: Fit, without: Fit) -> FusionError:
    scores = f"score {with_.score:.3f}, without {without.score:.3f}, by chance {with_.chance:.3f}"
    if without.is_real:
        return NotBetterError(f"the estimate is no better than the pictures as they are ({scores})")
    return InputError(
        f"the pictures cannot be aligned: they share too few edges ({scores});"
        " give pictures that overlap, more pairs of the rig, fields of view, or matched points (`points`)"
    )


def _size(image: NDArray[Any]) -> Size:
    return int(image.shape[0]), int(image.shape[1])


def _plain_resize(visible: Size, infrared: Size) -> Matrix:
    """Corner to corner, as resampling to the visible size does."""
    return _about_centres(visible, infrared, infrared[1] / visible[1], infrared[0] / visible[0])


def _equal_areas(visible: Size, infrared: Size) -> Matrix:
    scale = math.sqrt(math.prod(infrared) / math.prod(visible))
    return _about_centres(visible, infrared, scale, scale)


def _from_fields_of_view(visible: Size, infrared: Size, visible_fov: float, infrared_fov: float) -> Matrix:
    """By the focal lengths in pixels, f = width / (2 tan(fov / 2))."""
    for fov in (visible_fov, infrared_fov):
        if not 1 <= fov <= 160:
            raise InputError(f"field of view {fov:g}: expected 1 to 160 degrees, across the picture's width")
    focal = [
        size[1] / (2 * math.tan(math.radians(fov) / 2))
        for size, fov in ((visible, visible_fov), (infrared, infrared_fov))
    ]
    return _about_centres(visible, infrared, focal[1] / focal[0], focal[1] / focal[0])


def _about_centres(visible: Size, infrared: Size, x: float, y: float) -> Matrix:
    return np.array(
        [
            [x, 0, (infrared[1] - 1) / 2 - x * (visible[1] - 1) / 2],
            [0, y, (infrared[0] - 1) / 2 - y * (visible[0] - 1) / 2],
            [0, 0, 1],
        ]
    )
