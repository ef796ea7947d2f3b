"""Structures of a plan (RTSTRUCT): contours to a label map on the grid of a volume."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.dicom_find import is_dicom, one_line, read_header
from fsidfusion.fusion.volumes.grid import Affine, Volume
from fsidfusion.fusion.volumes.outline import MAX_LABELS

if TYPE_CHECKING:
    from pydicom import Dataset

_FLIP = np.array([-1.0, -1.0, 1.0])  # between the axes of DICOM and RAS+
_FLAT = 0.5  # voxels that the points of a contour may leave their plane
_SHIFT = 4  # bits below the point of OpenCV's coordinates


def is_structures(path: Path) -> bool:
    """Whether a file holds structures."""
    if not is_dicom(path):
        return False
    return str(read_header(path).get("Modality") or "") == "RTSTRUCT"


def read_structures(path: Path, grid: Volume) -> Volume:
    """The structures of a file as labels 1, 2, ... in its order, on a grid.

    A slice between two contours takes the nearer one, up to half of the usual gap away. Contours inside
    others are holes. Where structures overlap, the later one is shown.

    Raises:
        InputError: no contours, more structures than labels, contours across the slices of the grid, or a
            damaged file.
    """
    header = read_header(path)
    try:
        structures = _contours(header)
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise InputError(f"{path} is damaged ({one_line(error)}); export it again") from error
    if not structures or len(structures) > MAX_LABELS:
        raise InputError(
            f"{path} holds {len(structures)} structures with contours, expected 1 to {MAX_LABELS}"
        )
    labels = np.zeros(grid.shape, np.uint8)
    inverse = np.asarray(np.linalg.inv(grid.affine), np.float64)
    for label, contours in enumerate(structures, start=1):
        placed = [_to_voxels(points, inverse) for points in contours]
        axis = _axis(path, placed)
        planes = np.array([points[:, axis].mean() for points in placed])
        heights = np.unique(np.round(planes, 2))
        reach = max(0.5, float(np.median(np.diff(heights))) / 2) if len(heights) > 1 else 0.5
        view = np.moveaxis(labels, axis, 0)
        for k in range(view.shape[0]):
            nearest = heights[np.argmin(np.abs(heights - k))]
            if abs(nearest - k) > reach + 1e-3:
                continue
            flat = np.zeros(view.shape[1:], np.uint8)
            across = [np.delete(p, axis, axis=1) for p, z in zip(placed, planes) if abs(z - nearest) < 0.02]
            polygons = [np.rint(p[:, ::-1] * (1 << _SHIFT)).astype(np.int32) for p in across]
            cv2.fillPoly(flat, polygons, 1, shift=_SHIFT)  # even-odd: inner contours are holes
            view[k][flat > 0] = label
    return Volume(path.name, labels, grid.affine)


def _contours(header: "Dataset") -> list[list[NDArray[np.float64]]]:
    """Points (N, 3) in RAS+ millimetres of the closed contours of each structure."""
    result = []
    for structure in header.get("ROIContourSequence") or []:
        contours: list[Any] = []
        for contour in structure.get("ContourSequence") or []:
            points = np.asarray(contour.ContourData, np.float64).reshape(-1, 3) * _FLIP
            if len(points) > 2:
                contours.append(points)
        if contours:
            result.append(contours)
    return result


def _to_voxels(points: NDArray[np.float64], inverse: Affine) -> NDArray[np.float64]:
    return np.asarray(points @ inverse[:3, :3].T + inverse[:3, 3], np.float64)


def _axis(path: Path, contours: list[NDArray[np.float64]]) -> int:
    """The axis of the grid that all contours are flat along."""
    spread = np.max([np.ptp(points, axis=0) for points in contours], axis=0)
    axis = int(np.argmin(spread))
    if spread[axis] > _FLAT:
        raise InputError(
            f"the contours of {path} lie across the slices of the first volume; give the volume they were"
            " drawn on first"
        )
    return axis
