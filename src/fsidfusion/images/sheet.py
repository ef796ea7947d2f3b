"""A contact sheet: sources and results side by side, one row a pair, each with its label."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Pixels, quantise, unit

Labelled = tuple[str, Pixels]  # what a picture is, and its pixels

_MARGIN, _CAPTION = 12, 26  # pixels
_PAPER, _INK = (250, 250, 250), (30, 30, 30)


def contact_sheet(rows: Sequence[Sequence[Labelled]], height: int = 240) -> NDArray[np.uint8]:
    """Lay out rows of labelled pictures, each scaled to one height.

    Args:
        rows: at least one row of at least one (label, pixels); any size, depth and number of channels.
        height: of every picture on the sheet, in pixels.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: no pictures.
    """
    if not rows or not all(rows):
        raise InputError("a contact sheet needs at least one picture in every row")
    font = ImageFont.load_default(15)
    cells = [[(label, _thumbnail(pixels, height)) for label, pixels in row] for row in rows]
    widths = [sum(_cell_width(label, picture, font) + _MARGIN for label, picture in row) for row in cells]
    size = (max(widths) + _MARGIN, len(cells) * (height + _CAPTION + _MARGIN) + _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for row in cells:
        left = _MARGIN
        for label, picture in row:
            sheet.paste(picture, (left, top))
            draw.text((left, top + height + 4), label, fill=_INK, font=font)
            left += _cell_width(label, picture, font) + _MARGIN
        top += height + _CAPTION + _MARGIN
    return np.asarray(sheet)


def _thumbnail(pixels: Pixels, height: int) -> Image.Image:
    shown = pixels if pixels.dtype == np.uint8 else quantise(unit(pixels), np.dtype(np.uint8))
    picture = Image.fromarray(shown).convert("RGB")
    width = max(1, round(picture.width * height / picture.height))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _cell_width(label: str, picture: Image.Image, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    return max(picture.width, int(font.getlength(label)) + 1)
