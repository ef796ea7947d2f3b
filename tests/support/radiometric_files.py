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
