"""EXIF that goes with a picture: when, where and with what it was taken, and nothing of the file it was in.

Dropped are the orientation, which decoding applies, thumbnails, which show another picture, maker's notes,
which break when they are moved, and sizes and layout of the source.
"""

import math
import re
import struct
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

PREFIX = b"Exif\0\0"
_EXIF, _GPS = 34665, 34853  # pointers to the two directories
_XMP = 700  # a tag of TIFF
_MAIN = (270, 271, 272, 305, 306, 315, 33432)  # description, make, model, software, time, artist, copyright
_DROPPED = (37500, 40962, 40963, 40965)  # maker's note, width, height, pointer to interoperability
_FOCAL_35MM, _DIAGONAL_35MM = 41989, 43.27  # a tag; millimetres
_LONGEST = 4096  # bytes of one value
_LARGEST = 60_000  # bytes of a block: a segment of a JPEG holds 65,533
_XMP_ORIENTATION = re.compile(
    rb"""\s*tiff:Orientation=["']\d["']|<tiff:Orientation>\d</tiff:Orientation>\s*"""
)
_ENTRY = 12  # bytes of one entry of a TIFF directory


def carried(exif: Image.Exif) -> bytes | None:
    """What of a source's EXIF a picture made from it keeps, as a block that begins with ``Exif``.

    None where nothing is left, and for a block that is damaged: a picture is worth more than its notes.
    """
    try:
        kept = Image.Exif()
        for tag in _MAIN:
            if exif.get(tag):
                kept[tag] = exif[tag]
        for pointer in (_EXIF, _GPS):
            values = {tag: value for tag, value in exif.get_ifd(pointer).items() if _keeps(tag, value)}
            if values:
                kept[pointer] = values
        block = kept.tobytes() if len(kept) else b""
        return block if 0 < len(block) <= _LARGEST else None
    except Exception:  # whatever Pillow raises for a damaged block
        return None


def carried_xmp(block: object) -> bytes | None:
    """What of a source's XMP a picture made from it keeps: all but the orientation, which decoding applies.

    Drones note there how their gimbal stood, and where they were to the centimetre. None for a block that is
    no XMP, larger than a segment of a JPEG holds, or the first part of several.
    """
    content = block.encode() if isinstance(block, str) else block
    if not isinstance(content, bytes) or b"<x:xmpmeta" not in content or len(content) > _LARGEST:
        return None
    if b"HasExtendedXMP" in content:
        return None
    return _XMP_ORIENTATION.sub(b"", content)


def read_block(block: bytes) -> Image.Exif:
    """The tags of a block that :func:`carried` gave."""
    exif = Image.Exif()
    exif.load(block)
    return exif


def tiff_exif(stream: BinaryIO) -> Image.Exif:
    """The tags of a TIFF file; none where they cannot be read."""
    exif = Image.Exif()
    try:
        stream.seek(0)
        exif.load_from_fp(stream)
    except Exception:  # BigTIFF, or damaged
        return Image.Exif()
    return exif


def field_of_view(exif: Image.Exif, size: tuple[int, int]) -> float | None:
    """The horizontal field of view in degrees of a picture (H, W), by the focal length that would give it on
    35 mm film; None where that is untold."""
    try:
        focal = float(exif.get_ifd(_EXIF).get(_FOCAL_35MM, 0))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not focal > 0:
        return None
    across = _DIAGONAL_35MM * size[1] / math.hypot(*size)
    return math.degrees(2 * math.atan(across / (2 * focal)))


def tiff_xmp(exif: Image.Exif) -> bytes | None:
    """What of a TIFF file's XMP goes with its picture; see :func:`carried_xmp`."""
    block = exif.get(_XMP)
    return carried_xmp(bytes(block) if isinstance(block, tuple) else block)


def add_to_tiff(stream: BinaryIO, block: bytes | None, xmp: bytes | None = None) -> None:
    """Add blocks to a TIFF file that holds none: a new main directory at its end, to which the head points.

    Args:
        stream: of the whole file, open to read and write; little-endian, below 4 GiB, with one directory.
        block: that :func:`carried` gave, if any.
        xmp: likewise :func:`carried_xmp`.
    """
    exif = read_block(block) if block else Image.Exif()
    stream.seek(0)
    head, start = struct.unpack("<4sI", stream.read(8))
    if head != b"II*\0":
        raise ValueError("no little-endian TIFF")
    stream.seek(start)
    (count,) = struct.unpack("<H", stream.read(2))
    old = [stream.read(_ENTRY) for _ in range(count)]
    entries = {struct.unpack_from("<H", entry)[0]: entry for entry in old}
    for tag in _MAIN:
        if tag in exif:
            text = str(exif[tag]).encode("ascii", "replace") + b"\0"
            value = text.ljust(4, b"\0") if len(text) <= 4 else struct.pack("<I", _append(stream, text))
            entries[tag] = struct.pack("<HHI4s", tag, 2, len(text), value)
    for pointer in (_EXIF, _GPS):
        if values := exif.get_ifd(pointer):
            directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
            for key, item in values.items():
                directory[key] = item
            place = _append(stream, directory.tobytes(stream.seek(0, 2) // 2 * 2 + 2))
            entries[pointer] = struct.pack("<HHII", pointer, 4, 1, place)
    if xmp:
        entries[_XMP] = struct.pack("<HHII", _XMP, 1, len(xmp), _append(stream, xmp))
    main = b"".join(entry for _, entry in sorted(entries.items()))
    place = _append(stream, struct.pack("<H", len(entries)) + main + bytes(4))
    stream.seek(4)
    stream.write(struct.pack("<I", place))


def _append(stream: BinaryIO, content: bytes) -> int:
    """Write at the next even place behind the end, which is returned."""
    end = stream.seek(0, 2)
    stream.write(bytes(2 - end % 2))
    stream.write(content)
    return end // 2 * 2 + 2


def _keeps(tag: int, value: object) -> bool:
    return tag not in _DROPPED and not (isinstance(value, bytes | str) and len(value) > _LONGEST)
