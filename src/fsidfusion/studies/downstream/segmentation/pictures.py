"""Label maps to look at: overlays, a legend, contact sheets, and the confusion matrix as SVG."""

from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fsidfusion.images.files import read_picture
from fsidfusion.images.pixels import quantise, unit
from fsidfusion.images.sheet import Labelled, contact_sheet
from fsidfusion.report.plots import matrix
from fsidfusion.studies.downstream.segmentation.classes import Classes, Mask
from fsidfusion.studies.downstream.segmentation.masks import LabelledSet
from fsidfusion.studies.downstream.segmentation.scores import Confusion

RGB = NDArray[np.uint8]  # (H, W, 3)

_OPACITY = 0.6
_SWATCH, _ROW = 14, 22  # pixels of the legend


def overlay(picture: NDArray[np.uint8], indices: Mask, classes: Classes) -> RGB:
    """A label map over a picture; classes whose colour is black (background) leave it as it is.

    Args:
        picture: (H, W) or (H, W, 3).
        indices: (H, W), IGNORED in white.
        classes: their colours.
    """
    base = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    colours = classes.paint(indices)
    shown = colours.any(2, keepdims=True)
    mixed = base * (1 - _OPACITY) + colours * _OPACITY
    return np.where(shown, np.rint(mixed), base).astype(np.uint8)


def legend(classes: Classes, width: int) -> RGB:
    """The names of the classes beside their colours, in lines no longer than ``width`` if possible."""
    font = ImageFont.load_default(13)
    places: list[tuple[int, int]] = []
    left, row = 8, 0
    for name in classes.names:
        length = _SWATCH + 6 + int(font.getlength(name)) + 14
        if left > 8 and left + length > width:
            left, row = 8, row + 1
        places.append((left, 6 + row * _ROW))
        left += length
    image = Image.new("RGB", (width, places[-1][1] + _ROW), (250, 250, 250))
    draw = ImageDraw.Draw(image)
    for (x, y), name, colour in zip(places, classes.names, classes.colours):
        draw.rectangle((x, y, x + _SWATCH, y + _SWATCH), fill=colour, outline=(120, 120, 120))
        draw.text((x + _SWATCH + 6, y - 1), name, fill=(30, 30, 30), font=font)
    return np.asarray(image)


def label_sheet(rows: Sequence[Sequence[Labelled]], classes: Classes) -> RGB:
    """A contact sheet with the legend below."""
    sheet = contact_sheet(rows)
    return np.concatenate([sheet, legend(classes, sheet.shape[1])])


def truth_rows(
    labelled: LabelledSet, predictions: Sequence[Mask] | None, classes: Classes, places: Iterable[int]
) -> list[list[Labelled]]:
    """For each place the two pictures, the mask over the visible one, and the prediction if there are any."""
    rows = []
    for place in places:
        pair = labelled.pairs[place]
        base, infrared = (
            quantise(unit(read_picture(path).pixels), np.dtype(np.uint8))
            for path in (pair.visible, pair.infrared)
        )
        row: list[Labelled] = [(pair.name, base), ("infrared", infrared)]
        row.append(("mask", overlay(base, labelled.masks[place], classes)))
        if predictions is not None:
            row.append(("predicted", overlay(base, predictions[place], classes)))
        rows.append(row)
    return rows


def confusion_plot(counts: Confusion, names: Sequence[str], title: str) -> Markup:
    """Where the pixels of each true class (rows) went, in percent of the row, as one SVG element."""
    return matrix(title, names, counts.tolist(), "rows: true class; percent of its pixels")
