"""Radiometric JPEG: the camera's measurement beside the picture that is shown.

FLIR keeps its records in APP1 segments that begin with ``FLIR``; they are read by flyr, an optional package.
DJI (H20T and its relatives) keeps one 16-bit little-endian count a pixel in APP3 segments, as ExifTool's tag
table says; what turns them into temperatures is known to DJI's own library alone.
"""

import struct
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from fsidfusion.errors import UserError
from fsidfusion.images import turn_upright
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
        UserError: the data are damaged, or the package that reads them is missing.
    """
    if kind == "DJI":
        counts = b"".join(_segments(path)[_APP3])
        height, width = size
        if len(counts) != 2 * height * width:
            raise UserError(
                f"{path} holds {len(counts)} bytes of thermal counts, expected {2 * height * width} for"
                f" {width}x{height}; give --agc off to use its picture"
            )
        levels = np.frombuffer(counts, "<u2").reshape(height, width).astype(np.uint16)
        return Measurement(turn_upright(levels, orientation), False)
    if not can_read(kind):
        raise UserError("FLIR's radiometric data need flyr (EUPL-1.2): pip install 'fsidfusion[radiometric]'")
    import flyr

    try:
        thermogram = flyr.unpack(str(path))
        celsius = np.asarray(thermogram.celsius, np.float32)
        if celsius.ndim != 2 or celsius.size == 0 or not np.isfinite(celsius).all():
            raise ValueError("they hold no finite temperatures")
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"{path}: its radiometric data cannot be read ({reason}); give --agc off to use its picture"
        ) from error
    scaled = cv2.resize(celsius, size[::-1], interpolation=cv2.INTER_CUBIC)
    np.clip(scaled, celsius.min(), celsius.max(), out=scaled)  # cubics overshoot: no temperature is invented
    return Measurement(turn_upright(scaled, orientation), True)


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
