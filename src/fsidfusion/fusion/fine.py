"""Slices through a network at the pixel size it knows.

A network knows structures at the pixel size of its training pictures (0.75 to 1 mm for heads). On coarser
slices thin bone is three pixels wide, and beads or vanishes. So slices are fused on finer pixels and averaged
back to the grid that is asked for.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fsidfusion.fusion.fuser import Fuser

FINEST = 0.75  # mm; larger pixels are made this fine before they go through a network


def fine_size(height: int, width: int, spacing: tuple[float, float]) -> tuple[int, int]:
    """The (height, width) at which pixels of ``spacing`` (down, across; mm) are no larger than FINEST."""
    down, across = (max(1.0, step / FINEST) for step in spacing)
    return math.ceil(height * down - 1e-6), math.ceil(width * across - 1e-6)


def fuse_fine(
    fuser: "Fuser",
    theirs: Sequence[NDArray[Any]],
    ours: Sequence[NDArray[Any]],
    spacing: tuple[float, float],
) -> list[NDArray[np.float32]]:
    """Fuse slices (H, W) to luma (H, W); a network sees them at :func:`fine_size`, a rule as they are."""
    height, width = ours[0].shape[:2]
    tall, wide = fine_size(height, width, spacing)
    if fuser.runtime == "numpy" or (tall, wide) == (height, width):
        return fuser.fuse_luma(theirs, ours)
    larger = [[_enlarged(flat, tall, wide) for flat in flats] for flats in (theirs, ours)]
    return [
        np.asarray(cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA), np.float32)
        for luma in fuser.fuse_luma(*larger)
    ]


def _enlarged(flat: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Cubic, which keeps the height of thin structures that linear interpolation lowers."""
    larger = cv2.resize(flat, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(larger, 0, 1, out=larger) if larger.dtype.kind == "f" else larger
