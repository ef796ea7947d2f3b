"""Which format a result has, told by its name, and what it holds; the bytes of a picture in it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from PIL import Image, PngImagePlugin

from fsidfusion.errors import InputError
from fsidfusion.images import deep, exif
from fsidfusion.images.pixels import Pixels

if TYPE_CHECKING:
    from fsidfusion.images.files import Picture

Bits = Literal["auto", "8", "16"]

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WebP",
}
READABLE = (*FORMATS, ".gif")  # atlases of medicine give GIF, which is not written
KNOWN = "PNG, JPEG, BMP, TIFF or WebP"
JPEG_QUALITY = 95
_WHOLE_CHROMA = 90  # quality from which chroma is not subsampled
_DEEP_FORMATS = ("PNG", "TIFF")  # these hold 16 bits
_LONGEST_SIDE = {"JPEG": 65_500, "WebP": 16_383}


def encode_picture(stream: BinaryIO, picture: "Picture", name: str, quality: int = JPEG_QUALITY) -> str:
    """Write a picture into a stream; ``name`` is the format that :func:`output_format` has found to hold it.

    Returns:
        what the format could not hold, as one line, or "".
    """
    note = ""
    if picture.alpha is not None and name in ("JPEG", "BMP"):
        picture = replace(picture, alpha=None)
        note = f"{name} holds no transparency: it was dropped"
    if picture.pixels.dtype == np.uint8:
        _save_pillow(stream, picture, name, quality)
    elif name == "PNG":
        deep.encode_png(stream, _joined(picture), picture.profile, picture.exif, picture.xmp)
    else:
        deep.encode_tiff(stream, _joined(picture), picture.profile, picture.exif, picture.xmp)
    return note


def output_format(path: Path, height: int = 1, width: int = 1, bits: int = 8) -> str:
    """Name the format of an output path, having checked that it can hold the picture.

    Raises:
        InputError: an unknown extension, or a depth or side length that the format cannot hold.
    """
    name = FORMATS.get(path.suffix.lower())
    if name is None:
        raise InputError(f"output {path} has no extension of {KNOWN}; give one, such as {path.name}.png")
    if bits > 8 and name not in _DEEP_FORMATS:
        raise InputError(
            f"output {path}: {name} cannot hold {bits} bits; write .png or .tif, or ask for 8 bits"
        )
    limit = _LONGEST_SIDE.get(name)
    if limit and max(height, width) > limit:
        raise InputError(
            f"output {path}: {name} holds {limit} pixels a side, not {width}x{height}; write .png or .tif"
        )
    return name


def output_bits(path: Path, bits: Bits, source_bits: int) -> tuple[Literal[8, 16], str]:
    """The depth to write: for ``auto`` that of the deepest source, as far as the format holds it.

    Returns:
        8 or 16, and one line where ``auto`` had to give up depth (else "").
    """
    if bits != "auto":
        return (16 if bits == "16" else 8), ""
    if source_bits <= 8:
        return 8, ""
    if FORMATS.get(path.suffix.lower()) in _DEEP_FORMATS:
        return 16, ""
    return 8, f"{path.suffix} holds 8 bits only: reduced from {source_bits}, which .png and .tif keep"


def _joined(picture: "Picture") -> Pixels:
    """Pixels with alpha as the last channel, where there is any."""
    return picture.pixels if picture.alpha is None else np.dstack((picture.pixels, picture.alpha))


class _Through:
    """A stream whose writer goes through Python, which names what is wrong with a disk; libtiff does not."""

    def __init__(self, stream: BinaryIO) -> None:
        self.write, self.seek, self.tell = stream.write, stream.seek, stream.tell
        self.read, self.flush, self.truncate = stream.read, stream.flush, stream.truncate


def _save_pillow(stream: BinaryIO, picture: "Picture", name: str, quality: int) -> None:
    image = Image.fromarray(_joined(picture))
    if image.mode == "LA" and name == "WebP":
        image = image.convert("RGBA")
    options: dict[str, dict[str, Any]] = {
        "PNG": {
            "compress_level": 1,
            "compress_type": 3,
        },  # run lengths: photographs shrink as far, and faster
        "JPEG": {"quality": quality, "subsampling": 0 if quality >= _WHOLE_CHROMA else 2},
        "TIFF": {"compression": "tiff_adobe_deflate"},
        "WebP": {"lossless": True, "exact": True, "method": 2, "quality": 20},  # effort, not loss
    }
    known = {"icc_profile": picture.profile, "exif": picture.exif} if name != "BMP" else {}
    later = known.pop("exif", None) if name == "TIFF" else None  # which libtiff refuses
    kept: dict[str, Any] = {key: value for key, value in known.items() if value}
    if picture.xmp and name in ("JPEG", "WebP"):
        kept["xmp"] = picture.xmp
    elif picture.xmp and name == "PNG":
        kept["pnginfo"] = PngImagePlugin.PngInfo()
        kept["pnginfo"].add_itxt("XML:com.adobe.xmp", picture.xmp.decode("utf-8", "replace"))
    target: Any = _Through(stream) if name == "TIFF" else stream
    image.save(target, format=name, **options.get(name, {}), **kept)
    if name == "TIFF" and (later or picture.xmp):
        exif.add_to_tiff(stream, later, picture.xmp)
