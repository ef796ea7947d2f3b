"""How well a known rigid motion of a volume is found: shifts up to 30 mm and turns up to 20 degrees."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import FusionError
from fsidfusion.fusion.volumes.grid import Affine, Volume, resample
from fsidfusion.fusion.volumes.register import motion, place
from fsidfusion.fusion.volumes.search import rotation

SHIFT, TURN = (5.0, 30.0), (5.0, 20.0)  # mm and degrees of the known motions
CUT = 0.2  # share of each axis that the cut volume has lost, some at each end
COARSE = (1.5, 1.5, 4.0)  # mm of the voxels of the resampled one
HEAD = 70.0  # mm from the centre to the points at which the largest error is taken


@dataclass(frozen=True)
class Case:
    """A base and another volume that lies on it, before it is moved."""

    name: str
    base: Volume
    other: Volume


@dataclass(frozen=True)
class Error:
    """What was left of a known motion."""

    case: str
    shift: float  # mm, of the known motion
    turn: float  # degrees
    centre: float  # mm, left at the centre of the base
    surface: float  # mm, the largest left at HEAD from it, along the axes
    turned: float  # degrees left
    before: float  # normalised mutual information
    after: float
    refused: str = ""


def cases(base: Volume, other: Volume, seed: int = 0) -> list[Case]:
    """The pair as it is, the other way round, with a smaller field of view, and on other voxels."""
    rng = np.random.default_rng(seed)
    lost = [rng.integers(0, round(CUT * count) + 1) for count in other.shape]
    parts = tuple(slice(a, a + count - round(CUT * count)) for a, count in zip(lost, other.shape))
    affine = other.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ lost
    cut = replace(other, voxels=np.ascontiguousarray(other.voxels[parts]), affine=affine)
    steps = np.array(COARSE)
    grid = other.affine.copy()
    grid[:3, :3] = grid[:3, :3] / np.array(other.spacing) * steps
    shape = tuple(int(n * old / new) for n, old, new in zip(other.shape, other.spacing, steps))
    empty = Volume(other.name, np.zeros(shape, np.float32), grid)
    coarse = replace(other, voxels=resample(other, empty), affine=grid)
    return [
        Case("as it is", base, other),
        Case("the other as base", other, base),
        Case(f"{CUT:.0%} of each axis cut off", base, cut),
        Case(f"voxels of {'x'.join(f'{step:g}' for step in COARSE)} mm", base, coarse),
    ]


def motions(count: int, centre: NDArray[np.float64], seed: int = 0) -> Iterator[Affine]:
    """Random rigid motions about a point, in the bounds of SHIFT and TURN."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        axis, direction = rng.normal(size=(2, 3))
        turn = np.radians(rng.uniform(*TURN)) * axis / np.linalg.norm(axis)
        known = np.eye(4)
        known[:3, :3] = rotation(turn)
        shift = rng.uniform(*SHIFT) * direction / np.linalg.norm(direction)
        known[:3, 3] = centre - known[:3, :3] @ centre + shift
        yield known


def measure(
    some: Sequence[Case], count: int = 6, seed: int = 0, step: Callable[[], None] = lambda: None
) -> list[Error]:
    """Move, register, and compare with the known motion; the first of each case is not moved at all."""
    result = []
    for case in some:
        centre = middle_of(case.base)
        for known in (np.eye(4), *motions(count, centre, seed)):
            result.append(_measure(case, known, centre))
            step()
    return result


def to_markdown(errors: Sequence[Error]) -> str:
    """A table of all errors."""
    lines = [
        "| pair | moved by | left at the centre | at 70 mm, at most | turn left | NMI before | after |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for one in errors:
        moved = f"{one.shift:.1f} mm, {one.turn:.1f}°" if one.shift or one.turn else "nothing"
        if one.refused:
            lines.append(f"| {one.case} | {moved} | refused: {one.refused} | | | | |")
            continue
        lines.append(
            f"| {one.case} | {moved} | {one.centre:.2f} mm | {one.surface:.2f} mm | {one.turned:.2f}° |"
            f" {one.before:.4f} | {one.after:.4f} |"
        )
    return "\n".join(lines) + "\n"


def middle_of(volume: Volume) -> NDArray[np.float64]:
    """The centre of the voxels of a volume, mm."""
    place_ = (np.array(volume.shape) - 1) / 2
    return np.asarray(volume.affine[:3, :3] @ place_ + volume.affine[:3, 3], np.float64)


def _measure(case: Case, known: Affine, centre: NDArray[np.float64]) -> Error:
    shift = float(np.linalg.norm(known[:3, :3] @ centre + known[:3, 3] - centre))
    turn = motion(known)[1]
    try:
        found = place(case.base, replace(case.other, affine=known @ case.other.affine), "rigid")
    except FusionError as error:
        return Error(case.name, shift, turn, np.nan, np.nan, np.nan, np.nan, np.nan, str(error))
    left = found.transform @ known
    points = centre + HEAD * np.vstack([np.zeros(3), np.eye(3), -np.eye(3)])
    off = np.linalg.norm(points @ left[:3, :3].T + left[:3, 3] - points, axis=1)
    return Error(
        case.name,
        shift,
        turn,
        float(off[0]),
        float(off.max()),
        motion(left)[1],
        found.before,
        found.after,
    )
