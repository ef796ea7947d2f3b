"""A slice scroller: one HTML file that holds the volumes, fetches nothing and runs offline."""

import gzip
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from fsidfusion import __version__
from fsidfusion.fusion.uptake import (
    DETAIL,
    FADED,
    FULL_OPACITY,
    OPACITY,
    OVERLAY,
    Colormap,
    color_table,
)
from fsidfusion.fusion.volumes.grid import (
    Affine,
    Volume,
    Voxels,
    display_affine,
    display_spacing,
    to_display,
)
from fsidfusion.fusion.volumes.outline import COLORS
from fsidfusion.fusion.volumes.views import Shown, to_bytes
from fsidfusion.report.page import render

MAX_VOXELS = 1 << 23  # of one volume in a report; larger ones are shown in coarser voxels


@dataclass(frozen=True)
class Live:
    """What the fused planes of a page are drawn of, besides the first two volumes."""

    below: Voxels | None  # (I, J, K) the fused luma in the output range; None for a plain overlay
    coloured: bool  # whether the second lies over it in its colours
    outlines: Voxels | None = None  # (I, J, K) labels whose outlines are drawn


def build_report(
    volumes: Sequence[Shown],
    affine: Affine,
    facts: dict[str, str],
    notes: Sequence[str],
    views: bytes,
    axis: str,
    pictures: dict[str, bytes] | None = None,
    live: Live | None = None,
) -> str:
    """The report as HTML: three linked planes of each volume to scroll through, and how they were made.

    Args:
        volumes: one row each; those with a level have a colour bar, controls of the window, and their value
            at the cursor.
        affine: that they share.
        facts: what the table at the end says.
        notes: what the user should know, one line each.
        views: the orthogonal views as PNG, shown where scripts do not run.
        axis: of the slices that were fused, whose slider is the first.
        pictures: title and PNG of more pictures, shown below.
        live: what the last volume is drawn of in the page, so that windows act on it too; without it the
            voxels are shown as they are.
    """
    stride = 1
    shape = to_display(volumes[0].voxels, affine).shape[:3]
    while np.prod([-(-n // stride) for n in shape], dtype=np.int64) > MAX_VOXELS:
        stride += 1
    grid = display_affine(Volume("", volumes[0].voxels, affine))
    grid[:3, 3] += grid[:3, :3] @ np.full(3, (stride - 1) / 2)
    grid[:3, :3] *= stride
    content = {
        "shape": [-(-n // stride) for n in shape],
        "spacing": [step * stride for step in display_spacing(affine)],
        "affine": grid[:3].tolist(),
        "axis": axis,
        "volumes": [
            _content(one, affine, stride, live is not None and one is volumes[-1]) for one in volumes
        ],
        "tables": {name: _table(name) for name in get_args(Colormap)},
        "fusion": None if live is None else _fusion(live, affine, stride),
    }
    if stride > 1:
        notes = [*notes, f"shown in voxels {stride} times as large; the fused file has all of them"]
    return str(
        render(
            "volumes.html",
            title=" and ".join(one.label for one in volumes[:-1]) + ", fused",
            subtitle=f"fsidfusion {__version__}; not a medical device: for research and illustration,"
            " not for diagnosis",
            notes=notes,
            facts=facts,
            pictures={title: b64encode(png).decode() for title, png in (pictures or {}).items()},
            views=b64encode(views).decode(),
            content=content,
        )
    )


def _content(one: Shown, affine: Affine, stride: int, drawn: bool) -> dict[str, object]:
    """A volume for the script: its voxels, unless they are drawn there, and the values, unit and colours of
    0..255."""
    result: dict[str, object] = {
        "label": one.label,
        "channels": 3 if one.voxels.ndim == 4 else 1,
        "voxels": None if drawn else _packed(one.voxels, affine, stride),
        "colormap": one.colormap,
    }
    if one.level is not None and one.voxels.ndim == 3:
        result["level"] = {"low": one.level.low, "high": one.level.high, "unit": one.level.unit}
        result["table"] = _table(one.colormap or "gray")
    return result


def _fusion(live: Live, affine: Affine, stride: int) -> dict[str, object]:
    """What :func:`~fsidfusion.fusion.uptake.show_uptake` and its overlays need, for the script."""
    outlines = None
    if live.outlines is not None:  # an edge that is in a block is in the coarser voxel
        outlines = _packed(live.outlines, affine, stride, np.maximum)
    return {
        "coloured": live.coloured,
        "below": None if live.below is None else _packed(live.below, affine, stride),
        "outlines": outlines,
        "colors": [[*color, 255] for color in COLORS],
        "uptake": {
            "opacity": OPACITY,
            "full": FULL_OPACITY,
            "detail": DETAIL,
            "faded": FADED,
            "overlay": OVERLAY,
        },
    }


def _table(name: Colormap) -> str:
    return b64encode(color_table(name).tobytes()).decode()


def _packed(voxels: Voxels, affine: Affine, stride: int, take: np.ufunc | None = None) -> str:
    """LPS voxels as bytes, x fastest, compressed and in base64."""
    turned = to_bytes(_coarser(to_display(voxels, affine), stride, take))
    order = (2, 1, 0, 3)[: turned.ndim]
    return b64encode(gzip.compress(turned.transpose(order).tobytes(), 6, mtime=0)).decode()


def _coarser(voxels: Voxels, stride: int, take: np.ufunc | None = None) -> NDArray[np.uint8]:
    """Means of blocks, or what ``take`` makes of them; blocks at the end may be smaller."""
    values = to_bytes(voxels)
    if stride == 1:
        return values
    for axis in range(3):
        if take is not None:
            values = take.reduceat(values, range(0, values.shape[axis], stride), axis=axis)
            continue
        counts = np.add.reduceat(values.astype(np.uint16), range(0, values.shape[axis], stride), axis=axis)
        sizes = np.diff([*range(0, values.shape[axis], stride), values.shape[axis]])
        values = (counts / sizes.reshape([-1 if a == axis else 1 for a in range(values.ndim)])).astype(
            np.uint8
        )
    return values
