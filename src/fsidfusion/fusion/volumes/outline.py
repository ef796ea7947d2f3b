"""Outlines of a label map, drawn into a fused volume."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import (
    AXES,
    Axis,
    Volume,
    Voxels,
    nearest,
    plane,
    to_display,
)

COLORS = ((0, 255, 255), (255, 0, 255), (0, 255, 0), (255, 255, 255), (255, 160, 0), (120, 160, 255))
MAX_LABELS = 255


def outlines(labels: Volume, base: Volume, axis: Axis) -> NDArray[np.uint8]:
    """The inner edge of every label, one voxel wide, in the slices along an axis.

    Args:
        labels: whole numbers on any grid, 0 is nothing.
        base: the grid of the result.
        axis: of the slices.

    Returns:
        (I, J, K): the label whose edge a voxel is, 0 for none.

    Raises:
        InputError: values that are no labels, or none on the grid of the base.
    """
    check_labels(labels)
    placed = nearest(replace(labels, voxels=labels.voxels.astype(np.uint8)), base)
    if not placed.any():
        raise InputError(f"no label of {labels.name} lies on the grid of {base.name}; check that they belong")
    result = np.zeros(base.shape, np.uint8)
    shown, turned = to_display(result, base.affine), to_display(placed, base.affine)  # views
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    for k in range(turned.shape[AXES[axis]]):
        flat = np.ascontiguousarray(plane(turned, axis, k))
        for label in np.unique(flat[flat > 0]).tolist():
            inside = (flat == label).astype(np.uint8)
            edge = inside > cv2.erode(inside, cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
            plane(shown, axis, k)[edge] = label
    return result


def draw_outlines(voxels: Voxels, edges: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw :func:`outlines` into a volume: label n has the colour n - 1, in turns.

    Args:
        voxels: (I, J, K) or (I, J, K, 3), uint8 or uint16.
        edges: (I, J, K).

    Returns:
        (I, J, K, 3).
    """
    if voxels.dtype == np.uint16:
        voxels = (voxels >> 8).astype(np.uint8)
    result = voxels.copy() if voxels.ndim == 4 else np.repeat(voxels[..., None], 3, axis=3)
    drawn = edges > 0
    result[drawn] = np.array(COLORS, np.uint8)[(edges[drawn].astype(int) - 1) % len(COLORS)]
    return result


def check_labels(labels: Volume) -> None:
    """Check that a volume holds labels.

    Raises:
        InputError: colours, fractions, negative numbers, or more than ``MAX_LABELS``.
    """
    voxels = labels.voxels
    if labels.is_rgb or voxels.min() < 0 or voxels.max() > MAX_LABELS or (voxels != np.rint(voxels)).any():
        raise InputError(
            f"{labels.name} is no label map; expected whole numbers from 0 to {MAX_LABELS}, 0 for nothing"
        )
