"""The stored samples of a DICOM file; what is compressed is decoded in a process of its own.

The decoders of JPEG, JPEG-LS and JPEG 2000 (GDCM, libjpeg, OpenJPEG) trust the sizes in the stream, which
need not be those of the header, and end the program on some streams. The sizes are compared here before; for
what else there may be, they run in a child process.
"""

import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.images.child import Child

if TYPE_CHECKING:
    from pydicom import Dataset

_RLE = "1.2.840.10008.1.2.5"  # run lengths, which pydicom decodes by itself
_SECONDS, _QUICKNESS = (
    60.0,
    1e6,
)  # of a call: to begin with, and samples a second that the slowest decoder gives
_FRAMES_OF_JPEG = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # markers that tell of the size
_J2K, _JPEG = b"\xff\x4f\xff\x51", b"\xff\xd8"

_decoder = Child("fsidfusion.fusion.volumes.dicom_pixels:decode")


def stored_samples(path: Path, header: "Dataset") -> NDArray[Any]:
    """([frames,] rows, columns[, channels]) as stored.

    Args:
        path: the file.
        header: of it, with its transfer syntax.

    Raises:
        ValueError: it cannot be decoded; pydicom raises nearly anything else.
    """
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax.is_deflated or syntax == _RLE:
        return decode(str(path), str(syntax))[0]
    shape = int(header.Rows), int(header.Columns), int(header.get("NumberOfFrames") or 1)
    samples = math.prod(shape) * int(header.get("SamplesPerPixel") or 1)
    size = samples * max(1, int(header.get("BitsAllocated") or 8) // 8)
    seconds = _SECONDS + samples / _QUICKNESS
    return _decoder.call(str(path), str(syntax), size=size, seconds=seconds)[0]


def decode(path: str, syntax: str) -> tuple[NDArray[Any], dict[str, Any]]:
    """The samples of a file, by pydicom and its decoders, in this process; no facts besides."""
    from pydicom import dcmread
    from pydicom.uid import UID

    image = dcmread(path, force=True)
    if "TransferSyntaxUID" not in image.file_meta:
        image.file_meta.TransferSyntaxUID = UID(syntax)
    if image.file_meta.TransferSyntaxUID.is_compressed:
        _check_streams(image)
    return np.asarray(image.pixel_array), {}


def _check_streams(image: "Dataset") -> None:
    """Refuse compressed frames of another size than the header's, for which decoders would allocate."""
    from pydicom.encaps import generate_frames

    wanted = int(image.Rows), int(image.Columns)
    number = int(image.get("NumberOfFrames") or 1)
    for frame in generate_frames(image.PixelData, number_of_frames=number):
        found = _size_in(frame)
        if found is not None and found != wanted:
            raise ValueError(
                f"its stream is of {found[1]}x{found[0]} pixels, its header of {wanted[1]}x{wanted[0]}"
            )


def _size_in(stream: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 stream says it has; None for other streams."""
    if stream[:2] == _JPEG:
        place = 2
        while place + 9 <= len(stream):
            if stream[place] != 0xFF:
                raise ValueError("its stream is no JPEG")
            kind = stream[place + 1]
            if kind in _FRAMES_OF_JPEG:
                rows, columns = struct.unpack_from(">HH", stream, place + 5)
                return rows, columns
            place += 1 if kind == 0xFF else 2 + struct.unpack_from(">H", stream, place + 2)[0]
        raise ValueError("its stream is cut short")
    start = stream.find(_J2K, 0, 1 << 16)  # perhaps behind the boxes of JP2
    if start < 0:
        return None
    right, below, left, top = struct.unpack_from(">4I", stream, start + 8)
    return below - top, right - left
