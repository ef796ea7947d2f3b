"""Whether a gray thermal picture shows what is hot in white, as far as the picture itself can tell.

No number in it says so. But scenes are alike: what is warm is small and compact (people, engines, lamps) or
has fine structure (ground, houses), and what is cold is large and even, and lies above (the sky). Four signs
of that, each of which changes its sign when black and white are exchanged, are weighed.

The weights were fitted by logistic regression to the infrared pictures of the training sets of MSRS and
RoadScene, which are all white-hot, and to their negatives.
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Doubt = Literal["", "untold", "black"]

_SIZE = (160, 120)  # at which pictures are looked at
_LEAST_SIDE, _LEAST_SPREAD = 48, 4.0  # of a picture that is judged: pixels, and levels of standard deviation
_LEAST_FINE = 0.035  # contrast of fine structure as a share of all: below, there is nothing to judge by
_WEIGHTS = (2.18, 2.17, 2.12, 3.17)  # of the signs
_BLACK, _STRICT = -1.0, -3.5  # sum of the signs, the logarithm of the odds, from which black looks hot
_BINS = 512


def find_doubt(levels: NDArray[np.uint8], strict: bool = False) -> Doubt:
    """What speaks against white-hot in gray levels (H, W).

    Args:
        levels: of a picture, (H, W).
        strict: black must look hot beyond doubt, as where a known palette says that it is not.

    Returns:
        ``black`` where black looks hot, ``untold`` where the picture holds too little structure to tell, and
        "" for all else, and for pictures that are too small or too even to judge.
    """
    if min(levels.shape) < _LEAST_SIDE:
        return ""
    small = cv2.resize(levels, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    spread = float(small.std())
    if spread < _LEAST_SPREAD:
        return ""
    if float(_detail(small, 1.0).std()) < _LEAST_FINE * spread:
        return "untold"
    return "black" if float(np.dot(_WEIGHTS, _signs(small))) < (_STRICT if strict else _BLACK) else ""


def _signs(small: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Positive where white looks hot: bright details, small and middle ones; structure; and a dark sky."""
    ranks = _ranks(small)
    mean = cv2.blur(small, (7, 7))
    rough = np.sqrt(np.maximum(cv2.blur(small * small, (7, 7)) - mean * mean, 0))
    return (
        _skew(_detail(small, 1.0)),
        _skew(_detail(small, 2.0)),
        3 * float((_ranks(rough) * ranks).mean()),
        float(ranks[50:80].mean() - ranks[:20].mean()),
    )


def _detail(small: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return cv2.GaussianBlur(small, (0, 0), sigma) - cv2.GaussianBlur(small, (0, 0), 2 * sigma)


def _skew(detail: NDArray[np.float32]) -> float:
    scaled = detail / (float(detail.std()) + 0.3)
    return float(np.tanh((scaled * scaled * scaled).mean() / 2))


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rank of each value among all, -1 to 1, by a histogram."""
    low, high = float(values.min()), float(values.max())
    place = ((values - low) * ((_BINS - 1) / max(high - low, 1e-6))).astype(np.intp)
    number = np.bincount(place.ravel(), minlength=_BINS)
    below = np.cumsum(number) - number / 2
    return (below / values.size * 2 - 1)[place]
