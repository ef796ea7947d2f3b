"""When the frames of a source were taken: by their container, by the names of pictures, or by a list."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Literal

from fsidfusion.errors import InputError
from fsidfusion.images.budget import MAX_LINES
from fsidfusion.images.text import read_text

# how exactly the clocks of two sources can be compared
Clock = Literal["none", "number", "container", "date", "exact"]

_EPOCH_DIGITS = {10: 1.0, 13: 1e3, 16: 1e6, 19: 1e9}  # of seconds since 1970, and of its parts
_EPOCHS = (3e8, 4e9)  # seconds since 1970: 1979 to 2096
_FRACTION = re.compile(r"(?<!\d)(\d{10})[._](\d{1,9})(?!\d)")
_WHOLE = re.compile(r"(?<!\d)(\d{10}|\d{13}|\d{16}|\d{19})(?!\d)")
_DATE = re.compile(
    r"(?<!\d)(20\d\d)[-_.:]?(\d\d)[-_.:]?(\d\d)[-_.:T ]?"
    r"(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?:[-_.,s]?(\d{6}|\d{3}))?(?!\d)"
)
_NUMBER = re.compile(r"(\d+)(?!.*\d)")
_QUICKEST = 1e-3  # seconds between frames: what rises more slowly are counters, and no fractions of seconds
_LEAST_APART = 2.0  # seconds: dates of whole seconds say nothing finer


@dataclass(frozen=True)
class Times:
    """When each frame of a source was taken."""

    seconds: tuple[float, ...]  # from the first on, rising
    start: float  # of the first, on the clock
    clock: Clock
    rate: float  # frames a second, as far as the times tell


def of_names(paths: Sequence[Path], rate: float) -> Times:
    """The times that the names of a sequence of pictures tell, in the order of the pictures.

    Stamps are seconds since 1970 with a fraction, as ROS writes them, or in milli-, micro- or nanoseconds, or
    dates such as ``20250530_123037_250``. Where there are none, numbers at the end of the names count the
    frames, so that one that is missing leaves a gap. Names without any follow one another.

    Args:
        paths: in order.
        rate: frames a second where the names count.
    """
    stamps = [stamp_of(path.stem) for path in paths]
    if all(stamp is not None for stamp in stamps):
        known = [stamp for stamp in stamps if stamp is not None]
        if _rises(known) and (known[-1] - known[0]) / max(1, len(known) - 1) >= _QUICKEST * (len(known) > 1):
            return _times(known, "exact" if any(stamp % 1 for stamp in known) else "date", rate)
    matches = [_NUMBER.search(path.stem) for path in paths]
    numbers = [int(match[1]) for match in matches if match]
    if len(numbers) == len(paths) > 1 and _rises(numbers):
        step = reduce(math.gcd, (b - a for a, b in pairwise(numbers)))
        return _times([number / step / rate for number in numbers], "number", rate)
    return _times([index / rate for index in range(len(paths))], "none", rate)


def of_list(path: Path, frames: int | None = None) -> Times:
    """The times in a file with one frame a line: the last number of the line, in seconds.

    Numbers of 13, 16 or 19 digits are milli-, micro- or nanoseconds; empty lines, lines without a number such
    as a heading, and what follows a ``#`` are passed over.

    Raises:
        InputError: no such file, times that do not rise, or fewer of them than frames.
    """
    lines = read_text(path, "list of times", MAX_LINES).splitlines()
    found = []
    for line in lines:
        words = re.findall(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", line.partition("#")[0].split(",")[-1])
        if words:
            digits = words[-1].partition(".")[0].lstrip("+-")
            found.append(float(words[-1]) / (_EPOCH_DIGITS.get(len(digits), 1.0)))
    if not found or not _rises(found):
        raise InputError(f"{path} holds {len(found)} times that do not rise; expected one a frame, in order")
    if frames is not None and frames > len(found):
        raise InputError(f"{path} holds {len(found)} times for {frames} frames; expected one each")
    clock: Clock = "exact" if _EPOCHS[0] < found[0] < _EPOCHS[1] else "container"
    return _times(found, clock, 0.0)


def stamp_of(stem: str) -> float | None:
    """Seconds since 1970 that a name tells; None where it tells none."""
    if match := _FRACTION.search(stem):
        seconds = int(match[1]) + int(match[2]) / 10 ** len(match[2])
        if _EPOCHS[0] < seconds < _EPOCHS[1]:
            return seconds
    if match := _DATE.search(stem):
        try:
            whole = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=UTC)  # type: ignore[misc,arg-type]
        except ValueError:
            return None
        return whole.timestamp() + (int(match[7]) / 10 ** len(match[7]) if match[7] else 0.0)
    if match := _WHOLE.search(stem):
        seconds = int(match[1]) / _EPOCH_DIGITS[len(match[1])]
        if _EPOCHS[0] < seconds < _EPOCHS[1]:
            return seconds
    return None


def date_of(text: str | None) -> float | None:
    """Seconds since 1970 of a container's creation time, such as ``2025-05-30T12:30:37.250000Z``."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Start:
    """What is known of when a source began, on each clock; None: nothing."""

    exact: float | None = None  # seconds since 1970, with fractions
    date: float | None = None  # likewise, of whole seconds
    container: float | None = None  # the first stored time
    number: float | None = None  # of the first frame, in seconds by its own rate


def offset(infrared: Start, visible: Start, seconds: float | None) -> tuple[float, str]:
    """How much later than the visible source the infrared one began, and a note where it is not plain.

    The best clock that both have decides; one by which they would not overlap is not theirs.

    Args:
        infrared: of the infrared source.
        visible: of the visible one.
        seconds: how long the shorter one lasts, where that is known.
    """
    longest = math.inf if seconds is None else seconds
    for clock, words in (
        ("exact", "by their own clocks"),
        ("date", "by their dates, to a second (`ir_offset` says it finer)"),
        ("container", "by their stored times"),
        ("number", "by the numbers of their frames"),
    ):
        ours, theirs = getattr(infrared, clock), getattr(visible, clock)
        if ours is None or theirs is None:
            continue
        later = ours - theirs
        if clock == "date" and abs(later) < _LEAST_APART:
            continue
        if abs(later) >= longest:
            if clock in ("container", "number"):
                continue
            return 0.0, f"their clocks are {abs(later):.1f} s apart: both were taken from their beginnings"
        if abs(later) > 1e-3:
            which = "later" if later > 0 else "earlier"
            return later, f"infrared began {abs(later):.2f} s {which}, {words}"
        return later, ""
    return 0.0, ""


def _rises(values: Sequence[float]) -> bool:
    return all(b > a for a, b in pairwise(values))


def _times(values: Sequence[float], clock: Clock, rate: float) -> Times:
    seconds = tuple(value - values[0] for value in values)
    steps = sorted(b - a for a, b in pairwise(values))
    if clock in ("exact", "date", "container") and steps:
        rate = 1 / steps[len(steps) // 2]
    return Times(seconds, values[0], clock, rate)
