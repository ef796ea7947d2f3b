"""Rigid registration of one volume to another by mutual information (SimpleITK)."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.fuse import Fused
from fsidfusion.fusion.volumes.grid import LEAST_OVERLAP, Affine, Volume, overlap, resample
from fsidfusion.fusion.volumes.itk_files import simpleitk, to_itk
from fsidfusion.fusion.volumes.views import checkerboard, edge_overlay
from fsidfusion.images.budget import MAX_TEXT

BINS = 48  # of a histogram
COARSE = ((8.0, 3.0),)  # mm of the voxels and of smoothing, level by level: from every start
FINE = ((4.0, 1.5), (2.0, 0.0))  # likewise: from the best of them
SAMPLES = 10_000, 40_000  # voxels of a level that the search looks at, coarse and fine
CHANCE = 8  # random poses whose scores a registration must beat
LEAST_GAIN = 1.1  # times the best of them
TURNED = 12.0  # degrees about each axis, both ways: starts beside the volumes as they lie
_APART = 2.0  # mm between centres of brightness from which they are a start too
_SCORED = 64  # voxels along each axis from which a score is taken
_SEED = 7
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between the axes of ITK and RAS+


@dataclass(frozen=True)
class Registered:
    """A volume at its new place."""

    volume: Volume
    transform: Affine  # (4, 4), rigid, RAS+ millimetres: from where the volume lay to where it lies now
    before: float  # score as they lay, see :func:`score`
    after: float
    origin: str  # how it was found

    def describe(self) -> str:
        """One line: shift, turn, and the scores before and after."""
        shift, turn = motion(self.transform)
        return (
            f"registered ({self.origin}): moved by {shift:.1f} mm and {turn:.1f} degrees; normalised mutual"
            f" information {self.before:.4f} as they lay, {self.after:.4f} now"
        )

    def to_bytes(self) -> bytes:
        """The transform as a text file of ITK: from points of the base to points of the other, in LPS."""
        sitk = simpleitk()
        lps = np.asarray(np.linalg.inv(_FLIP @ self.transform @ _FLIP), np.float64)
        rigid = sitk.Euler3DTransform()
        rigid.SetMatrix(_orthogonal(lps[:3, :3]).ravel().tolist())
        rigid.SetTranslation(lps[:3, 3].tolist())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "transform.tfm"
            sitk.WriteTransform(rigid, str(path))
            return path.read_bytes()


def place(base: Volume, other: Volume, how: str) -> Registered:
    """Register a volume to the base, or place it by a transform that was saved.

    Args:
        base: stays where it is.
        other: is moved; its voxels are not touched, only its affine.
        how: ``rigid``, or the path of a transform of ITK (.tfm), from points of the base to the other's.

    Raises:
        InputError: a registration that is no better than none, with its scores; RGB or sheared volumes; a
            file that is no rigid transform.
    """
    for volume in (base, other):
        if volume.is_rgb:
            raise InputError(
                f"{volume.name} holds RGB colours, which cannot be registered; leave `register` out"
            )
    before = score(base, other)
    if how != "rigid":
        transform = _read(Path(how))
        moved = replace(other, affine=transform @ other.affine)
        return Registered(moved, transform, before, score(base, moved), f"transform {Path(how).name}")
    coarse = [_optimise(base, other, start, COARSE) for start in _starts(base, other)]
    best = max(coarse, key=lambda one: score(base, replace(other, affine=one @ other.affine)))
    transform = _optimise(base, other, best, FINE)
    after = score(base, replace(other, affine=transform @ other.affine))
    near = max(1.0, min(base.spacing) / 2)  # mm and degrees
    if after <= before and max(motion(transform)) < near:  # they lie on each other already
        after, transform = before, np.eye(4)
    chance = _chance(base, other)
    if after < before or after < LEAST_GAIN * chance:
        raise InputError(
            f"{other.name} cannot be registered to {base.name}: normalised mutual information {after:.4f},"
            f" {before:.4f} as they lie, {chance:.4f} at random; check that they show one patient, or leave"
            " out `register`"
        )
    return Registered(replace(other, affine=transform @ other.affine), transform, before, after, "rigid")


def score(base: Volume, other: Volume) -> float:
    """Normalised mutual information, (H(a) + H(b)) / H(a, b) - 1: 0 for unrelated, 1 for equal volumes.

    Over voxels of the base, every few, that the other volume covers; 0 where it covers hardly any.
    """
    step = max(1, max(base.shape) // _SCORED)
    affine = base.affine.copy()
    affine[:3, :3] *= step
    coarse = Volume(base.name, base.voxels[::step, ::step, ::step], affine)
    if overlap(coarse, other) < LEAST_OVERLAP:
        return 0.0
    marked = Volume(other.name, np.ones(other.shape, np.float32), other.affine)
    marked.voxels[0, 0, 0] = 0  # the least value, which is outside
    inside = resample(marked, coarse) > 0.5
    first, second = (_binned(voxels[inside]) for voxels in (coarse.voxels, resample(other, coarse)))
    counts = np.bincount(first * BINS + second, minlength=BINS * BINS).reshape(BINS, BINS).astype(float)
    joint = _entropy(counts)
    return (_entropy(counts.sum(0)) + _entropy(counts.sum(1))) / joint - 1 if joint > 0 else 0.0


def motion(transform: Affine) -> tuple[float, float]:
    """The shift of the origin in mm, and the turn in degrees, of a rigid transform."""
    turn = np.degrees(np.arccos(np.clip((np.trace(transform[:3, :3]) - 1) / 2, -1, 1)))
    return float(np.linalg.norm(transform[:3, 3])), float(turn)


def check_pictures(fused: Fused, affine: Affine, names: tuple[str, str]) -> dict[str, NDArray[np.uint8]]:
    """What shows whether two volumes lie on each other: a checkerboard, and edges of one on the other."""
    return {
        f"{names[0]} and {names[1]} by turns": checkerboard(fused.base, fused.other, affine),
        f"edges of the {names[1]} on the {names[0]}": edge_overlay(fused.base, fused.other, affine),
    }


def _starts(base: Volume, other: Volume) -> list[Affine]:
    """Where the search begins: as they lie, and centre on centre of brightness, each turned or not."""
    own = _centre(other)
    shift = _centre(base) - own
    starts = []
    for offset in [np.zeros(3), shift] if np.linalg.norm(shift) > _APART else [np.zeros(3)]:
        for turn in (np.zeros(3), *np.radians(TURNED) * np.vstack([np.eye(3), -np.eye(3)])):
            angle = float(np.linalg.norm(turn))
            start = np.eye(4)
            if angle:
                start[:3, :3] = _rotation(turn / angle, angle)
            start[:3, 3] = own - start[:3, :3] @ own + offset
            starts.append(start)
    return starts


def _centre(volume: Volume) -> NDArray[np.float64]:
    low, high = np.percentile(volume.voxels, (5, 99))
    weights = np.clip((volume.voxels - low) / max(high - low, 1e-9), 0, 1)
    total = weights.sum(dtype=np.float64)
    place = [
        weights.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64) @ np.arange(n) / total
        for axis, n in enumerate(volume.shape)
    ]
    return np.asarray((volume.affine @ [*place, 1])[:3], np.float64)


def _optimise(base: Volume, other: Volume, start: Affine, levels: tuple[tuple[float, float], ...]) -> Affine:
    """Follow the mutual information uphill from a transform, (4, 4) from old to new places in RAS+."""
    sitk = simpleitk()
    fixed, moving = (to_itk(_tamed(volume), volume.affine) for volume in (base, other))
    inverse = np.linalg.inv(_FLIP @ start @ _FLIP)
    initial = sitk.Euler3DTransform()
    centre = (_FLIP @ [*_centre(base), 1])[:3]
    initial.SetCenter(centre.tolist())
    initial.SetMatrix(_orthogonal(np.asarray(inverse[:3, :3])).ravel().tolist())
    moved = inverse[:3, :3] @ centre + inverse[:3, 3] - centre
    initial.SetTranslation(moved.tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    count = SAMPLES[levels is FINE]
    shrunk = [max(1, round(size / min(base.spacing))) for size, _ in levels]
    shares = [min(1.0, count * shrink**3 / base.voxels.size) for shrink in shrunk]
    method.SetMetricSamplingPercentagePerLevel(shares, _SEED)
    method.SetShrinkFactorsPerLevel(shrunk)
    method.SetSmoothingSigmasPerLevel([sigma for _, sigma in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInterpolator(sitk.sitkLinear)
    if levels is FINE:  # precise, but takes the nearest hill
        every = method.EachIteration
        method.SetOptimizerAsConjugateGradientLineSearch(1.0, 25, 1e-6, 8, 0, 5, 0.02, 8, every)
    else:
        method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.05, 60, 0.6, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(initial, True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # all samples fell outside: no registration, which its score tells
        return start
    turn = np.reshape(initial.GetMatrix(), (3, 3))
    lps = np.eye(4)
    lps[:3, :3] = turn
    lps[:3, 3] = np.array(initial.GetTranslation()) + centre - turn @ centre
    return np.asarray(_FLIP @ np.linalg.inv(lps) @ _FLIP, np.float64)


def _tamed(volume: Volume) -> NDArray[np.float32]:
    """Values between two percentiles, so that outliers do not empty the histogram."""
    low, high = np.percentile(volume.voxels[::2, ::2, ::2], (0.5, 99.8))
    return np.clip(volume.voxels, low, high)


def _chance(base: Volume, other: Volume) -> float:
    """The best score of random poses about the centre of the base."""
    rng = np.random.default_rng(_SEED)
    centre, own = _centre(base), _centre(other)
    best = 0.0
    for _ in range(CHANCE):
        axis = rng.normal(size=3)
        turn = _rotation(axis / np.linalg.norm(axis), np.radians(rng.uniform(90, 180)))
        pose = np.eye(4)
        pose[:3, :3] = turn
        pose[:3, 3] = centre + rng.uniform(-15, 15, 3) - turn @ own
        best = max(best, score(base, replace(other, affine=pose @ other.affine)))
    return best


def _rotation(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _binned(values: NDArray[np.float32]) -> NDArray[np.int64]:
    low, high = np.percentile(values, (0.5, 99.8)) if values.size else (0.0, 1.0)
    scaled = (values - low) / max(float(high - low), 1e-9) * BINS
    return np.clip(scaled, 0, BINS - 1).astype(np.int64)


def _entropy(counts: NDArray[np.float64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _orthogonal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right, np.float64)


def _read(path: Path) -> Affine:
    """A rigid transform of ITK as (4, 4), from where the other volume lay to where it lies, RAS+."""
    sitk = simpleitk()
    if not path.is_file():
        raise InputError(f"`register` {path} does not exist; give rigid, or the .tfm file of a transform")
    if path.stat().st_size > MAX_TEXT:
        raise InputError(f"{path} is too large for a rigid transform; give one that `transform` wrote")
    try:
        read: Any = sitk.ReadTransform(str(path))
        read = read if not isinstance(read, sitk.CompositeTransform) else read.GetBackTransform()
        points = np.vstack([np.zeros(3), np.eye(3)])
        moved = np.array([read.TransformPoint(point.tolist()) for point in points])
    except Exception as error:  # an untrusted file: whatever its reader raises, the file is what is wrong
        raise InputError(f"{path} is no transform of ITK; give one that `transform` wrote") from error
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = (moved[1:] - moved[0]).T, moved[0]
    if np.abs(lps[:3, :3].T @ lps[:3, :3] - np.eye(3)).max() > 1e-6 or np.linalg.det(lps[:3, :3]) < 0:
        raise InputError(f"{path} is no rigid transform; give one that `transform` wrote")
    return np.asarray(_FLIP @ np.linalg.inv(lps) @ _FLIP, np.float64)
