"""Are labelled targets to be seen? What the eleven metrics do not notice: a warm person before a bright wall.

For each labelled box the pixels of its core are told from those of the ring around it by their gray level, or
in colour by the direction that tells them best. ``kept`` is the share of boxes for which the fused picture
tells them nearly as well as the better of its two sources.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsidfusion.evaluation.boxes import Boxes, time_of_day
from fsidfusion.images.pixels import Pixels, luma, quantise, unit

KEPT = 0.9  # of the visibility in the better source
LEAST_WIDTH, LEAST_HEIGHT = 6, 10  # pixels of a box that counts
CORE = 0.6, 0.84  # of the width and the height of a box
RING = 0.5, 0.25  # of the width and the height, beyond a box on each side
SOURCES = ("infrared", "visible")
RESAMPLES, SEED, LEVEL = 2000, 0, 95

_RIDGE = 4.0  # squared 8-bit levels: what is less is rounding


@dataclass(frozen=True)
class Target:
    """One labelled target, and how visible it is in every picture."""

    pair: str
    target: str  # its class
    visibility: Mapping[str, float]  # by row; ``infrared`` and ``visible`` are the sources in gray

    def kept(self, row: str) -> bool:
        """Whether a row shows it nearly as well as the better source."""
        return self.visibility[row] >= KEPT * max(self.visibility[source] for source in SOURCES)


@dataclass(frozen=True)
class Share:
    """Mean visibility and share kept of some targets in one row, with bootstrap intervals of 95 %."""

    targets: int
    visibility: float
    kept: float
    visibility_interval: tuple[float, float]
    kept_interval: tuple[float, float]


def visibility(image: Pixels, box: Sequence[float], others: Iterable[Sequence[float]] = ()) -> float:
    """How well a target is told from what surrounds it: |2 AUC - 1|, 0 not at all to 1 wholly.

    AUC is the chance that a pixel of the core is brighter than one of the ring, ties half (Mann and Whitney,
    1947). A colour picture is projected onto Fisher's linear discriminant of the two sets first.

    Args:
        image: (H, W) or (H, W, 3), any depth; compared at 8 bits.
        box: x0, y0, x1, y1 in pixels.
        others: boxes that are left out of the ring.

    Returns:
        0..1; NaN where core or ring hold no pixel.
    """
    levels = image if image.dtype == np.uint8 else quantise(unit(image), np.dtype(np.uint8))
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    inset = (1 - CORE[0]) / 2 * width, (1 - CORE[1]) / 2 * height
    top, left, bottom, right = _inside(
        levels, (x0 - RING[0] * width, y0 - RING[1] * height, x1 + RING[0] * width, y1 + RING[1] * height)
    )
    part = levels[top:bottom, left:right]
    ring = np.ones(part.shape[:2], bool)
    for other in (box, *others):
        ring[_slices(levels, other, (top, left))] = False
    core = np.zeros(part.shape[:2], bool)
    core[_slices(levels, (x0 + inset[0], y0 + inset[1], x1 - inset[0], y1 - inset[1]), (top, left))] = True
    if not core.any() or not ring.any():
        return math.nan
    return abs(2 * _area_under_curve(*_one_line(part[core], part[ring])) - 1)


def see(
    pair: str,
    boxes: Boxes,
    classes: Sequence[str],
    infrared: Pixels,
    visible: Pixels,
    pictures: Mapping[str, Pixels],
) -> list[Target]:
    """The visibility of every labelled target of a pair in its two sources, in gray, and in pictures."""
    rows = {"infrared": _gray(infrared), "visible": _gray(visible), **pictures}
    targets = []
    corners = boxes.corners.tolist()
    for place, (box, number) in enumerate(zip(corners, boxes.classes)):
        if box[2] - box[0] < LEAST_WIDTH or box[3] - box[1] < LEAST_HEIGHT:
            continue
        others = [other for index, other in enumerate(corners) if index != place]
        values = {row: visibility(image, box, others) for row, image in rows.items()}
        if not any(math.isnan(value) for value in values.values()):
            targets.append(Target(pair, classes[int(number)], values))
    return targets


def subsets(targets: Sequence[Target]) -> dict[str, list[Target]]:
    """The targets by class, each over all frames and, where names tell, by day and by night."""
    groups: dict[str, list[Target]] = {}
    for name in dict.fromkeys(target.target for target in targets):
        own = [target for target in targets if target.target == name]
        times: dict[str, list[Target]] = {"day": [], "night": []}
        for target in own:
            times.setdefault(time_of_day(target.pair), []).append(target)
        groups[name] = own
        groups |= {f"{name}, {time}": times[time] for time in ("day", "night") if times[time]}
    return groups


def summarise(targets: Sequence[Target], row: str) -> Share:
    """What one row shows of some targets, one at least; resampled by frame, whose targets go together."""
    by_frame: dict[str, list[Target]] = {}
    for target in targets:
        by_frame.setdefault(target.pair, []).append(target)
    totals = np.array(
        [
            (len(own), sum(t.visibility[row] for t in own), sum(t.kept(row) for t in own))
            for own in by_frame.values()
        ]
    )
    number, seen, kept = totals.sum(0)
    drawn = totals[np.random.default_rng(SEED).integers(0, len(totals), (RESAMPLES, len(totals)))].sum(1)

    def interval(column: int) -> tuple[float, float]:
        tail = (100 - LEVEL) / 2
        low, high = np.percentile(drawn[:, column] / drawn[:, 0], (tail, 100 - tail))
        return float(low), float(high)

    return Share(int(number), float(seen / number), float(kept / number), interval(1), interval(2))


def _gray(image: Pixels) -> Pixels:
    return quantise(luma(image), np.dtype(np.uint8))


def _inside(image: Pixels, box: Sequence[float]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of a box in whole pixels of an image."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(side) for side in box)
    return min(max(y0, 0), height), min(max(x0, 0), width), max(min(y1, height), 0), max(min(x1, width), 0)


def _slices(image: Pixels, box: Sequence[float], origin: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a box, counted from an origin (top, left)."""
    top, left, bottom, right = _inside(image, box)
    return (
        slice(max(top - origin[0], 0), max(bottom - origin[0], 0)),
        slice(max(left - origin[1], 0), max(right - origin[1], 0)),
    )


def _one_line(core: Pixels, ring: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gray levels as they are; colours (N, 3) projected onto Fisher's discriminant."""
    ours, theirs = core.astype(np.float64), ring.astype(np.float64)
    if ours.ndim == 1:
        return ours, theirs
    spread = _RIDGE * np.eye(3)
    for colours in (ours, theirs):
        if len(colours) > 1:
            spread = spread + np.cov(colours.T)
    direction = np.linalg.solve(spread, ours.mean(0) - theirs.mean(0))
    return ours @ direction, theirs @ direction


def _area_under_curve(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    theirs = np.sort(theirs)
    below, up_to = (np.searchsorted(theirs, ours, side) for side in ("left", "right"))
    return float((below + up_to).sum() / (2 * len(ours) * len(theirs)))
