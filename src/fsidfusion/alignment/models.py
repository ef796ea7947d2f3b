"""The families of transforms of the plane, and how they are fitted to matched points."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError

Model = Literal["translation", "similarity", "affine", "homography"]
Points = NDArray[np.float64]  # (N, 2), x then y in pixels; the centre of the first pixel is (0, 0)
Matrix = NDArray[np.float64]  # (3, 3), acts on columns (x, y, 1)

FEWEST_POINTS: dict[Model, int] = {"translation": 1, "similarity": 2, "affine": 3, "homography": 4}
_COLLINEAR = 1e-3  # thickness over length of the points, below which they leave the transform open


def transform_points(matrix: Matrix, points: NDArray[Any]) -> NDArray[Any]:
    """Apply a matrix to points (..., 2), with the division of a homography."""
    moved = points @ matrix[:2, :2].T + matrix[:2, 2]
    if np.any(matrix[2, :2]):
        moved = moved / (points @ matrix[2, :2] + matrix[2, 2])[..., None]
    return np.asarray(moved)


def fit_model(source: Points, target: Points, model: Model, weights: NDArray[Any] | None = None) -> Matrix:
    """The transform of a family that takes ``source`` to ``target`` with the least squared error.

    The system is linear for all four; a homography's equations are multiplied by its denominator (DLT,
    Hartley and Zisserman, Multiple View Geometry, 4.1), on points that are centred and scaled.

    Args:
        source: (N, 2).
        target: (N, 2).
        model: the family.
        weights: (N,) >= 0; equal by default.

    Raises:
        InputError: fewer points than the family needs, or points on one line where it needs more.
    """
    needed = FEWEST_POINTS[model]
    if len(source) < needed:
        raise InputError(f"{len(source)} matched points; a {model} needs {needed} or more: add some")
    weights = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    if model == "translation":
        shift = np.average(target - source, axis=0, weights=weights)
        return np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]], [0.0, 0.0, 1.0]])
    _check_spread(source, weights, model)
    _check_spread(target, weights, model)
    into, back = _centring(source, weights), _centring(target, weights)
    fitted = _solve(transform_points(into, source), transform_points(back, target), model, weights)
    result = np.linalg.inv(back) @ fitted @ into
    return np.asarray(result / result[2, 2])


def _solve(source: Points, target: Points, model: Model, weights: NDArray[Any]) -> Matrix:
    x, y = source.T
    u, v = target.T
    one, none = np.ones_like(x), np.zeros_like(x)
    if model == "similarity":
        rows = np.concatenate((np.stack((x, -y, one, none), 1), np.stack((y, x, none, one), 1)))
    else:
        rows = np.concatenate((np.stack((x, y, one, *[none] * 3), 1), np.stack((*[none] * 3, x, y, one), 1)))
    if model == "homography":
        rows = np.hstack(
            (rows, np.concatenate((np.stack((-u * x, -u * y), 1), np.stack((-v * x, -v * y), 1))))
        )
    root = np.sqrt(np.concatenate((weights, weights)))
    p = np.linalg.lstsq(rows * root[:, None], np.concatenate((u, v)) * root, rcond=None)[0]
    if model == "similarity":
        return np.array([[p[0], -p[1], p[2]], [p[1], p[0], p[3]], [0.0, 0.0, 1.0]])
    return np.append(p if model == "homography" else np.append(p, (0.0, 0.0)), 1.0).reshape(3, 3)


def _centring(points: Points, weights: NDArray[Any]) -> Matrix:
    """Move the points' centre to the origin and scale their mean distance from it to about one."""
    centre = np.average(points, axis=0, weights=weights)
    size = np.sqrt(np.average(((points - centre) ** 2).sum(1), weights=weights)) or 1.0
    return np.array([[1 / size, 0, -centre[0] / size], [0, 1 / size, -centre[1] / size], [0, 0, 1]])


def _check_spread(points: Points, weights: NDArray[Any], model: Model) -> None:
    used = points[weights > 0]
    centred = used - used.mean(0) if len(used) else np.zeros((1, 2))
    length, thickness = (*np.linalg.svd(centred, compute_uv=False), 0.0)[:2]
    if length < 1e-9 or (model != "similarity" and thickness < _COLLINEAR * length):
        raise InputError(
            f"the matched points lie on one line or one spot, which leaves a {model} open;"
            " add points elsewhere, or choose a simpler model"
        )
