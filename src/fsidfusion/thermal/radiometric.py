"""Radiometric files: the camera's measurement beside the picture that is shown.

FLIR's records (:mod:`fsidfusion.thermal.flir`) stand in APP1 segments of a JPEG, also of DJI's Zenmuse XT and
XT2, or in an FFF file. DJI keeps one 16-bit little-endian count a pixel in APP3 segments (H20T, M2EA, M3T,
M30T, M4T) or in APP4 (XT S), as ExifTool's tag table says; what turns them into temperatures is known to
DJI's own library alone.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.images.budget import MAX_METADATA
from fsidfusion.images.files import turn_upright
from fsidfusion.images.pixels import Pixels
from fsidfusion.thermal.flir import MAGIC, Records, from_segments
from fsidfusion.thermal.gain import Levels
from fsidfusion.thermal.grid import grids, lay

Kind = Literal["FLIR", "DJI", "FFF"]

_APP1, _APP3, _APP4, _SCAN = 0xE1, 0xE3, 0xE4, 0xDA
_LEAST_COUNTS = 60 * 80  # of a sensor: less is something else


@dataclass(frozen=True)
class Measurement:
    """What a radiometric file measured, upright and at the size of the picture in it."""

    levels: Levels  # (H, W): float32 degrees Celsius (NaN: none), or uint16 counts
    celsius: bool
    note: str = ""  # how it was laid on the picture, where that is not plain


def find_kind(path: Path) -> Kind | None:
    """Whose radiometric data a file carries, by its first bytes or segments; None for any other file."""
    with path.open("rb") as stream:
        if stream.read(4) == MAGIC:
            return "FFF"
    segments = _segments(path)
    if any(content.startswith(b"FLIR\0") for content in segments.get(_APP1, [])):
        return "FLIR"
    is_dji = b"DJI" in b"".join(segments.get(_APP1, []))[:4096]
    return "DJI" if is_dji and (_APP3 in segments or _size(segments, _APP4)) else None


def read_measurement(path: Path, kind: Kind, shown: Pixels, orientation: int = 1) -> Measurement:
    """Read the raw data of a radiometric JPEG.

    Args:
        path: the file.
        kind: ``FLIR`` or ``DJI``, as :func:`find_kind` says.
        shown: (H, W) or (H, W, 3), the picture in it as stored: the measurement is turned as it was turned,
            and scaled up to it.
        orientation: of EXIF, 1 to 8.

    Raises:
        ValueError: the data are damaged, of an unknown kind, or do not fit the picture.
    """
    try:
        segments = _segments(path)
        if kind == "DJI":
            levels, turn = lay(_dji_grids(segments, shown.shape[:2]), shown)
            celsius = False
        else:
            block = from_segments(segments.get(_APP1, []))
            levels, celsius = levels_of(Records(block or b""))
            levels, turn = lay([levels], shown)
    except (struct.error, IndexError) as error:
        raise ValueError(f"its records are damaged ({error})") from error
    height, width = shown.shape[:2]
    scaled = levels
    if levels.shape != (height, width):
        known = levels[np.isfinite(levels)]
        scaled = cv2.resize(levels, (width, height), interpolation=cv2.INTER_CUBIC)
        with np.errstate(invalid="ignore"):
            np.clip(scaled, known.min(), known.max(), out=scaled)  # cubics overshoot: no level is invented
    note = "" if turn == 1 else "its measurement was turned as its picture is"
    return Measurement(turn_upright(scaled, orientation), celsius, note)


def levels_of(records: Records) -> tuple[Levels, bool]:
    """Temperatures (H, W) in degrees Celsius where the constants are known, else counts; and which.

    Raises:
        ValueError, struct.error: the records are damaged, or hold no counts.
    """
    counts, planck = records.counts(), records.planck()
    if planck is None:
        return counts, False
    celsius = planck.celsius(counts)
    return (celsius, True) if np.isfinite(celsius).any() else (counts, False)


def read_fff(path: Path) -> Measurement:
    """Read an FFF file, or the first frame of a recording.

    Raises:
        ValueError: the data are damaged.
    """
    try:
        return Measurement(*levels_of(Records(path.read_bytes())))
    except (struct.error, IndexError) as error:
        raise ValueError(f"its records are damaged ({error})") from error


def read_embedded(path: Path, size: tuple[int, int], orientation: int = 1) -> Pixels:
    """The picture of the visible sensor in a FLIR file, brought to the view of the thermal one.

    The camera notes how much wider the visible view is, and how far the centre of the thermal one lies from
    its own (in visible pixels); for what is nearer or farther than it was set to, a parallax remains.

    Args:
        path: the file.
        size: (H, W) of the thermal picture shown, as stored, which the result has.
        orientation: of EXIF, 1 to 8.

    Returns:
        (H, W, 3) uint8; black where the visible view ends.

    Raises:
        InputError: no FLIR file, or none with a visible picture.
    """
    kind = find_kind(path)
    if kind not in ("FLIR", "FFF"):
        raise InputError(
            f"{path} embeds no visible picture, as FLIR's radiometric files do; give it by `vis`"
        )
    try:
        block = path.read_bytes() if kind == "FFF" else from_segments(_segments(path).get(_APP1, []))
        records = Records(block or b"")
        optical, place = records.embedded(), records.place()
    except (ValueError, struct.error, IndexError) as error:
        raise InputError(
            f"{path} embeds no visible picture that can be read ({error}); give it by `vis`"
        ) from error
    height, width = size
    scale = np.array((width, height)) / np.array(optical.shape[1::-1]) * place.wider
    centre = (np.array(optical.shape[1::-1]) - 1) / 2 + np.array((place.x, place.y))
    shift = (np.array((width, height)) - 1) / 2 - scale * centre
    matrix = np.array(((scale[0], 0, shift[0]), (0, scale[1], shift[1])), np.float64)
    return turn_upright(cv2.warpAffine(optical, matrix, (width, height)), orientation)


def _dji_grids(segments: dict[int, list[bytes]], picture: tuple[int, int]) -> list[Levels]:
    """DJI's counts on every grid that they may have."""
    for marker in (_APP3, _APP4):
        content = b"".join(segments.get(marker, []))
        if sizes := grids(len(content) // 2, picture) if len(content) % 2 == 0 else []:
            counts = np.frombuffer(content, "<u2").astype(np.uint16)
            return [counts.reshape(size) for size in sizes if size[0] * size[1] >= _LEAST_COUNTS]
    stored = max(sum(map(len, segments.get(marker, []))) for marker in (_APP3, _APP4))
    raise ValueError(
        f"it holds {stored} bytes of thermal counts, which are no known sensor's,"
        f" beside a picture of {picture[1]}x{picture[0]}"
    )


def _size(segments: dict[int, list[bytes]], marker: int) -> int:
    size = sum(map(len, segments.get(marker, [])))
    return size if size >= _LEAST_COUNTS else 0


def _segments(path: Path) -> dict[int, list[bytes]]:
    """The contents of a JPEG's segments before its picture, by marker; {} for any other file.

    What goes beyond the budget for metadata is left out, and missed by whoever needs it.
    """
    found: dict[int, list[bytes]] = {}
    room = MAX_METADATA
    with path.open("rb") as stream:
        if stream.read(2) != b"\xff\xd8":
            return found
        while len(head := stream.read(4)) == 4 and head[0] == 0xFF and head[1] != _SCAN:
            (length,) = struct.unpack(">H", head[2:])
            content = stream.read(max(0, length - 2))
            room -= len(content)
            if len(content) < length - 2 or room < 0:
                break
            found.setdefault(head[1], []).append(content)
    return found
