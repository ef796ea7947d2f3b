"""Which infrared frame goes with which visible one: by when both were taken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError

if TYPE_CHECKING:
    from fsidfusion.fusion.sources import Frame, Take

T = TypeVar("T")

LEAST_AGE, LIVE_AGE = 0.06, 0.25  # seconds: jitter of files, and of cameras and networks, up to there
_AGE, _RIM = 1.0, 0.55  # infrared frames: between two of them, and where they begin, end or leave a gap
_SAMPLED = 25.0  # times a second at which motion is compared
_LONGEST = 10.0  # seconds that an offset is looked for
_WATCHED = 40.0  # seconds of both sources that are looked at
_SIDE = 48  # pixels of the frames in which motion is measured
_CLEAR = 0.3  # correlation of motion from which an offset is believed
_STANDS_OUT = 1.15  # times that of any offset that is more than a moment away
_MOMENT = 0.4  # seconds


@dataclass(frozen=True)
class Pairing:
    """How the frames of two sources are taken and paired."""

    ir_fps: float | None = None
    """frames a second of an infrared sequence of pictures, where it differs from --fps"""
    vis_fps: float | None = None
    """likewise of a visible one"""
    ir_times: Path | None = None
    """when each infrared frame was taken: a file with one time a line, in seconds"""
    vis_times: Path | None = None
    """likewise of the visible frames"""
    ir_offset: str = ""
    """how much later the infrared source began, instead of what clocks, stored times and file names tell;
    auto estimates it by motion"""
    ir_stream: int | None = None
    """which of several video streams in a file is infrared, counted from 0"""
    vis_stream: int = 0
    """likewise visible"""
    vis_crop: str | None = None
    """the part of visible frames that counts, as --ir-crop; both for frames side by side"""
    max_age: float | None = None
    """most seconds between a visible frame and its infrared one; beyond, the visible frame stands alone; by
    default one infrared frame, and at least 0.06, or 0.25 for live sources; half a frame beside a gap"""
    ir_format: str = ""
    """how the frames of an infrared device or raw stream are stored: FORMAT:WIDTHxHEIGHT@FPS, such as Y16, or
    Y16:640x512@30; needed for streams without a container"""
    vis_format: str = ""
    """likewise of the visible ones, such as YUYV:640x480@30 or MJPG"""
    timeout: float = 10.0
    """seconds without a frame after which a camera or address counts as silent"""
    reconnect: float = 0.0
    """seconds that an address which was lost is waited for"""

    def offset(self) -> float | None:
        """The offset that is given in seconds; None where it is to be found. InputError for anything else."""
        if self.ir_offset in ("", "auto"):
            return None
        try:
            return float(self.ir_offset)
        except ValueError:
            raise InputError(f"ir offset {self.ir_offset!r} is no time; expected seconds, or auto") from None

    def takes(self, rate: float, words: bool = False) -> "tuple[Take, Take]":
        """How the infrared and the visible source are taken; ``rate`` of sequences is the common one."""
        from fsidfusion.fusion.devices import parse_form
        from fsidfusion.fusion.sources import Take

        common = Take(rate, timeout=self.timeout, reconnect=self.reconnect)
        infrared = replace(
            common,
            rate=self.ir_fps or rate,
            stream=self.ir_stream or 0,
            times=self.ir_times,
            words=words,
            form=parse_form(self.ir_format),
        )
        visible = replace(
            common,
            rate=self.vis_fps or rate,
            stream=self.vis_stream,
            times=self.vis_times,
            form=parse_form(self.vis_format),
        )
        return infrared, visible


def paired(
    infrared: "Iterator[Frame]",
    visible: "Iterator[Frame]",
    oldest: float,
    later: float = 0.0,
    rim: float | None = None,
) -> "Iterator[tuple[Frame, Frame | None]]":
    """Each visible frame with the infrared one nearest in time, or None where none is near.

    Args:
        infrared: its frames, in order of time.
        visible: likewise.
        oldest: most seconds between the two.
        later: seconds by which the infrared source began after the visible one.
        rim: most seconds before the first infrared frame, after the last, and beside a gap, which is where
            two of them lie more than twice ``oldest`` apart; by default ``oldest``.

    Yields:
        (visible, infrared) frames; ends with either source, the infrared one ``rim`` seconds after its last
        frame.
    """
    rim = oldest if rim is None else min(rim, oldest)
    before, now, after = None, next(infrared, None), next(infrared, None)
    for frame in visible:
        if now is None:
            return
        seconds = frame.seconds - later
        while after is not None and abs(after.seconds - seconds) <= abs(now.seconds - seconds):
            before, now, after = now, after, next(infrared, None)
        if after is None and seconds - now.seconds > rim + 1e-6:
            return
        first, second = (now, after) if now.seconds <= seconds else (before, now)
        is_within = first is not None and second is not None and second.seconds - first.seconds <= 2 * oldest
        limit = oldest if is_within else rim
        yield frame, now if abs(seconds - now.seconds) <= limit + 1e-6 else None


def limit_of_age(rate: float, is_live: bool, wanted: float | None) -> float:
    """Most seconds between two frames of a pair, at an infrared rate."""
    return wanted if wanted is not None else max(_AGE / rate, LIVE_AGE if is_live else LEAST_AGE)


def limit_at_rims(rate: float, is_live: bool, wanted: float | None) -> float:
    """Likewise beside a gap, where nothing tells how long a scene lasted: half a frame, with some jitter."""
    return limit_of_age(rate, is_live, wanted) if is_live or wanted is not None else _RIM / rate


def offset_by_motion(infrared: "Iterator[Frame]", visible: "Iterator[Frame]") -> float:
    """How much later the infrared source began, by how much moves in both at each moment.

    Args:
        infrared: its first frames; 40 seconds of them are looked at.
        visible: likewise.

    Raises:
        InputError: hardly anything moves, or no offset within 10 s stands out.
    """
    ours, theirs = (_motion(frames) for frames in (infrared, visible))
    reach = int(_LONGEST * _SAMPLED)
    scores = np.full(2 * reach + 1, -1.0)
    for index, shift in enumerate(range(-reach, reach + 1)):  # infrared at i with visible at i + shift
        first, second = (ours, theirs[shift:]) if shift >= 0 else (ours[-shift:], theirs)
        length = min(len(first), len(second))
        if length >= max(2 * _SAMPLED, 0.4 * min(len(ours), len(theirs))):
            scores[index] = _correlation(first[:length], second[:length])
    best = int(scores.argmax())
    away = np.abs(np.arange(len(scores)) - best) > _MOMENT * _SAMPLED
    if scores[best] < _CLEAR or scores[best] < _STANDS_OUT * scores[away].max():
        raise InputError(
            "no offset between the two sources can be told by their motion (correlation"
            f" {max(0.0, scores[best]):.2f}); give `ir_offset` in seconds"
        )
    return (best - reach) / _SAMPLED


def watched(frames: Iterator[T], begin: Callable[[], None]) -> Iterator[T]:
    """The same frames; ``begin`` is called before each is waited for."""
    while True:
        begin()
        frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _motion(frames: "Iterator[Frame]") -> NDArray[np.float64]:
    """How much a source changes at even moments, as ranks of -1 to 1."""
    times, values, before = [], [], None
    for frame in frames:
        if frame.seconds > _WATCHED:
            break
        pixels = frame.pixels if frame.pixels.ndim == 2 else frame.pixels[..., 1]
        small = cv2.resize(
            np.nan_to_num(pixels.astype(np.float32)), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA
        )
        if before is not None:
            times.append(frame.seconds)
            values.append(float(np.sqrt(np.mean((small - before) ** 2))))
        before = small
    if len(times) < 10:
        raise InputError("too few frames to compare the motion of both sources; give `ir_offset` in seconds")
    # a change is that between two frames: an uneven rate must not look like motion
    steps = np.diff(np.concatenate(([0.0], times)))
    speed = np.asarray(values) / np.maximum(steps, 1e-3)
    even = np.interp(np.arange(0.0, times[-1], 1 / _SAMPLED), times, speed)
    even = np.convolve(even, np.ones(5) / 5, "same")
    return 2 * np.argsort(np.argsort(even)) / max(1, len(even) - 1) - 1.0


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 1e-9 else 0.0
