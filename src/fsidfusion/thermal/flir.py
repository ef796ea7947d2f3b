"""FLIR's own records: raw counts, the constants that turn them into temperatures, and the visible picture.

The records stand in an ``FFF`` file, in APP1 segments of a JPEG, or one after the other in a recording (SEQ,
CSQ). Their layout and both byte orders are as the tag tables of ExifTool document them (FLIR.html). Counts go
to temperatures by Planck's law with constants of each camera, less what the air, the surroundings and a
window add (Minkina and Dudzik, Infrared Thermography, Wiley 2009; Usamentiaga et al., Sensors 14, 2014).
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fsidfusion.errors import install
from fsidfusion.images.pixels import Pixels
from fsidfusion.thermal.validity import natural_order

Counts = NDArray[np.uint16]  # (H, W)

MAGIC = b"FFF\0"
_SEGMENT = b"FLIR\0"
_HEADER, _ENTRY = 64, 32  # bytes
_RAW, _EMBEDDED, _CAMERA, _PLACE = 0x01, 0x0E, 0x20, 0x2A  # types of records
_MOST_RECORDS = 4096
_LONGEST_SIDE = 16_384
_MOST_VISIBLE = 50_000_000  # pixels of the visible picture; cameras have up to 13 million
_ZERO_CELSIUS = 273.15
_COLDEST, _HOTTEST = -150.0, 4000.0  # degrees Celsius that a camera can mean


@dataclass(frozen=True)
class Planck:
    """What turns counts into temperatures; kelvin, metres and shares of 1."""

    r1: float
    b: float
    f: float
    o: float
    r2: float
    emissivity: float = 1.0
    distance: float = 0.0
    reflected: float = 293.15
    air: float = 293.15
    window: float = 293.15
    window_transmission: float = 1.0
    humidity: float = 0.5
    alpha: tuple[float, float] = (0.0, 0.0)
    beta: tuple[float, float] = (0.0, 0.0)
    x: float = 1.0

    @property
    def is_known(self) -> bool:
        """Whether the constants can turn counts into temperatures; some cameras leave them zero."""
        return self.r1 > 0 and self.r2 > 0 and self.b > 0 and 0 < self.emissivity <= 1.5

    def celsius(self, counts: Counts) -> NDArray[np.float32]:
        """Counts (H, W) in degrees Celsius; NaN where the law gives none."""
        steam = self.humidity * np.exp(
            1.5587 + 0.06939 * (t := self.air - _ZERO_CELSIUS) - 0.00027816 * t**2 + 0.00000068455 * t**3
        )
        far, damp = np.sqrt(max(0.0, self.distance)), np.sqrt(max(0.0, float(steam)))
        first, second = (np.exp(-far * (a + b * damp)) for a, b in zip(self.alpha, self.beta))
        through = float(self.x * first + (1 - self.x) * second)  # of the air
        through = through if 0 < through <= 1.5 else 1.0
        glass = self.window_transmission if 0 < self.window_transmission <= 1 else 1.0
        seen = self.emissivity * through * glass
        added = (
            (1 - self.emissivity) / self.emissivity * self._count(self.reflected)
            + (1 - through) / (self.emissivity * through) * self._count(self.air)
            + (1 - glass) / seen * self._count(self.window)
        )
        own = counts.astype(np.float64) / seen - added
        with np.errstate(divide="ignore", invalid="ignore"):
            kelvin = self.b / np.log(self.r1 / (self.r2 * (own + self.o)) + self.f)
            celsius = kelvin - _ZERO_CELSIUS
            celsius[~((celsius > _COLDEST) & (celsius < _HOTTEST))] = np.nan
        return np.asarray(celsius, np.float32)

    def _count(self, kelvin: float) -> float:
        """The count of a black body."""
        with np.errstate(over="ignore"):  # of constants that are damaged: no count is left
            return float(self.r1 / (self.r2 * (np.exp(self.b / max(kelvin, 1.0)) - self.f)) - self.o)


@dataclass(frozen=True)
class Place:
    """Where the thermal view lies in the embedded visible picture."""

    wider: float  # how much wider the visible view is
    x: int  # of the thermal centre from the visible one, in visible pixels
    y: int


class Records:
    """One FFF block.

    Raises:
        ValueError, struct.error: no such block, or a damaged one.
    """

    def __init__(self, block: bytes | memoryview) -> None:
        block = memoryview(block)
        if bytes(block[:4]) != MAGIC:
            raise ValueError("its FLIR records do not begin with FFF")
        self._order = ">" if 100 <= struct.unpack_from(">I", block, 20)[0] < 200 else "<"
        start, number = struct.unpack_from(self._order + "II", block, 24)
        if not 0 < number <= _MOST_RECORDS or start + _ENTRY * number > len(block):
            raise ValueError(f"its FLIR directory names {number} records, which do not fit")
        self._block = block
        self._places: dict[int, tuple[int, int]] = {}
        self.length = start + _ENTRY * number
        for place in range(start, start + _ENTRY * number, _ENTRY):
            kind, *_, offset, size = struct.unpack_from(self._order + "HHIIII", block, place)
            if kind and size:
                self._places.setdefault(kind, (offset, size))
                self.length = max(self.length, offset + size)

    def counts(self) -> Counts:
        """The raw counts (H, W). ValueError where there are none, or they end early."""
        record, order = self._record(_RAW, "raw counts")
        width, height = struct.unpack_from(order + "HH", record, 2)
        if not (0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE):
            raise ValueError(f"its raw counts are said to be {width}x{height}")
        body = record[_ENTRY:]
        if bytes(body[:2]) == b"\xff\xd8":
            return _decode_jpeg_ls(bytes(body), width, height)
        if bytes(body[:4]) == b"\x89PNG":
            if bytes(body[16:24]) != struct.pack(">II", width, height):
                raise ValueError("the PNG of its raw counts is of another size")
            decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
            if decoded is None or decoded.shape != (height, width) or decoded.dtype != np.uint16:
                raise ValueError("the PNG of its raw counts is damaged")
            counts: Counts = np.asarray(decoded, np.uint16).byteswap()
            return natural_order(counts)  # most cameras write little-endian into it
        if len(body) < 2 * width * height:
            raise ValueError(f"its raw counts end after {len(body)} of {2 * width * height} bytes")
        stored = np.frombuffer(body, order + "u2", width * height).reshape(height, width)
        return stored.astype(np.uint16)

    def planck(self) -> Planck | None:
        """The constants; None where the file has none that say something."""
        if _CAMERA not in self._places:
            return None
        record, order = self._record(_CAMERA, "camera data")
        if len(record) < 0x310:
            return None

        def at(place: int) -> float:
            return float(struct.unpack_from(order + "f", record, place)[0])

        constants = Planck(
            r1=at(0x58),
            b=at(0x5C),
            f=at(0x60),
            o=float(struct.unpack_from(order + "i", record, 0x308)[0]),
            r2=at(0x30C),
            emissivity=at(0x20),
            distance=at(0x24),
            reflected=at(0x28),
            air=at(0x2C),
            window=at(0x30),
            window_transmission=at(0x34),
            humidity=at(0x3C),
            alpha=(at(0x70), at(0x74)),
            beta=(at(0x78), at(0x7C)),
            x=at(0x80),
        )
        return constants if constants.is_known else None

    def seconds(self) -> float | None:
        """When it was taken, in seconds since 1970 (UTC)."""
        if _CAMERA not in self._places:
            return None
        record, order = self._record(_CAMERA, "camera data")
        if len(record) < 0x38E:
            return None
        whole, thousandths = struct.unpack_from(order + "II", record, 0x384)
        return float(whole + (thousandths & 0xFFFF) / 1000) if whole else None

    def rate(self) -> float | None:
        """Frames a second."""
        if _CAMERA not in self._places:
            return None
        record, order = self._record(_CAMERA, "camera data")
        rate = struct.unpack_from(order + "H", record, 0x464)[0] if len(record) >= 0x466 else 0
        return float(rate) if 0 < rate <= 1000 else None

    def embedded(self) -> Pixels:
        """The visible picture (H, W, 3), uint8. ValueError where there is none, or it is damaged."""
        record, order = self._record(_EMBEDDED, "visible picture")
        width, height = struct.unpack_from(order + "HH", record, 2)
        body = bytes(record[_ENTRY:])
        try:
            # of these kinds alone: for others Pillow would start programs (PostScript)
            image = Image.open(io.BytesIO(body), formats=("JPEG", "PNG"))
            if image.width * image.height > _MOST_VISIBLE:
                raise ValueError("its visible picture is said to be too large")
            planes = np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            luma, chroma = width * height, width * height
            if len(body) < luma + chroma:
                raise ValueError("its visible picture is of an unknown kind") from None
            raise ValueError("its visible picture is stored raw, which is not read") from None
        if image.format == "PNG":  # which holds Y, Cb, Cr in the place of R, G, B
            return cv2.cvtColor(np.ascontiguousarray(planes[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
        return planes

    def place(self) -> Place:
        """Where the thermal view lies in the visible picture. ValueError where that is not noted."""
        record, order = self._record(_PLACE, "place of the visible picture")
        wider, x, y = struct.unpack_from(order + "fhh", record, 0)
        if not 0.2 < wider < 20:
            raise ValueError("the place of its visible picture is not noted")
        return Place(float(wider), int(x), int(y))

    def _record(self, kind: int, what: str) -> tuple[memoryview, str]:
        """A record, and its byte order: a record of its own, unlike that of the directory."""
        if kind not in self._places:
            raise ValueError(f"it holds no {what}")
        offset, size = self._places[kind]
        record = self._block[offset : offset + size]
        if len(record) < min(size, _ENTRY):
            raise ValueError(f"its {what} end early")
        if kind == _PLACE:  # begins with its first value
            wider = struct.unpack_from("<f", record)[0]
            return record, "<" if 0.2 < wider < 20 else ">"
        return record, "<" if struct.unpack_from("<H", record)[0] < 0x100 else ">"


def from_segments(segments: list[bytes]) -> bytes | None:
    """The FFF block in APP1 segments of a JPEG; None where there is none."""
    parts = [segment for segment in segments if segment.startswith(_SEGMENT) and len(segment) > 8]
    parts.sort(key=lambda part: part[6])  # stable: number of the part, of part[7] + 1
    return b"".join(part[8:] for part in parts) or None


def frames(content: Any) -> Iterator[Records]:
    """The blocks of a recording, which is bytes or a memory map.

    Raises:
        ValueError: a block that is damaged.
    """
    place = content.find(MAGIC)
    while place >= 0:
        try:
            records = Records(content[place : _end(content, place)])
        except struct.error as error:
            raise ValueError("its last frame is cut short") from error
        yield records
        place = content.find(MAGIC, place + max(_HEADER, records.length))


def _end(content: Any, place: int) -> int:
    """Where a block that begins at ``place`` ends at the latest: where the next one begins."""
    order = ">" if 100 <= struct.unpack(">I", content[place + 20 : place + 24])[0] < 200 else "<"
    start, number = struct.unpack(order + "II", content[place + 24 : place + 32])
    end = place + start + _ENTRY * min(number, _MOST_RECORDS)
    for entry in range(place + start, end, _ENTRY):
        part = content[entry : entry + 20]
        if len(part) == 20:
            offset, size = struct.unpack(order + "II", part[12:20])
            end = max(end, place + offset + size)
    return min(end, len(content))


def _decode_jpeg_ls(content: bytes, width: int, height: int) -> Counts:
    """16-bit JPEG-LS, as CSQ recordings hold it. ValueError where it is damaged, or PyAV is missing."""
    try:
        import av
    except ImportError:
        raise ValueError(f"its counts are JPEG-LS, which needs PyAV: {install('video')}") from None
    decoder: Any = av.CodecContext.create("jpegls", "r")
    try:
        decoded = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]
    except (OSError, ValueError) as error:
        raise ValueError(f"the JPEG-LS of its counts is damaged ({error})") from error
    if not decoded or (decoded[0].height, decoded[0].width) != (height, width):
        raise ValueError("the JPEG-LS of its counts is damaged")
    return np.asarray(decoded[0].to_ndarray(format="gray16le"), np.uint16)
