"""How slices lie in a stack: one line with even gaps, uneven ones, or the shear of a tilted gantry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import Affine, Voxels
from fsidfusion.images.budget import check_voxels

if TYPE_CHECKING:
    from fsidfusion.fusion.volumes.dicom_frames import Frame

ASTRAY = 0.1  # of the gap, or ROUNDED if that is more: slices nearer to the fitted line lie on it
ROUNDED = 0.06  # mm; positions are often written to a tenth
HOLE = 3.0  # of the usual gap; slices that are further apart are not bridged
_MULTIPLE = 0.05  # of the usual gap; gaps that are this near to whole multiples miss slices
TILTED = 0.1  # degrees of shear from which slices are sheared back


@dataclass(frozen=True)
class Stack:
    """Where the slices lie."""

    affine: Affine  # (4, 4) from (column, row, slice) to millimetres, in DICOM's axes
    gap: float  # mm along the normal
    tilt: float = 0.0  # degrees between the normal and the line through the slices, where they are sheared
    offsets: NDArray[np.float64] | None = None  # (K,) of the slices in gaps, where they are uneven
    least: float = 0.0  # mm, of uneven gaps
    most: float = 0.0


def fit_stack(
    path: Path, places: Sequence[NDArray[np.float64]], names: Sequence[str], first: "Frame"
) -> Stack:
    """Fit a line through slices that are sorted along their normal.

    Args:
        path: for messages.
        places: (3,) of the first pixel of each slice, mm.
        names: of the slices, for messages.
        first: one of them, for its directions and spacing.

    Raises:
        InputError: slices beside the line, missing ones (the two around the gap are named), or a hole.
    """
    points = np.array(places)
    normal = np.cross(*first.directions)
    along = first.directions[0] * first.spacing[1]
    across = first.directions[1] * first.spacing[0]
    affine = np.eye(4)
    if len(points) == 1:
        affine[:3] = np.column_stack([along, across, normal * first.thickness, points[0]])
        return Stack(affine, first.thickness)
    heights = points @ normal
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    allowed = max(ASTRAY * usual, ROUNDED)
    numbers = np.arange(len(points))
    even = np.polyfit(numbers, heights, 1)
    off = np.abs(heights - np.polyval(even, numbers))
    offsets = None
    if off.max() > allowed:
        _check_gaps(path, gaps, usual, names)
        offsets = (heights - heights[0]) / usual
        even = np.array([usual, heights[0]])
        numbers = offsets
    # the line, as a function of the number of a slice: the step in the plane is the shear of the gantry
    lines = [np.polyfit(numbers, points[:, axis], 1) for axis in range(3)]
    fitted = np.stack([np.polyval(line, numbers) for line in lines], axis=1)
    aside = points - fitted
    aside -= np.outer(aside @ normal, normal)
    strayed = np.linalg.norm(aside, axis=1)
    if strayed.max() > allowed:
        name = names[int(strayed.argmax())]
        raise InputError(f"the slices of {path} do not lie in one stack ({name}); leave other stacks out")
    step = np.array([line[0] for line in lines])
    origin = np.array([line[1] for line in lines])
    if offsets is None and off.max() < 1e-3 and strayed.max() < 1e-3:
        step, origin = (points[-1] - points[0]) / (len(points) - 1), points[0]  # exact, without rounding
    shear = step - (step @ normal) * normal
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(shear), step @ normal)))
    affine[:3] = np.column_stack([along, across, step, origin])
    gap = float(step @ normal)
    return Stack(affine, gap, tilt if tilt > TILTED else 0.0, offsets, float(gaps.min()), float(gaps.max()))


def space_evenly(voxels: Voxels, offsets: NDArray[np.float64]) -> Voxels:
    """Slices at uneven offsets (in gaps) to slices at 0, 1, 2, ...: linear between neighbours."""
    number = int(np.floor(offsets[-1] + 1e-6)) + 1
    check_voxels((*voxels.shape[:2], number), "a series with such gaps between its slices")
    wanted = np.arange(number)
    above = np.clip(np.searchsorted(offsets, wanted), 1, len(offsets) - 1)
    below = above - 1
    weight = np.clip((wanted - offsets[below]) / (offsets[above] - offsets[below]), 0, 1)
    shape = (1, 1, -1, *(1,) * (voxels.ndim - 3))
    weight = weight.reshape(shape).astype(np.float32)
    result = voxels[:, :, below] * (1 - weight) + voxels[:, :, above] * weight
    return np.rint(result).astype(np.uint8) if voxels.dtype == np.uint8 else result.astype(np.float32)


def shear_back(voxels: Voxels, affine: Affine) -> tuple[Voxels, Affine]:
    """Shift the slices of a sheared stack in their planes so that its third axis is their normal.

    Linear; what is not covered takes the least value. The result is as much larger as the shear needs.
    """
    along, across, step = affine[:3, 0], affine[:3, 1], affine[:3, 2]
    normal = np.cross(along, across)
    normal /= np.linalg.norm(normal) * np.sign(normal @ step)
    shear = step - (step @ normal) * normal
    plane = np.column_stack([along, across])
    drift = np.linalg.lstsq(plane, shear, rcond=None)[0]  # columns and rows from one slice to the next
    count = voxels.shape[2]
    ends = np.array([np.zeros(2), drift * (count - 1)])
    low, high = np.floor(ends.min(0) + 1e-6).astype(int), np.ceil(ends.max(0) - 1e-6).astype(int)
    width, height = (n + int(b - a) for n, a, b in zip(voxels.shape[:2], low, high))
    check_voxels((width, height, count), "a series with so tilted slices")
    least = voxels.min() if voxels.ndim == 3 else 0
    result = np.empty((width, height, *voxels.shape[2:]), voxels.dtype)
    for k in range(count):
        x, y = k * drift - low
        flat = np.ascontiguousarray(voxels[:, :, k].swapaxes(0, 1))
        moved = cv2.warpAffine(
            flat,
            np.array([[1, 0, x], [0, 1, y]], np.float64),
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(float(least),) * 3,
        )
        result[:, :, k] = moved.swapaxes(0, 1)
    straight = affine.copy()
    straight[:3, 2] = (step @ normal) * normal
    straight[:3, 3] = affine[:3, 3] + plane @ low
    return result, straight


def _check_gaps(path: Path, gaps: NDArray[np.float64], usual: float, names: Sequence[str]) -> None:
    worst = int(np.argmax(gaps))
    multiples = gaps / usual
    missing = bool((np.abs(multiples - np.rint(multiples)) < _MULTIPLE).all()) and multiples.max() > 1.5
    if missing or multiples.max() > HOLE:
        raise InputError(
            f"the slices of {path} are unequally spaced: {gaps[worst]:.4g} mm from {names[worst]} to"
            f" {names[worst + 1]}, elsewhere {usual:.4g} mm; add what is missing, or resample it to NIfTI"
        )
