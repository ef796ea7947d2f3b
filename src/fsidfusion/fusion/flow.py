"""The memory of a video or a live view: what one frame learns from those before it, without flicker."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from fsidfusion.alignment.stream import AlignmentStream
from fsidfusion.errors import InputError
from fsidfusion.fusion.pipeline import Fusion, resample_infrared, sizes_differ
from fsidfusion.fusion.plan import Plan
from fsidfusion.images.output_range import Range, RangeMode, find_range
from fsidfusion.images.pixels import Luma, Pixels
from fsidfusion.thermal.heat import heat_range
from fsidfusion.thermal.highlight import Threshold
from fsidfusion.thermal.measure import measure
from fsidfusion.thermal.stream import ThermalStream

SMOOTHING = 0.5  # seconds in which the output range goes 63 % of the way to that of the scene
CUT = 0.12  # mean change of luma from one frame to the next that begins another scene
_THUMBNAIL = (32, 24)  # on which scenes are told apart


class SmoothRange:
    """The output range of a video: it follows the scene slowly, and at a cut it jumps."""

    def __init__(self, find: Callable[..., Range] = find_range, smoothing: float = SMOOTHING) -> None:
        """``find(frame, *more)`` gives the range of one frame by itself; ``smoothing`` is in seconds."""
        self._find, self._smoothing = find, smoothing
        self._range: Range | None = None
        self._seconds = 0.0
        self._thumbnail: Pixels | None = None

    def __call__(self, fused: Luma, seconds: float, *more: Any) -> Range:
        """The range for the frame (H, W) that is shown from ``seconds`` on; ``more`` goes to ``find``."""
        target = self._find(fused, *more)
        thumbnail = cv2.resize(fused, _THUMBNAIL, interpolation=cv2.INTER_AREA)
        known, before = self._range, self._thumbnail
        if known is None or before is None or float(np.abs(thumbnail - before).mean()) > CUT:
            self._range = target
        else:
            share = 1 - math.exp(-max(0.0, seconds - self._seconds) / self._smoothing)
            self._range = Range(
                known.low + share * (target.low - known.low), known.high + share * (target.high - known.high)
            )
        self._thumbnail, self._seconds = thumbnail, seconds
        return self._range


class Flow:
    """The memory of a video: steady levels, one alignment, and ranges that follow the scene slowly."""

    def __init__(self, plan: Plan, range_mode: RangeMode, name: str) -> None:
        """``name`` is that of the infrared source, for messages."""
        self.plan = plan
        self.thermal = ThermalStream(plan.infrared, name)
        self.alignment = AlignmentStream(plan.align)
        self._range = SmoothRange(lambda fused: find_range(fused, range_mode))
        self._range_alone = SmoothRange(lambda fused: find_range(fused, range_mode))
        self._heat_range = SmoothRange(heat_range)

    @property
    def threshold(self) -> Threshold | None:
        """From where on something is hot."""
        return self.thermal.threshold

    @property
    def note(self) -> str:
        """On what was settled or estimated."""
        return "; ".join(filter(None, (self.alignment.note, self.thermal.note)))

    def level(self, fusion: Fusion) -> None:
        """Steady levels; see :class:`fsidfusion.thermal.stream.ThermalStream`."""
        infrared = fusion.sources[0]
        if fusion.is_alone:
            fusion.known = np.zeros(infrared.size, bool)
            return
        pixels, fusion.hot = self.thermal(infrared.pixels, fusion.seconds)
        told = self.plan.measuring
        if told.is_drawn or told.table:
            celsius = self.thermal.celsius
            if celsius is None and self.thermal.is_settled:
                raise InputError(
                    f"{fusion.names[0]} holds no temperatures, but `bar`, `marks` or `table` ask for them;"
                    " leave them out, or say by `unit` what the numbers are"
                )
            fusion.celsius = celsius if told.is_drawn else None
            fusion.measures = None if celsius is None else measure(celsius)
        fusion.infrared, fusion.known = replace(infrared, pixels=pixels), self.thermal.known

    def place(self, fusion: Fusion) -> None:
        """By the one alignment of both cameras, or by resizing where that is wanted, or all that is left."""
        infrared, visible = fusion.sources
        if fusion.is_alone:
            return
        fusion.aligned = self.alignment(infrared.pixels, visible.pixels, fusion.known)
        if fusion.aligned:
            fusion.infrared = replace(infrared, pixels=fusion.aligned.infrared)
            fusion.fit_levels(fusion.aligned.levels)
        elif infrared.size != visible.size:
            if not self.plan.resize and not self.alignment.note:
                raise sizes_differ(fusion.names, (infrared.size, visible.size))
            resample_infrared(fusion)

    def range(self, fusion: Fusion) -> Range:
        """The output range, smoothed."""
        assert fusion.luma is not None
        is_alone = fusion.is_alone or (fusion.known is not None and not fusion.known.any())
        smooth = self._range_alone if is_alone else self._range  # two kinds of picture, each steady
        return smooth(fusion.luma, fusion.seconds)

    def heat_range(self, contrast: Luma, weight: Luma | None, seconds: float) -> Range:
        """The levels of heat, smoothed."""
        if weight is not None and not weight.any():  # nothing glows, and nothing is learnt
            return heat_range(contrast, weight)
        return self._heat_range(contrast, seconds, weight)

    def learnt(self, frames: Iterator[Fusion]) -> Iterator[Fusion]:
        """The same frames, once the first ones have told how the cameras lie, if that is to be estimated."""
        first: list[Fusion] = []
        wanted = self.alignment.frames_to_learn
        while len(first) < wanted and (frame := next(frames, None)) is not None:
            if frame.is_alone and not first:
                yield frame
            else:
                first.append(frame)
        pairs = [frame.sources for frame in first if not frame.is_alone]
        if pairs:
            self.alignment.learn([(infrared.pixels, visible.pixels) for infrared, visible in pairs])
        yield from first
        yield from frames
