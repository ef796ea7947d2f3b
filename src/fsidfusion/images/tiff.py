"""The directories of a TIFF file, read by ourselves before a library follows them.

Libraries follow a chain of directories that loops, take the first or the last of two tags of one kind, fill
strips that are missing with black, and unpack a strip whatever becomes of it. Here each of them is refused.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from fsidfusion.images.budget import MAX_PAGES, inflated_size

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES, _PLANAR, _ROWS = 277, 284, 278
_OFFSETS, _COUNTS, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 322, 323, 324, 325
_NEEDED = (
    _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _ROWS,
    _OFFSETS, _COUNTS, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS,
)  # fmt: skip
_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # whole numbers
_PACKED = {8: 15, 32946: 15}  # compression: zlib's wbits
_PLAIN, _YCBCR = 1, 6
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Directory:
    """Whole numbers of one directory, by tag."""

    values: dict[int, tuple[int, ...]]

    def one(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        return self.values.get(tag, (default,))[0]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) as stored."""
        return self.one(_HEIGHT, 0), self.one(_WIDTH, 0)


def read_directories(stream: BinaryIO) -> list[Directory]:
    """The first directory whole, of the others the sizes.

    Raises:
        ValueError, struct.error: a chain that loops, is too long or leaves the file; a tag there twice.
    """
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
    found: list[Directory] = []
    seen: set[int] = set()
    while place:
        if place in seen:
            raise ValueError("its directories run in a circle")
        if len(found) == MAX_PAGES:
            raise ValueError(f"it has over {MAX_PAGES} directories")
        if place + 2 > end:
            raise ValueError("a directory lies outside the file")
        seen.add(place)
        wanted = (_WIDTH, _HEIGHT) if found else _NEEDED
        directory, place = _read(stream, place, end, order, big, wanted, first=not found)
        found.append(directory)
    if not found:
        raise ValueError("it has no directory")
    return found


def check_segments(stream: BinaryIO, directory: Directory) -> None:
    """Refuse a picture of which strips or tiles are missing, or hold too few or far too many bytes.

    Raises:
        ValueError, zlib.error: as said.
    """
    end = stream.seek(0, os.SEEK_END)
    offsets = directory.values.get(_TILE_OFFSETS) or directory.values.get(_OFFSETS) or ()
    counts = directory.values.get(_TILE_COUNTS) or directory.values.get(_COUNTS) or ()
    compression = directory.one(_COMPRESSION, _PLAIN)
    sizes = list(_segment_sizes(directory))
    if not counts and len(offsets) == len(sizes) == 1:  # of the first days
        counts = (end - offsets[0],)
    if len(offsets) < len(sizes) or len(counts) < len(sizes):
        raise ValueError(f"{min(len(offsets), len(counts))} of its {len(sizes)} strips or tiles are there")
    subsampled = directory.one(_PHOTOMETRIC, 1) == _YCBCR
    for offset, count, (least, most) in zip(offsets, counts, sizes):
        if not offset or not count or offset + count > end:
            raise ValueError("image data end early, or a strip is missing")
        if subsampled:
            continue
        held = count
        if compression in _PACKED:
            held = inflated_size(_chunks(stream, offset, count), most, _PACKED[compression])
            if held > most:
                raise ValueError("a strip unpacks to more than its picture")
        elif compression != _PLAIN:
            continue  # its own decoder is bound by the picture
        if held < least:
            raise ValueError(f"a strip holds {held} of {least} bytes: image data end early")


def _segment_sizes(directory: Directory) -> Iterator[tuple[int, int]]:
    """Bytes that each strip or tile holds at least and at most, unpacked."""
    height, width = directory.size
    samples = directory.one(_SAMPLES, 1)
    bits = directory.values.get(_BITS, (1,))
    apart = directory.one(_PLANAR, 1) == 2 and samples > 1
    wide = max(bits) if apart else (bits[0] * samples if len(bits) < samples else sum(bits[:samples]))
    planes = samples if apart else 1
    if _TILE_OFFSETS in directory.values:
        across, down = directory.one(_TILE_WIDTH, 0), directory.one(_TILE_HEIGHT, 0)
        if not across or not down:
            raise ValueError("its tiles have no size")
        number = -(-width // across) * -(-height // down) * planes
        _check_number(number)
        for _ in range(number):
            yield (size := down * -(-across * wide // 8)), size
        return
    rows = min(directory.one(_ROWS, height) or height, height)
    if rows < 1:
        raise ValueError("its height is 0")
    line = -(-width * wide // 8)
    number = -(-height // rows)
    _check_number(number * planes)
    for _ in range(planes):
        for strip in range(number):
            yield min(rows, height - strip * rows) * line, rows * line


def _check_number(number: int) -> None:
    if number > 10_000_000:
        raise ValueError(f"it claims {number} strips or tiles")


def _chunks(stream: BinaryIO, offset: int, count: int) -> Iterator[bytes]:
    stream.seek(offset)
    while count > 0 and (chunk := stream.read(min(count, _CHUNK))):
        count -= len(chunk)
        yield chunk


def _read(
    stream: BinaryIO, place: int, end: int, order: str, big: bool, wanted: tuple[int, ...], first: bool
) -> tuple[Directory, int]:
    """One directory and the place of the next."""
    stream.seek(place)
    number_format, entry, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    (number,) = struct.unpack(order + number_format, stream.read(8 if big else 2))
    if number > 4096 or place + number * entry > end:
        raise ValueError(f"a directory claims {number} tags")
    block = stream.read(number * entry + struct.calcsize(pointer))
    (following,) = struct.unpack_from(order + pointer, block, number * entry)
    values: dict[int, tuple[int, ...]] = {}
    for start in range(0, number * entry, entry):
        tag, kind = struct.unpack_from(order + "HH", block, start)
        if tag not in wanted:
            continue
        if tag in values and first:
            raise ValueError(f"its tag {tag} is there twice")
        (count,) = struct.unpack_from(order + pointer, block, start + 4)
        values[tag] = _numbers(stream, order, big, kind, count, block, start + (12 if big else 8), end)
    return Directory(values), following


def _numbers(
    stream: BinaryIO, order: str, big: bool, kind: int, count: int, block: Any, place: int, end: int
) -> tuple[int, ...]:
    if kind not in _TYPES or not count:
        raise ValueError(f"a tag that should be a whole number is of type {kind}, {count} times")
    one = struct.calcsize("=" + _TYPES[kind])
    form = f"{order}{count}{_TYPES[kind]}"
    if one * count <= (8 if big else 4):
        return struct.unpack_from(form, block, place)
    (where,) = struct.unpack_from(order + ("Q" if big else "I"), block, place)
    if where + one * count > end:
        raise ValueError("the numbers of a tag lie outside the file")
    stream.seek(where)
    return struct.unpack(form, stream.read(one * count))
