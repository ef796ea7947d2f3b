"""What Pillow would silently reduce to 8 bits: 16-bit PNG, and TIFF with 16-bit or floating samples.

Samples here are arrays as stored: (H, W) or (H, W, C) with C of gray-alpha 2, RGB 3, RGBA 4.
"""

import logging
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from fsidfusion.images.budget import inflated_size
from fsidfusion.images.exif import PREFIX, add_to_tiff
from fsidfusion.images.tiff import check_segments, read_directories

Samples = NDArray[Any]

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs is raised here

ORIENTATION = 274  # EXIF and TIFF tag, values 1 to 8
_PROFILE = 34675
_CLASSIC = 3 << 30  # bytes of samples that fit into a classic TIFF, whose places are 32 bits
_INTERLACED = 28  # place of that byte of a PNG
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_RGB_ORDER = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}  # OpenCV's codecs speak BGR


def decode_png(content: bytes) -> Samples:
    """Decode a 16-bit PNG; raises ValueError or struct.error for a damaged one."""
    check_png(content)
    samples = _decode_opencv(np.frombuffer(content, np.uint8))
    if samples.dtype != np.uint16:
        raise ValueError("its 16-bit samples cannot be decoded")
    if content[_INTERLACED] or not samples[-1].any():  # black rows may be missing ones
        check_png_rows(content)
    colour_type = content[25]
    return samples[..., [0, 3]] if samples.ndim == 3 and colour_type in (0, 4) else samples  # gray with alpha


def check_png(content: bytes) -> None:
    """Refuse a PNG of which a chunk is damaged: decoders take some such files without a word.

    Raises:
        ValueError, struct.error: as said.
    """
    for _ in _png_chunks(content):
        pass


def check_png_rows(content: bytes) -> None:
    """Refuse a PNG that holds fewer rows than it claims, which decoders make up with black.

    Raises:
        ValueError, zlib.error: as said.
    """
    chunks = _png_chunks(content)
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", next(chunks)[1])
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    steps = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = [
        (-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in steps if x < width and y < height
    ]
    expected = sum(down * (1 + -(-across * bits // 8)) for across, down in rows)
    held = inflated_size((data for name, data in chunks if name == b"IDAT"), expected)
    if held < expected:
        raise ValueError(f"its rows hold {held} of {expected} bytes: image data end early")


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and content of each chunk up to the end, having compared its checksum."""
    whole = memoryview(content)
    place, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, place)
        (stored,) = struct.unpack_from(">I", content, place + 8 + length)
        if zlib.crc32(whole[place + 4 : place + 8 + length]) != stored:
            raise ValueError(f"the checksum of chunk {kind.decode('latin-1')} is wrong")
        yield kind, whole[place + 8 : place + 8 + length]
        place += 12 + length


def encode_png(
    stream: BinaryIO,
    samples: Samples,
    profile: bytes | None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> None:
    """Write uint16 samples as PNG, with an ICC profile and blocks of EXIF and XMP if there are any."""
    if samples.ndim == 3 and samples.shape[2] == 2:
        samples = samples[..., [0, 0, 0, 1]]
    if samples.ndim == 3:
        samples = cv2.cvtColor(samples, _RGB_ORDER[samples.shape[2]])
    done, buffer = cv2.imencode(".png", samples)
    if not done:
        raise ValueError("the PNG encoder failed")
    encoded = memoryview(buffer.data).cast("B")
    stream.write(encoded[:33])  # signature and IHDR: the profile comes before everything else
    chunks = [b"iCCP" + b"profile\0\0" + zlib.compress(profile)] if profile else []
    if exif:
        chunks.append(b"eXIf" + exif.removeprefix(PREFIX))
    if xmp:
        chunks.append(b"iTXtXML:com.adobe.xmp" + bytes(5) + xmp)  # not compressed, of no language
    for chunk in chunks:
        stream.write(struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)))
    stream.write(encoded[33:])


@dataclass(frozen=True)
class TiffHeader:
    """What the first page of a TIFF file says."""

    height: int  # as stored, before it is turned upright
    width: int
    gray: bool
    bits: int
    floating: bool
    orientation: int
    profile: bytes | None
    pages: int  # of this size
    plain: bool  # gray or RGB in samples of 16 or 32 bits, or floating: what decode_tiff reads


def read_tiff_header(stream: BinaryIO) -> TiffHeader:
    """Read the tags of the first page; raises whatever tifffile does for a damaged file."""
    directories = read_directories(stream)
    stream.seek(0)
    with tifffile.TiffFile(stream) as tiff:
        page = _first_page(tiff)
        if (page.imagelength, page.imagewidth) != directories[0].size:
            raise ValueError("its size can be read in two ways")
        orientation, profile = page.tags.get(ORIENTATION), page.tags.get(_PROFILE)
        floating = page.sampleformat == 3
        bits = 32 if floating else int(np.max(page.bitspersample))
        sides = (int(page.imagelength), int(page.imagewidth))
        return TiffHeader(
            *sides,
            gray=page.photometric in (0, 1) and page.samplesperpixel <= 2,
            bits=bits,
            floating=floating,
            orientation=orientation.value if orientation and orientation.value in range(1, 9) else 1,
            profile=profile.value if profile else None,
            pages=sum(other.size == directories[0].size for other in directories),
            plain=(floating or (bits in (16, 32) and page.sampleformat in (1, 2)))
            and page.photometric in (0, 1, 2)
            and page.samplesperpixel <= 4,
        )


def decode_tiff(stream: BinaryIO) -> Samples:
    """Decode the first page: uint16, int16, uint32, int32, or float32 from floating samples; not yet upright.

    tifffile reads what needs no codec beyond deflate, OpenCV the rest (LZW).

    Raises:
        ValueError, zlib.error: the image data end early, or their compression is not read.
    """
    check_tiff(stream)
    with tifffile.TiffFile(stream) as tiff:
        page = _first_page(tiff)
        try:
            samples = np.asarray(page.asarray())
            if samples.ndim == 3 and page.axes.startswith("S"):  # one plane for each channel
                samples = np.moveaxis(samples, 0, -1)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            stream.seek(0)
            content = np.frombuffer(stream.read(), np.uint8).copy()
            tag = page.tags.get(ORIENTATION)
            if tag is not None:  # OpenCV fails on turned TIFF files: show it an upright one
                upright = np.frombuffer(struct.pack(tiff.byteorder + "H", 1), np.uint8)
                content[tag.valueoffset : tag.valueoffset + 2] = upright
            samples = _decode_opencv(content)
        if page.sampleformat == 3:
            return samples.astype(np.float32, copy=False)
        samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
        return ~samples if page.photometric == 0 else samples  # 0: white is zero


def check_tiff(stream: BinaryIO) -> None:
    """Refuse a TIFF file whose first picture is not there whole; leaves the stream at its beginning.

    Raises:
        ValueError, zlib.error: as said.
    """
    check_segments(stream, read_directories(stream)[0])
    stream.seek(0)


def encode_tiff(
    stream: BinaryIO,
    samples: Samples,
    profile: bytes | None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> None:
    """Write uint16 samples as deflated TIFF, with an ICC profile and blocks of EXIF and XMP if there are any.

    ``stream`` is open to read and write. A file too large for a classic TIFF goes without the blocks.
    """
    channels = samples.shape[2] if samples.ndim == 3 else 1
    tifffile.imwrite(
        stream,
        samples,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        predictor=True,
        iccprofile=profile,
        metadata=None,
    )
    if (exif or xmp) and samples.nbytes < _CLASSIC:
        add_to_tiff(stream, exif, xmp)


def _first_page(tiff: tifffile.TiffFile) -> Any:
    return tiff.pages[0]


def _decode_opencv(content: NDArray[np.uint8]) -> Samples:
    samples = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise ValueError("its compression is not read, or its data end early")
    return cv2.cvtColor(samples, _RGB_ORDER[samples.shape[2]]) if samples.ndim == 3 else samples
