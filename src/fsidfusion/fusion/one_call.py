"""``fsidfusion.fuse``: one pair of arrays in one call; the loaded model is kept for the next one."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fsidfusion import DEFAULT_MODEL
from fsidfusion.fusion.fuser import Colour, Fuser
from fsidfusion.images.output_range import RangeMode
from fsidfusion.images.pixels import Pixels

if TYPE_CHECKING:
    from fsidfusion.alignment.transform import Alignment


_kept_fuser = lru_cache(maxsize=4)(Fuser)


def fuse(
    infrared: Pixels,
    visible: Pixels,
    *,
    color: Colour = "visible",
    align: "Alignment | Literal['auto'] | None" = None,
    crop: bool = False,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    precision: str = "auto",
    range: RangeMode = "percentile",
    tile: Literal["auto", "off"] | int = "auto",
    memory: str | int | None = None,
    threads: int | None = None,
    runtime: str = "auto",
) -> Pixels:
    """Fuse one pair of arrays; the loaded model is kept for the next call.

    Args, result and errors are those of :meth:`Fuser.fuse` and of :class:`Fuser`:

        >>> import numpy as np
        >>> import fsidfusion
        >>> infrared = np.zeros((48, 64), np.uint8)
        >>> visible = np.full((48, 64, 3), 90, np.uint8)
        >>> fused = fsidfusion.fuse(infrared, visible)
        >>> fused.shape, fused.dtype
        ((48, 64, 3), dtype('uint8'))
    """
    fuser = _kept_fuser(
        str(model),
        device=device,
        precision=precision,
        range=range,
        tile=tile,
        memory=memory,
        threads=threads,
        runtime=runtime,
    )
    return fuser.fuse(infrared, visible, color=color, align=align, crop=crop)
