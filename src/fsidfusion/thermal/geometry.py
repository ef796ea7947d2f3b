"""Which part of an infrared picture counts, and how it is turned before anything else is done with it."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError

Turn = Literal[0, 90, 180, 270]
Flip = Literal["none", "horizontal", "vertical"]

PRESETS = ("p2pro", "tc001")  # frames of two halves: the picture, and below it kelvin x 64 as 16-bit words
_RECTANGLE = re.compile(r"(\d+)x(\d+)\+(\d+)\+(\d+)")
_HALVES = {"top": (0, 0), "bottom": (1, 0), "left": (0, 0), "right": (0, 1)}


@dataclass(frozen=True)
class Geometry:
    """Cut, then turned clockwise, then mirrored."""

    crop: str | None = None  # WIDTHxHEIGHT+LEFT+TOP, top, bottom, left, right, or a preset
    turn: Turn = 0
    flip: Flip = "none"

    def __post_init__(self) -> None:
        known = (None, *_HALVES, *PRESETS)
        if self.crop not in known and not _RECTANGLE.fullmatch(self.crop or ""):
            raise InputError(
                f"crop {self.crop!r} is unknown; expected WIDTHxHEIGHT+LEFT+TOP in pixels,"
                f" {', '.join(_HALVES)}, {' or '.join(PRESETS)}"
            )
        if self.turn not in (0, 90, 180, 270):
            raise InputError(f"a turn by {self.turn} degrees is none; expected 0, 90, 180 or 270 (clockwise)")

    @property
    def is_plain(self) -> bool:
        """Whether nothing changes."""
        return self.crop is None and self.turn == 0 and self.flip == "none"

    @property
    def holds_words(self) -> bool:
        """Whether the frames hold temperatures as words in their lower half."""
        return self.crop in PRESETS

    def __call__(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Apply to (H, W[, 3]). InputError for a part that lies outside."""
        if self.is_plain:
            return pixels
        rows, columns = self._part(int(pixels.shape[0]), int(pixels.shape[1]))
        pixels = np.rot90(pixels[rows, columns], -self.turn // 90)
        if self.flip != "none":
            pixels = pixels[:, ::-1] if self.flip == "horizontal" else pixels[::-1]
        return np.ascontiguousarray(pixels)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """What a picture of (height, width) becomes."""
        rows, columns = self._part(height, width)
        size = rows.stop - rows.start, columns.stop - columns.start
        return size if self.turn in (0, 180) else size[::-1]

    def _part(self, height: int, width: int) -> tuple[slice, slice]:
        if self.crop is None or self.holds_words:  # words were cut out when the frame was decoded
            return slice(0, height), slice(0, width)
        if self.crop in _HALVES:
            down, across = _HALVES[self.crop]
            if self.crop in ("top", "bottom"):
                return slice(down * (height // 2), down * (height // 2) + height // 2), slice(0, width)
            return slice(0, height), slice(across * (width // 2), across * (width // 2) + width // 2)
        match = _RECTANGLE.fullmatch(self.crop)
        assert match is not None
        wide, high, left, top = (int(number) for number in match.groups())
        if wide < 1 or high < 1 or left + wide > width or top + high > height:
            raise InputError(f"crop {self.crop} lies outside the picture of {width}x{height}; choose less")
        return slice(top, top + high), slice(left, left + wide)
