"""Rigid registration of one volume to another by mutual information, and transforms in files (SimpleITK)."""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.fuse import Fused
from fsidfusion.fusion.volumes.grid import Affine, Volume
from fsidfusion.fusion.volumes.itk_child import moved_points
from fsidfusion.fusion.volumes.itk_files import simpleitk
from fsidfusion.fusion.volumes.search import TURN, Level, Measure, middle, rotation, search
from fsidfusion.fusion.volumes.views import checkerboard, edge_overlay
from fsidfusion.images.budget import MAX_LINES
from fsidfusion.images.child import ChildFailed

SCORED = Level(0.0, 2.0, 40_000, 48, 1.0, 0.05, 1e-4)  # how closely a score is taken
CHANCE = 8  # random poses whose scores a registration must beat
LEAST_GAIN = 1.1  # times the best of them
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
    untold: dict[str, float] = field(
        default_factory=dict
    )  # of :class:`~fsidfusion.fusion.volumes.search.Found`

    def notes(self) -> list[str]:
        """What the user should know, one line each: the motion, and what of it cannot be told."""
        if not self.untold:
            return [self.describe()]
        axes = ", ".join(f"{axis} ({share:.1%})" for axis, share in self.untold.items())
        return [
            self.describe(),
            f"these volumes are nearly round, and do not tell the turn about an axis: {TURN:g} degrees more"
            f" cost only a part of what a shift as long costs: {axes}; look whether it is right",
        ]

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
    found = search(base, other)
    transform = found.transform
    after = score(base, replace(other, affine=transform @ other.affine))
    if after <= before:  # they lie on each other already
        after, transform = before, np.eye(4)
    chance = _chance(base, other)
    if after < before or after < LEAST_GAIN * chance:
        raise InputError(
            f"{other.name} cannot be registered to {base.name}: normalised mutual information {after:.4f},"
            f" {before:.4f} as they lie, {chance:.4f} at random; check that they show one patient, or leave"
            " out `register`"
        )
    moved = replace(other, affine=transform @ other.affine)
    return Registered(moved, transform, before, after, "rigid", found.untold)


def score(base: Volume, other: Volume) -> float:
    """Normalised mutual information, (H(a) + H(b)) / H(a, b) - 1: 0 for unrelated volumes, 1 at most.

    At points of the base that the other volume covers; 0 where it covers too little.
    """
    return Measure(base, other, SCORED)(np.zeros(6))


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


def _chance(base: Volume, other: Volume) -> float:
    """The best score of random poses about the centre of the base."""
    rng = np.random.default_rng(_SEED)
    centre, own = middle(base), middle(other)
    best = 0.0
    for _ in range(CHANCE):
        axis = rng.normal(size=3)
        turn = rotation(axis / np.linalg.norm(axis) * np.radians(rng.uniform(90, 180)))
        pose = np.eye(4)
        pose[:3, :3] = turn
        pose[:3, 3] = centre + rng.uniform(-15, 15, 3) - turn @ own
        best = max(best, score(base, replace(other, affine=pose @ other.affine)))
    return best


def _orthogonal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right, np.float64)


def _read(path: Path) -> Affine:
    """A rigid transform of ITK as (4, 4), from where the other volume lay to where it lies, RAS+."""
    if not path.is_file():
        raise InputError(f"`register` {path} does not exist; give rigid, or the .tfm file of a transform")
    if path.stat().st_size > MAX_LINES:
        raise InputError(f"{path} is too large for a rigid transform; give one that `transform` wrote")
    try:
        moved = moved_points(path)
    except ChildFailed as error:
        raise InputError(f"{path} is no transform of ITK; give one that `transform` wrote") from error
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = (moved[1:] - moved[0]).T, moved[0]
    if np.abs(lps[:3, :3].T @ lps[:3, :3] - np.eye(3)).max() > 1e-6 or np.linalg.det(lps[:3, :3]) < 0:
        raise InputError(f"{path} is no rigid transform; give one that `transform` wrote")
    return np.asarray(_FLIP @ np.linalg.inv(lps) @ _FLIP, np.float64)
