"""Picture files and arrays: every format, bit depth and orientation in; whole files or none out.

What a file is, is told by its content; what is written, by the name. Sources stay in their own bit depth.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from fsidfusion.errors import FusionError, InputError
from fsidfusion.images import deep, exif
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.budget import DEFLATE_RATIO, MAX_PIXELS, check_filled, regular_file
from fsidfusion.images.encode import JPEG_QUALITY, KNOWN, encode_picture, output_format
from fsidfusion.images.jpeg import check_jpeg
from fsidfusion.images.pixels import Pixels, check_pixels, is_gray

_RLE_RATIO = 256  # pixels that one byte of a run-length coded BMP can stand for
_PIXELS_A_BYTE = {  # likewise of others; WebP has no such bound
    "PNG": 8 * DEFLATE_RATIO,  # of one bit each
    "JPEG": 1024,  # a block of 64 takes a bit or more
    "GIF": 4096,  # the longest word takes 12 bits
}
_LIMIT_LOCK = threading.Lock()
_unlimited = 0  # readers at work
_their_limit: int | None = None

# The plugins themselves, not Image.open, whose limit of pixels only a process-wide switch can lift.
_PLUGINS: dict[str, Any] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
}


@dataclass(frozen=True)
class Picture:
    """One decoded picture, upright."""

    pixels: Pixels  # (H, W) gray or (H, W, 3) RGB: uint8, uint16 or float32 0..1 (decode_picture: any)
    alpha: Pixels | None = None  # (H, W), of the type of pixels
    profile: bytes | None = None  # ICC colour profile
    exif: bytes | None = None  # what fsidfusion.images.exif.carried keeps: time, place and camera
    xmp: bytes | None = None  # likewise carried_xmp: gimbal, exact place

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


@dataclass(frozen=True)
class Header:
    """What a file says of its picture before it is decoded."""

    format: str
    height: int  # of the upright picture
    width: int
    channels: int  # 1 or 3; alpha is not counted
    bits: int  # of one sample

    @property
    def bytes(self) -> int:
        """Of the decoded pixels, without alpha."""
        return self.height * self.width * self.channels * -(-self.bits // 8)


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Read size and depth without decoding.

    Raises:
        InputError: missing, empty, unreadable, no picture, or more than ``max_pixels``.
    """
    return _decode(path, max_pixels, header_only=True)[0]


def read_picture(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a PNG, JPEG, BMP, TIFF, WebP or GIF file at its full bit depth, with its orientation applied.

    Args:
        path: the file.
        max_pixels: a picture with more pixels is refused before it is decoded.

    Raises:
        InputError: all of :func:`read_header`; a damaged or cut file, several pictures in one, samples other
            than 8 or 16 bits or floats, floats that are NaN or outside 0..1.
    """
    picture = decode_picture(path, max_pixels)
    check_pixels(picture.pixels, str(path))
    return picture


def decode_picture(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """As :func:`read_picture`, but floats, signed and 32-bit numbers are given back as they are stored.

    Raises:
        InputError: as :func:`read_picture`, but for the values.
    """
    picture = _decode(path, max_pixels, header_only=False)[1]
    assert picture is not None
    return picture


def is_lossy_webp(path: Path) -> bool:
    """Whether a file is a WebP picture compressed with loss: it holds a chunk ``VP8 ``, not ``VP8L``."""
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WEBP":
            return False
        while len(chunk := stream.read(8)) == 8:
            if chunk[:4] in (b"VP8 ", b"VP8L"):
                return chunk[:4] == b"VP8 "
            size = int.from_bytes(chunk[4:], "little")
            stream.seek(size + size % 2, 1)
    return False


def write_picture(path: Path, picture: Picture, quality: int = JPEG_QUALITY) -> str:
    """Write a uint8 or uint16 picture in the format that the name asks for, whole or not at all.

    JPEG is written at a quality of 1 to 100, from 90 on without chroma subsampling, WebP without loss.
    Missing folders are made.

    Returns:
        what the format could not hold, as one line, or "".

    Raises:
        InputError: an unknown extension, a depth or size that the format cannot hold, or a failed write.
    """
    name = output_format(path, *picture.size, bits=8 * picture.pixels.dtype.itemsize)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as stream:
            return encode_picture(stream, picture, name, quality)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be written ({_line(error)}); choose another output or make room"
        ) from error


def _decode(path: Path, max_pixels: int, header_only: bool) -> tuple[Header, Picture | None]:
    size = regular_file(path, "picture")
    try:
        with path.open("rb") as stream:
            name = _recognise(path, stream.read(16))
            stream.seek(0)
            if name == "TIFF":
                header, picture = _decode_tiff(path, stream, max_pixels, header_only)
            else:
                header, picture = _decode_pillow(path, stream, name, max_pixels, header_only, size)
            if picture is not None and picture.size != (header.height, header.width):
                raise ValueError("its size can be read in two ways")
            return header, picture
    except (FusionError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read; change its permissions") from error
    except ImportError as error:  # of a decoder for some compressions of TIFF
        raise InputError(f"{path} has a compression that is not read here; save it with another") from error
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise InputError(f"{path} is damaged or cut short ({_line(error)}); copy or save it again") from error


def _recognise(path: Path, head: bytes) -> str:
    if not head:
        raise InputError(f"{path} is empty (0 bytes); copy or save it again")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    raise InputError(f"{path} is not a picture of a known kind; expected {KNOWN}")


def _check_size(path: Path, header: Header, max_pixels: int) -> None:
    if header.height * header.width > max_pixels:
        raise InputError(
            f"{path} has {header.width}x{header.height} pixels, the limit is {max_pixels / 1e6:g} megapixels;"
            " raise it (`max_pixels`) if this is the picture you mean"
        )


def _decode_pillow(
    path: Path, stream: BinaryIO, name: str, max_pixels: int, header_only: bool, size: int
) -> tuple[Header, Picture | None]:
    if name == "WebP":  # whose plugin allocates when it opens
        _check_size(path, Header(name, *_webp_size(stream), 3, 8), max_pixels)
    with _without_limit():
        image = _PLUGINS[name](stream)
    bits = 8
    tags = Image.Exif()
    if name == "PNG":
        stream.seek(24)
        bits = max(8, stream.read(1)[0])
        if "exif" in image.info:
            tags.load(image.info["exif"])
    elif name not in ("BMP", "GIF"):
        tags = image.getexif()
    orientation = tags.get(deep.ORIENTATION, 1)
    width, height = image.size if orientation < 5 else image.size[::-1]
    header = Header(name, height, width, 1 if image.mode in ("1", "L", "LA", "I;16", "I") else 3, bits)
    _check_size(path, header, max_pixels)
    if name == "BMP" and image.tile and image.tile[0][0] == "bmp_rle":
        check_filled(height * width, size, _RLE_RATIO)
    elif name in _PIXELS_A_BYTE:
        check_filled(height * width, size, _PIXELS_A_BYTE[name])
    if header_only:
        return header, None
    if getattr(image, "n_frames", 1) > 1:
        raise InputError(
            f"{path} is an animation of {image.n_frames} pictures, expected one; save one frame by itself"
        )
    kept = exif.carried(tags)
    xmp = exif.carried_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
    if bits == 16:
        stream.seek(0)
        picture = _split_alpha(deep.decode_png(stream.read()), image.info.get("icc_profile"))
        return header, replace(_upright(picture, orientation), exif=kept, xmp=xmp)
    if name == "PNG":
        _check_png(stream, image)
    elif name == "JPEG":
        with _without_limit():
            check_jpeg(stream, image)
    picture = _from_pillow(ImageOps.exif_transpose(image))
    if name in ("WebP", "GIF") and is_gray(picture.pixels):  # the other formats say what they mean
        picture = Picture(np.ascontiguousarray(picture.pixels[..., 0]), picture.alpha, None)
    return header, replace(picture, exif=kept, xmp=xmp)


def _check_png(stream: BinaryIO, image: Any) -> None:
    """Refuse a damaged PNG that Pillow takes: wrong checksums of pixels, and rows that are not there."""
    place = stream.tell()
    stream.seek(0)
    content = stream.read()
    deep.check_png(content)
    stream.seek(place)
    image.load()
    last = image.crop((0, image.height - 1, image.width, image.height))
    if image.info.get("interlace") or not np.asarray(last).any():  # black rows may be missing ones
        deep.check_png_rows(content)


def _webp_size(stream: BinaryIO) -> tuple[int, int]:
    """(H, W) that the first chunk of a WebP file announces."""
    head = stream.read(30)
    stream.seek(0)
    if head[12:16] == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    elif head[12:16] == b"VP8L":
        packed = int.from_bytes(head[21:25], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return height, width


@contextmanager
def _without_limit() -> Iterator[None]:
    """Pillow's own limit, which is one for the whole process, off while ours is in force."""
    global _unlimited, _their_limit
    with _LIMIT_LOCK:
        if not _unlimited:
            _their_limit = Image.MAX_IMAGE_PIXELS
            Image.MAX_IMAGE_PIXELS = None
        _unlimited += 1
    try:
        yield
    finally:
        with _LIMIT_LOCK:
            _unlimited -= 1
            if not _unlimited:
                Image.MAX_IMAGE_PIXELS = _their_limit


def _decode_tiff(
    path: Path, stream: BinaryIO, max_pixels: int, header_only: bool
) -> tuple[Header, Picture | None]:
    tiff = deep.read_tiff_header(stream)
    sides = (tiff.height, tiff.width) if tiff.orientation < 5 else (tiff.width, tiff.height)
    header = Header("TIFF", *sides, 1 if tiff.gray else 3, tiff.bits)
    _check_size(path, header, max_pixels)
    if header_only:
        return header, None
    if tiff.pages > 1:
        raise InputError(f"{path} is a stack of {tiff.pages} pictures, expected one; save one page by itself")
    tags = exif.tiff_exif(stream)
    kept, xmp = exif.carried(tags), exif.tiff_xmp(tags)
    stream.seek(0)
    if tiff.bits <= 8:  # Pillow turns the picture upright itself
        deep.check_tiff(stream)
        with _without_limit():
            return header, replace(_from_pillow(_PLUGINS["TIFF"](stream)), exif=kept, xmp=xmp)
    if not tiff.plain:
        raise InputError(
            f"{path} has {tiff.bits}-bit samples of an unusual kind; save it as 8- or 16-bit gray or RGB,"
            " or temperatures as float"
        )
    picture = _split_alpha(deep.decode_tiff(stream), tiff.profile)
    return header, replace(_upright(picture, tiff.orientation), exif=kept, xmp=xmp)


def _from_pillow(image: Image.Image) -> Picture:
    profile = image.info.get("icc_profile")
    if "transparency" in image.info or image.mode in ("PA", "La", "RGBa"):
        image = image.convert("RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        profile = (
            profile if image.mode == "P" else None
        )  # a CMYK profile does not fit the RGB that is made here
        image = image.convert("RGB")
    return _split_alpha(np.asarray(image), profile)


def _split_alpha(samples: Pixels, profile: bytes | None) -> Picture:
    """(H, W[, C]) with 1 to 4 channels, alpha last, to a Picture."""
    if samples.ndim == 2:
        return Picture(samples, None, profile)
    colour = samples.shape[2] // 3 * 2 + 1  # 1, 2 -> 1 channel; 3, 4 -> 3
    alpha = np.ascontiguousarray(samples[..., -1]) if samples.shape[2] in (2, 4) else None
    pixels = samples[..., 0] if colour == 1 else samples[..., :3]
    return Picture(np.ascontiguousarray(pixels), alpha, profile)


def _upright(picture: Picture, orientation: int) -> Picture:
    alpha = None if picture.alpha is None else turn_upright(picture.alpha, orientation)
    return replace(picture, pixels=turn_upright(picture.pixels, orientation), alpha=alpha)


def turn_upright(samples: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation, 1 to 8, to (H, W[, C]) samples as stored."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(samples[rows, columns])


def _line(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
