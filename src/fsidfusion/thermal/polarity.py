"""Whether a gray thermal picture shows what is hot in white, as far as the picture itself can tell.

No number in it says so. But scenes are alike: what is warm is small and compact (people, engines, lamps) or
has fine structure (ground, houses), and what is cold is large and even, and lies above (the sky). Two judges
are heard, and both change their sign when black and white are exchanged: four signs of that kind, weighed by
logistic regression, and a network of twelve thousand weights (``polarity.npz``), which sees shapes. Both were
fitted to the infrared pictures of the training sets of MSRS and RoadScene, which are all white-hot, and to
their negatives (:mod:`fsidfusion.studies.polarity`). Elsewhere the network mostly abstains; a doubt then
comes from the signs alone, which are wrong more often, since an inverted picture without a word is worse.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Doubt = Literal["", "untold", "black"]

_SIZE = (160, 120)  # at which pictures are looked at
_LEAST_SIDE, _LEAST_SPREAD = 48, 4.0  # of a picture that is judged: pixels, and levels of standard deviation
_LEAST_FINE = 0.035  # contrast of fine structure as a share of all: below, there is nothing to judge by
_WEIGHTS = (2.18, 2.17, 2.12, 3.17)  # of the signs
_SHARE = 0.3  # of the signs' sum beside the network's, both logarithms of odds
CLEAR = 1.9  # of their sum, from which one of black and white looks hot
_ABSTAINS, _BLACK = 1.5, -1.0  # odds within which the network has no say; the signs' sum that doubts alone
_SHAPES = (128, 96)  # at which the network looks
_BINS = 512


def find_doubt(levels: NDArray[np.uint8]) -> Doubt:
    """What speaks against white-hot in gray levels (H, W).

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
    shapes, signs = _odds(levels, small)
    clear = shapes + _SHARE * signs < -CLEAR
    return "black" if clear or (abs(shapes) < _ABSTAINS and signs < _BLACK) else ""


def white_odds(levels: NDArray[np.uint8]) -> float:
    """How clearly white looks hot in gray levels (H, W): black below -:data:`CLEAR`, white above.

    A logarithm of odds, of opposite sign for the negative of a picture; 0 for what is too small to judge.
    """
    if min(levels.shape) < _LEAST_SIDE:
        return 0.0
    small = cv2.resize(levels, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    if float(small.std()) < _LEAST_SPREAD:
        return 0.0
    shapes, signs = _odds(levels, small)
    return shapes + _SHARE * signs


def _odds(levels: NDArray[np.uint8], small: NDArray[np.float32]) -> tuple[float, float]:
    """For white, by the network and by the signs; ``small`` is ``levels`` at the size of the signs."""
    picture = cv2.resize(levels, _SHAPES, interpolation=cv2.INTER_AREA).astype(np.float32)
    picture -= picture.mean()
    picture /= picture.std() + 4
    return _judge(picture) - _judge(-picture), float(np.dot(_WEIGHTS, _signs(small)))


def _judge(picture: NDArray[np.float32]) -> float:
    """What the network says of a picture (96, 128) of mean 0."""
    weights = _weights()
    layer = picture[None]
    for index in range(len(weights) // 2 - 1):
        kernel = weights[f"conv{index}_weight"]  # (out, in, k, k)
        rim = kernel.shape[-1] // 2
        padded = np.pad(layer, ((0, 0), (rim, rim), (rim, rim)))
        seen = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], (1, 2))[:, ::2, ::2]
        layer = (
            np.tensordot(kernel, seen, ((1, 2, 3), (0, 3, 4))) + weights[f"conv{index}_bias"][:, None, None]
        )
        layer = np.maximum(layer, 0)
    features = np.concatenate((layer.mean((1, 2)), layer.max((1, 2))))
    return float(weights["line_weight"][0] @ features + weights["line_bias"][0])


@lru_cache
def _weights() -> dict[str, NDArray[np.float32]]:
    with np.load(Path(__file__).with_suffix(".npz")) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


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
