"""A JPEG picture of which image data are missing, which decoders fill with mid gray without a word."""

import io
import re
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # that ends image data
_END = 0xD9
_GRAY = (127, 128)  # of blocks that are not there
_MORE = np.random.default_rng(0).integers(0, 255, 64, np.uint8).tobytes()  # image data: no byte of 255


def check_jpeg(stream: BinaryIO, image: Image.Image) -> None:
    """Refuse a picture whose image data end before it does, with a mark of the end put behind them.

    What is missing shows as mid gray in the last corner. Where that is so, more image data are put before the
    end: they change nothing of a picture that is whole.

    Args:
        stream: the file.
        image: opened from it, as stored.

    Raises:
        ValueError, OSError: as said, or it cannot be decoded.
    """
    image.load()
    last: Any = image.getpixel((image.width - 1, image.height - 1))
    if not all(value in _GRAY for value in (last if isinstance(last, tuple) else (last,))):
        return
    stream.seek(0)
    content = stream.read()
    end = _end_of_data(content)
    longer = JpegImagePlugin.JpegImageFile(io.BytesIO(content[:end] + _MORE + content[end:]))
    if not np.array_equal(np.asarray(image), np.asarray(longer)):
        raise ValueError("image data end early")


def _end_of_data(content: bytes) -> int:
    """Where the mark of the end of the picture stands."""
    place = 2
    while True:
        found = _MARKER.search(content, place)
        if not found:
            raise ValueError("it has no end")
        place, kind = found.start(), content[found.start() + 1]
        if kind == _END:
            return place
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
