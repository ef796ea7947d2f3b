"""Volumes and where their voxels lie: grids in millimetres, overlap, resampling and planes.

An affine maps voxel indices (i, j, k) to the centres of voxels in millimetres of the patient: x grows to the
right, y to the front and z to the head (RAS+, as in NIfTI; DICOM counts x to the left and y to the back).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError, required

Axis = Literal["axial", "coronal", "sagittal"]
Voxels = NDArray[Any]  # (I, J, K) float32, or (I, J, K, 3) uint8 RGB
Affine = NDArray[np.float64]  # (4, 4)

AXES: dict[Axis, int] = {
    "sagittal": 0,
    "coronal": 1,
    "axial": 2,
}  # the axis of LPS voxels that slices stack on
DISPLAY = "LPS"  # voxel axes towards left, posterior and superior, as slices are shown
LEAST_OVERLAP = 0.01  # share of the voxels of a grid below which another one does not overlap it
_SNAP = 1e-5  # voxels; steps between grids that are this close to whole numbers are whole
_SAMPLES = 33  # positions along each axis at which overlap is measured
_SAME_SPACING = 0.01  # share by which spacings may differ and be equal
_FWHM = 2.3548  # full width at half maximum of a Gaussian, in standard deviations


@dataclass(frozen=True)
class Volume:
    """A volume and its place."""

    name: str  # of its file or folder, for messages
    voxels: Voxels
    affine: Affine
    header: Any = None  # the NIfTI header, or the DICOM data set of the first slice without its pixels
    unit: str = ""  # of the voxels, such as HU, Bq/ml or Gy; empty where it is not known
    notes: tuple[str, ...] = ()  # what the user should know of how it was read, one line each
    images: tuple[Any, ...] = ()  # the DICOM data sets of all slices, in their order

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three axes."""
        i, j, k = self.voxels.shape[:3]
        return i, j, k

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres from one voxel to the next along the three axes."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def is_rgb(self) -> bool:
        """Whether the voxels are colours."""
        return self.voxels.ndim == 4


def describe_grid(volume: Volume) -> str:
    """One phrase: voxels, their size, orientation, and what is covered, in millimetres."""
    from nibabel.orientations import aff2axcodes

    ends = np.array(np.meshgrid(*((-0.5, n - 0.5) for n in volume.shape))).reshape(3, -1)
    places = volume.affine[:3, :3] @ ends + volume.affine[:3, 3:]
    extent = ", ".join(
        f"{axis} {low:.0f}..{high:.0f}" for axis, low, high in zip("xyz", places.min(1), places.max(1))
    )
    voxels, size = "x".join(map(str, volume.shape)), "x".join(f"{step:.3g}" for step in volume.spacing)
    codes = "".join(aff2axcodes(volume.affine))
    return f"{volume.name} ({voxels} voxels of {size} mm, {codes}) covers {extent} mm"


def check_affine(affine: Affine, name: str) -> Affine:
    """The affine, if it is finite and its three axes span space.

    Raises:
        InputError: it does not place voxels.
    """
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    sound = np.isfinite(affine).all() and steps.min() > 0
    if not sound or abs(np.linalg.det(affine[:3, :3] / steps)) < 1e-3:
        raise InputError(
            f"{name} has a broken geometry (its affine does not span space); convert it again from its source"
        )
    return affine


def check_values(voxels: Voxels, name: str) -> tuple[str, ...]:
    """Check that voxels are finite, and put the least value where they are NaN, in place.

    Tools write NaN where a brain was masked out: these voxels count as outside, and a note says how many.

    Raises:
        InputError: infinity, with how many, or nothing but NaN.
    """
    if voxels.dtype.kind != "f" or np.isfinite(voxels).all():
        return ()
    infinite = int(np.count_nonzero(np.isinf(voxels)))
    if infinite:
        raise InputError(
            f"{name} holds {infinite} voxels of {voxels.size} that are infinite; replace them by numbers"
        )
    empty = np.isnan(voxels)
    if empty.all():
        raise InputError(f"{name} holds nothing but NaN; give a volume with content")
    voxels[empty] = np.nanmin(voxels)
    return (f"{empty.mean():.1%} of {name} is NaN and counts as outside",)


def default_axis(affine: Affine) -> Axis:
    """The axis that slices were acquired along: that of the largest spacing, and axial among equals."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    turned = _orientation(affine)[:, 0]
    spacing = {axis: float(steps[int(np.flatnonzero(turned == n)[0])]) for axis, n in AXES.items()}
    largest = max(spacing.values())
    order: tuple[Axis, ...] = ("axial", "coronal", "sagittal")
    return next(axis for axis in order if spacing[axis] > largest * (1 - _SAME_SPACING))


def choose_frames(name: str, count: int, frame: str | None) -> list[int]:
    """Which of the volumes of a 4-D one are taken, counted from 0: one, or all for their mean.

    Raises:
        InputError: several volumes and no ``frame``, or one that is neither a number of them nor ``mean``.
    """
    if frame == "mean":
        return list(range(count))
    if frame is None and count > 1:
        raise InputError(
            f"{name} holds {count} volumes (times, echoes, 4-D); take one with `frame` 1..{count}, or `frame`"
            " mean"
        )
    number = 1 if frame is None else int(frame) if frame.isdigit() else 0
    if not 1 <= number <= count:
        wanted = f"give 1..{count}, or mean" if count > 1 else "give 1 for it: `frame` FIRST OTHER"
        raise InputError(f"`frame` {frame} is none of the {count} volumes of {name}; {wanted}")
    return [number - 1]


def overlap(grid: Volume, other: Volume) -> float:
    """Share 0..1 of the grid's voxels that lie inside the other volume, sampled on a regular lattice."""
    steps = [np.linspace(0, n - 1, min(n, _SAMPLES)) for n in grid.shape]
    places = np.stack(np.meshgrid(*steps, indexing="ij")).reshape(3, -1)
    step = _steps(grid, other)
    inside = step[:3, :3] @ places + step[:3, 3:]
    last = np.array(other.shape)[:, None] - 0.5
    return float(np.mean(np.all((inside >= -0.5) & (inside <= last), axis=0)))


def resample(other: Volume, grid: Volume) -> Voxels:
    """The voxels of ``other`` at the places of the grid's voxels.

    Trilinear, and nearest in the outer half of the outermost voxels. A volume that is finer than the grid is
    first smoothed to its resolution (a Gaussian as wide as the grid's voxels, less its own), so that nothing
    aliases. What lies outside takes the least value of ``other``. Where both grids agree up to flips and
    swaps of axes the values are exact.

    Returns:
        shape of the grid, with three channels where ``other`` has them; the type of ``other``.

    Raises:
        InputError: the two overlap by less than ``LEAST_OVERLAP``.
    """
    ndimage = required("scipy.ndimage", "a volume on another grid")

    if overlap(grid, other) < LEAST_OVERLAP:
        raise InputError(
            f"the volumes do not overlap: {describe_grid(grid)}, {describe_grid(other)};"
            " register them, or check that they show one patient"
        )
    step = _steps(grid, other)
    if other.shape == grid.shape and np.array_equal(step, np.eye(4)):
        return other.voxels
    coarser = np.abs(step[:3, :3]).max(axis=1)  # grid steps in voxels of the other
    sigma = np.sqrt(np.maximum(coarser**2 - 1, 0)) / _FWHM
    channels = np.moveaxis(other.voxels, 3, 0) if other.is_rgb else other.voxels[None]
    outside = _outside(grid.shape, step, other.shape)
    result = np.empty((len(channels), *grid.shape), np.float32)
    for target, values in zip(result, channels):
        values = values.astype(np.float32, copy=False)
        if sigma.max() > 0:
            values = ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=3.0)
        least = float(values.min())
        ndimage.affine_transform(
            values, step, output_shape=grid.shape, output=target, order=1, mode="nearest"
        )
        target[outside] = least
    if not other.is_rgb:
        return result[0]
    return np.ascontiguousarray(np.moveaxis(np.rint(result).astype(np.uint8), 0, 3))


def nearest(other: Volume, grid: Volume) -> Voxels:
    """The nearest voxels of ``other`` at the places of the grid's voxels, 0 outside; the type is kept."""
    step = _steps(grid, other)
    i, j, k = (np.arange(n) for n in grid.shape)
    indices = []
    inside = np.ones(grid.shape, np.bool_)
    for row, n in zip(step[:3], other.shape):
        place = row[0] * i[:, None, None] + row[1] * j[:, None] + row[2] * k + row[3]
        inside &= (place >= -0.5) & (place <= n - 0.5)
        indices.append(np.clip(np.rint(place), 0, n - 1).astype(np.intp))
    return np.where(inside, other.voxels[tuple(indices)], other.voxels.dtype.type(0))


def _outside(shape: tuple[int, int, int], step: Affine, other: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Where voxels of a grid lie beyond the outer faces of another one's voxels."""
    i, j, k = (np.arange(n) for n in shape)
    result = np.zeros(shape, np.bool_)
    for row, n in zip(step[:3], other):
        place = row[0] * i[:, None, None] + row[1] * j[:, None] + row[2] * k + row[3]
        result |= (place < -0.5) | (place > n - 0.5)
    return result


def to_display(voxels: Voxels, affine: Affine) -> Voxels:
    """A view of voxels with the axes nearest to left, posterior and superior, in this order."""
    return _turn(voxels, _orientation(affine), _display_orientation())


def from_display(voxels: Voxels, affine: Affine) -> Voxels:
    """The inverse of :func:`to_display` for a volume whose own affine is ``affine``."""
    return _turn(voxels, _display_orientation(), _orientation(affine))


def display_affine(volume: Volume) -> Affine:
    """The affine of the voxels that :func:`to_display` returns."""
    from nibabel.orientations import inv_ornt_aff, ornt_transform

    turn = ornt_transform(_orientation(volume.affine), _display_orientation())
    return np.asarray(volume.affine @ inv_ornt_aff(turn, volume.shape), np.float64)


def display_spacing(affine: Affine) -> tuple[float, float, float]:
    """Millimetres between voxels to the left, to the back and to the head, on the axes nearest to them."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    x, y, z = (float(steps[int(np.flatnonzero(_orientation(affine)[:, 0] == axis)[0])]) for axis in range(3))
    return x, y, z


def plane(voxels: Voxels, axis: Axis, index: int) -> Voxels:
    """One slice of LPS voxels as it is shown, a view: (H, W) or (H, W, 3).

    Axial slices are seen from the feet (the patient's left is on the right), coronal ones from the front, and
    sagittal ones from the patient's left, with the front on the left and the head on top.
    """
    if axis == "axial":
        return voxels[:, :, index].swapaxes(0, 1)
    flat = voxels[:, index] if axis == "coronal" else voxels[index]
    return flat[:, ::-1].swapaxes(0, 1)


def _steps(grid: Volume, other: Volume) -> Affine:
    """From voxel indices of the grid to those of the other: (4, 4)."""
    step = np.linalg.solve(other.affine, grid.affine)
    whole = np.rint(step)
    return np.where(np.abs(step - whole) < _SNAP, whole, step)


def _orientation(affine: Affine) -> NDArray[Any]:
    from nibabel.orientations import io_orientation

    return io_orientation(affine)


def _display_orientation() -> NDArray[Any]:
    from nibabel.orientations import axcodes2ornt

    return axcodes2ornt(DISPLAY)


def _turn(voxels: Voxels, before: NDArray[Any], after: NDArray[Any]) -> Voxels:
    from nibabel.orientations import apply_orientation, ornt_transform

    return np.asarray(apply_orientation(voxels, ornt_transform(before, after)))
