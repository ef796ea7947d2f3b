"""What stays in place in a video while the scene moves: text, logos, boxes, bars, half-transparent or not.

Fine detail of a scene that moves averages out at a pixel; what is drawn over it does not. Frames in which the
scene stands still say nothing and are left out, so that a fixed camera never loses its view.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (H, W)

_EVERY = 0.2  # seconds between frames that are looked at
_LEAST, _MOST = 12, 60  # frames that are told by, at least, and that are remembered
_AROUND = 15  # side of the square that detail is told from, pixels
_NOISE = 0.8  # standard deviation of the blur that takes the noise of single pixels away
_PARTS = 5  # of the picture, in height and in width, that are watched by themselves
_STRONGEST, _CLEAR = 90, 4.0  # percentile of detail, and levels: what lies above tells whether a part moves
_KEPT = 0.6  # share of that which stays as it was, from which a part stands still
_JUDGED, _MOVED = 6, 0.6  # parts that can be told, at least, and the share of them that moves
_LEVELS, _STEADY = 7.0, 2.0  # of the mean detail of a mark, at least, and over its standard deviation
_LARGEST = 0.08  # share of the picture that marks fill, at most: more is a scene that moved little
_SPECK = 10  # pixels: what is smaller is no mark


class FixedMarks:
    """Of one video: call it with each frame."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._last: NDArray[np.float32] | None = None  # detail of the frame looked at last (H, W)
        self._sum = self._squares = np.zeros((0, 0), np.float32)  # of the detail
        self._number = 0
        self._looked = -1e9  # seconds
        self._mask: Mask | None = None

    def __call__(self, levels: NDArray[np.uint8], seconds: float) -> Mask | None:
        """Where marks lie in a frame (H, W) shown at ``seconds``; None where none are known."""
        if self._last is not None and self._last.shape != levels.shape:
            self._forget()
        if seconds - self._looked >= _EVERY:
            self._looked = seconds
            self._look(levels)
        return self._mask

    def _look(self, levels: NDArray[np.uint8]) -> None:
        smooth = cv2.GaussianBlur(levels.astype(np.float32), (0, 0), _NOISE)
        detail = np.asarray(smooth - cv2.blur(smooth, (_AROUND, _AROUND)), np.float32)
        last = self._last
        if last is None:
            self._last, self._sum, self._squares = detail, np.zeros_like(detail), np.zeros_like(detail)
            return
        if not _moves(last, detail):
            return
        self._last = detail
        if self._number >= _MOST:  # forget half, so that marks which change are followed
            self._number //= 2
            self._sum /= 2
            self._squares /= 2
        self._number += 1
        self._sum += detail
        self._squares += detail * detail
        if self._number >= _LEAST:
            self._mask = self._told()

    def _told(self) -> Mask | None:
        mean = self._sum / self._number
        spread = np.sqrt(np.maximum(self._squares / self._number - mean * mean, 0))
        steady = ((np.abs(mean) > _LEVELS) & (np.abs(mean) > _STEADY * spread)).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(steady, connectivity=8)
        marks = stats[:, cv2.CC_STAT_AREA] >= _SPECK
        marks[0] = False
        found = cv2.dilate(marks[labels].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        return np.asarray(found) if 0 < found.mean() <= _LARGEST else None


def _moves(last: NDArray[np.float32], detail: NDArray[np.float32]) -> bool:
    """Whether most parts of a scene moved between two looks at its detail (H, W), not people alone."""
    moved = []
    for rows in np.array_split(np.arange(last.shape[0]), _PARTS):
        for columns in np.array_split(np.arange(last.shape[1]), _PARTS):
            part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            before, now = last[part], detail[part]
            strength = np.abs(before)
            strong = strength > max(_CLEAR, float(np.percentile(strength, _STRONGEST)))
            if np.count_nonzero(strong) >= _SPECK:
                moved.append(float((now[strong] / before[strong] > _KEPT).mean()) < _KEPT)
    return len(moved) >= _JUDGED and float(np.mean(moved)) >= _MOVED
