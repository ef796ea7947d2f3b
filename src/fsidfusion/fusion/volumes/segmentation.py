"""Segments of a DICOM SEG to a label map on the grid they were drawn on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.volumes.dicom_find import is_dicom, one_line, read_header
from fsidfusion.fusion.volumes.dicom_frames import Frame, frames_of, read_frames
from fsidfusion.fusion.volumes.grid import Volume, check_affine
from fsidfusion.fusion.volumes.outline import MAX_LABELS
from fsidfusion.images.budget import check_voxels

if TYPE_CHECKING:
    from pydicom import Dataset

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between the axes of DICOM and RAS+
_ASTRAY = 0.1  # of the gap that a frame may lie off its slice


def is_segmentation(path: Path) -> bool:
    """Whether a file holds segments."""
    return is_dicom(path) and str(read_header(path).get("Modality") or "") == "SEG"


def read_segmentation(path: Path) -> Volume:
    """The segments of a file as labels: their numbers, or the values of a label map (LABELMAP).

    Slices without a frame hold nothing. Of a fractional segment what is above half counts. Where segments
    overlap, the later one is shown.

    Raises:
        InputError: no frames, more segments than labels, frames that lie in no one stack, or a damaged file.
    """
    header = read_header(path)
    try:
        frames = frames_of(path, header)
        segments = _segments(header, len(frames))
        decoded = [pixels for pixels, _ in read_frames(frames)]
    except FusionError:
        raise
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise InputError(f"{path} is damaged ({one_line(error)}); export it again") from error
    largest = max(
        int(values.max()) if number is None else number for values, number in zip(decoded, segments)
    )
    if largest > MAX_LABELS:
        raise InputError(f"{path} holds a segment of number {largest}, expected 1 to {MAX_LABELS}")
    places, affine = _stack(path, frames)
    rows, columns = frames[0].size
    shape = columns, rows, max(places) + 1
    check_voxels(shape, str(path))
    labels = np.zeros(shape, np.uint8)
    half = 0.5 * float(header.get("MaximumFractionalValue") or 1)
    for k, values, number in zip(places, decoded, segments):
        if number is None:
            labels[:, :, k] = values.T
        else:
            labels[:, :, k][np.greater(values.T, half)] = number
    return Volume(path.name, labels, check_affine(_FLIP @ affine, str(path)))


def _segments(header: "Dataset", count: int) -> list[int | None]:
    """The segment of each frame; None where its values are the labels."""
    if str(header.get("SegmentationType") or "") == "LABELMAP":
        return [None] * count
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    result: list[int | None] = []
    for group in header.PerFrameFunctionalGroupsSequence:
        told = group.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        result.append(int(told[0].ReferencedSegmentNumber))
    return result


def _stack(path: Path, frames: list[Frame]) -> tuple[list[int], Any]:
    """The slice of each frame, and the affine of all, in DICOM's axes."""
    first = frames[0]
    normal = np.cross(*first.directions)
    if max(float(np.abs(one.directions - first.directions).max()) for one in frames) > 1e-3:
        raise InputError(f"the frames of {path} lie in several directions; export one segmentation for each")
    heights = np.array([float(normal @ one.place) for one in frames])
    gaps = np.diff(np.unique(np.round(heights, 3)))
    gap = first.thickness
    if gaps.size and (np.abs(gaps / gap - np.rint(gaps / gap)) > _ASTRAY).any():
        gap = float(gaps.min())
    slices = (heights - heights.min()) / gap
    if (np.abs(slices - np.rint(slices)) > _ASTRAY).any():
        raise InputError(f"the frames of {path} are unequally spaced; export it on the slices of its images")
    lowest = frames[int(heights.argmin())]
    affine = np.eye(4)
    along, down = (direction * step for direction, step in zip(first.directions, first.spacing[::-1]))
    affine[:3] = np.column_stack([along, down, normal * gap, lowest.place])
    return np.rint(slices).astype(int).tolist(), affine
