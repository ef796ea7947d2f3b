"""What a file from outside may cost at most; every loader asks here before it allocates, and after.

A few bytes can claim a picture of terabytes, and unpack to it. So a claim is compared with these limits and
with the bytes that are there to fill it, and what is unpacked is cut off where it exceeds its claim: time and
memory stay in proportion to what is there.
"""

import math
import os
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path

from fsidfusion.errors import InputError

MAX_PIXELS = 500_000_000  # of a picture; --max-megapixels
MAX_VOXELS = 1_000_000_000  # of a volume: a whole body of 512x512x3800
MAX_PAGES = 10_000  # directories of one TIFF file
MAX_TEXT = 256 << 20  # bytes of a text file: tables of a million boxes
MAX_LINES = 32 << 20  # of one whose words or lines become objects: lists, points, times, alignments
MAX_YAML = 512 << 10  # of configurations, classes and calibrations
MAX_METADATA = 64 << 20  # bytes of what stands beside the pixels of a picture
MAX_ROWS = 20_000_000  # of a manifest
MAX_FETCHED = 4 << 30  # bytes of a file from a store
DEFLATE_RATIO = 1032  # bytes that one byte can unpack to at most
MAX_INFLATED = 512 << 20  # bytes of a DICOM file that is packed as a whole
_CHUNK = 1 << 20


def regular_file(path: Path, what: str = "file") -> int:
    """The size in bytes of a file that can be read twice and ends.

    Raises:
        InputError: no such file, a folder, a pipe or a device, a name that cannot be.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 (says which error it is)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read; change its permissions") from error
    except (OSError, ValueError) as error:  # a loop of links, a name too long, a zero byte in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{str(path)[:200]} cannot be opened ({reason}); check the path") from error
    if stat.S_ISDIR(status.st_mode):
        hint = "folders for all inputs or for none" if what == "picture" else "a file"
        raise InputError(f"{path} is a folder, expected a {what}; give {hint}")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is a pipe or a device, expected a {what}; save what it gives to a file")
    return status.st_size


def check_voxels(shape: Iterable[int], name: str) -> None:
    """Refuse a volume over the budget, before anything is allocated for it.

    Raises:
        InputError: it has too many voxels.
    """
    sides = [int(side) for side in shape]
    if math.prod(sides) > MAX_VOXELS:
        size = "x".join(map(str, sides))[:60]
        raise InputError(
            f"{name} has {size} voxels, the limit is {MAX_VOXELS / 1e6:g} million; crop or resample it"
        )


def check_filled(claimed: int, present: int, ratio: int = DEFLATE_RATIO) -> None:
    """Refuse a claim that the bytes present cannot fill, before anything is allocated for it.

    Args:
        claimed: bytes that the header announces.
        present: bytes that are there.
        ratio: that one byte can become at most; 1 for what is not packed.

    Raises:
        ValueError: they cannot.
    """
    if claimed > ratio * present:
        raise ValueError(f"its {present} bytes cannot hold the {claimed} that its header claims")


def inflated_size(chunks: Iterable[bytes | memoryview], limit: int, wbits: int = zlib.MAX_WBITS) -> int:
    """How many bytes a deflated stream unpacks to, without keeping them.

    Args:
        chunks: of the stream.
        limit: where to stop; the result is over it then.
        wbits: as zlib's: 15 zlib, 31 gzip, -15 raw.

    Raises:
        zlib.error: a damaged stream.
    """
    unpacking = zlib.decompressobj(wbits)
    size = 0
    for chunk in chunks:
        while chunk and size <= limit and not unpacking.eof:
            size += len(unpacking.decompress(chunk, _CHUNK))
            chunk = unpacking.unconsumed_tail
        if size > limit or unpacking.eof:
            break
    while size <= limit and not unpacking.eof:  # what the window still holds
        more = unpacking.decompress(b"", _CHUNK)
        if not more:
            break
        size += len(more)
    return size
