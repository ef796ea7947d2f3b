"""What an infrared picture shows: its levels, its temperatures, and what of them means something."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Pixels, is_gray, luma, quantise
from fsidfusion.thermal import palettes
from fsidfusion.thermal.gain import Gain, Levels, apply_gain, apply_mapping, find_mapping, is_raw, parse_gain
from fsidfusion.thermal.geometry import Flip, Geometry, Turn
from fsidfusion.thermal.highlight import Threshold, parse_threshold
from fsidfusion.thermal.overlay import find_gray_bar, find_overlay
from fsidfusion.thermal.palettes import Match
from fsidfusion.thermal.polarity import CLEAR, find_doubt, white_odds
from fsidfusion.thermal.strokes import find_strokes
from fsidfusion.thermal.temperature import Celsius, Unit, guess_unit, to_celsius
from fsidfusion.thermal.validity import Mask, Validity, fill_isolated, find_valid, is_swapped, shifted_bits

_WAY_OUT = "warm things may be dark (`palette` black-hot turns it, `palette` white-hot confirms it)"
REVERSED = "auto-reversed"  # the palette that is told, with its other end for hot
_CHECK = "warm things may be dark: say the colours by `palette` (auto-reversed exchanges hot and cold)"
DOUBTS = {  # of gray pictures that were taken as white-hot: what is said
    "": "",
    "black": f"black looks hot in its gray, but white was taken for hot: {_WAY_OUT}",
    "untold": f"whether white or black is hot cannot be told from its gray, and white was taken: {_WAY_OUT}",
}
STROKES = "text or a cross-hair drawn over {pixels} pixels was not taken for heat (`palette` none: kept)"
_TOO_FEW = 0.02  # share of measured pixels below which nothing is told

_WORDS = {"celsius": "degrees Celsius", "kelvin": "kelvin"}


@dataclass(frozen=True)
class Thermal:
    """What infrared files hold, and how it comes to the range that is fused."""

    agc: str = "auto"
    """gain control of infrared: off, linear, plateau, clahe, window:20..40C, or window:7000..9000 in counts;
    auto is plateau for raw counts and temperatures, and off for all else"""
    unit: Unit = "auto"
    """what the numbers of infrared are; auto knows radiometric files, and centikelvin and floating degrees
    by their range; SUV is for PET volumes: standardised uptake values by body weight"""
    palette: str = "auto"
    """false colours of infrared: none, ironbow, rainbow, rainbow-hc, hot, arctic, lava, white-hot, black-hot
    and others; auto tells those in colour, auto-reversed takes the other end of what it tells for hot"""
    highlight: str | None = None
    """colour what is hot: from 35C, 80% (of the picture's range) or 9000 (a raw level) on"""
    range_celsius: str | None = None
    """one fixed range in degrees Celsius from black to white, for comparable pictures of a whole flight"""
    ir_crop: str | None = None
    """the part of infrared pictures that counts: WIDTHxHEIGHT+LEFT+TOP, top, bottom, left, right, or p2pro or
    tc001, whose frames hold temperatures in their lower half"""
    ir_rotate: Turn = 0
    """turn infrared pictures clockwise, after --ir-crop"""
    ir_flip: Flip = "none"
    """mirror infrared pictures, after --ir-rotate"""

    def geometry(self) -> Geometry:
        """Which part of the pictures counts, and how it is turned; InputError where it cannot be read."""
        return Geometry(self.ir_crop, self.ir_rotate, self.ir_flip)

    def gain(self) -> Gain:
        """The gain control; InputError where it cannot be read."""
        if self.range_celsius is None:
            return parse_gain(self.agc)
        if self.agc != "auto":
            raise InputError("a range in degrees is a gain control; leave `agc` or `range_celsius` out")
        try:
            return parse_gain(f"window:{self.range_celsius.removesuffix('C')}C")
        except InputError as error:
            raise InputError(
                f"`range_celsius` {self.range_celsius} is no range; expected two temperatures, such as 10..40"
            ) from error

    @property
    def gain_option(self) -> str:
        """What asked for the gain control, for messages."""
        return f"`agc` {self.agc}" if self.range_celsius is None else f"`range_celsius` {self.range_celsius}"

    def threshold(self) -> Threshold | None:
        """From where on something is hot, if that is asked; InputError where it cannot be read."""
        return None if self.highlight is None else parse_threshold(self.highlight)

    def of_scan(self) -> "Thermal":
        """The same for CT, PET or SPECT in the infrared place: ``auto`` changes no levels or colours."""
        agc = "off" if self.agc == "auto" else self.agc
        unit: Unit = "counts" if self.unit == "auto" else self.unit
        return replace(self, agc=agc, unit=unit, palette="none" if self.finds_palette else self.palette)

    @property
    def finds_palette(self) -> bool:
        """Whether the pictures are to tell what their gray or their colours stand for."""
        return self.palette in ("auto", REVERSED)

    def check(self) -> None:
        """Raises InputError for an option that cannot be read."""
        if self.unit == "SUV":
            raise InputError("the unit SUV is for PET volumes; leave out `unit` SUV")
        self.gain()
        self.threshold()
        self.geometry()
        if self.palette not in ("auto", REVERSED, "none"):
            palettes.palette(self.palette)


@dataclass(frozen=True)
class Scene:
    """What an infrared picture shows, before its gain."""

    levels: Pixels  # (H, W) levels, counts or degrees; (H, W, 3) where it is in colour
    celsius: Celsius | None = None  # (H, W), where temperatures are known
    note: str = ""  # what was done, or could not be
    validity: Validity = field(default_factory=Validity)  # what of the levels means something
    numbers: bool = False  # levels are floats of any value, degrees or others

    @property
    def temperatures(self) -> Celsius | None:
        """The degrees that were measured (H, W): NaN where none were, or the sensor was saturated."""
        masks = [self.validity.unknown, self.validity.saturated, self.validity.filled]
        if self.celsius is None or all(mask is None for mask in masks):
            return self.celsius
        lost = np.zeros(self.celsius.shape, bool)
        for mask in masks:
            lost |= False if mask is None else mask
        return np.where(lost, np.float32(np.nan), self.celsius)

    def cut(self, geometry: Geometry) -> "Scene":
        """The same, cut and turned."""
        masks = (self.validity.unknown, self.validity.saturated, self.validity.filled)
        validity = Validity(*(None if mask is None else geometry(mask) for mask in masks))
        celsius = None if self.celsius is None else geometry(self.celsius)
        return replace(self, levels=geometry(self.levels), celsius=celsius, validity=validity)

    @property
    def degrees(self) -> bool:
        """Whether the levels are temperatures."""
        return self.numbers and self.celsius is not None

    @property
    def known(self) -> Mask | None:
        """Where there is an infrared picture (H, W); None: everywhere."""
        return None if self.validity.unknown is None else ~self.validity.unknown


def interpret(pixels: Pixels, thermal: Thermal, name: str, validity: Validity | None = None) -> Scene:
    """What the numbers or colours of a decoded picture stand for.

    Args:
        pixels: (H, W) or (H, W, 3) of any type.
        thermal: unit and palette.
        name: of the picture, for messages.
        validity: of gray pixels, where it is known already.

    Raises:
        InputError: colours for which a unit is given, and a picture in which nothing was measured.
    """
    if pixels.ndim == 3 and not is_gray(pixels):
        if thermal.unit not in ("auto", "counts"):
            raise InputError(f"{name} is in colour, and holds no {thermal.unit}; leave `unit` out")
        if thermal.palette == "none" or pixels.dtype != np.uint8 or palettes.is_coloured(pixels):
            return _without_colours(pixels, thermal.palette)
        pixels = palettes.luma_levels(pixels)  # gray, but for traces of coding
    notes: list[str] = []
    gray = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., 0])
    if gray.dtype == np.uint8:
        return _of_gray(pixels, gray, thermal)
    if gray.dtype == np.uint16 and is_swapped(gray):
        gray = gray.byteswap()
        validity = None
        notes.append("the two bytes of its numbers stood in the wrong order and were swapped")
    validity = validity or find_valid(gray)
    known = validity.valid
    if known is not None and known.mean() < _TOO_FEW:
        raise InputError(
            f"{name} holds hardly a measured pixel ({validity.note or 'all alike'}); check the file"
        )
    notes.append(validity.note)
    gray, validity = fill_isolated(gray, validity)
    unit = guess_unit(gray, validity) if thermal.unit == "auto" else thermal.unit
    celsius = to_celsius(gray, unit)
    if (
        thermal.unit == "auto"
        and (bits := shifted_bits(gray, validity))
        and gray.dtype == np.uint16
        and bits < 8
    ):
        notes.append(f"counts fill the upper {16 - bits} of 16 bits: they are no temperatures")
    turned = thermal.palette in ("black-hot", REVERSED)
    if gray.dtype == np.uint16:
        note = "; ".join(filter(None, notes))
        return Scene(~gray if turned else gray, celsius, note, validity)
    levels = gray.astype(np.float32, copy=False)
    usual = validity.of(levels)
    if celsius is None and gray.dtype.kind == "f" and usual.min() >= 0 and usual.max() <= 1:
        levels = np.nan_to_num(1 - levels if turned else levels).clip(0, 1)
        return Scene(levels, None, "; ".join(filter(None, notes)), validity)
    if celsius is not None:
        if thermal.unit == "auto":
            notes.append(f"its floats were taken for {_WORDS[unit]} (`unit` says otherwise)")
        return Scene(celsius, celsius, "; ".join(filter(None, notes)), validity, numbers=True)
    if thermal.unit == "auto":
        notes.append("its numbers are of no known unit: they were taken as counts (`unit` says otherwise)")
    note = "; ".join(filter(None, notes))
    return Scene(-levels if turned else levels, None, note, validity, numbers=True)


def _of_gray(pixels: Pixels, gray: NDArray[np.uint8], thermal: Thermal) -> Scene:
    """Gray of 8 bits (H, W[, 3]), with white for hot: told by a colour bar, or by ``thermal``."""
    bar = find_gray_bar(gray) if thermal.finds_palette else None
    turned = (thermal.palette in ("black-hot", REVERSED)) != (bar is not None and bar.black_is_hot)
    shown = ~pixels if turned else pixels
    celsius = to_celsius(gray, thermal.unit)
    if bar is None:
        doubt = find_doubt(gray) if thermal.palette == "auto" else ""
        strokes = find_strokes(gray) if thermal.finds_palette else None
        drawn = "" if strokes is None else STROKES.format(pixels=np.count_nonzero(strokes))
        return Scene(shown, celsius, "; ".join(filter(None, (DOUBTS[doubt], drawn))), Validity(strokes))
    note = "a colour bar and text drawn over it were not taken for heat"
    if bar.black_is_hot and turned:
        note = f"by its colour bar black is hot, and was turned (--palette white-hot: not); {note}"
    return Scene(shown, celsius, note, Validity(bar.mask))


def control(scene: Scene, gain: Gain) -> tuple[Pixels, str]:
    """A scene in the range that is fused, and what was done on its own account.

    Raises:
        InputError: a window outside the scene, or temperatures for which the gain is off.
    """
    gain, note = settle_gain(scene, gain)
    if gain.mode == "off":
        return scene.levels, note
    levels = scene.celsius if gain.celsius and scene.celsius is not None else scene.levels
    valid = scene.validity.valid
    if levels is not scene.levels or scene.numbers:
        shown = apply_mapping(levels, find_mapping(levels, gain, valid))
        if scene.validity.saturated is not None:
            shown[scene.validity.saturated] = 1.0
        return shown, note
    return apply_gain(levels, gain, valid), note


def settle_gain(scene: Scene, gain: Gain) -> tuple[Gain, str]:
    """What ``auto`` means for a scene, with a note where it means anything."""
    if gain.mode == "off" and scene.numbers:
        what = "temperatures have" if scene.degrees else "numbers outside 0..1 have"
        raise InputError(f"{what} no picture without gain control; leave `agc` off out")
    if gain.mode != "auto":
        return gain, ""
    if scene.degrees:
        return Gain("plateau"), ""
    if scene.numbers or is_raw(scene.levels, scene.validity.valid):
        return Gain("plateau"), "raw counts went through plateau gain control (`agc` off: as they are)"
    return Gain("off"), ""


def hot_levels(scene: Scene, threshold: Threshold) -> Levels:
    """The levels (H, W) that a threshold is compared with: temperatures, or levels.

    What is saturated counts as the hottest of the rest, or as the threshold where that is higher; NaN is
    where nothing was measured.
    """
    degrees = threshold.unit == "C" and scene.celsius is not None
    levels = scene.celsius if degrees and scene.celsius is not None else gray_levels(scene.levels)
    unknown, saturated = scene.validity.unknown, scene.validity.saturated
    if unknown is None and saturated is None:
        return levels
    result = levels.astype(np.float32)
    usual = scene.validity.of(levels)
    if saturated is not None:
        least = threshold.value if threshold.unit != "%" else -np.inf
        result[saturated] = max(float(np.nanmax(usual)), least)
    if unknown is not None:
        result[unknown] = np.nan
    return result


def gray_levels(levels: Pixels) -> Levels:
    """Levels (H, W) as they are; of colours (H, W, 3) the luma, in levels of their type."""
    return levels if levels.ndim == 2 else quantise(luma(levels), levels.dtype)


def without_match(pixels: Pixels, match: Match | None, asked: str = "auto") -> Scene:
    """Colours (H, W, 3) whose palette is known, or cannot be told, as levels.

    What a camera drew over its picture counts as not measured. ``asked`` is the option, for the note.
    """
    if match is None:
        if not palettes.is_coloured(pixels):
            return Scene(pixels)
        return Scene(
            pixels,
            note="its false colours are unknown and were taken for brightness: warm things may be dark;"
            " say what the colours are by `palette`",
        )
    levels, confidence = palettes.levels_of(pixels, match)
    overlay = find_overlay(levels, pixels)
    if match.mask is not None and match.mask.shape == levels.shape:
        overlay = match.mask if overlay is None else overlay | match.mask
    note = f"false colours ({match.name}, {confidence:.0%} of the pixels fit) were turned into levels"
    if match.name == palettes.ESTIMATED:
        near = f"near {match.near}" if match.near else "of an unknown palette"
        note = f"false colours {near} were ordered along the line that they form"
    elif match.name == palettes.LEGEND:
        note = (
            "false colours were read by the colour bar drawn beside them, with its top or right end for hot"
        )
    if asked == REVERSED:
        note += ", with the other end for hot, as asked"
    elif asked == "auto" and not match.sure:
        note += f", which is not sure: {_CHECK}"
    elif asked == "auto":
        note += _end_of(levels, overlay, match)
    drawn = ""
    if overlay is not None:
        drawn = f"; text or a bar drawn over {np.count_nonzero(overlay)} pixels was not taken for heat"
    return Scene(levels, note=f"{note} (`palette` none: kept){drawn}", validity=Validity(overlay))


def _without_colours(pixels: Pixels, name: str) -> Scene:
    """False colours to levels, where they are known."""
    if name == "none" or pixels.dtype != np.uint8:
        return Scene(pixels)
    return without_match(pixels, find_match(pixels, name), name)


def find_match(pixels: Pixels, name: str) -> Match | None:
    """What colours (H, W, 3) stand for, by the ``palette`` that is asked; None where it cannot be told."""
    if name not in ("auto", REVERSED):
        return Match(name, 1.0)
    match = palettes.find_palette(pixels)
    return replace(match, turned=not match.turned) if match and name == REVERSED else match


def _end_of(levels: NDArray[np.uint8], overlay: Mask | None, match: Match) -> str:
    """What the scene says of the end of a palette that was taken for hot: "" where it agrees."""
    if overlay is not None and not overlay.all():
        levels = np.where(overlay, np.uint8(np.median(levels[~overlay])), levels)
    odds = white_odds(levels)
    if odds < -CLEAR:
        return f", but what looks warm lies at its cold end: {_CHECK}"
    if odds < CLEAR and match.name != palettes.LEGEND:
        return ", in their usual order, which the scene does not tell (`palette` auto-reversed: the other)"
    return ""
