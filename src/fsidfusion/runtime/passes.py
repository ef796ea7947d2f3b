"""How images go through a model: whole and together, or one by one in tiles."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from fsidfusion.images.pixels import Luma, Pixels
from fsidfusion.runtime.tiles import Frame, sample_places

if TYPE_CHECKING:
    from fsidfusion.runtime.interface import Runtime

# The statistics of an image that does not go through as a whole are taken from crops. The edges of crops
# falsify them more than what lies between crops: in 1024x1024 pixels, crops of 256 that cover the image give
# 50 dB of PSNR against the whole, crops of 512 that cover half of it 57 dB. So they are few and large.
MIN_CROP = 256  # side
MIN_CROPS = 8
MAX_SAMPLED = 1 << 22  # pixels in all crops


class LumaFuser(Protocol):
    """Anything that fuses whole luma images: a rule such as the pixel maximum, or a network elsewhere."""

    def __call__(self, infrared: NDArray[np.float32], visible: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, H, W) and (B, H, W), float32 in 0..1, to (B, H, W) float32."""
        ...


def whole(
    model: LumaFuser, frame: Frame, infrared: Sequence[Pixels], visible: Sequence[Pixels], batch: int
) -> list[Luma]:
    """Fuse whole images of one size, ``batch`` at a time; (H, W) each, in and out."""
    size = (0, 0, frame.framed_height, frame.framed_width)
    results: list[Luma] = []
    for start in range(0, len(infrared), batch):
        pair = (
            np.stack([frame.cut(p, *size) for p in s[start : start + batch]]) for s in (infrared, visible)
        )
        fused = model(*pair)
        results += [np.ascontiguousarray(image[: frame.height, : frame.width]) for image in fused]
    return results


def tiled(
    runtime: "Runtime", frame: Frame, side: int, sampled: int, infrared: Pixels, visible: Pixels
) -> Luma:
    """Fuse one image tile by tile.

    Args:
        runtime: the network.
        frame: of the image.
        side: of a tile.
        sampled: pixels from which a network with global statistics takes them, in one pass.
        infrared: (H, W) or (H, W, 3).
        visible: the same size.

    Returns:
        (H, W).
    """
    statistics = None
    if runtime.traits.has_global_statistics:
        everything = sampled >= frame.pixels
        crop = frame.pixels if everything else max(MIN_CROP, math.isqrt(sampled // MIN_CROPS))
        height, width, places = sample_places(frame, crop, sampled)
        crops = [np.stack([frame.cut(p, *at, height, width) for at in places]) for p in (infrared, visible)]
        statistics = runtime.record(*crops)
    fused = np.zeros((frame.height, frame.width), np.float32)
    for down, across in frame.tiles(side, runtime.traits.tile_overlap or 0):
        place = (down.start, across.start, down.stop - down.start, across.stop - across.start)
        tile = runtime(frame.cut(infrared, *place)[None], frame.cut(visible, *place)[None], statistics)[0]
        tile *= down.weights[:, None]
        tile *= across.weights
        target = fused[down.start : down.stop, across.start : across.stop]
        target += tile[: target.shape[0], : target.shape[1]]
    return fused
