"""DICOM series and files to volumes (pydicom).

Places come from Image Position and Image Orientation (Patient), which are in coordinates of the patient
however he lay in the scanner (HFS, FFP, ...); DICOM's axes point left and back, ours right and front.
"""

import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.dicom_find import choose_series, is_dicom, list_series
from fsidfusion.fusion.volumes.dicom_frames import Frame, frames_of, is_inverted, read_frames, stated_unit
from fsidfusion.fusion.volumes.grid import Volume, Voxels, check_affine, check_values, choose_frames
from fsidfusion.fusion.volumes.stack import fit_stack, shear_back, space_evenly
from fsidfusion.images.budget import check_voxels

_SAME_DIRECTION = 1e-3  # difference of direction cosines, or of millimetres between pixels
_SAME_PLACE = 1e-3  # mm
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between the axes of DICOM and RAS+


def read_series(
    path: Path, series: str | None = None, frame: str | None = None, role: str | None = None
) -> Volume:
    """Read one series of a folder and those below it, or one file, sorted by position.

    Args:
        path: a folder, a DICOMDIR, or one file, of one slice or many frames.
        series: the UID of the series to take, its ending, or its number; asked for only where there are
            several and ``role`` does not decide.
        frame: which volume of a 4-D series to take, counted from 1, or ``mean``.
        role: the modality that is asked for: ``mri``, ``ct``, ``pet``, ``spect`` or ``dose``.

    Returns:
        float32 voxels (columns, rows, slices) with rescale slope and intercept applied, padding as the least
        value; or uint8 RGB. Slices of a tilted gantry are sheared back and uneven gaps made even; its notes
        say so.

    Raises:
        InputError: no DICOM images; several series (each is listed) or none that ``series`` names; a 4-D
            series without ``frame``; slices of different size or direction, missing, or not in one stack; no
            geometry; pixels that are of an unknown kind, compressed without a decoder here, cut short, or not
            finite.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that bend the standard, as those of many scanners do
        chosen = choose_series(path, list_series(path), series, role)
        frames = [one for image in chosen.images for one in frames_of(*image)]
        check_voxels((*frames[0].size, len(frames)), str(path))
        volumes = _volumes(path, _sorted(path, frames))
        taken = _chosen(path, volumes, frame)
        stack = fit_stack(path, [one.place for one in taken[0]], [one.name for one in taken[0]], taken[0][0])
        voxels = _stack(taken[0])
        for number, one in enumerate(taken[1:], start=2):  # their mean
            voxels += (_stack(one) - voxels) / np.float32(number)
    notes = [chosen.note] if chosen.note else []
    if is_inverted(taken[0][0].header):
        notes.append(f"{path} is MONOCHROME1, in which high values are dark, and is turned about")
    affine = FLIP @ stack.affine
    if stack.offsets is not None:
        voxels = space_evenly(voxels, stack.offsets)
        notes.append(
            f"the slices of {path} lie {stack.least:.3g} to {stack.most:.3g} mm apart and are resampled to"
            f" every {stack.gap:.3g} mm"
        )
    if stack.tilt:
        voxels, affine = shear_back(voxels, affine)
        notes.append(
            f"the slices of {path} are sheared by {stack.tilt:.1f} degrees (a tilted gantry) and sheared back"
        )
    notes += _alone(path, taken[0])
    if taken[1:]:
        notes.append(f"{path} is the mean of {len(taken)} volumes")
    notes += check_values(voxels, str(path))
    headers = tuple(one.header for one in taken[0])
    name = path.name or str(path)
    affine = check_affine(np.asarray(affine, np.float64), str(path))
    return Volume(
        name, np.asarray(voxels), affine, headers[0], stated_unit(headers[0]), tuple(notes), headers
    )


def _sorted(path: Path, frames: Sequence[Frame]) -> list[Frame]:
    """Frames of one size, kind and direction along their normal."""
    first = frames[0]
    for item in frames:
        if (item.size, item.rgb) != (first.size, first.rgb):
            sizes = [f"{s.size[1]}x{s.size[0]}{' RGB' if s.rgb else ''}" for s in (first, item)]
            raise InputError(
                f"slices of {path} differ in size ({sizes[0]}, {item.name} {sizes[1]}); leave scouts out"
            )
        turned = np.abs(item.directions - first.directions).max()
        scaled = np.abs(item.spacing - first.spacing).max()
        if turned > _SAME_DIRECTION or scaled > _SAME_DIRECTION:
            raise InputError(
                f"slices of {path} differ in direction or pixel spacing ({first.name}, {item.name});"
                " leave scouts and other stacks out"
            )
    normal = np.cross(*first.directions)
    return sorted(frames, key=lambda item: float(normal @ item.place))


def _volumes(path: Path, frames: Sequence[Frame]) -> list[list[Frame]]:
    """The volumes of a series: one, or those of its times, echoes or gates, in their order."""
    normal = np.cross(*frames[0].directions)
    heights = np.array([normal @ item.place for item in frames])
    starts = [0, *(1 + np.flatnonzero(np.diff(heights) > _SAME_PLACE)), len(frames)]
    levels = [list(frames[a:b]) for a, b in itertools.pairwise(starts)]
    counts = {len(level) for level in levels}
    if counts == {1}:
        return [list(frames)]
    if len(counts) > 1:
        raise InputError(
            f"{path} holds {len(frames)} slices at {len(levels)} places, {min(counts)} to {max(counts)} at"
            " each: several volumes (times, echoes, 4-D), not all whole; leave one volume in it"
        )
    order = [_order(level, _telling(levels)) for level in levels]
    return [[level[t] for level in order] for t in range(counts.pop())]


def _telling(levels: Sequence[Sequence[Frame]]) -> int | None:
    """Which of the times of a frame takes one value each at every place: that tells volumes apart."""
    for which in range(len(levels[0][0].times)):
        seen = [sorted(str(item.times[which]) for item in level) for level in levels]
        if len(set(seen[0])) == len(seen[0]) and all(values == seen[0] for values in seen):
            return which
    return None


def _order(level: Sequence[Frame], which: int | None) -> list[Frame]:
    def key(item: Frame) -> tuple[Any, ...]:
        number = item.header.get("InstanceNumber") if item.index is None else item.index
        if which is None:
            return (0.0, int(number or 0))
        try:
            return (float(item.times[which]), int(number or 0))
        except (TypeError, ValueError):
            return (0.0, str(item.times[which]))

    return sorted(level, key=key)


def _chosen(path: Path, volumes: list[list[Frame]], frame: str | None) -> list[list[Frame]]:
    """The volumes that ``frame`` asks for: one, or all for their mean."""
    numbers = choose_frames(str(path), len(volumes), frame)
    if len(numbers) > 1 and volumes[0][0].rgb:
        raise InputError(f"{path} holds colours, of which there is no mean; give `frame` 1..{len(volumes)}")
    return [volumes[number] for number in numbers]


def _alone(path: Path, frames: Sequence[Frame]) -> list[str]:
    """A note where one slice was taken out of a folder with more of its series."""
    if len(frames) > 1 or not path.is_file() or path.name.upper() == "DICOMDIR":
        return []
    others = sum(is_dicom(file) for file in path.parent.iterdir()) - 1
    if not others:
        return []
    return [f"{path} is one slice; give its folder, which holds {others} more DICOM files, for the volume"]


def _stack(frames: Sequence[Frame]) -> Voxels:
    """The pixels of all frames, (columns, rows, slices) float32 or with three channels of uint8."""
    first = frames[0]
    shape = (first.size[1], first.size[0], len(frames))
    voxels = np.empty((*shape, 3), np.uint8) if first.rgb else np.empty(shape, np.float32)
    padding = np.zeros(() if first.rgb else shape, np.bool_)
    files: dict[Path, list[int]] = {}
    for k, item in enumerate(frames):
        files.setdefault(item.path, []).append(k)
    for places in files.values():
        for k, (pixels, padded) in zip(places, read_frames([frames[k] for k in places])):
            voxels[:, :, k] = pixels.swapaxes(0, 1)
            if padded is not None:
                padding[:, :, k] = padded.T
    if padding.any():
        voxels[padding] = voxels[~padding].min() if not padding.all() else 0
    return voxels
