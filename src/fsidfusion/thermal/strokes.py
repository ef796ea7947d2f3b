"""Half-transparent text and cross-hairs in one picture: thin strokes of one blend.

What a camera blends over its picture, ``(1 - a) * scene + a * white`` or black, has one ``a`` in all strokes,
whatever lies below. A row of thin figures of one height and one ``a``, and arms of one length and one ``a``
about the middle of the picture, are drawn; a scene hardly ever has either. Logos without letters, boxes and
half-transparent colour bars are left to :mod:`fsidfusion.thermal.fixed_marks`.
"""

from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (H, W)
Blend = NDArray[np.float32]  # (H, W), the part of white in each pixel, over what is around it

_LEAST_SIDE = 96  # of a picture in which strokes can be told
_RIM = 0.25  # of the picture's height, at its upper and its lower end, in which text stands
_THIN = 0.035  # of the height: strokes of text are thinner
_STEP = 8  # levels by which strokes stand out
_BLENDS = (0.15, 0.25, 0.42, 0.65)  # least parts of white in strokes that are tried
_HEIGHT = (0.018, 0.1)  # of a figure, as a share of the picture's
_LEAST_HEIGHT = 8  # pixels
_FILLED = (0.18, 0.8)  # share of its box that a figure fills
_STROKE = 0.42  # thickness of a figure's strokes, as a share of its height, at most
_FIGURES = 4  # of a word, at least
_WIDEST = 2.4  # width over height of a figure, at most: bold ones side by side touch
_SAME_HEIGHT, _SAME_FOOT, _SAME_BLEND = 0.86, 0.09, 0.8  # of the figures of a word
_LEVEL = 0.09  # of their height, by which feet and heads of a word may lie apart
_BROAD, _DIFFERENT = (
    0.42,
    0.12,
)  # width over height of a figure that is no bar; how far their filled shares lie apart
_LATTICE = 4  # words in one part of a picture, from which they are rather rows of cells or of windows
_APART = 1.3  # heights between two figures of a word, at most
_EVEN = 0.24  # standard deviation of the blend in the strokes of a figure, as a share of it, at most
_CENTRE = 0.025  # of a side, within which the middle of a cross-hair lies about the picture's
_ARM = (0.014, 0.3)  # length of its arms, as a share of the shorter side
_LEAST_ARM = 7  # pixels
_HOLE = 0.045  # between the middle and where an arm begins, as a share of the shorter side, at most
_OF_BLEND = 0.8  # share of a tried blend that the weakest pixel of an arm has
_ARM_EVEN = 0.3  # as _EVEN, along an arm
_ARMS_ALIKE = 0.75  # the shortest and the weakest arm, as a share of the longest and the strongest


class _Figure(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int
    blend: float
    filled: float

    @property
    def height(self) -> int:
        return self.bottom - self.top


class _Arm(NamedTuple):
    first: int  # along the line, the pixel nearest to the middle
    last: int
    blend: float

    @property
    def length(self) -> int:
        return abs(self.last - self.first) + 1


def find_strokes(picture: NDArray[np.uint8]) -> Mask | None:
    """Where text or a cross-hair was blended over a picture (H, W[, 3]); None where that is nowhere."""
    height, width = picture.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        return None
    white = picture if picture.ndim == 2 else picture.min(-1)
    black = 255 - (picture if picture.ndim == 2 else picture.max(-1))
    found = np.zeros((height, width), bool)
    for plane in (white, black):
        found |= _words(plane)
        found |= _cross(plane)
    return found if found.any() else None


def _words(plane: NDArray[np.uint8]) -> Mask:
    """Text in the upper and the lower part of a plane (H, W), where cameras write."""
    rim = round(_RIM * plane.shape[0])
    found = np.zeros(plane.shape, bool)
    for part in (np.s_[:rim], np.s_[-rim:]):
        words = _words_of(plane[part], plane.shape[0])
        if words is None:
            return np.zeros(plane.shape, bool)
        found[part] = words
    return found


def _words_of(plane: NDArray[np.uint8], whole: int) -> Mask | None:
    """Text in a part of a plane that is ``whole`` pixels high; None where it is full of what is none."""
    size = max(5, round(_THIN * whole) | 1)
    below = np.asarray(cv2.morphologyEx(plane, cv2.MORPH_OPEN, np.ones((size, size), np.uint8)), np.uint8)
    step = np.asarray(cv2.subtract(plane, below), np.uint8)
    room_above = np.maximum(255.0 - np.arange(256), 16)  # of each level below strokes
    found = np.zeros(plane.shape, bool)
    for least in _BLENDS:
        weakest = np.maximum(_STEP, least * room_above).astype(np.uint8)
        strokes = np.asarray(cv2.compare(step, cv2.LUT(below, weakest), cv2.CMP_GT), np.uint8)
        words = _rows(_figures(strokes, step, below, whole))
        if len(words) >= _LATTICE:
            return None
        for word in words:
            room = max(2, word[0].height // 3)
            top, bottom = min(each.top for each in word), max(each.bottom for each in word)
            left, right = min(each.left for each in word), max(each.right for each in word)
            found[max(0, top - room) : bottom + room, max(0, left - 2 * room) : right + 2 * room] = True
    return found


def _figures(
    strokes: NDArray[np.uint8], step: NDArray[np.uint8], below: NDArray[np.uint8], height: int
) -> list[_Figure]:
    """Parts of strokes that look like letters, from left to right, in a picture of a height."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    tall, wide, area = (
        stats[:, index] for index in (cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH, cv2.CC_STAT_AREA)
    )
    filled = area / np.maximum(1, tall * wide)
    likely = (tall >= max(_LEAST_HEIGHT, _HEIGHT[0] * height)) & (tall <= _HEIGHT[1] * height)
    likely &= (wide <= _WIDEST * tall) & (wide >= 0.1 * tall) & (filled >= _FILLED[0]) & (filled <= 1.0)
    likely &= (filled <= _FILLED[1]) | (wide <= 0.4 * tall)  # the figure 1 fills its box
    likely &= (stats[:, 0] > 0) & (stats[:, 1] > 0)  # what the picture cuts is no whole figure
    likely &= (stats[:, 0] + wide < strokes.shape[1]) & (stats[:, 1] + tall < strokes.shape[0])
    likely[0] = False  # what is no stroke
    figures: list[_Figure] = []
    places = np.flatnonzero(likely)
    places = (
        places[_with_mates(np.asarray(stats[places], np.int32))] if len(places) >= _FIGURES else places[:0]
    )
    for index in places:
        left, top, width, high = (int(value) for value in stats[index][:4])
        box = np.s_[top : top + high, left : left + width]
        inside = labels[box] == index
        padded = np.pad(inside, 1).astype(np.uint8)
        thickness = 2 * float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())
        parts = step[box][inside] / np.maximum(255.0 - below[box][inside], 16)
        usual = float(np.percentile(parts, 70))
        if (
            thickness <= max(3.0, _STROKE * high) + 1
            and float(np.std(parts[parts > 0.6 * usual])) < _EVEN * usual
        ):
            figures.append(_Figure(left, top, left + width, top + high, usual, float(filled[index])))
    return sorted(figures)


def _with_mates(stats: NDArray[np.int32]) -> Mask:
    """Which of parts (N, 5) have enough others of their height beside them on one line."""
    left, top, _, tall = stats[:, :4].T
    foot, high = top + tall, np.maximum.outer(tall, tall)
    beside = np.abs(np.subtract.outer(foot, foot)) <= np.maximum(1, _SAME_FOOT * high)
    beside &= np.minimum.outer(tall, tall) >= np.minimum(_SAME_HEIGHT * high, high - 1)
    beside &= np.abs(np.subtract.outer(left, left)) <= 8 * high
    return np.asarray(beside.sum(1) >= _FIGURES)


def _rows(figures: list[_Figure]) -> list[list[_Figure]]:
    """Figures side by side, of one height and one blend, on one line, that are not all alike."""
    words: list[list[_Figure]] = []
    for figure in figures:
        for word in words:
            last = word[-1]
            tall = max(figure.height, last.height)
            if (
                -1 <= figure.left - last.right <= _APART * tall
                and min(figure.height, last.height) >= min(_SAME_HEIGHT * tall, tall - 1)
                and abs(figure.bottom - last.bottom) <= max(1, _SAME_FOOT * tall)
                and min(figure.blend, last.blend) > _SAME_BLEND * max(figure.blend, last.blend)
            ):
                word.append(figure)
                break
        else:
            words.append([figure])
    return [word for word in words if len(word) >= _FIGURES and _are_letters(word)]


def _are_letters(word: list[_Figure]) -> bool:
    """Whether figures stand level, are mostly no bars, and differ: unlike pales, road marks, windows."""
    level = max(1.0, _LEVEL * max(each.height for each in word))
    feet, heads = [each.bottom for each in word], [each.top for each in word]
    broad = sum(each.right - each.left > _BROAD * each.height for each in word)
    filled = [each.filled for each in word]
    drawn_level = max(feet) - min(feet) <= level and max(heads) - min(heads) <= level + 1
    return drawn_level and 2 * broad >= len(word) and max(filled) - min(filled) >= _DIFFERENT


def _cross(plane: NDArray[np.uint8]) -> Mask:
    """A cross of thin lines about the middle, with or without a hole in it."""
    height, width = plane.shape
    found = np.zeros(plane.shape, bool)
    half = round(_CENTRE * height), round(_CENTRE * width)
    rows = range(height // 2 - half[0], height // 2 + half[0] + 1)
    columns = range(width // 2 - half[1], width // 2 + half[1] + 1)
    along = dict(zip(rows, _lines(plane[rows[0] - 4 : rows[-1] + 5])[4:]))
    across = dict(
        zip(columns, _lines(np.ascontiguousarray(plane[:, columns[0] - 4 : columns[-1] + 5].T))[4:])
    )
    shorter = min(height, width)
    for least in _BLENDS:
        sides = {row: _arms(along[row], least, width // 2, half[1], shorter) for row in rows}
        ends = {column: _arms(across[column], least, height // 2, half[0], shorter) for column in columns}
        for row, column in product(
            [row for row in rows if sides[row]], [col for col in columns if ends[col]]
        ):
            for (left, right), (up, down) in product(sides[row], ends[column]):
                middle = (left.first + right.first) / 2, (up.first + down.first) / 2
                off = max(abs(middle[0] - column), abs(middle[1] - row))
                if off <= 2 and _alike((left, right, up, down)):
                    found[row - 3 : row + 4, left.last - 2 : right.last + 3] = True
                    found[up.last - 2 : down.last + 3, column - 3 : column + 4] = True
    return found


def _lines(plane: NDArray[np.uint8]) -> Blend:
    """How much of white thin horizontal lines have over what is on both sides of them; 0 elsewhere."""
    levels = plane.astype(np.float32)
    best = np.zeros(levels.shape, np.float32)
    for away in (2, 4):
        beside = np.maximum(np.roll(levels, away, 0), np.roll(levels, -away, 0))
        step = levels - beside
        best = np.maximum(best, np.where(step > _STEP / 2, step / np.maximum(255 - beside, 16), 0))
    return best


def _arms(line: Blend, least: float, middle: int, half: int, shorter: int) -> list[tuple[_Arm, _Arm]]:
    """Pairs of arms along a line (N,), one before and one behind a middle, of one length and one blend."""
    drawn = line > least * _OF_BLEND
    reach = half + round(_HOLE * shorter) + max(_LEAST_ARM, round(_ARM[0] * shorter))
    if np.count_nonzero(drawn[middle - reach : middle + reach]) < 2 * _LEAST_ARM - 2:
        return []
    edges = np.flatnonzero(np.diff(np.concatenate(([0], drawn.astype(np.int8), [0]))))
    runs = [(int(start), int(end) - 1) for start, end in zip(edges[::2], edges[1::2])]
    hole, shortest = max(3, round(_HOLE * shorter)), max(_LEAST_ARM, round(_ARM[0] * shorter))
    before, behind = [], []
    for start, end in runs:
        cut = (start + end) // 2  # a line that goes through is cut in its middle
        if abs(cut - middle) <= half and end - start + 1 >= 2 * shortest:
            before.append(_arm(line, cut - 1, start))
            behind.append(_arm(line, cut + 1, end))
        if end - start + 1 >= shortest and end <= middle + half and end >= middle - half - hole:
            before.append(_arm(line, end, start))
        elif end - start + 1 >= shortest and start >= middle - half and start <= middle + half + hole:
            behind.append(_arm(line, start, end))
    longest = _ARM[1] * shorter
    return [
        (one, other)
        for one, other in product(before, behind)
        if one
        and other
        and other.first - one.first <= 2 * hole
        and _alike((one, other))
        and one.length <= longest
    ]


def _arm(line: Blend, first: int, last: int) -> _Arm | None:
    part = line[min(first, last) : max(first, last) + 1]
    usual = float(np.median(part))
    inner = part[1:-1]
    return _Arm(first, last, usual) if float(inner.std()) < _ARM_EVEN * usual else None


def _alike(arms: tuple[_Arm, ...]) -> bool:
    lengths, blends = [arm.length for arm in arms], [arm.blend for arm in arms]
    return min(lengths) >= _ARMS_ALIKE * max(lengths) and min(blends) >= _ARMS_ALIKE * max(blends)
