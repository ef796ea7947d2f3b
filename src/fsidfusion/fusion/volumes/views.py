"""Three planes through a fused volume and its sources, as one picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fsidfusion.fusion.uptake import Colormap, color_table
from fsidfusion.fusion.volumes.grid import Affine, Axis, Voxels, display_spacing, plane, to_display
from fsidfusion.fusion.volumes.windows import Level, number
from fsidfusion.images.pixels import Pixels, quantise

PLANES: tuple[Axis, ...] = ("axial", "coronal", "sagittal")
SIDES: dict[Axis, tuple[str, str]] = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}

_CELL = 300  # pixels of the longest side of a head
_MARGIN, _CAPTION = 14, 30
_BAR = 90  # pixels of a colour bar and its numbers
_EDGE = (255, 60, 60)
_PAPER, _INK, _SOFT = (12, 13, 16), (236, 238, 242), (154, 160, 171)


@dataclass(frozen=True)
class Shown:
    """A volume as people see it."""

    label: str
    voxels: Voxels  # (I, J, K) or (I, J, K, 3): uint8, uint16 or floating 0..1
    level: Level | None = None  # the values of 0 and 1 in its unit, for a colour bar
    colormap: Colormap | None = None  # of values; None is gray

    @property
    def table(self) -> NDArray[np.uint8]:
        """(256, 3) RGB of its values."""
        return color_table(self.colormap or "gray")


def orthogonal_views(volumes: Sequence[Shown], affine: Affine, notice: str) -> NDArray[np.uint8]:
    """Axial, coronal and sagittal planes through the middle of what is bright in the first volume.

    Args:
        volumes: one row each; the one with a level has a colour bar beside it.
        affine: that they share.
        notice: a line below the pictures.

    Returns:
        (H, W, 3) uint8, every voxel as large as its millimetres, R and L or A and P at its sides.
    """
    turned = [to_display(one.voxels, affine) for one in volumes]
    steps = display_spacing(affine)
    first = turned[0]
    middle = _middle(first)
    extent = [n * step for n, step in zip(first.shape, steps)]
    scale = _CELL / max(extent)
    columns = [max(1, round(extent[1 if axis == "sagittal" else 0] * scale)) for axis in PLANES]
    height = max(round(extent[1] * scale), round(extent[2] * scale))
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    heads = [f"{axis} {middle[2 - i] + 1} of {first.shape[2 - i]}" for i, axis in enumerate(PLANES)]
    widths = [max(width, int(font.getlength(head)) + 1) for width, head in zip(columns, heads)]
    left = _MARGIN + max(int(font.getlength(one.label)) for one in volumes) + _MARGIN
    bars = left + sum(widths) + 3 * _MARGIN
    size = (
        max(bars + _BAR, int(small.getlength(notice)) + 2 * _MARGIN),
        _CAPTION + len(turned) * (height + _MARGIN) + _CAPTION,
    )
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, axis in enumerate(PLANES):
        x = left + sum(widths[:column]) + column * _MARGIN
        draw.text((x, 7), heads[column], fill=_INK, font=font)
        for row, (one, voxels) in enumerate(zip(volumes, turned)):
            flat = plane(voxels, axis, middle[2 - column])
            tall = max(1, round(extent[1 if axis == "axial" else 2] * scale))
            y = _CAPTION + row * (height + _MARGIN) + (height - tall) // 2
            sheet.paste(_enlarged(flat, one.colormap, tall, columns[column]), (x, y))
            for text, place in zip(SIDES[axis], (x + 3, x + columns[column] - 13)):
                draw.text((place, y + tall // 2 - 8), text, fill=_SOFT, font=small)
    for row, one in enumerate(volumes):
        top = _CAPTION + row * (height + _MARGIN)
        draw.text((_MARGIN, top + height // 2 - 9), one.label, fill=_INK, font=font)
        if one.level is not None:
            _draw_bar(sheet, one, (bars, top + 20), height - 30)
    draw.text((_MARGIN, size[1] - 22), notice, fill=_SOFT, font=small)
    return np.asarray(sheet)


def checkerboard(base: Voxels, other: Voxels, affine: Affine, squares: int = 8) -> NDArray[np.uint8]:
    """Squares of two volumes by turns, in three planes: where they lie on each other, edges go on."""

    def draw(first: Pixels, second: Pixels) -> NDArray[np.uint8]:
        height, width = first.shape[:2]
        side = max(1, max(height, width) // squares)
        rows, columns = np.arange(height)[:, None] // side, np.arange(width) // side
        return np.where(((rows + columns) % 2 == 0)[..., None], _rgb(first), _rgb(second))

    return _planes(base, other, affine, draw)


def edge_overlay(base: Voxels, other: Voxels, affine: Affine) -> NDArray[np.uint8]:
    """The edges of the other volume on the base, in three planes."""

    def draw(first: Pixels, second: Pixels) -> NDArray[np.uint8]:
        gray = np.ascontiguousarray(_rgb(second).max(axis=-1))
        gray = cv2.GaussianBlur(gray, (0, 0), 2)
        low, high = np.percentile(gray, (50, 95))
        edges = cv2.Canny(gray, 20 + (high - low) * 0.1, 30 + (high - low) * 0.25)
        result = _rgb(first).copy()
        result[edges > 0] = _EDGE
        return result

    return _planes(base, other, affine, draw)


def _planes(
    base: Voxels,
    other: Voxels,
    affine: Affine,
    draw: Callable[[Pixels, Pixels], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """Three planes side by side, each drawn of both volumes in voxels as large as their millimetres."""
    ours, theirs = (to_display(voxels, affine) for voxels in (base, other))
    middle = _middle(ours)
    extent = [n * step for n, step in zip(ours.shape, display_spacing(affine))]
    scale = 1.4 * _CELL / max(extent)
    pictures = []
    for column, axis in enumerate(PLANES):
        wide = max(1, round(extent[1 if axis == "sagittal" else 0] * scale))
        tall = max(1, round(extent[1 if axis == "axial" else 2] * scale))
        flats = [
            np.asarray(_enlarged(plane(voxels, axis, middle[2 - column]), None, tall, wide))
            for voxels in (ours, theirs)
        ]
        pictures.append(draw(*flats))
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + _MARGIN * (len(pictures) - 1)
    sheet = np.full((height, width, 3), _PAPER, np.uint8)
    x = 0
    for picture in pictures:
        y = (height - picture.shape[0]) // 2
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        x += picture.shape[1] + _MARGIN
    return sheet


def _draw_bar(sheet: Image.Image, one: Shown, corner: tuple[int, int], height: int) -> None:
    """A colour bar: the largest value on top, the unit below."""
    assert one.level is not None
    draw, small = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    x, y = corner
    steps = np.clip(255 - np.arange(height) * 256 // max(1, height), 0, 255)
    strip = np.repeat(one.table[steps][:, None], 12, axis=1)
    sheet.paste(Image.fromarray(np.ascontiguousarray(strip)), (x, y))
    low, high = one.level.low, one.level.high
    for part in (0.0, 0.5, 1.0):
        text = number(low + (high - low) * part)
        draw.text((x + 17, y + round((1 - part) * (height - 1)) - 7), text, fill=_INK, font=small)
    draw.text((x, y + height + 3), one.level.unit, fill=_SOFT, font=small)


def _rgb(pixels: Pixels) -> NDArray[np.uint8]:
    values = to_bytes(pixels)
    return values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)


def to_bytes(voxels: Voxels) -> NDArray[np.uint8]:
    """Voxels of any depth as uint8, for showing."""
    if voxels.dtype == np.uint8:
        return voxels
    if voxels.dtype == np.uint16:
        return (voxels >> 8).astype(np.uint8)
    return quantise(voxels, np.dtype(np.uint8))


def _middle(voxels: Voxels) -> tuple[int, int, int]:
    """The centre of brightness of LPS voxels, as indices."""
    weights = to_bytes(voxels)
    centre = []
    for axis in range(3):
        profile = weights.sum(axis=tuple(a for a in range(voxels.ndim) if a != axis), dtype=np.float64)
        centre.append(round(float(profile @ np.arange(len(profile)) / max(profile.sum(), 1.0))))
    return centre[0], centre[1], centre[2]


def _enlarged(flat: Pixels, colormap: Colormap | None, height: int, width: int) -> Image.Image:
    pixels = cv2.resize(
        np.ascontiguousarray(to_bytes(flat)), (max(1, width), max(1, height)), interpolation=cv2.INTER_CUBIC
    )
    if colormap is not None and pixels.ndim == 2:
        pixels = color_table(colormap)[pixels]
    return Image.fromarray(pixels).convert("RGB")
