"""Radiometric JPEG: the camera's measurement beside the picture that is shown.

FLIR keeps its records in APP1 segments that begin with ``FLIR``; they are read by flyr, an optional package.
DJI (H20T and its relatives) keeps one 16-bit little-endian count a pixel in APP3 segments, as ExifTool's tag
table says; what turns them into temperatures is known to DJI's own library alone.
"""

import struct
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from fsidfusion.errors import FusionError, InputError, MissingDependency
from fsidfusion.images.files import turn_upright
from fsidfusion.images.pixels import Pixels
from fsidfusion.thermal.gain import Levels

Kind = Literal["FLIR", "DJI"]

_APP1, _APP3, _SCAN = 0xE1, 0xE3, 0xDA


@dataclass(frozen=True)
class Measurement:
    """What a radiometric file measured, upright and at the size of the picture in it."""

    levels: Levels  # (H, W): float32 degrees Celsius, or uint16 counts
    celsius: bool


def find_kind(path: Path) -> Kind | None:
    """Whose radiometric data a file carries, by the segments of its header; None for any other file."""
    segments = _segments(path)
    if any(content.startswith(b"FLIR\0") for content in segments.get(_APP1, [])):
        return "FLIR"
    return "DJI" if _APP3 in segments and b"DJI" in b"".join(segments.get(_APP1, []))[:4096] else None


def can_read(kind: Kind) -> bool:
    """Whether the package that reads such files is installed."""
    return kind == "DJI" or find_spec("flyr") is not None


def read_measurement(path: Path, kind: Kind, size: tuple[int, int], orientation: int = 1) -> Measurement:
    """Read the raw data of a radiometric JPEG.

    Args:
        path: the file.
        kind: what :func:`find_kind` says.
        size: (H, W) of the picture shown, as stored; FLIR's coarser grids are scaled up to it.
        orientation: of EXIF, 1 to 8.

    Raises:
        InputError: the data are damaged, or the package that reads them is missing.
    """
    if kind == "DJI":
        counts = b"".join(_segments(path)[_APP3])
        height, width = size
        if len(counts) != 2 * height * width:
            raise InputError(
                f"{path} holds {len(counts)} bytes of thermal counts, expected {2 * height * width} for"
                f" {width}x{height}; give --agc off to use its picture"
            )
        levels = np.frombuffer(counts, "<u2").reshape(height, width).astype(np.uint16)
        return Measurement(turn_upright(levels, orientation), False)
    thermogram = _thermogram(path)
    try:
        celsius = np.asarray(thermogram.celsius, np.float32)
        if celsius.ndim != 2 or celsius.size == 0 or not np.isfinite(celsius).all():
            raise ValueError("they hold no finite temperatures")
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise _unreadable(path, error) from error
    scaled = cv2.resize(celsius, size[::-1], interpolation=cv2.INTER_CUBIC)
    np.clip(scaled, celsius.min(), celsius.max(), out=scaled)  # cubics overshoot: no temperature is invented
    return Measurement(turn_upright(scaled, orientation), True)


def read_embedded(path: Path, size: tuple[int, int], orientation: int = 1) -> Pixels:
    """The picture of the visible sensor in a FLIR file, brought to the view of the thermal one.

    The camera notes how much wider the visible view is, and how far its centre lies from that of the thermal
    one (in thermal pixels); for what is nearer or farther than it was set to, a parallax remains.

    Args:
        path: the file.
        size: (H, W) of the thermal picture shown, as stored, which the result has.
        orientation: of EXIF, 1 to 8.

    Returns:
        (H, W, 3) uint8; black where the visible view ends.

    Raises:
        InputError: no FLIR file, none with a visible picture, or the package that reads it is missing.
    """
    if find_kind(path) != "FLIR":
        raise InputError(
            f"{path} embeds no visible picture, as FLIR's radiometric files do; give it by --vis"
        )
    thermogram = _thermogram(path)
    try:
        optical, place = np.asarray(thermogram.optical, np.uint8), thermogram.pip_info
        sensor = thermogram.celsius.shape
        wider = float(place.real_to_ir)
        offset = np.array((place.offset_x, place.offset_y)) * (optical.shape[1] / sensor[1])
        if not 0.2 < wider < 20 or optical.ndim != 3:
            raise ValueError("its place is not noted")
    except Exception as error:  # flyr tells by errors of all kinds that there is none
        raise InputError(f"{path} embeds no visible picture that can be read; give it by --vis") from error
    height, width = size
    scale = np.array((width, height)) / np.array(optical.shape[1::-1]) * wider
    centre = (np.array(optical.shape[1::-1]) - 1) / 2 + offset
    shift = (np.array((width, height)) - 1) / 2 - scale * centre
    matrix = np.array(((scale[0], 0, shift[0]), (0, scale[1], shift[1])), np.float64)
    return turn_upright(cv2.warpAffine(optical, matrix, (width, height)), orientation)


def _thermogram(path: Path) -> Any:
    if not can_read("FLIR"):
        raise MissingDependency(
            "FLIR's radiometric data need flyr (EUPL-1.2): pip install 'fsidfusion[radiometric]'"
        )
    import flyr

    try:
        return flyr.unpack(str(path))
    except Exception as error:  # an untrusted file
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> FusionError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return InputError(
        f"{path}: its radiometric data cannot be read ({reason}); give --agc off to use its picture"
    )


def _segments(path: Path) -> dict[int, list[bytes]]:
    """The contents of a JPEG's segments before its picture, by marker; {} for any other file."""
    found: dict[int, list[bytes]] = {}
    with path.open("rb") as stream:
        if stream.read(2) != b"\xff\xd8":
            return found
        while len(head := stream.read(4)) == 4 and head[0] == 0xFF and head[1] != _SCAN:
            (length,) = struct.unpack(">H", head[2:])
            content = stream.read(max(0, length - 2))
            if len(content) < length - 2:
                break
            found.setdefault(head[1], []).append(content)
    return found
