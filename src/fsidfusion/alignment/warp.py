"""Apply an alignment: the infrared picture in the visible frame, where it counts, and the common part."""

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.features import picture_mask
from fsidfusion.alignment.sampling import pixel_grid, sample, shrink
from fsidfusion.alignment.transform import Alignment, Size
from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Luma, Pixels, luma, quantise, resize, strips
from fsidfusion.thermal.temperature import resample

_FADED = 3.0  # times as wide as the thickest part that is missing: a thin strip is worth no wide band
FEATHER = 0.08  # of the visible frame's shorter side: along its edges, the infrared picture fades out over it
_LONGEST_SIDE = 32_000  # pixels of a source that OpenCV can sample
_KEPT_PIXELS = 1 << 22  # of a frame whose sampling places are kept for the next picture
_KNOWN = 0.99  # share of the pixels sampled that were measured
_CROP_CELLS = 256  # along the longer side, among which the common part is sought

Rectangle = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True)
class Aligned:
    """The infrared picture as the visible camera would have taken it."""

    infrared: Pixels  # (H, W) or (H, W, 3), of the source's type; fades to the visible luma at its edges
    weight: Luma  # (H, W), 0..1: 0 where there is no infrared picture, 1 well inside it
    warp: "InfraredWarp | None" = None  # none: the picture was merely resized
    source: Pixels | None = None  # the infrared picture before it was warped and faded; none: it was not

    def blend(self, fused: Luma, visible: Pixels) -> Luma:
        """The fused luma (H, W) where there is an infrared picture, fading to the visible one."""
        result = np.empty_like(fused)
        for rows in strips(*fused.shape):
            alone = luma(visible[rows])
            result[rows] = alone + self.weight[rows] * (fused[rows] - alone)
        return result

    def levels(self, levels: NDArray[Any]) -> NDArray[Any]:
        """What was measured (h, w) with the infrared picture, as it lies now (H, W); NaN outside."""
        return self.warp.levels(levels) if self.warp else resample(levels, *self.weight.shape)

    def plain(self) -> Luma:
        """The infrared luma (H, W) without fading, by which heat is told; 0 where there is none."""
        if self.source is None:
            return luma(self.infrared)
        if self.warp is None:
            return luma(self.source)
        return np.nan_to_num(self.warp.levels(luma(self.source)), copy=False)

    def common_part(self) -> Rectangle:
        """The largest rectangle that both pictures fill.

        Raises:
            InputError: there is none.
        """
        return largest_rectangle(self.weight > 0)


class InfraredWarp:
    """An alignment made ready for pictures of one size; quick on frame after frame of a video."""

    def __init__(
        self,
        alignment: Alignment,
        infrared_size: Size,
        visible_size: Size,
        *,
        feather: float = FEATHER,
        padding: bool = True,
    ) -> None:
        """Fit the alignment to the sizes.

        Args:
            alignment: of these two cameras.
            infrared_size: (h, w).
            visible_size: (H, W).
            feather: how wide the infrared picture fades out, as a share of the shorter visible side.
            padding: take black padding at the border of an infrared picture, as an earlier warp leaves it, as
                outside of its field. Off, the field is the same for every picture.

        Raises:
            InputError: sizes of another shape, or an infrared side of over 32,000 pixels.
        """
        if max(infrared_size) > _LONGEST_SIDE:
            raise InputError(
                f"an infrared picture of {infrared_size[1]}x{infrared_size[0]} cannot be aligned;"
                f" the limit is {_LONGEST_SIDE} pixels a side"
            )
        self._alignment = alignment.fitted(visible_size, infrared_size)
        self._infrared_size, self._size = infrared_size, visible_size
        self._feather = max(1.0, feather * min(visible_size)) if feather else 0.0
        self._padding = padding
        step = float(np.sqrt(abs(np.linalg.det(self._alignment.matrix[:2, :2]))))
        shrinks = step if step > 1.5 else 1.0  # infrared pixels in one visible pixel: against aliasing
        self._sampled_size = tuple(max(1, round(side / shrinks)) for side in infrared_size)
        self._kept_places: dict[int, NDArray[np.float32]] = {}
        self._kept_weight: Luma | None = None

    def __call__(self, infrared: Pixels, visible: Pixels, known: NDArray[np.bool_] | None = None) -> Aligned:
        """Resample an infrared picture to the visible frame.

        Args:
            infrared: (h, w) or (h, w, 3), uint8, uint16 or floating 0..1.
            visible: (H, W) or (H, W, 3); its luma is what the infrared picture fades to.
            known: (h, w), where the infrared picture shows something; None: everywhere.

        Raises:
            InputError: no pixel in common.
        """
        weight = self._weight(infrared)
        if known is not None:
            weight = weight * (self.levels(known.astype(np.float32)) > _KNOWN)
        source = infrared.astype(np.float32) if infrared.dtype.kind == "f" else infrared
        source = shrink(source, self._sampled_size)
        result = np.empty((*self._size, *infrared.shape[2:]), infrared.dtype)
        for rows in strips(*self._size):
            sampled = sample(source, self._places(rows), cubic=True)
            if sampled.dtype.kind == "f":  # cubics overshoot
                sampled = np.clip(sampled, 0.0, 1.0)
            if weight[rows].min() < 1:
                sampled = _faded(sampled, visible[rows], weight[rows])
            result[rows] = sampled
        return Aligned(result, weight, self, infrared)

    def levels(self, levels: NDArray[Any]) -> NDArray[np.float32]:
        """Measured levels (h, w), such as temperatures, in the visible frame, linearly; NaN outside."""
        source = shrink(np.asarray(levels, np.float32), self._sampled_size)
        result = np.empty(self._size, np.float32)
        for rows in strips(*self._size):
            places = self._places(rows)
            result[rows] = np.where(self._in_field(places), sample(source, places), np.nan)
        return result

    def _places(self, rows: slice) -> NDArray[np.float32]:
        """Where rows of the frame lie in the sampled picture: (rows, W, 2)."""
        if rows.start in self._kept_places:
            return self._kept_places[rows.start]
        (height, width), (down, across) = self._infrared_size, self._sampled_size
        places = self._alignment.place(pixel_grid(self._size, rows))
        places = (places + 0.5) * np.array((across / width, down / height))
        places = np.asarray(np.clip(places - 0.5, -_LONGEST_SIDE, _LONGEST_SIDE), np.float32)
        if self._size[0] * self._size[1] <= _KEPT_PIXELS:
            self._kept_places[rows.start] = places
        return places

    def _in_field(self, places: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether places (rows, W, 2) lie in the sampled picture, to the outer edges of its pixels."""
        height, width = self._sampled_size
        x, y = places[..., 0], places[..., 1]
        return np.asarray((x > -0.51) & (y > -0.51) & (x < width - 0.49) & (y < height - 0.49))

    def _weight(self, infrared: Pixels) -> Luma:
        """(H, W): 1 inside the infrared field, falling smoothly to 0 at its edges."""
        if self._kept_weight is not None:
            return self._kept_weight
        mask = picture_mask(infrared) if self._padding else np.ones(self._infrared_size, np.float32)
        mask = shrink(mask, self._sampled_size)
        inside = np.empty(self._size, np.uint8)
        for rows in strips(*self._size):
            places = self._places(rows)
            inside[rows] = self._in_field(places) & (sample(mask, places) > 0.99)
        if not inside.any():
            raise InputError("the alignment leaves the two pictures no pixel in common; estimate it again")
        weight = inside.astype(np.float32)
        if self._feather and not inside.all():
            depth = np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5), np.float32)
            missing = float(cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5).max())
            fade = np.float32(min(self._feather, max(1.0, _FADED * missing)))
            weight = np.minimum(depth / fade, np.float32(1.0))
            weight *= weight * (3 - 2 * weight)
        if not self._padding:
            self._kept_weight = weight
        return weight


def where_known(infrared: Pixels, visible: Pixels, known: NDArray[np.bool_]) -> Aligned:
    """A picture that lies on the visible one already, and gives way to it where nothing was measured.

    Args:
        infrared: (H, W) or (H, W, 3).
        visible: (H, W) or (H, W, 3).
        known: (H, W), where the infrared picture shows something.
    """
    weight = known.astype(np.float32)
    return Aligned(_faded(infrared, visible, weight), weight, source=infrared)


def align_pair(
    infrared: Pixels,
    visible: Pixels,
    alignment: Alignment | Literal["auto"],
    *,
    crop: bool = False,
    known: NDArray[np.bool_] | None = None,
    fields: tuple[float, float] | None = None,
) -> tuple[Aligned, str]:
    """Align one pair by a known alignment, or by one estimated from it.

    Args:
        infrared: (h, w) or (h, w, 3), uint8, uint16 or floating 0..1.
        visible: (H, W) or (H, W, 3).
        alignment: ``auto`` estimates; an estimate that is no better than none is not applied.
        crop: the result is to be cut to its common part, so that nothing fades out.
        known: (h, w), where the infrared picture shows something; None: everywhere.
        fields: the horizontal fields of view of both in degrees, where they are known, for an estimate.

    Returns:
        the aligned infrared picture, and one line on what was refused, or "".

    Raises:
        InputError: pictures that cannot be aligned, or an alignment of other cameras.
    """
    note = ""
    if alignment == "auto":
        from fsidfusion.alignment.estimate import NotBetterError, estimate

        try:
            ours, theirs = fields or (None, None)
            alignment = estimate([(infrared, visible)], infrared_fov=ours, visible_fov=theirs)
        except NotBetterError as refusal:
            height, width = visible.shape[:2]
            if infrared.shape[:2] != (height, width):
                infrared = resize(infrared, height, width)
            if known is not None:
                known = resample(known.astype(np.float32), height, width) > _KNOWN
            else:
                known = np.ones((height, width), bool)
            return where_known(infrared, visible, known), f"not aligned: {refusal}"
    warp = InfraredWarp(alignment, infrared.shape[:2], visible.shape[:2], feather=0.0 if crop else FEATHER)
    return warp(infrared, visible, known), note


def largest_rectangle(mask: NDArray[np.bool_]) -> Rectangle:
    """The rectangle of most pixels in which a mask (H, W) holds, found on a grid and grown to the pixel.

    Raises:
        InputError: it holds nowhere on a whole cell of the grid.
    """
    height, width = mask.shape
    if mask.all():
        return slice(0, height), slice(0, width)
    cell = max(1, -(-max(height, width) // _CROP_CELLS))
    rows, columns = max(1, height // cell), max(1, width // cell)
    blocks = mask[: rows * cell, : columns * cell].reshape(rows, -1, columns, min(cell, width))
    cells = np.asarray(blocks.all((1, 3)))
    top, left, bottom, right = (cell * side for side in _largest_box(cells))
    if bottom == top:
        raise InputError("the two pictures have no rectangle in common; leave out `crop`")
    while top > 0 and mask[top - 1, left:right].all():
        top -= 1
    while bottom < height and mask[bottom, left:right].all():
        bottom += 1
    while left > 0 and mask[top:bottom, left - 1].all():
        left -= 1
    while right < width and mask[top:bottom, right].all():
        right += 1
    return slice(top, bottom), slice(left, right)


def _largest_box(cells: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the largest full box: in each row, the largest one under its skyline."""
    best, box = 0, (0, 0, 0, 0)
    skyline = np.zeros(cells.shape[1] + 1, int)  # full cells upwards; a 0 at the end closes all boxes
    for row, full in enumerate(cells):
        skyline[:-1] = np.where(full, skyline[:-1] + 1, 0)
        open_: list[tuple[int, int]] = []  # left side and height, rising
        for column, tall in enumerate(skyline.tolist()):
            left = column
            while open_ and open_[-1][1] >= tall:
                left, high = open_.pop()
                if high * (column - left) > best:
                    best, box = high * (column - left), (row + 1 - high, left, row + 1, column)
            open_.append((left, tall))
    return box


def _faded(sampled: Pixels, visible: Pixels, share: Luma) -> Pixels:
    """An infrared picture that becomes the visible luma where its share is 0; its type is kept."""
    alone = luma(visible)
    scale = np.float32(np.iinfo(sampled.dtype).max if sampled.dtype.kind == "u" else 1)
    infrared = sampled / scale
    if sampled.ndim == 3:
        alone, share = alone[..., None], share[..., None]
    return quantise(np.asarray(alone + share * (infrared - alone), np.float32), sampled.dtype)
