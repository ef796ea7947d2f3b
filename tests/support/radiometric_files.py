"""Files that hold what thermal cameras write, made here."""

import io
import struct
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image


def centikelvin(celsius):
    return np.rint((np.asarray(celsius) + 273.15) * 100).astype(np.uint16)


def warm_scene(size=(48, 64), target=37.0):
    """Degrees Celsius: a wall at 18..22, and a person."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    celsius = 20 + 2 * np.sin(rows / 7) * np.cos(columns / 9)
    celsius[10:40, 20:32] = target
    return celsius.astype(np.float32)


def write_deep(path: Path, counts) -> Path:
    """uint16 as TIFF or PNG, by the packages that others write them with."""
    if path.suffix == ".png":
        Image.fromarray(counts).save(path)
    else:
        tifffile.imwrite(path, counts)
    return path


def write_jpeg_with_segments(path: Path, rgb, segments, exif=None) -> Path:
    """A JPEG with further segments, as (marker, content), in front of its picture."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=95, **({"exif": exif} if exif else {}))
    content = stream.getvalue()
    made = b"".join(
        bytes((0xFF, marker)) + struct.pack(">H", len(part) + 2) + part for marker, part in segments
    )
    length = struct.unpack(">H", content[4:6])[0] + 4 if exif else 2  # EXIF stays first
    path.write_bytes(content[:length] + made + content[length:])
    return path


def write_dji(path: Path, counts, orientation=1) -> Path:
    """A radiometric JPEG as DJI's H20T writes it: a dark picture, and the counts in APP3 segments."""
    exif = Image.Exif()
    exif[271], exif[272], exif[274] = "DJI", "ZH20T", orientation
    raw = counts.astype("<u2").tobytes()
    segments = [(0xE3, raw[i : i + 60_000]) for i in range(0, len(raw), 60_000)]
    return write_jpeg_with_segments(path, np.full((*counts.shape, 3), 9, np.uint8), segments, exif)


PLANCK = {"r1": 17000.0, "b": 1430.0, "f": 1.0, "o": -6000, "r2": 0.0125}


def planck_counts(celsius):
    """Counts of a camera with PLANCK that sees a black body at no distance."""
    kelvin = np.asarray(celsius, np.float64) + 273.15
    counts = PLANCK["r1"] / (PLANCK["r2"] * (np.exp(PLANCK["b"] / kelvin) - PLANCK["f"])) - PLANCK["o"]
    return np.rint(counts).astype(np.uint16)


def camera_record(order="<", **changed):
    """FLIR's record of the constants; what is not given is 1, or no effect."""
    record = bytearray(0x470)
    struct.pack_into(order + "H", record, 0, 2)
    values = {"emissivity": 1.0, "distance": 0.0, "kelvin": 293.15, "window": 1.0, "humidity": 0.5, **PLANCK}
    values |= changed
    for place, name in (
        (0x20, "emissivity"),
        (0x24, "distance"),
        (0x28, "kelvin"),
        (0x2C, "kelvin"),
        (0x30, "kelvin"),
        (0x34, "window"),
        (0x3C, "humidity"),
        (0x58, "r1"),
        (0x5C, "b"),
        (0x60, "f"),
        (0x30C, "r2"),
    ):
        struct.pack_into(order + "f", record, place, values[name])
    for place, value in ((0x70, 0.0066), (0x74, 0.0126), (0x78, -0.0023), (0x7C, -0.0067), (0x80, 1.9)):
        struct.pack_into(order + "f", record, place, value)
    struct.pack_into(order + "i", record, 0x308, int(values["o"]))
    struct.pack_into(order + "II", record, 0x384, values.get("seconds", 0), 250)
    struct.pack_into(order + "H", record, 0x464, 9)
    return bytes(record)


def raw_record(counts, order="<", body=None):
    """FLIR's record of counts, as they are or in the body that is given."""
    head = struct.pack(order + "HHH", 2, counts.shape[1], counts.shape[0]).ljust(32, b"\0")
    return head + (counts.astype(order + "u2").tobytes() if body is None else body)


def fff(records, order=">"):
    """An FFF block of records, as (kind, content), with a directory in the given byte order."""
    place = 64 + 32 * len(records)
    directory, bodies = b"", b""
    for kind, content in records:
        entry = struct.pack(order + "HHIIII", kind, 2, 100, 1, place + len(bodies), len(content))
        directory += entry.ljust(32, b"\0")
        bodies += content
    head = b"FFF\0" + b"test".ljust(16, b"\0") + struct.pack(order + "III", 100, 64, len(records))
    return head.ljust(64, b"\0") + directory + bodies


def write_flir(path: Path, rgb, block, exif=None) -> Path:
    """A radiometric JPEG as FLIR writes it: the block in APP1 segments."""
    parts = [block[i : i + 60_000] for i in range(0, len(block), 60_000)]
    segments = [
        (0xE1, b"FLIR\0\1" + bytes((index, len(parts) - 1)) + part) for index, part in enumerate(parts)
    ]
    return write_jpeg_with_segments(path, rgb, segments, exif)
