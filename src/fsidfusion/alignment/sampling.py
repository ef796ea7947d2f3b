"""Pictures and fields, sampled between their pixels."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_remap: Any = cv2.remap  # its stubs want a second map, which (H, W, 2) maps do without


def sample(
    image: NDArray[Any], places: NDArray[np.float32], *, cubic: bool = False, outside: float | None = None
) -> NDArray[Any]:
    """An image (h, w[, 3]) at places (H, W, 2), x then y in pixels; the type is kept.

    Beyond its border it goes on as the nearest pixel, or as the constant ``outside``.
    """
    way = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    if outside is None:
        return np.asarray(_remap(image, places, None, way, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(_remap(image, places, None, way, borderMode=cv2.BORDER_CONSTANT, borderValue=outside))


def shrink(image: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """An image averaged down to ``size`` (H, W); where it has that size, itself."""
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA))


def pixel_grid(size: Sequence[int], rows: slice = slice(None)) -> NDArray[np.float32]:
    """(H, W, 2): x and y of each pixel of a frame (H, W), or of some of its rows."""
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0])[rows])
    return np.stack((x, y), -1).astype(np.float32)


def sample_field(field: NDArray[Any], points: NDArray[Any], size: Sequence[int]) -> NDArray[np.float32]:
    """The displacement (..., 2) at points, of a field (h, w, 2) whose cells divide a frame (H, W)."""
    cells = np.array((field.shape[1] / size[1], field.shape[0] / size[0]))
    places = np.asarray((points + 0.5) * cells - 0.5, np.float32)
    flat = places if places.ndim == 3 else places.reshape(-1, 1, 2)
    return np.asarray(sample(field.astype(np.float32), flat), np.float32).reshape(places.shape)
