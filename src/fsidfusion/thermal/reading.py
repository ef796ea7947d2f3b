"""A thermal picture, whatever it holds, as what is fused, with the levels and temperatures behind it."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from fsidfusion.errors import InputError
from fsidfusion.images.deep import ORIENTATION
from fsidfusion.images.files import MAX_PIXELS, Header, Picture, decode_picture, read_header, turn_upright
from fsidfusion.images.pixels import Pixels, quantise
from fsidfusion.thermal.gain import Gain
from fsidfusion.thermal.makers import DJI_WAY_OUT, own_format, shown_alone
from fsidfusion.thermal.radiometric import Kind, find_kind, read_embedded, read_fff, read_measurement
from fsidfusion.thermal.scene import Scene, Thermal, control, interpret
from fsidfusion.thermal.temperature import Unit, to_celsius
from fsidfusion.thermal.temperature_csv import is_csv, read_csv
from fsidfusion.thermal.validity import find_valid


@dataclass(frozen=True)
class Reading:
    """An infrared file."""

    picture: Picture  # what is fused
    scene: Scene
    note: str = ""


def read_thermal(
    path: Path, thermal: Thermal = Thermal(), max_pixels: int = MAX_PIXELS, temperature: bool = False
) -> Reading:
    """Read an infrared file of 8 bits, raw counts, temperatures, false colours, or a radiometric one.

    Args:
        path: the file.
        thermal: what it holds, and its gain.
        max_pixels: as :func:`fsidfusion.images.files.read_picture`.
        temperature: refuse a file without temperatures.

    Raises:
        InputError: a file that cannot be read, degrees asked of a file without temperatures, a window outside
            the picture, a picture in which nothing was measured.
    """
    return show(str(path), *read_scene(path, thermal, max_pixels, temperature), thermal, temperature)


def show(name: str, scene: Scene, picture: Picture, thermal: Thermal, temperature: bool = False) -> Reading:
    """A scene in the range that is fused; see :func:`read_thermal`.

    Args:
        name: of the file, for messages.
        scene: what the file shows.
        picture: the picture in it.
        thermal: its gain.
        temperature: refuse a scene without temperatures.
    """
    gain, threshold = thermal.gain(), thermal.threshold()
    asked = {
        "`temperature`": temperature,
        thermal.gain_option: gain.celsius,
        f"`highlight` {thermal.highlight}": threshold is not None and threshold.unit == "C",
    }
    option = next((name for name, wanted in asked.items() if wanted), None)
    if option and scene.celsius is None:
        reason = f" ({scene.note})" if scene.note else ""
        raise InputError(
            f"{name} holds no temperatures{reason}, but {option} asks for them;"
            " leave it out, or say by `unit` what the numbers are"
        )
    try:
        pixels, note = control(scene, gain)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    profile = picture.profile if pixels.ndim == picture.pixels.ndim else None
    note = "; ".join(filter(None, (scene.note, note)))
    return Reading(replace(picture, pixels=pixels, profile=profile), scene, note)


def read_thermal_header(
    path: Path,
    max_pixels: int = MAX_PIXELS,
    thermal: Thermal = Thermal(),
) -> Header:
    """Size and depth of an infrared file, without decoding where that is possible.

    Raises:
        InputError: as :func:`fsidfusion.images.files.read_header`.
    """
    if path.is_file() and find_kind(path) == "FFF":
        height, width = _read_fff(path)[0].levels.shape
        header = Header("FFF", height, width, 1, 16)
    elif is_csv(path) and path.is_file():
        height, width = read_csv(path).shape
        header = Header("CSV", height, width, 1, 16)
    elif refusal := own_format(path):
        raise InputError(refusal)
    else:
        header = read_header(path, max_pixels)
    height, width = thermal.geometry().size(header.height, header.width)
    return replace(header, height=height, width=width)


def read_scene(
    path: Path, thermal: Thermal, max_pixels: int = MAX_PIXELS, temperature: bool = False
) -> tuple[Scene, Picture]:
    """What an infrared file shows before its gain, and the picture in it; see :func:`read_thermal`.

    Where the measurement of a radiometric file cannot be read, its picture serves, and the note says so.
    """
    scene, picture = _scene(path, thermal, max_pixels, temperature)
    geometry = thermal.geometry()
    if geometry.is_plain:
        return scene, picture
    if geometry.holds_words:
        raise InputError(
            f"{path}: `ir_crop` {geometry.crop} is for videos of such a camera; give a rectangle"
        )
    alpha = None if picture.alpha is None else geometry(picture.alpha)
    return scene.cut(geometry), replace(picture, pixels=geometry(picture.pixels), alpha=alpha)


def _scene(path: Path, thermal: Thermal, max_pixels: int, temperature: bool) -> tuple[Scene, Picture]:
    kind = find_kind(path) if path.is_file() else None
    off = thermal.gain().mode == "off"
    threshold = thermal.threshold()
    degrees = temperature or thermal.gain().celsius or (threshold is not None and threshold.unit == "C")
    if kind == "FFF":
        return _read_fff(path, thermal)
    if is_csv(path) and path.is_file():
        scene = interpret(read_csv(path), thermal, str(path))
        return scene, _as_picture(scene)
    if refusal := own_format(path):
        raise InputError(refusal)
    picture, damage = _decode(path, kind, max_pixels)
    if not kind:
        return _with_note(interpret(picture.pixels, thermal, str(path)), shown_alone(picture.exif)), picture
    if off and not degrees:
        return interpret(picture.pixels, thermal, str(path)), picture
    try:
        measurement = read_measurement(path, kind, *_stored(path, picture.pixels))
    except ValueError as error:
        reason = " ".join(str(error).split())[:160]
        if degrees:
            raise InputError(
                f"{path} holds no temperatures that can be read: {reason}; leave out what asks for degrees"
            ) from error
        note = f"the picture in {kind}'s file was used: {reason}"
        return _with_note(interpret(picture.pixels, thermal, str(path)), note, damage), picture
    levels = measurement.levels
    unit: Unit = "counts" if thermal.unit == "auto" else thermal.unit
    celsius = levels if measurement.celsius else to_celsius(levels, unit)
    if kind == "DJI" and degrees and celsius is None:
        raise InputError(f"{path} holds no temperatures that can be read: {DJI_WAY_OUT}, or say `unit`")
    if off:
        return replace(interpret(picture.pixels, thermal, str(path)), celsius=celsius), picture
    source = "temperatures" if measurement.celsius else "raw counts, without temperatures,"
    note = f"{kind}'s {source} were read beside the picture"
    validity = find_valid(levels)
    scene = Scene(levels, celsius, validity=validity, numbers=measurement.celsius)
    return _with_note(scene, note, measurement.note, damage), picture


def read_visible(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """The visible picture in a FLIR file, in the view and at the size of its thermal one, with its EXIF.

    Raises:
        InputError: as :func:`fsidfusion.thermal.radiometric.read_embedded`, or a file that cannot be read.
    """
    if path.is_file() and find_kind(path) == "FFF":
        return Picture(read_embedded(path, _read_fff(path)[0].levels.shape[:2]))
    shown = decode_picture(path, max_pixels)
    stored, orientation = _stored(path, shown.pixels)
    pixels = read_embedded(path, stored.shape[:2], orientation)
    return replace(shown, pixels=pixels, alpha=None, profile=None)


def _with_note(scene: Scene, *notes: str) -> Scene:
    return replace(scene, note="; ".join(filter(None, (*notes, scene.note))))


def _read_fff(path: Path, thermal: Thermal = Thermal()) -> tuple[Scene, Picture]:
    try:
        measurement = read_fff(path)
    except ValueError as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path} is damaged, or no thermal picture ({reason}); copy it again") from error
    levels = measurement.levels
    unit: Unit = "counts" if thermal.unit == "auto" else thermal.unit
    celsius = levels if measurement.celsius else to_celsius(levels, unit)
    scene = Scene(levels, celsius, validity=find_valid(levels), numbers=measurement.celsius)
    picture = _as_picture(scene)
    note = (
        f"FLIR's {'temperatures' if measurement.celsius else 'raw counts, without temperatures,'} were read"
    )
    return replace(scene, note=note), picture


def _as_picture(scene: Scene) -> Picture:
    """The picture of a file that holds numbers alone."""
    return Picture(quantise(control(scene, Gain("linear"))[0], np.dtype(np.uint16)))


def _decode(path: Path, kind: Kind | None, max_pixels: int) -> tuple[Picture, str]:
    """The picture in a file; that of a radiometric one also where its end is missing, with a note."""
    try:
        return decode_picture(path, max_pixels), ""
    except InputError:
        if not kind:
            raise
        rgb = _decode_cut(path, max_pixels)
        if rgb is None:
            raise
        return Picture(turn_upright(rgb, _orientation(path))), "the picture in it is cut short at its end"


def _decode_cut(path: Path, max_pixels: int) -> Pixels | None:
    """What there is of a JPEG whose end is missing, as stored: (H, W, 3)."""
    whole = io.BytesIO(path.read_bytes() + b"\xff\xd9")  # an end of picture: what is there is decoded
    try:
        with JpegImagePlugin.JpegImageFile(whole) as image:
            return np.asarray(image.convert("RGB")) if image.width * image.height <= max_pixels else None
    except (OSError, SyntaxError, ValueError):
        return None


def _stored(path: Path, upright: Pixels) -> tuple[Pixels, int]:
    """A JPEG's picture as stored, and the orientation that turns it upright."""
    orientation = _orientation(path)
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    return turn_upright(upright, undo), orientation


def _orientation(path: Path) -> int:
    with Image.open(path, formats=("JPEG",)) as image:
        orientation = image.getexif().get(ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1
