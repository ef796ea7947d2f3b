"""The colour bar that a camera draws beside a false-coloured picture: it says what the colours mean.

Cameras draw the hottest colour at the top of an upright bar, and at the right of one that lies. Such a bar
holds each colour of the palette once, in order, so that no table of palettes is needed.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.images.pixels import Pixels

Mask = NDArray[np.bool_]  # (H, W)

_RIM = 0.22  # of the picture's width or height, in which bars stand
_LENGTH = 0.22  # of the picture's height or width: the least length of a bar
_LINES, _WIDTH = 4, 0.12  # side by side that are alike: at least, and at most as a share of the picture
_BLEED = 3  # pixels over which coding smears a bar's side
_MOST_SIDES = 12  # lines that may be one
_FLAT = 14.0  # mean distance in RGB of a row of a bar from its middle, at most
_PATH = 200.0  # length in RGB of the way along a bar, at least
_STEP = 64.0  # within three rows of a bar, at most
_EDGE, _EDGED = 24.0, 0.5  # step in RGB at both sides of a bar, and the share of its length that has it
_BACK = 0.25  # of a bar's length, from which two places have colours of their own
_OWN = 12.0  # distance in RGB of such colours, at least
_MIXED = 0.1  # share of the places that may lack one
_END = 0.15  # of a bar, at both ends of which the scene may follow it
_FOLDED = 0.7  # of what follows: the share whose colours come back
_NEAR = 30.0  # distance in RGB from the bar's colours
_COVERED = 0.85  # share of the picture's pixels that are that near
_SAMPLED = 4096  # pixels that are compared with the bar


@dataclass(frozen=True)
class Legend:
    """A colour bar in a picture."""

    colours: NDArray[np.uint8]  # (256, 3) RGB from cold to hot
    mask: Mask  # where it lies


def find_legend(rgb: Pixels) -> Legend | None:
    """The bar at an edge of (H, W, 3) uint8 RGB whose colours are the picture's own; None for none."""
    height, width = rgb.shape[:2]
    if min(height, width) < 48:
        return None
    upright = _find_upright(rgb)
    if upright is not None:
        return upright
    lying = _find_upright(np.ascontiguousarray(rgb.transpose(1, 0, 2)[::-1]))  # its right end at the top
    return lying and Legend(lying.colours, np.ascontiguousarray(lying.mask[::-1].T))


def _find_upright(rgb: Pixels) -> Legend | None:
    height, width = rgb.shape[:2]
    rim = max(3 * _LINES, round(_RIM * width))
    for begin, end in ((width - rim, width), (0, rim)):
        part = rgb[:, begin:end].astype(np.float32)
        sides = _sides(part, round(_LENGTH * height))
        if begin == 0:
            sides.append(-1 - _BLEED)
        else:
            sides.append(rim - 1)
        for left, right in ((a + _BLEED + 1, b + 1) for a in sorted(sides) for b in sorted(sides)):
            if _LINES <= right - left <= max(_LINES, _WIDTH * width):
                found = _bar(rgb, begin + max(left, 0), begin + right)
                if found is not None:
                    return found
    return None


def _sides(part: NDArray[np.float32], least: int) -> list[int]:
    """Columns of (H, N, 3) behind which the colours change, along at least half a bar."""
    step = np.linalg.norm(part[:, _BLEED:] - part[:, :-_BLEED], axis=-1) > _EDGE
    step = cv2.morphologyEx(step.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 1), np.uint8))
    number = step.sum(0, dtype=np.int64)
    highest = cv2.dilate(number.astype(np.float32)[None], np.ones((1, 5), np.uint8))[0]
    places = np.flatnonzero((number >= highest) & (number >= _EDGED * least))
    return [int(place) for place in places[np.argsort(-number[places])[:_MOST_SIDES]]]


def _bar(rgb: Pixels, left: int, right: int) -> Legend | None:
    """The bar that fills columns from left to right; None where they are a part of the scene."""
    height, width = rgb.shape[:2]
    trimmed = min(_BLEED - 1, (right - left - 2) // 2)  # where coding mixes it with what is beside it
    inner = rgb[:, left + trimmed : right - trimmed].astype(np.float32)
    middle = np.median(inner, axis=1)  # (H, 3)
    flat = _closed(np.linalg.norm(inner - middle[:, None], axis=-1).mean(1) < _FLAT)
    flat[2:-1] &= np.linalg.norm(middle[3:] - middle[:-3], axis=-1) < _STEP
    edged = np.ones((height, 2), bool)
    for side, outside in enumerate((left - _BLEED - 1, right + _BLEED)):
        if 0 <= outside < width:
            edged[:, side] = np.linalg.norm(rgb[:, outside].astype(np.float32) - middle, axis=-1) > _EDGE
    rows = _longest(flat)
    if rows is None:
        return None
    either, both = edged[:, 0] | edged[:, 1], edged[:, 0] & edged[:, 1]
    for part in (either, _closed(either), both):  # the longest first
        some = rows[0] + np.flatnonzero(part[rows[0] : rows[1]])
        if len(some) and some[-1] - some[0] > round(_LENGTH * height):
            top, bottom = int(some[0]) + 1, int(some[-1])
            colours = _ramp(middle[top:bottom][::-1])
            if colours is None or edged[top:bottom].mean(0).min() < _EDGED:
                continue
            mask = np.zeros((height, width), bool)
            mask[max(0, top - 3) : bottom + 3, max(0, left - 2) : right + 2] = True
            if _covers(colours, rgb, mask):
                return Legend(colours, mask)
    return None


def _ramp(line: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """256 colours of a bar (N, 3) from end to end; None where that is no way through many colours."""
    few = cv2.resize(line, (3, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    if float(np.linalg.norm(np.diff(few, axis=0), axis=-1).sum()) < _PATH or not _is_a_way(few):
        return None
    blurred = np.asarray(cv2.blur(line, (1, 3)), np.float32)
    smooth = _unfolded(_unfolded(blurred)[::-1])[::-1]
    place = np.linspace(0, len(smooth) - 1, 256)
    colours = np.stack([np.interp(place, np.arange(len(smooth)), channel) for channel in smooth.T], -1)
    return np.rint(colours).clip(0, 255).astype(np.uint8)


def _unfolded(line: NDArray[np.float32]) -> NDArray[np.float32]:
    """A bar (N, 3) without what of the scene follows its first end: there its colours come back."""
    few, far = max(2, round(_END * len(line))), round(2 * _END * len(line))
    end = int(np.linalg.norm(line[:few] - line[far], axis=-1).argmax())
    if end == 0:
        return line
    behind = line[end + 1 : end + 1 + far]
    apart = np.linalg.norm(line[:end, None] - behind, axis=-1).min(1)
    return line[end:] if float((apart < _OWN).mean()) >= _FOLDED else line


def _closed(line: Mask) -> Mask:
    """A line without gaps of a few pixels, such as of noise."""
    return (
        cv2.morphologyEx(line.astype(np.uint8)[:, None], cv2.MORPH_CLOSE, np.ones((9, 1), np.uint8))[:, 0] > 0
    )


def _longest(line: Mask) -> tuple[int, int] | None:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(np.int8), [0]))))
    runs = [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2])]
    return max(runs, key=lambda run: run[1] - run[0], default=None)


def _is_a_way(few: NDArray[np.floating]) -> bool:
    """Whether places of a bar (N, 3) that lie apart have colours of their own."""
    apart = np.linalg.norm(few[:, None] - few, axis=-1)
    far = np.abs(np.subtract.outer(np.arange(len(few)), np.arange(len(few)))) >= _BACK * len(few)
    return float((np.where(far, apart, np.inf).min(1) < _OWN).mean()) <= _MIXED


def _covers(colours: NDArray[np.uint8], rgb: Pixels, mask: Mask) -> bool:
    """Whether the picture beside the bar has its colours: by pixels, and by the colours that occur."""
    pixels = rgb[~mask]
    pixels = pixels[:: max(1, len(pixels) // _SAMPLED)].astype(np.int64)
    _, first, number = np.unique(
        pixels // 24 @ np.array([1 << 8, 1 << 4, 1]), return_index=True, return_counts=True
    )
    lines = colours[::2].astype(np.float32)
    spots = pixels.astype(np.float32)
    square = (spots**2).sum(1)[:, None] - 2 * spots @ lines.T + (lines**2).sum(1)
    near = square.min(1) <= _NEAR**2
    often = first[number >= 3]
    return float(near.mean()) >= _COVERED and float(near[often].mean()) >= _COVERED
