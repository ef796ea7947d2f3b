"""One fusion, step by step; a new step has its place here.

    read > level > place > fuse > range > colour > mark > write

The steps are the same for a pair of arrays, a pair of files, a video frame and a slice of a volume. Reading
and writing belong to the carrier (:class:`Fusion` and its kinds); what a step remembers from one fusion to
the next belongs to the memory: nothing for stills (:class:`Still`), steady levels and ranges for videos
(:class:`fsidfusion.fusion.flow.Flow`), one range for all slices of a volume.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fsidfusion.alignment.sampling import shrink
from fsidfusion.alignment.transform import Alignment
from fsidfusion.alignment.warp import Aligned, Rectangle, align_pair, where_known
from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.color import render
from fsidfusion.fusion.fine import fuse_fine
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.uptake import has_colors, overlay_gray, overlay_uptake
from fsidfusion.images.exif import field_of_view, read_block
from fsidfusion.images.files import Picture
from fsidfusion.images.output_range import Range, RangeMode, find_range
from fsidfusion.images.pixels import Luma, Pixels, luma, quantise, resize, unit
from fsidfusion.thermal.gain import Levels, apply_gain, is_raw
from fsidfusion.thermal.heat import glow, heat_contrast, heat_range
from fsidfusion.thermal.highlight import Threshold, highlight
from fsidfusion.thermal.measure import Measures, degrees_at, draw_bar, draw_marks, measure, over_edges
from fsidfusion.thermal.reading import show
from fsidfusion.thermal.scene import Scene, hot_levels
from fsidfusion.thermal.temperature import Celsius, resample
from fsidfusion.thermal.validity import Mask

if TYPE_CHECKING:
    from fsidfusion.fusion.fuser import Fuser

_KNOWN = 0.99  # share of the pixels sampled that were measured


@dataclass
class Fusion:
    """One pair on its way through the steps; each fills in what the next ones need."""

    infrared: Picture | None = None  # (h, w[, 3]); from ``level`` on in the range that is fused
    visible: Picture | None = None  # (H, W[, 3])
    names: tuple[str, str] = ("infrared", "visible")  # of the sources, for messages
    seconds: float = 0.0  # from which on a video frame is shown
    spacing: tuple[float, float] | None = None  # mm between the pixels of a slice, down and across
    scene: Scene | None = None  # what the infrared picture shows, before its gain
    wants_celsius: bool = False  # the temperatures are written beside the result
    celsius: Celsius | None = None  # (h, w), where they are wanted; from ``place`` on (H, W)
    hot: Levels | None = None  # likewise, what the threshold of hot targets is compared with
    known: Mask | None = None  # (h, w), where the infrared picture shows something; None: everywhere
    aligned: Aligned | None = None  # where the infrared picture counts
    luma: Luma | None = None  # (H, W), fused
    paint: Pixels | None = None  # (H, W, 3), what tells uptake where no source is in colour
    dtype: np.dtype[Any] | None = None  # of the result; that of the visible picture by default
    result: Picture | None = None
    is_alone: bool = False  # a visible frame without an infrared one near in time
    measures: Measures | None = None  # of the infrared picture's temperatures, where they are known
    notes: list[str] = field(default_factory=list)  # what the user should know, one line each

    def read(self, plan: Plan) -> None:
        """Get both pictures; arrays and frames are there already."""

    def write(self, plan: Plan) -> None:
        """Put the result where it belongs; that of arrays and frames stays in ``result``."""

    @property
    def sources(self) -> tuple[Picture, Picture]:
        """The infrared and the visible picture, once read."""
        assert self.infrared is not None and self.visible is not None
        return self.infrared, self.visible

    def fit_levels(self, fit: Callable[[Levels], Levels]) -> None:
        """Bring what was measured with the infrared picture to the grid of the visible one."""
        self.celsius = None if self.celsius is None else fit(self.celsius)
        self.hot = None if self.hot is None else fit(self.hot)
        self.known = None if self.known is None else fit(self.known.astype(np.float32)) > _KNOWN

    def say(self, note: str) -> None:
        """Add a note, unless it is empty or said already."""
        if note and note not in self.notes:
            self.notes.append(note)


class Memory(Protocol):
    """The steps that may remember something from one fusion to the next."""

    @property
    def threshold(self) -> Threshold | None:
        """From where on something is hot."""

    def level(self, fusion: Fusion) -> None:
        """Bring the infrared picture to the range that is fused."""

    def place(self, fusion: Fusion) -> None:
        """Bring the infrared picture to the grid of the visible one."""

    def range(self, fusion: Fusion) -> Range:
        """The fused values that become black and white."""

    def heat_range(self, contrast: Luma, weight: Luma | None, seconds: float) -> Range:
        """The contrasts (H, W) between which heat colours come up; ``weight`` says where they count."""


class Pipeline:
    """The steps in their order, for one model, one plan and one memory."""

    def __init__(self, fuser: "Fuser", plan: Plan, memory: Memory | None = None) -> None:
        """``memory`` is that of stills by default."""
        self.fuser, self.plan = fuser, plan
        self.memory: Memory = memory or Still(plan, fuser.range)

    def __call__(self, *fusions: Fusion) -> None:
        """Fuse pairs of one size, which go through the model together.

        Raises:
            FusionError: what one of the steps cannot do, in one line.
        """
        for fusion in fusions:
            self.prepare(fusion)
        self.fuse(*fusions)
        for fusion in fusions:
            self.finish(fusion)

    def prepare(self, fusion: Fusion) -> None:
        """All before the model: read, level, place. May run in a thread that reads ahead."""
        fusion.read(self.plan)
        self.memory.level(fusion)
        self._level_visible(fusion)
        self._narrow(fusion)
        self.memory.place(fusion)
        if fusion.known is not None and fusion.aligned is None:
            infrared, visible = fusion.sources
            fusion.aligned = where_known(infrared.pixels, visible.pixels, fusion.known)
            fusion.infrared = replace(infrared, pixels=fusion.aligned.infrared)

    def fuse(self, *fusions: Fusion) -> None:
        """The model: luma of both sources to one, (H, W) each; outside the infrared field visible alone.

        All have one size, and slices one spacing.
        """
        pairs = [fusion.sources for fusion in fusions]
        if self.plan.style == "overlay":
            for fusion, (ours, seen) in zip(fusions, pairs):
                if ours.size != seen.size:
                    raise sizes_differ(fusion.names, (ours.size, seen.size))
                fusion.luma = luma(seen.pixels)
            return
        sides = [ours.pixels for ours, _ in pairs], [seen.pixels for _, seen in pairs]
        spacing = fusions[0].spacing if fusions else None
        fused = fuse_fine(self.fuser, *sides, spacing) if spacing else self.fuser.fuse_luma(*sides)
        for fusion, (_, seen), level in zip(fusions, pairs, fused):
            fusion.luma = fusion.aligned.blend(level, seen.pixels) if fusion.aligned else level

    def finish(self, fusion: Fusion) -> None:
        """All after the model: range, colour, mark, write. May run in a thread that writes behind."""
        assert fusion.luma is not None
        range_ = self.memory.range(fusion)
        self._colour(fusion, range_)
        self._mark(fusion)
        if self.plan.crop and fusion.aligned:
            self._crop(fusion, fusion.aligned.common_part())
        fusion.write(self.plan)

    def _level_visible(self, fusion: Fusion) -> None:
        visible = fusion.sources[1]
        if self.plan.gain_visible.mode == "off":
            if fusion.scene is not None:  # a file, whose numbers nobody has looked at
                fusion.say(dull(visible, "`agc_visible`"))
            return
        try:
            fusion.visible = replace(visible, pixels=apply_gain(visible.pixels, self.plan.gain_visible))
        except FusionError as error:
            raise InputError(f"{fusion.names[1]}: {error}") from error

    def _narrow(self, fusion: Fusion) -> None:
        """The visible picture, and one of infrared that had its size, no wider than is wanted."""
        infrared, visible = fusion.sources
        height, width = visible.size
        if self.plan.max_width is None or width <= self.plan.max_width:
            return
        size = max(1, round(height * self.plan.max_width / width)), self.plan.max_width
        alpha = None if visible.alpha is None else shrink(visible.alpha, size)
        fusion.visible = replace(visible, pixels=shrink(visible.pixels, size), alpha=alpha)
        if infrared.size == visible.size and not self.plan.align:
            resample_infrared(fusion)

    def _colour(self, fusion: Fusion, range_: Range) -> None:
        infrared, visible = fusion.sources
        assert fusion.luma is not None
        source = {"visible": visible, "infrared": infrared}.get(self.plan.chroma or "")
        dtype = fusion.dtype or visible.pixels.dtype
        chroma = source.pixels if source else None
        uptake = False  # that of PET or SPECT, in the colours of a map or of the picture itself
        if self.plan.task == "medical" and self.plan.chroma == "infrared" and chroma is not None:
            uptake = fusion.paint is not None or has_colors(chroma)
            chroma = chroma if fusion.paint is None else fusion.paint
        if self.plan.style == "overlay":
            values = unit(chroma).max(axis=-1) if uptake and chroma is not None else luma(infrared.pixels)
            laid = (
                overlay_uptake(fusion.luma, values, chroma)
                if uptake and chroma is not None
                else overlay_gray(fusion.luma, values)
            )
            pixels = quantise(laid, np.dtype(dtype))
        else:
            pixels = render(fusion.luma, range_, chroma, np.dtype(dtype), uptake)
        if self.plan.color == "heat":
            contrast, weight = heat_in_field(fusion)
            pixels = glow(pixels, contrast, self.memory.heat_range(contrast, weight, fusion.seconds), weight)
        if self.plan.thermal_palette:
            level, weight = shown_level(fusion)
            pixels = over_edges(
                level, luma(visible.pixels), self.plan.thermal_palette, np.dtype(dtype), weight
            )
        source = source or visible
        fusion.result = Picture(
            pixels,
            None if visible.alpha is None else quantise(unit(visible.alpha), np.dtype(dtype)),
            source.profile if source.pixels.ndim == pixels.ndim else None,
            visible.exif,
            visible.xmp,
        )

    def _mark(self, fusion: Fusion) -> None:
        threshold, told = self.memory.threshold, self.plan.measuring
        assert fusion.result is not None
        pixels = fusion.result.pixels
        if threshold is not None and fusion.hot is not None:
            pixels = highlight(pixels, fusion.hot, threshold)
        if told.marks and fusion.celsius is not None:
            pixels = draw_marks(pixels, fusion.celsius, told.marks)
        if told.bar and fusion.celsius is not None and self.plan.thermal_palette:
            pixels = draw_bar(pixels, self.plan.thermal_palette, *self._degrees(fusion))
        fusion.result = replace(fusion.result, pixels=pixels)

    def _degrees(self, fusion: Fusion) -> tuple[float, float, float]:
        """What the two ends and the middle of a colour bar stand for."""
        gain = self.plan.infrared.gain()
        if gain.mode == "window" and gain.celsius:
            return gain.low, (gain.low + gain.high) / 2, gain.high
        assert fusion.celsius is not None
        low, middle, high = degrees_at((0.0, 0.5, 1.0), shown_level(fusion)[0], fusion.celsius)
        return low, middle, high

    @staticmethod
    def _crop(fusion: Fusion, part: Rectangle) -> None:
        assert fusion.result is not None
        alpha = None if fusion.result.alpha is None else fusion.result.alpha[part]
        pixels = np.ascontiguousarray(fusion.result.pixels[part])
        fusion.result = replace(fusion.result, pixels=pixels, alpha=alpha)
        if fusion.celsius is not None:
            fusion.celsius = np.ascontiguousarray(fusion.celsius[part])


class Still:
    """Each pair stands alone: nothing is remembered."""

    def __init__(self, plan: Plan, range_mode: RangeMode) -> None:
        """``range_mode`` says how the output range is found."""
        self.plan, self.range_mode = plan, range_mode
        self.threshold = plan.infrared.threshold()

    def level(self, fusion: Fusion) -> None:
        """The gain of one picture by itself; arrays, which have no scene, are levels already."""
        if fusion.scene is None:
            return
        wanted = fusion.wants_celsius or self.plan.measuring.is_drawn
        reading = show(fusion.names[0], fusion.scene, fusion.sources[0], self.plan.infrared, wanted)
        fusion.infrared = reading.picture
        temperatures = reading.scene.temperatures
        fusion.measures = None if temperatures is None else measure(temperatures)
        fusion.celsius = temperatures if wanted else None
        fusion.known = reading.scene.known
        fusion.hot = hot_levels(reading.scene, self.threshold) if self.threshold else None
        fusion.say(reading.note or dull(reading.picture, "`agc`"))

    def place(self, fusion: Fusion) -> None:
        """By the plan's alignment or one of this pair's own, or else by resizing, if that is wanted."""
        infrared, visible = fusion.sources
        if self.plan.align:
            try:
                fusion.aligned, note = align_pair(
                    infrared.pixels,
                    visible.pixels,
                    self.plan.align,
                    crop=self.plan.crop,
                    known=fusion.known,
                    fields=self._fields_of_view(infrared, visible),
                )
            except FusionError as error:
                raise InputError(f"{fusion.names[0]}: {error}") from error
            fusion.say(note)
            fusion.fit_levels(fusion.aligned.levels)
            fusion.infrared = replace(infrared, pixels=fusion.aligned.infrared, alpha=None)
        elif self.plan.resize and infrared.size != visible.size:
            resample_infrared(fusion)

    def _fields_of_view(self, infrared: Picture, visible: Picture) -> tuple[float, float] | None:
        """Those that both files tell; a part of an infrared picture has another one."""
        if self.plan.align != "auto" or self.plan.infrared.ir_crop:
            return None
        ours, theirs = (
            picture.exif and field_of_view(read_block(picture.exif), picture.size)
            for picture in (infrared, visible)
        )
        return (ours, theirs) if ours and theirs else None

    def range(self, fusion: Fusion) -> Range:
        """That of the fused picture by itself."""
        assert fusion.luma is not None
        return find_range(fusion.luma, self.range_mode)

    def heat_range(self, contrast: Luma, weight: Luma | None, seconds: float) -> Range:
        """That of the picture by itself."""
        return heat_range(contrast, weight)


def resample_infrared(fusion: Fusion) -> None:
    """The infrared picture, and what was measured with it, at the size of the visible one."""
    infrared, visible = fusion.sources
    height, width = visible.size
    fusion.infrared = replace(infrared, pixels=resize(infrared.pixels, height, width), alpha=None)
    fusion.fit_levels(lambda levels: resample(levels, height, width))


def shown_level(fusion: Fusion) -> tuple[Luma, Luma | None]:
    """The infrared level (H, W) in 0..1 before it fades, and where it counts (None: everywhere)."""
    if fusion.aligned is None:
        return luma(fusion.sources[0].pixels), None
    return fusion.aligned.plain(), fusion.aligned.weight


def heat_in_field(fusion: Fusion) -> tuple[Luma, Luma | None]:
    """How far each pixel (H, W) is warmer than what surrounds it, and where that counts (None: everywhere).

    It is told from the infrared picture before that fades to the visible one.
    """
    if fusion.aligned is None:
        return heat_contrast(luma(fusion.sources[0].pixels)), None
    weight = fusion.aligned.weight
    return heat_contrast(fusion.aligned.plain(), weight), weight


def sizes_differ(names: tuple[str, str], sizes: tuple[tuple[int, int], tuple[int, int]]) -> InputError:
    """The error for pictures (H, W) of different sizes where nothing says how one lies on the other."""
    (name, (h, w)), (other, (height, width)) = zip(names, sizes)
    return InputError(
        f"sizes differ: {name} has {w}x{h} pixels, {other} {width}x{height}; give `align`, or `resize`"
    )


def check_alignment(align: object, infrared: tuple[int, int], visible: tuple[int, int]) -> None:
    """Refuse sizes (H, W) that a known alignment is not for, before anything is decoded."""
    if isinstance(align, Alignment):
        align.fitted(visible, infrared)


def dull(picture: Picture, option: str) -> str:
    """A note about raw counts that go as they are, or ""."""
    if not is_raw(picture.pixels):
        return ""
    return f"a source fills under a quarter of its 16 bits; {option} linear maps it to the full range"
