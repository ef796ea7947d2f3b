"""How far two videos are apart in time, told by what moves in both: when, or else where."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.sampling import pixel_grid, sample
from fsidfusion.alignment.transform import Alignment
from fsidfusion.errors import InputError

if TYPE_CHECKING:
    from fsidfusion.fusion.sources import Frame

_SAMPLED = 25.0  # times a second at which motion is compared
_LONGEST = 10.0  # seconds that an offset is looked for
_WATCHED = 40.0  # seconds of both sources that are looked at
_SIDE = 48  # pixels of the frames in which motion is measured
_CELLS = 24  # a side, of the maps of where things move
# correlation from which an offset is believed, and how many times that of all more than a moment away
_CLEAR_PLACES, _CLEAR_AMOUNT = (0.3, 1.2), (0.8, 1.25)
_MOMENT = 0.4  # seconds
_SHORTEST = 1.5  # seconds that both sources must share
_SHARED = 0.4  # of the shorter one, likewise


@dataclass(frozen=True)
class Motion:
    """What moves in a source, at even moments from its beginning on."""

    amount: NDArray[np.float64]  # (T,) as ranks of -1 to 1
    places: NDArray[np.float64]  # (T, cells) how much in each part of the frame


def offset_by_motion(
    infrared: "Iterator[Frame]",
    visible: "Iterator[Frame]",
    alignment: Alignment | None = None,
    *,
    is_placed: bool = True,
) -> float:
    """How much later the infrared source began, by where things move in both at each moment.

    That needs frames of which is known how they lie on each other. Else how much moves at each moment has to
    do, which must be very clear: one thing that moves evenly, or many that always move, do not tell.

    Args:
        infrared: its first frames; 40 seconds of them are looked at.
        visible: likewise.
        alignment: how the infrared frames lie on the visible ones; as they are by default.
        is_placed: whether that is known.

    Raises:
        InputError: hardly anything moves, or no offset within 10 s stands out.
    """
    ours, theirs = motion_of(infrared, alignment), motion_of(visible)
    by_amount = _clearest(_scores(ours.amount[:, None], theirs.amount[:, None]), *_CLEAR_AMOUNT)
    by_places = _clearest(_scores(ours.places, theirs.places), *_CLEAR_PLACES) if is_placed else None
    found = by_amount if by_places is None else by_places
    if found is None:
        more = "" if is_placed else ", or an alignment of both cameras (`align`)"
        raise InputError(
            "no offset between the two sources can be told by their motion;"
            f" give `ir_offset` in seconds{more}"
        )
    if by_amount is not None and abs(found - by_amount) > _MOMENT:
        raise InputError(
            f"when things move says that infrared began {by_amount:.2f} s later, where they move says"
            f" {found:.2f} s; give `ir_offset` in seconds, or an alignment of both cameras (`align`)"
        )
    return found


def motion_of(frames: "Iterator[Frame]", alignment: Alignment | None = None) -> Motion:
    """What moves in a source; with an ``alignment``, where it lies in the visible frame.

    Raises:
        InputError: fewer than ten frames.
    """
    times, amounts, maps, before = [], [], [], None
    last = 0.0
    for frame in frames:
        if frame.seconds > _WATCHED:
            break
        pixels = frame.pixels if frame.pixels.ndim == 2 else frame.pixels[..., 1]
        if alignment is not None:
            alignment = alignment.fitted(alignment.visible_size, (pixels.shape[0], pixels.shape[1]))
        small = cv2.resize(
            np.nan_to_num(pixels.astype(np.float32)), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA
        )
        if before is not None and frame.seconds > last:
            change = np.abs(small - before) / (frame.seconds - last)  # an uneven rate is no motion
            times.append((frame.seconds + last) / 2)
            amounts.append(float(np.sqrt(np.mean(change**2))))
            maps.append(_in_cells(change if alignment is None else _placed(change, alignment)))
        before, last = small, frame.seconds
    if len(times) < 10:
        raise InputError("too few frames to compare the motion of both sources; give `ir_offset` in seconds")
    moments = np.arange(0.0, times[-1], 1 / _SAMPLED)
    even = np.convolve(np.interp(moments, times, amounts), np.ones(5) / 5, "same")
    ranks = 2 * np.argsort(np.argsort(even)) / max(1, len(even) - 1) - 1.0
    after = np.clip(np.searchsorted(times, moments), 1, len(times) - 1)
    share = np.clip((moments - np.take(times, after - 1)) / np.diff(times)[after - 1], 0, 1)[:, None]
    stacked = np.stack(maps)
    return Motion(ranks, (1 - share) * stacked[after - 1] + share * stacked[after])


def _in_cells(change: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change as a coarse map (cells,), in which a bright thing counts hardly more than a faint one."""
    cells = cv2.resize(cv2.GaussianBlur(change, (0, 0), 1.5), (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return np.sqrt(cells).ravel()


def _placed(change: NDArray[np.float32], alignment: Alignment) -> NDArray[np.float32]:
    """Change in the infrared frame as it lies in the visible one; none outside its field."""
    (height, width), (high, wide) = alignment.visible_size, alignment.infrared_size
    points = (pixel_grid((_SIDE, _SIDE)) + 0.5) * np.array((width, height)) / _SIDE - 0.5
    places = (alignment.place(points) + 0.5) * np.array((_SIDE / wide, _SIDE / high)) - 0.5
    return np.asarray(sample(change, np.asarray(places, np.float32), outside=0.0), np.float32)


def _scores(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The correlation (T, n) with (T', n) in what they share, for each offset; -1 where it is little."""
    reach = int(_LONGEST * _SAMPLED)
    least = max(_SHORTEST * _SAMPLED, _SHARED * min(len(ours), len(theirs)))
    scores = np.full(2 * reach + 1, -1.0)
    for index, shift in enumerate(range(-reach, reach + 1)):  # infrared at i with visible at i + shift
        first, second = (ours, theirs[shift:]) if shift >= 0 else (ours[-shift:], theirs)
        length = min(len(first), len(second))
        if length < least:
            continue
        first, second = (each[:length] - each[:length].mean(0) for each in (first, second))
        scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
        scores[index] = float((first * second).sum()) / scale if scale > 1e-9 else 0.0
    return scores


def _clearest(scores: NDArray[np.float64], least: float, stands_out: float) -> float | None:
    """The offset in seconds whose score is at least so high and so many times that of any that is more than
    a moment away, to a part of a step; None: there is none."""
    best = int(scores.argmax())
    away = np.abs(np.arange(len(scores)) - best) > _MOMENT * _SAMPLED
    if scores[best] < least or scores[best] < stands_out * scores[away].max():
        return None
    part = 0.0
    if 0 < best < len(scores) - 1 and scores[best - 1] > -1 and scores[best + 1] > -1:
        before, here, after = scores[best - 1 : best + 2]
        bend = 2 * here - before - after
        part = float(np.clip((after - before) / (2 * bend), -0.5, 0.5)) if bend > 1e-9 else 0.0
    return (best + part - (len(scores) - 1) // 2) / _SAMPLED
