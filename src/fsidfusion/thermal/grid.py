"""How a grid of measurements lies on the picture that a file shows: its size, and how it was turned."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.images.files import turn_upright
from fsidfusion.images.pixels import Pixels, luma

Size = tuple[int, int]  # (H, W)

SENSORS: tuple[Size, ...] = (  # of thermal cameras
    (60, 80),
    (120, 160),
    (192, 256),
    (240, 320),
    (256, 320),
    (256, 336),
    (288, 384),
    (348, 464),
    (480, 640),
    (512, 640),
    (768, 1024),
    (1024, 1280),
)
_SIDE = 96  # of the thumbnails that are compared
_ASPECT = 1.08  # by which the shapes of a grid and of its picture may differ
_CLEAR, _ALIKE = 0.1, 0.3  # by how much the edges of another place must agree better, and how well at least
_FAINT = 0.03  # likewise, where none of the places is the plain one
_TURNS = tuple(range(1, 9))  # as EXIF orientations


def grids(pixels: int, picture: Size) -> list[Size]:
    """The sizes (H, W) that so many measurements may have, beside a picture of a size."""
    height, width = picture
    sizes = [(height, width), (width, height)]
    sizes += [(h, w) for h, w in SENSORS] + [(w, h) for h, w in SENSORS]
    for part in (2, 3, 4):
        sizes += [(height // part, width // part), (width // part, height // part)]
    return [size for size in dict.fromkeys(sizes) if size[0] * size[1] == pixels]


def lay(rows: Iterable[NDArray[Any]], shown: Pixels) -> tuple[NDArray[Any], int]:
    """The grid, and the turn, under which measurements look like the picture that is shown with them.

    Args:
        rows: the same measurements on every grid (h, w) that they may have.
        shown: (H, W) or (H, W, 3), as stored.

    Returns:
        the measurements (h, w), turned as the picture is, and the EXIF orientation that turned them: 1 for
        as they were.

    Raises:
        ValueError: no grid has the shape of the picture, or several have, and their edges do not tell.
    """
    aspect = shown.shape[1] / shown.shape[0]
    places = []
    candidates = list(rows)
    for grid, turn in product(candidates, _TURNS):
        turned = turn_upright(grid, turn)
        if 1 / _ASPECT < turned.shape[1] / turned.shape[0] / aspect < _ASPECT:
            places.append((turned, turn))
    sizes = " or ".join(f"{grid.shape[1]}x{grid.shape[0]}" for grid in candidates)
    picture = f"its picture of {shown.shape[1]}x{shown.shape[0]}"
    if not places:
        raise ValueError(f"its measurement of {sizes} does not have the shape of {picture}")
    scores = [_agreement(turned, shown) for turned, _ in places]
    order = np.argsort(scores)[::-1]
    best = int(order[0])
    plain = [index for index, (_, turn) in enumerate(places) if turn == 1]
    if len(plain) == 1:
        other = scores[best] > max(_ALIKE, scores[plain[0]] + _CLEAR)
        return places[best if other else plain[0]]
    if scores[best] < _FAINT or (len(order) > 1 and scores[best] < scores[int(order[1])] + _FAINT):
        raise ValueError(f"how its measurement of {sizes} lies on {picture} cannot be told")
    return places[best]


def _agreement(levels: NDArray[Any], shown: Pixels) -> float:
    """The correlation of edge strengths, and of levels where these agree too: at most 1."""
    size = (_SIDE, max(8, round(_SIDE * shown.shape[0] / shown.shape[1])))
    small = [
        cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
        for image in (np.nan_to_num(np.asarray(levels, np.float32)), luma(shown))
    ]
    inner = np.s_[3:-3, 3:-3]
    edges = [np.hypot(*np.gradient(image))[inner] for image in small]
    return _correlation(*(np.sqrt(edge / (edge.mean() + 1e-9)) for edge in edges))


def _correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 1e-9 else 0.0
