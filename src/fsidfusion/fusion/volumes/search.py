"""The rigid motion under which two volumes tell most about each other: a coarse search, then uphill.

The measure is normalised mutual information of a joint histogram. Points are drawn anywhere between the
voxels of the base, not at their centres: there, linear interpolation would blur the other volume differently
at every pose, and the measure would prefer poses in which both grids agree.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import required
from fsidfusion.fusion.volumes.grid import Affine, Volume

Pose = NDArray[np.float64]  # (6,): a rotation vector in millimetres at RADIUS, and a shift in millimetres

RADIUS = 75.0  # mm from the centre to where a rotation is measured: a head
ANGLES = (-30.0, -15.0, 0.0, 15.0, 30.0)  # degrees about each axis, all of which are starts
KEPT = 10, 3  # starts that go on from the coarse search, and from the first ascent
INSIDE = 0.4  # of what could lie inside the other volume: poses that cover less are none
TURN = 5.0  # degrees by which it is tried whether a rotation can be told
AIDE = TURN * np.pi / 180 * RADIUS  # mm that a point at RADIUS moves by it: the shift it is compared with
UNTOLD = 0.07  # of what such a shift costs: rotations that cost less cannot be told
_SEED = 7


@dataclass(frozen=True)
class Level:
    """How closely two volumes are looked at."""

    blur: float  # mm, standard deviation
    voxel: float  # mm; finer voxels are averaged up to this size
    points: int
    bins: int
    step: float  # mm of the first step uphill
    tolerance: float  # steps, or
    gain: float  # share of the measure, below which an ascent ends


COARSE = Level(4.0, 4.0, 5_000, 24, 6.0, 0.05, 1e-3)
MIDDLE = Level(2.0, 2.0, 15_000, 32, 2.0, 0.05, 1e-4)
FINE = Level(0.0, 1.5, 60_000, 32, 0.7, 0.02, 1e-5)


class Measure:
    """Normalised mutual information of a base and another volume as a function of the pose."""

    def __init__(self, base: Volume, other: Volume, level: Level) -> None:
        ndimage = required("scipy.ndimage", "registration")
        self._interpolate = ndimage.map_coordinates
        self.centre = middle(base)
        rng = np.random.default_rng(_SEED)
        values, affine = _coarser(base, level.voxel)
        values = _blurred(values, affine, level.blur)
        places = rng.uniform(-0.5, np.array(values.shape) - 0.5, (level.points, 3))
        found = self._interpolate(values, places.T, order=1, mode="nearest")
        self._points = places @ affine[:3, :3].T + affine[:3, 3] - self.centre
        self._rows = np.rint(_binned(found, level.bins, found)).astype(np.int64)
        other_values, other_affine = _coarser(other, level.voxel)
        other_values = _blurred(other_values, other_affine, level.blur)
        self._values = _binned(other_values, level.bins, other_values).astype(np.float32)
        self._inverse = np.asarray(np.linalg.inv(other_affine), np.float64)
        self._bins = level.bins
        sizes = [abs(np.linalg.det(one.affine[:3, :3])) * one.voxels.size for one in (base, other)]
        self._least = INSIDE * min(1.0, sizes[1] / sizes[0]) * level.points

    def __call__(self, pose: Pose) -> float:
        """0 for unrelated volumes, 1 at most; 0 where too little of the base is covered."""
        points = self._points @ rotation(pose[:3] / RADIUS).T + (self.centre + pose[3:])
        places = points @ self._inverse[:3, :3].T + self._inverse[:3, 3]
        inside = ((places > -0.5) & (places < np.array(self._values.shape) - 0.5)).all(axis=1)
        if inside.sum() < self._least:
            return 0.0
        places, rows = places[inside], self._rows[inside]
        values = self._interpolate(self._values, places.T, order=1, mode="nearest")
        low = np.floor(values).astype(np.int64)
        part = values - low  # a value counts for both bins beside it, so that the measure is smooth
        wide = self._bins + 1
        cells, size = rows * wide + low, self._bins * wide
        counts: NDArray[Any] = np.bincount(cells, 1 - part, size) + np.bincount(cells + 1, part, size)
        counts = counts.reshape(self._bins, wide)
        joint = _entropy(counts)
        return (_entropy(counts.sum(0)) + _entropy(counts.sum(1))) / joint - 1 if joint > 0 else 0.0


@dataclass(frozen=True)
class Found:
    """Where the search ended."""

    transform: Affine  # (4, 4) RAS+ millimetres: from where the other volume lay to where it lies now
    untold: dict[
        str, float
    ]  # axis of the patient -> what turning by TURN changes, where that is next to nothing


def search(base: Volume, other: Volume) -> Found:
    """Find the rigid motion of most normalised mutual information.

    All rotations of ``ANGLES`` about each axis are tried with the volumes as they lie and with their centres
    of brightness on each other; the best go uphill on coarse volumes, the best of those on finer ones.
    """
    coarse = Measure(base, other, COARSE)
    poses = list(_starts(base, other))
    ranked = sorted(poses, key=coarse, reverse=True)[: KEPT[0]]
    climbed = [_climb(coarse, pose, COARSE) for pose in [*ranked, np.zeros(6)]]
    middle_ = Measure(base, other, MIDDLE)
    chosen = _distinct(sorted(climbed, key=middle_, reverse=True))[: KEPT[1]]
    best = max((_climb(middle_, pose, MIDDLE) for pose in chosen), key=middle_)
    fine = Measure(base, other, FINE)
    best = max((_climb(fine, best, FINE), np.zeros(6)), key=fine)
    return Found(to_transform(best, fine.centre), _untold(fine, best))


def to_transform(pose: Pose, centre: NDArray[np.float64]) -> Affine:
    """From old to new places of the other volume; a pose leads from points of the base to its points."""
    back = np.eye(4)
    back[:3, :3] = rotation(pose[:3] / RADIUS)
    back[:3, 3] = centre + pose[3:] - back[:3, :3] @ centre
    return np.asarray(np.linalg.inv(back), np.float64)


def rotation(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix of a rotation vector in radians (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def middle(volume: Volume) -> NDArray[np.float64]:
    """The centre of brightness, in millimetres."""
    values, affine = _coarser(volume, 4.0)
    low, high = np.percentile(values, (5, 99))
    weights = np.clip((values - low) / max(float(high - low), 1e-9), 0, 1)
    total = max(float(weights.sum(dtype=np.float64)), 1e-9)
    place = [
        weights.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64) @ np.arange(n) / total
        for axis, n in enumerate(values.shape)
    ]
    return np.asarray((affine @ [*place, 1])[:3], np.float64)


def _starts(base: Volume, other: Volume) -> Iterable[Pose]:
    shift = middle(other) - middle(base)
    for turn in product(np.radians(ANGLES) * RADIUS, repeat=3):
        yield np.array([*turn, 0.0, 0.0, 0.0])
        yield np.array([*turn, *shift])


def _climb(measure: Measure, start: Pose, level: Level) -> Pose:
    optimize = required("scipy.optimize", "registration")
    found = optimize.minimize(
        lambda steps: -measure(start + level.step * steps),
        np.zeros(6),
        method="Powell",
        options={"xtol": level.tolerance, "ftol": level.gain},
    )
    return np.asarray(start + level.step * found.x, np.float64)


def _distinct(poses: Iterable[Pose]) -> list[Pose]:
    """Those that differ by more than a coarse step, best first."""
    result: list[Pose] = []
    for pose in poses:
        if all(np.linalg.norm(pose - other) > COARSE.step for other in result):
            result.append(pose)
    return result


def _untold(measure: Measure, pose: Pose) -> dict[str, float]:
    """Axes about which the volumes could be turned without their measure telling it."""
    top = measure(pose)
    there = rotation(pose[:3] / RADIUS)

    def loss(turn: NDArray[np.float64], shift: NDArray[np.float64]) -> float:
        losses = []
        for sign in (1, -1):
            turned = _vector(rotation(sign * turn) @ there) * RADIUS
            losses.append(top - measure(np.concatenate([turned, pose[3:] + sign * shift])))
        return min(losses)

    nothing = np.zeros(3)
    shifted = max(float(np.mean([loss(nothing, AIDE * axis) for axis in np.eye(3)])), 1e-9)
    result = {}
    for name, axis in zip(("left-right", "front-back", "head-foot"), np.eye(3)):
        share = loss(np.radians(TURN) * axis, nothing) / shifted
        if share < UNTOLD:
            result[name] = float(share)
    return result


def _vector(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation vector of a matrix, for turns below half a circle."""
    axis = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    sine, cosine = float(np.linalg.norm(axis)) / 2, (float(np.trace(matrix)) - 1) / 2
    return axis / max(2 * sine, 1e-12) * float(np.arctan2(sine, cosine))


def _coarser(volume: Volume, voxel: float) -> tuple[NDArray[np.float32], Affine]:
    """Means of blocks of voxels, none larger than ``voxel`` mm, and where they lie."""
    factors = [
        min(max(1, int(voxel / step + 1e-6)), count) for step, count in zip(volume.spacing, volume.shape)
    ]
    counts = [count // factor for count, factor in zip(volume.shape, factors)]
    whole = volume.voxels[tuple(slice(0, n * f) for n, f in zip(counts, factors))]
    blocks = [size for pair in zip(counts, factors) for size in pair]
    values = whole.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(factors) - 1) / 2)
    affine[:3, :3] *= factors
    return values, affine


def _blurred(values: NDArray[np.float32], affine: Affine, blur: float) -> NDArray[np.float32]:
    if not blur:
        return values
    ndimage = required("scipy.ndimage", "registration")
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    return np.asarray(ndimage.gaussian_filter(values, blur / steps, mode="nearest", truncate=3.0))


def _binned(values: NDArray[np.floating], bins: int, sample: NDArray[np.floating]) -> NDArray[np.floating]:
    """Values as fractions of bins 0..bins - 1; outliers fall into the outer ones."""
    low, high = np.percentile(sample, (0.5, 99.8))
    scaled = (values - low) / max(float(high - low), 1e-9) * (bins - 1)
    return np.clip(scaled, 0, bins - 1)


def _entropy(counts: NDArray[np.float64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
