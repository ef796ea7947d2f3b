"""What a camera drew over a thermal picture: text, a logo, a colour bar. None of it is heat.

Text is a row of thin figures of one height in white, or in the colour of the palette's hot end, near the edge
of the picture; a bar is a strip at an edge along which the levels run evenly through most of the palette.
What is half transparent is told by its one blend (:mod:`fsidfusion.thermal.strokes`).
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.thermal.strokes import find_strokes

Mask = NDArray[np.bool_]  # (H, W)

_RIM = 0.22  # of the picture's height and width, in which text and bars stand
_THIN = 0.035  # of the height: strokes of text are thinner
_STEP = 60  # levels by which text stands out
_WHITE = 225
_FIGURES = 3  # of a word, at least
_BAR_LENGTH, _BAR_WIDTH = 0.22, 0.12  # of a side: the least length and the largest width
_BAR_SPAN = 150  # levels through which a bar runs, at least
_BAR_BEND = 26.0  # levels by which it may leave an even run
_GRAY_NOISE = 0.05  # levels by which a smoothed bar may go back from row to row
_GRAY_SPAN, _GRAY_BEND, _GRAY_ALIKE = 215, 12.0, 4.0  # levels: of a gray bar, which a scene may look like
_BAR_LINES = 3  # side by side that run alike


def find_overlay(levels: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> Mask | None:
    """Where a camera drew over its picture; None where that is nowhere.

    Args:
        levels: (H, W) that the colours stand for, cold to hot.
        rgb: (H, W, 3), the picture.
    """
    bar = _bars(levels)
    found = _text(rgb) | bar
    strokes = find_strokes(rgb)
    if strokes is not None:
        found |= strokes
    return found if found.any() else None


@dataclass(frozen=True)
class GrayBar:
    """A gray colour bar at the side of a picture."""

    mask: Mask  # of it and of what is written near the edges
    black_is_hot: bool  # it is black at its top, where cameras draw what is hottest


def find_gray_bar(levels: NDArray[np.uint8]) -> GrayBar | None:
    """A bar at the left or right edge of a gray picture (H, W); None where there is no such, strictly told.

    From black to white or back, even to a few levels, alike across its width, and unlike what is beside it.
    """
    height, width = levels.shape
    if min(height, width) < 2 * _BAR_LINES:
        return None
    rim = max(_BAR_LINES, round(_RIM * width))
    for begin, end in ((0, rim), (width - rim, width)):
        likely = _like_bars(levels[:, begin:end])
        column = begin
        while column < end:
            if not likely[column - begin]:
                column += 1
                continue
            run = _even_run(levels[:, column], round(_BAR_LENGTH * height))
            last = column + 1
            while run and last < end and _same_column(levels, column, last, run):
                last += 1
            if run and _is_gray_bar(levels[run[0] : run[1], column:last], width):
                mask = np.zeros(levels.shape, bool)
                mask[max(0, run[0] - 2) : run[1] + 2, max(0, column - 2) : last + 2] = True
                mask |= _text(np.repeat(levels[..., None], 3, axis=2))
                ramp = levels[run[0] : run[1], column:last].mean(1)
                return GrayBar(mask, bool(ramp[: len(ramp) // 4].mean() < ramp[-len(ramp) // 4 :].mean()))
            column = max(last, column + 1)
    return None


def _like_bars(part: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which columns rise or fall all along a stretch as long as a bar, from black to white somewhere."""
    height, width = part.shape
    least = round(_BAR_LENGTH * height)
    likely = part.max(0).astype(int) - part.min(0) > _GRAY_SPAN
    if not likely.any():
        return likely
    smooth = cv2.blur(part.astype(np.float32), (1, 5))
    step = np.diff(smooth, axis=0)
    risen = smooth[least:] - smooth[:-least]  # over a stretch that begins at a row
    found = np.zeros(width, bool)
    for sign in (1, -1):
        wrong = np.cumsum(sign * step < -_GRAY_NOISE, axis=0, dtype=np.int32)
        wrong = np.concatenate((np.zeros((1, width), np.int32), wrong))
        steady = wrong[least:] == wrong[:-least]
        found |= (steady & (sign * risen > _GRAY_SPAN * least / height / 2)).any(0)
    return likely & found


def _same_column(levels: NDArray[np.uint8], first: int, other: int, run: tuple[int, int]) -> bool:
    apart = levels[run[0] : run[1], first].astype(int) - levels[run[0] : run[1], other]
    return float(np.abs(apart).mean()) < _GRAY_ALIKE


def _is_gray_bar(part: NDArray[np.uint8], width: int) -> bool:
    if not _BAR_LINES <= part.shape[1] <= max(_BAR_LINES, _BAR_WIDTH * width / 2):
        return False
    ramp = part.astype(np.float64).mean(1)
    even = np.linspace(ramp[0], ramp[-1], len(ramp))
    return float(abs(ramp[-1] - ramp[0])) > _GRAY_SPAN and float(np.abs(ramp - even).max()) < _GRAY_BEND


def _bars(levels: NDArray[np.uint8]) -> Mask:
    found = np.zeros(levels.shape, bool)
    for lines, seen in ((levels.T, found.T), (levels, found)):  # columns, then rows
        count, length = lines.shape
        rim = max(_BAR_LINES, round(_RIM * count))
        for begin, end in ((0, rim), (count - rim, count)):
            runs = [_even_run(lines[index], round(_BAR_LENGTH * length)) for index in range(begin, end)]
            first = 0
            while first < len(runs):
                last = first
                while last < len(runs) and _alike(runs[first], runs[last], length):
                    last += 1
                run = runs[first]
                if run and _BAR_LINES <= last - first <= max(_BAR_LINES, _BAR_WIDTH * count):
                    seen[max(0, begin + first - 2) : begin + last + 2, max(0, run[0] - 2) : run[1] + 2] = True
                first = max(last, first + 1)
    return found


def _even_run(line: NDArray[np.uint8], least: int) -> tuple[int, int] | None:
    """Where along a line the levels run evenly from one end of the palette to the other."""
    smooth = cv2.blur(line.astype(np.float32)[:, None], (1, 5))[:, 0]
    slope = np.sign(np.round(np.diff(smooth), 1))
    for sign in (1, -1):
        ok = slope != -sign
        edges = np.flatnonzero(np.diff(np.concatenate(([False], ok, [False])).astype(np.int8)))
        for begin, end in zip(edges[::2], edges[1::2]):
            while begin < end and slope[begin] == 0:
                begin += 1
            while end > begin and slope[end - 1] == 0:
                end -= 1
            if end - begin < least or abs(float(smooth[end]) - float(smooth[begin])) < _BAR_SPAN:
                continue
            part = smooth[begin : end + 1]
            even = np.linspace(part[0], part[-1], len(part))
            if float(np.abs(part - even).mean()) < _BAR_BEND:
                return int(begin), int(end) + 1
    return None


def _alike(first: tuple[int, int] | None, other: tuple[int, int] | None, length: int) -> bool:
    if first is None or other is None:
        return False
    return max(abs(a - b) for a, b in zip(first, other)) <= max(4, 0.04 * length)


def _text(rgb: NDArray[np.uint8]) -> Mask:
    height, width = rgb.shape[:2]
    whitest = rgb.min(-1)
    size = max(3, round(_THIN * height) | 1)
    thin = cv2.morphologyEx(whitest, cv2.MORPH_TOPHAT, np.ones((size, size), np.uint8))
    strokes = ((thin > _STEP) & (whitest >= _WHITE - _STEP)).astype(np.uint8)
    rows, columns = round(_RIM * height), round(_RIM * width)
    strokes[rows : height - rows, columns : width - columns] = 0
    _, _, stats, centres = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    figures = [
        (stats[index], centres[index])
        for index in range(1, len(stats))
        if 0.02 * height <= stats[index][cv2.CC_STAT_HEIGHT] <= 0.15 * height
        and stats[index][cv2.CC_STAT_WIDTH] <= 1.6 * stats[index][cv2.CC_STAT_HEIGHT]
        and _is_white(whitest, strokes, stats[index])
    ]
    found = np.zeros((height, width), bool)
    for word in _words(figures):
        left = min(int(stat[cv2.CC_STAT_LEFT]) for stat in word)
        top = min(int(stat[cv2.CC_STAT_TOP]) for stat in word)
        right = max(int(stat[cv2.CC_STAT_LEFT] + stat[cv2.CC_STAT_WIDTH]) for stat in word)
        bottom = max(int(stat[cv2.CC_STAT_TOP] + stat[cv2.CC_STAT_HEIGHT]) for stat in word)
        room = max(2, (bottom - top) // 2)  # dots, signs and a logo beside it
        found[max(0, top - room) : bottom + room, max(0, left - 3 * room) : right + 2 * room] = True
    return found


def _is_white(whitest: NDArray[np.uint8], strokes: NDArray[np.uint8], stat: Any) -> bool:
    left, top, width, height = (int(value) for value in stat[:4])
    box = np.s_[top : top + height, left : left + width]
    return float(np.percentile(whitest[box][strokes[box] > 0], 75)) >= _WHITE


def _words(figures: list[tuple[Any, Any]]) -> list[list[Any]]:
    """Figures side by side, on one line and of like height."""
    figures = sorted(figures, key=lambda figure: figure[0][cv2.CC_STAT_LEFT])
    words: list[list[Any]] = []
    for stat, _ in figures:
        for word in words:
            last = word[-1]
            gap = stat[cv2.CC_STAT_LEFT] - (last[cv2.CC_STAT_LEFT] + last[cv2.CC_STAT_WIDTH])
            tall = max(stat[cv2.CC_STAT_HEIGHT], last[cv2.CC_STAT_HEIGHT])
            bottoms = [each[cv2.CC_STAT_TOP] + each[cv2.CC_STAT_HEIGHT] for each in (stat, last)]
            same = min(stat[cv2.CC_STAT_HEIGHT], last[cv2.CC_STAT_HEIGHT]) > 0.8 * tall
            if -2 <= gap <= 1.2 * tall and abs(bottoms[0] - bottoms[1]) <= 0.15 * tall and same:
                word.append(stat)
                break
        else:
            words.append([stat])
    return [word for word in words if len(word) >= _FIGURES]
