"""Which infrared frame goes with which visible one: by when both were taken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fsidfusion.errors import InputError

if TYPE_CHECKING:
    from fsidfusion.fusion.sources import Frame, Take

T = TypeVar("T")

LEAST_AGE, LIVE_AGE = 0.06, 0.25  # seconds: jitter of files, and of cameras and networks, up to there
_AGE, _RIM = 1.0, 0.55  # infrared frames: between two of them, and where they begin, end or leave a gap


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


def with_ages(
    pairs: "Iterator[tuple[Frame, Frame | None]]", later: float, rate: float, ages: list[float]
) -> "Iterator[tuple[Frame, Frame | None]]":
    """The same pairs; ``ages`` gets the seconds between those that lie over half an infrared frame apart.

    Args:
        pairs: as :func:`paired` yields them.
        later: as for it.
        rate: infrared frames a second.
        ages: is appended to.
    """
    for visible, infrared in pairs:
        if infrared is not None and (age := abs(visible.seconds - later - infrared.seconds)) > _RIM / rate:
            ages.append(age)
        yield visible, infrared


def limit_of_age(rate: float, is_live: bool, wanted: float | None) -> float:
    """Most seconds between two frames of a pair, at an infrared rate."""
    return wanted if wanted is not None else max(_AGE / rate, LIVE_AGE if is_live else LEAST_AGE)


def limit_at_rims(rate: float, is_live: bool, wanted: float | None) -> float:
    """Likewise beside a gap, where nothing tells how long a scene lasted: half a frame, with some jitter."""
    return limit_of_age(rate, is_live, wanted) if is_live or wanted is not None else _RIM / rate


def watched(frames: Iterator[T], begin: Callable[[], None]) -> Iterator[T]:
    """The same frames; ``begin`` is called before each is waited for."""
    while True:
        begin()
        frame = next(frames, None)
        if frame is None:
            return
        yield frame
