"""Three planes through a fused volume and its sources, as one picture."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fsidfusion.fusion.volumes.grid import Affine, Axis, Voxels, plane, to_display
from fsidfusion.images.pixels import Pixels, quantise

PLANES: tuple[Axis, ...] = ("axial", "coronal", "sagittal")
SIDES: dict[Axis, tuple[str, str]] = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}

_CELL = 300  # pixels of the longest side of a head
_MARGIN, _CAPTION = 14, 30
_PAPER, _INK, _SOFT = (12, 13, 16), (236, 238, 242), (154, 160, 171)


def orthogonal_views(volumes: dict[str, Voxels], affine: Affine, notice: str) -> NDArray[np.uint8]:
    """Axial, coronal and sagittal planes through the middle of what is bright in the first volume.

    Args:
        volumes: label and (I, J, K) or (I, J, K, 3) voxels, uint8, uint16 or floating 0..1; one row each.
        affine: that they share.
        notice: a line below the pictures.

    Returns:
        (H, W, 3) uint8, every voxel as large as its millimetres, R and L or A and P at its sides.
    """
    turned = {label: to_display(voxels, affine) for label, voxels in volumes.items()}
    steps = display_spacing(affine)
    first = next(iter(turned.values()))
    middle = _middle(first)
    extent = [n * step for n, step in zip(first.shape, steps)]
    scale = _CELL / max(extent)
    columns = [round(extent[1 if axis == "sagittal" else 0] * scale) for axis in PLANES]
    height = max(round(extent[1] * scale), round(extent[2] * scale))
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    heads = [f"{axis} {middle[2 - i] + 1} of {first.shape[2 - i]}" for i, axis in enumerate(PLANES)]
    widths = [max(width, int(font.getlength(head)) + 1) for width, head in zip(columns, heads)]
    left = _MARGIN + max(int(font.getlength(label)) for label in turned) + _MARGIN
    size = (
        max(left + sum(widths) + 3 * _MARGIN, int(small.getlength(notice)) + 2 * _MARGIN),
        _CAPTION + len(turned) * (height + _MARGIN) + _CAPTION,
    )
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, axis in enumerate(PLANES):
        x = left + sum(widths[:column]) + column * _MARGIN
        draw.text((x, 7), heads[column], fill=_INK, font=font)
        for row, voxels in enumerate(turned.values()):
            flat = plane(voxels, axis, middle[2 - column])
            tall = round(extent[1 if axis == "axial" else 2] * scale)
            y = _CAPTION + row * (height + _MARGIN) + (height - tall) // 2
            sheet.paste(_enlarged(flat, tall, columns[column]), (x, y))
            for text, place in zip(SIDES[axis], (x + 3, x + columns[column] - 13)):
                draw.text((place, y + tall // 2 - 8), text, fill=_SOFT, font=small)
    for row, label in enumerate(turned):
        draw.text(
            (_MARGIN, _CAPTION + row * (height + _MARGIN) + height // 2 - 9), label, fill=_INK, font=font
        )
    draw.text((_MARGIN, size[1] - 22), notice, fill=_SOFT, font=small)
    return np.asarray(sheet)


def display_spacing(affine: Affine) -> tuple[float, float, float]:
    """Millimetres between voxels to the left, to the back and to the head, on the axes nearest to them."""
    from nibabel.orientations import io_orientation

    steps = np.linalg.norm(affine[:3, :3], axis=0)
    x, y, z = (
        float(steps[int(np.flatnonzero(io_orientation(affine)[:, 0] == axis)[0])]) for axis in range(3)
    )
    return x, y, z


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


def _enlarged(flat: Pixels, height: int, width: int) -> Image.Image:
    pixels = cv2.resize(
        np.ascontiguousarray(to_bytes(flat)), (max(1, width), max(1, height)), interpolation=cv2.INTER_CUBIC
    )
    return Image.fromarray(pixels).convert("RGB")
