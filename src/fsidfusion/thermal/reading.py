"""A thermal picture, whatever it holds, as what is fused, with the levels and temperatures behind it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.deep import ORIENTATION
from fsidfusion.images.files import MAX_PIXELS, Picture, decode_picture
from fsidfusion.images.pixels import Pixels, check_pixels, is_gray, luma, quantise
from fsidfusion.thermal import palettes
from fsidfusion.thermal.gain import Gain, Levels, apply_gain, apply_mapping, find_mapping, is_raw, parse_gain
from fsidfusion.thermal.highlight import Threshold, parse_threshold
from fsidfusion.thermal.radiometric import can_read, find_kind, read_embedded, read_measurement
from fsidfusion.thermal.temperature import Celsius, Unit, guess_unit, to_celsius


@dataclass(frozen=True)
class Thermal:
    """What infrared files hold, and how it comes to the range that is fused."""

    agc: str = "auto"
    """gain control of infrared: off, linear, plateau, clahe, window:20..40C, or window:7000..9000 in counts;
    auto is plateau for raw counts and temperatures, and off for all else"""
    unit: Unit = "auto"
    """what the numbers of infrared are; auto knows radiometric files, and centikelvin by their range"""
    palette: str = "auto"
    """false colours of infrared: none, ironbow, rainbow, rainbow-hc, hot, white-hot or black-hot; auto tells
    those in colour"""
    highlight: str | None = None
    """colour what is hot: from 35C, 80% (of the picture's range) or 9000 (a raw level) on"""

    def gain(self) -> Gain:
        """The gain control; InputError where it cannot be read."""
        return parse_gain(self.agc)

    def threshold(self) -> Threshold | None:
        """From where on something is hot, if that is asked; InputError where it cannot be read."""
        return None if self.highlight is None else parse_threshold(self.highlight)

    def of_scan(self) -> "Thermal":
        """The same for CT, PET or SPECT in the infrared place: ``auto`` changes no levels or colours."""
        agc = "off" if self.agc == "auto" else self.agc
        return replace(self, agc=agc, palette="none" if self.palette == "auto" else self.palette)

    def check(self) -> None:
        """Raises InputError for an option that cannot be read."""
        self.gain()
        self.threshold()
        if self.palette not in ("auto", "none"):
            palettes.palette(self.palette)


@dataclass(frozen=True)
class Scene:
    """What an infrared picture shows, before its gain."""

    levels: Pixels  # (H, W) levels, counts or degrees; (H, W, 3) where it is in colour
    celsius: Celsius | None = None  # (H, W), where temperatures are known
    note: str = ""  # what was done, or could not be


@dataclass(frozen=True)
class Reading:
    """An infrared file."""

    picture: Picture  # what is fused
    scene: Scene
    note: str = ""


def read_thermal(
    path: Path, thermal: Thermal = Thermal(), max_pixels: int = MAX_PIXELS, temperature: bool = False
) -> Reading:
    """Read an infrared file of 8 bits, raw counts, temperatures, false colours, or radiometric JPEG.

    Args:
        path: the file.
        thermal: what it holds, and its gain.
        max_pixels: as :func:`fsidfusion.images.files.read_picture`.
        temperature: refuse a file without temperatures.

    Raises:
        InputError: a file that cannot be read, degrees asked of a file without temperatures, a window outside
            the picture, floats that are neither 0..1 nor of a given unit.
    """
    scene, picture = read_scene(path, thermal, max_pixels, temperature)
    gain, threshold = thermal.gain(), thermal.threshold()
    asked = {
        "--temperature": temperature,
        f"--agc {thermal.agc}": gain.celsius,
        f"--highlight {thermal.highlight}": threshold is not None and threshold.unit == "C",
    }
    option = next((name for name, wanted in asked.items() if wanted), None)
    if option and scene.celsius is None:
        reason = f" ({scene.note})" if scene.note else ""
        raise InputError(
            f"{path} holds no temperatures{reason}, but {option} asks for them;"
            " leave it out, or say by --unit what the numbers are"
        )
    try:
        pixels, note = control(scene, gain)
    except FusionError as error:
        raise InputError(f"{path}: {error}") from error
    profile = picture.profile if pixels.ndim == picture.pixels.ndim else None
    note = "; ".join(filter(None, (scene.note, note)))
    return Reading(replace(picture, pixels=pixels, profile=profile), scene, note)


def read_scene(
    path: Path, thermal: Thermal, max_pixels: int = MAX_PIXELS, temperature: bool = False
) -> tuple[Scene, Picture]:
    """What an infrared file shows before its gain, and the picture in it; see :func:`read_thermal`."""
    picture = decode_picture(path, max_pixels)
    kind = find_kind(path)
    off = thermal.gain().mode == "off"
    threshold = thermal.threshold()
    wanted = not off or temperature or (threshold is not None and threshold.unit == "C")
    if kind and wanted and can_read(kind):
        measurement = read_measurement(path, kind, *_stored(path))
        levels = measurement.levels
        unit: Unit = "counts" if thermal.unit == "auto" else thermal.unit
        celsius = levels if measurement.celsius else to_celsius(levels, unit)
        if off:
            return replace(interpret(picture.pixels, thermal, str(path)), celsius=celsius), picture
        source = "temperatures" if measurement.celsius else "raw counts, without temperatures,"
        return Scene(levels, celsius, f"{kind}'s {source} were read beside the picture"), picture
    scene = interpret(picture.pixels, thermal, str(path))
    if kind and wanted:
        missing = "the picture in FLIR's file was used: its temperatures need flyr (EUPL-1.2),"
        note = f"{missing} pip install 'fsidfusion[radiometric]'"
        scene = replace(scene, note="; ".join(filter(None, (note, scene.note))))
    return scene, picture


def read_visible(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """The visible picture in a FLIR file, in the view and at the size of its thermal one, with its EXIF.

    Raises:
        InputError: as :func:`fsidfusion.thermal.radiometric.read_embedded`, or a file that cannot be read.
    """
    shown = decode_picture(path, max_pixels)
    return replace(shown, pixels=read_embedded(path, *_stored(path)), alpha=None, profile=None)


def interpret(pixels: Pixels, thermal: Thermal, name: str) -> Scene:
    """What the numbers or colours of a decoded picture stand for.

    Args:
        pixels: (H, W) or (H, W, 3); floats of any value.
        thermal: unit and palette.
        name: of the picture, for messages.

    Raises:
        InputError: colours for which a unit is given, and floats that are NaN, or outside 0..1 without one.
    """
    if pixels.ndim == 3 and not is_gray(pixels):
        if thermal.unit not in ("auto", "counts"):
            raise InputError(f"{name} is in colour, and holds no {thermal.unit}; leave --unit out")
        return _without_colours(pixels, settle(pixels, thermal).palette)
    if thermal.palette == "black-hot":
        pixels = ~pixels if pixels.dtype.kind == "u" else 1 - pixels
    gray = pixels if pixels.ndim == 2 else pixels[..., 0]
    celsius = to_celsius(gray, thermal.unit)
    if pixels.dtype.kind != "f":
        return Scene(pixels, celsius)
    if celsius is None:
        _check_floats(pixels, name)
        return Scene(pixels)
    if not np.isfinite(celsius).all():
        raise InputError(f"{name} holds NaN or infinite temperatures; replace them")
    return Scene(celsius, celsius)


def control(scene: Scene, gain: Gain) -> tuple[Pixels, str]:
    """A scene in the range that is fused, and what was done on its own account.

    Raises:
        InputError: a window outside the scene, or temperatures for which the gain is off.
    """
    gain, note = settle_gain(scene, gain)
    if gain.mode == "off":
        return scene.levels, note
    levels = scene.celsius if gain.celsius and scene.celsius is not None else scene.levels
    if levels is scene.celsius:
        return apply_mapping(levels, find_mapping(levels, gain)), note
    return apply_gain(levels, gain), note


def settle_gain(scene: Scene, gain: Gain) -> tuple[Gain, str]:
    """What ``auto`` means for a scene, with a note where it means anything."""
    degrees = scene.levels is scene.celsius
    if gain.mode == "off" and degrees:
        raise InputError("temperatures have no picture without gain control; leave --agc off out")
    if gain.mode != "auto":
        return gain, ""
    if degrees:
        return Gain("plateau"), ""
    if is_raw(scene.levels):
        return Gain("plateau"), "raw counts went through plateau gain control (--agc off: as they are)"
    return Gain("off"), ""


def hot_levels(scene: Scene, threshold: Threshold) -> Levels:
    """The levels (H, W) that a threshold is compared with: temperatures, or levels."""
    return scene.celsius if threshold.unit == "C" and scene.celsius is not None else gray_levels(scene.levels)


def gray_levels(levels: Pixels) -> Levels:
    """Levels (H, W) as they are; of colours (H, W, 3) the luma, in levels of their type."""
    return levels if levels.ndim == 2 else quantise(luma(levels), levels.dtype)


def settle(pixels: Pixels, thermal: Thermal) -> Thermal:
    """What ``auto`` means for a picture (H, W) or (H, W, 3): its unit, and its palette if it is in colour."""
    if pixels.ndim == 3 and not is_gray(pixels):
        if thermal.palette != "auto":
            return thermal
        match = palettes.find_palette(pixels) if pixels.dtype == np.uint8 else None
        return replace(thermal, palette=match.name if match else "none")
    gray = pixels if pixels.ndim == 2 else pixels[..., 0]
    return replace(thermal, unit=guess_unit(gray) if thermal.unit == "auto" else thermal.unit)


def _without_colours(pixels: Pixels, name: str) -> Scene:
    """False colours to levels, where they are known."""
    if name == "none" or pixels.dtype != np.uint8:
        return Scene(pixels)
    levels, confidence = palettes.levels_of(pixels, name)
    known = f"false colours ({name}, {confidence:.0%} of the pixels fit)"
    return Scene(levels, note=f"{known} were turned into levels (--palette none: kept)")


def _check_floats(pixels: Pixels, name: str) -> None:
    try:
        check_pixels(pixels, name)
    except FusionError as error:
        raise InputError(f"{error}; or say by --unit celsius or kelvin that they are temperatures") from error


def _stored(path: Path) -> tuple[tuple[int, int], int]:
    """(H, W) of a JPEG as stored, and the orientation that turns it upright."""
    with Image.open(path) as image:
        return (image.height, image.width), image.getexif().get(ORIENTATION, 1)
