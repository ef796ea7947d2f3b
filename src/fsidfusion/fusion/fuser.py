"""Fuse pairs of images of any size, depth and colour: the centre of the Python API."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike

from fsidfusion import DEFAULT_MODEL
from fsidfusion.errors import InputError, ModelError, NotEnoughMemory
from fsidfusion.fusion.rules import BASELINES, fuse_stack
from fsidfusion.images.output_range import Range, RangeMode, apply_range, find_range
from fsidfusion.images.pixels import Luma, Pixels, check_pixels, luma, quantise, recolour, strips
from fsidfusion.runtime import passes
from fsidfusion.runtime.device import (
    format_bytes,
    free_memory,
    parse_bytes,
    release_free_blocks,
    resident_memory,
)
from fsidfusion.runtime.passes import LumaFuser, tiled, whole
from fsidfusion.runtime.tiles import Frame, smallest_tile
from fsidfusion.thermal.heat import glow, heat_range

if TYPE_CHECKING:
    from torch import nn

    from fsidfusion.alignment.transform import Alignment
    from fsidfusion.alignment.warp import Aligned
    from fsidfusion.runtime.torch_runtime import TorchRuntime

Colour = Literal["visible", "infrared", "gray", "heat"]

BATCH_PIXELS = {"cpu": 1 << 16, "cuda": 1 << 23}  # most pixels of the images that go through together
MAX_BATCH = 64
QUICK_PIXELS, QUICK_SECONDS = 1 << 21, 0.5  # below both, pairs go through side by side
MAX_LOCAL_TILE = 768  # local networks were fastest with it on a CPU; a power of two was twice as slow
_SAFE_PASS = (
    16 * 1024
)  # bytes a pixel that no network of this project needs: if they fit, nothing is measured
_DEFAULT_SHARE = 0.5  # of the free memory
_RESERVE = 0.1  # share of the memory that is left to pictures being read and written meanwhile


class Fuser:
    """A fusion model, ready for images of any size from 1x1 up; reusable, and safe to share between threads.

    >>> import numpy as np
    >>> from fsidfusion import Fuser
    >>> fuser = Fuser(model=lambda infrared, visible: np.maximum(infrared, visible), range="none")
    >>> infrared = np.full((5, 7), 200, np.uint8)
    >>> visible = np.zeros((5, 7, 3), np.uint8)
    >>> fuser.fuse(infrared, visible)[0, 0]
    array([200, 200, 200], dtype=uint8)
    """

    def __init__(
        self,
        model: "str | Path | nn.Module | LumaFuser" = DEFAULT_MODEL,
        *,
        device: str = "auto",
        precision: str = "auto",
        range: RangeMode = "percentile",
        tile: Literal["auto", "off"] | int = "auto",
        memory: str | int | None = None,
        threads: int | None = None,
        runtime: str = "auto",
    ) -> None:
        """Load the model.

        Args:
            model: the name of a shipped model or of a baseline (:mod:`fsidfusion.fusion.rules`), a
                .safetensors file, a network, or a :class:`LumaFuser`.
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
            precision: ``auto`` (bf16 where the device has it natively), ``fp32`` or ``bf16``.
            range: the output mapping, see :mod:`fsidfusion.images.output_range`.
            tile: ``auto`` tiles where the image does not fit into ``memory``; ``off`` never; a number is the
                side of every tile in pixels, with its context.
            memory: most memory to take: of this process on a CPU, of the device elsewhere ("2GiB" or bytes).
                Half of what is free is the default.
            threads: threads of the CPU for the whole process; all is the default.
            runtime: ``torch``, ``openvino``, ``onnxruntime``, or ``auto`` for the one that is fastest on this
                machine for a network that is named (:mod:`fsidfusion.runtime.runtimes`); a network that is
                given stays in torch.

        Raises:
            InputError: an unknown model, device, precision, range, tile, memory or runtime, or one that is
                not installed.
        """
        if range not in get_args(RangeMode):
            raise InputError(f"range {range!r} is unknown; choose one of {', '.join(get_args(RangeMode))}")
        self.range: RangeMode = range
        self._tile = _parse_tile(tile)
        self._memory = None if memory is None else parse_bytes(memory)
        self._runtime: TorchRuntime | None = None
        self._rule: LumaFuser | None = None
        if isinstance(model, str) and model in BASELINES:
            self._rule = partial(fuse_stack, model)
        elif isinstance(model, str | Path) or _is_network(model):
            self._runtime = _load_runtime(model, device, precision, threads, runtime)
        elif callable(model):
            self._rule = model
        else:
            raise InputError(f"model {model!r} is no name, path, network or function of two luma images")

        self.threads = self._runtime.threads if self._runtime else threads or os.cpu_count() or 1

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self._runtime.device) if self._runtime else "cpu"

    @property
    def precision(self) -> str:
        """What the model computes in."""
        return self._runtime.precision if self._runtime else "fp32"

    @property
    def runtime(self) -> str:
        """What computes the model."""
        return self._runtime.name if self._runtime else "numpy"

    @property
    def memory(self) -> int:
        """The memory limit in bytes; without one given, what is held already and half of what is free."""
        if self._memory is not None:
            return self._memory
        if self._runtime and self._runtime.device.type == "cuda":
            return int(_DEFAULT_SHARE * self._runtime.memory())
        return resident_memory() + int(_DEFAULT_SHARE * free_memory())

    def fuse(
        self,
        infrared: Pixels,
        visible: Pixels,
        *,
        color: Colour = "visible",
        dtype: DTypeLike | None = None,
        align: "Alignment | Literal['auto'] | None" = None,
        crop: bool = False,
    ) -> Pixels:
        """Fuse one pair.

        Args:
            infrared: infrared, or CT, PET, SPECT: (H, W) or (H, W, 3) RGB; uint8, uint16 or floating 0..1.
            visible: visible, or MRI: the same size, unless ``align`` is given; depth and channels may differ.
            color: whose chroma the result carries: ``visible``, ``infrared`` (right for PET and SPECT),
                ``gray`` for none, or ``heat``: that of ``visible``, warmed to orange by the infrared level
                (:mod:`fsidfusion.thermal.heat`).
            dtype: of the result; that of ``visible`` by default.
            align: how the infrared image lies on the visible one, or ``auto`` to estimate it
                (:mod:`fsidfusion.alignment`). Outside the infrared field the visible image stands alone.
            crop: cut the aligned result to what both images fill.

        Returns:
            (H, W, 3) if the image named by ``color`` is RGB, and for ``heat``, else (H, W).

        Raises:
            InputError: shapes, types or values as :func:`fsidfusion.images.pixels.check_pixels` says, sizes
                that differ, not enough memory, or images that cannot be aligned.
        """
        if align is None:
            return self.fuse_batch([infrared], [visible], color=color, dtype=dtype)[0]
        from fsidfusion.alignment.warp import align_pair

        check_pixels(infrared, "infrared")
        check_pixels(visible, "visible")
        aligned = align_pair(infrared, visible, align, crop=crop)[0]
        part = aligned.common_part() if crop else (slice(None), slice(None))
        return self.fuse_batch([aligned.infrared], [visible], [aligned], color=color, dtype=dtype)[0][part]

    def fuse_batch(
        self,
        infrared: Sequence[Pixels],
        visible: Sequence[Pixels],
        aligned: "Sequence[Aligned | None]" = (),
        *,
        color: Colour = "visible",
        dtype: DTypeLike | None = None,
    ) -> list[Pixels]:
        """Fuse several pairs of one size, which go through the model together; see :meth:`fuse`.

        ``aligned`` says for each pair, or for none, where the infrared image counts.
        """
        if color not in get_args(Colour):
            raise InputError(f"color {color!r} is unknown; choose one of {', '.join(get_args(Colour))}")
        results = []
        fields = aligned or [None] * len(visible)
        for fused, ours, theirs, field in zip(self.fuse_luma(infrared, visible), infrared, visible, fields):
            fused = fused if field is None else field.blend(fused, theirs)
            source = chroma_source(color, ours, theirs)
            pixels = render(fused, find_range(fused, self.range), source, np.dtype(dtype or theirs.dtype))
            if color == "heat":
                weight, level = (None, luma(ours)) if field is None else (field.weight, field.plain())
                pixels = glow(pixels, level, heat_range(level, weight), weight)
            results.append(pixels)
        return results

    def fuse_luma(self, infrared: Sequence[Pixels], visible: Sequence[Pixels]) -> list[Luma]:
        """Fuse several pairs of one size to luma, before any output mapping: (H, W) float32 each.

        Raises:
            InputError: as :meth:`fuse`, or a model that returns NaN.
        """
        if not infrared and not visible:
            return []
        height, width = _check_pairs(infrared, visible)
        try:
            if self._runtime:
                fused = self._through_network(self._runtime, infrared, visible)
            else:
                assert self._rule is not None
                fused = whole(self._rule, Frame.around(height, width), infrared, visible, 1)
        except MemoryError as error:
            raise NotEnoughMemory(self._too_large(height, width)) from error
        if any(np.isnan(image.min()) for image in fused):
            raise ModelError("the model returned NaN: its weights are unsound; try fp32, or another model")
        return fused

    def batch_size(self, height: int, width: int) -> int:
        """How many pairs of this size gain from one :meth:`fuse_batch`."""
        most = BATCH_PIXELS.get(self.device.partition(":")[0], BATCH_PIXELS["cpu"])
        return max(1, min(MAX_BATCH, most // (height * width)))

    def parallel_passes(self, height: int, width: int) -> int:
        """How many quick passes over this size may run side by side, each in one thread of the CPU.

        1 where a pass should have all threads: it takes long, needs much memory, or runs elsewhere.
        """
        pixels = height * width
        if pixels > QUICK_PIXELS or self.device != "cpu" or not isinstance(self._tile, str):
            return 1
        if self._runtime and self._runtime.seconds(pixels) > QUICK_SECONDS:
            return 1
        needed = self._runtime.peak_bytes(pixels) if self._runtime else 32 * pixels
        budget = self.memory * (1 - _RESERVE) - resident_memory()
        return max(1, min(self.threads, int(budget / needed) - 1))

    def use_threads(self, number: int) -> None:
        """Compute with so many threads of the CPU in the thread that calls."""
        if self._runtime:
            self._runtime.use_threads(number)

    def _through_network(
        self, runtime: "TorchRuntime", infrared: Sequence[Pixels], visible: Sequence[Pixels]
    ) -> list[Luma]:
        height, width = infrared[0].shape[:2]
        frame = Frame.around(height, width, runtime.size_multiple, runtime.minimum_size)
        budget = self._pass_bytes(runtime, 4 * height * width * len(infrared))
        if frame.pixels * _SAFE_PASS > budget:
            runtime.peak_bytes(frame.pixels)  # measures, and so loads what every pass holds on to
            release_free_blocks()  # they count as held, but a large pass could use them
            budget = self._pass_bytes(runtime, 4 * height * width * len(infrared))
        side = self._tile_side(runtime, frame, budget)
        while True:
            try:
                if side is None:
                    batch = min(self.batch_size(height, width), int(budget / (frame.pixels * _SAFE_PASS)))
                    return whole(runtime, frame, infrared, visible, max(1, batch))
                sampled = self._sampled_pixels(runtime, frame, side, budget)
                return [tiled(runtime, frame, side, sampled, *pair) for pair in zip(infrared, visible)]
            except MemoryError:  # more was needed than foreseen
                side = (side or max(frame.framed_height, frame.framed_width)) // 2
                budget /= 2
                least = smallest_tile(runtime.tile_overlap or 0, runtime.size_multiple)
                if self._tile != "auto" or runtime.tile_overlap is None or side < least:
                    raise

    def _tile_side(self, runtime: "TorchRuntime", frame: Frame, budget: float) -> int | None:
        """The side of the tiles to use, None for the image as a whole; MemoryError where no tile fits."""
        longest = max(frame.framed_height, frame.framed_width)
        if isinstance(self._tile, int):
            return self._tile if self._tile < longest else None
        if self._tile == "off" or runtime.tile_overlap is None:
            if frame.pixels * _SAFE_PASS > budget and runtime.peak_bytes(frame.pixels) > runtime.memory():
                raise MemoryError
            return None
        side = longest if runtime.has_global_statistics else min(longest, MAX_LOCAL_TILE)
        least = min(smallest_tile(runtime.tile_overlap, runtime.size_multiple), longest)
        while frame.tile_pixels(side) * _SAFE_PASS > budget < runtime.peak_bytes(frame.tile_pixels(side)):
            side = side * 15 // 16
            if side < least:
                raise MemoryError
        return side if side < longest else None

    def _sampled_pixels(self, runtime: "TorchRuntime", frame: Frame, side: int, budget: float) -> int:
        """How many pixels the statistics of a tiled image are taken from: as many as fit into one pass."""
        pixels = min(frame.pixels, passes.MAX_SAMPLED)
        while pixels * _SAFE_PASS > budget < runtime.peak_bytes(pixels):
            pixels = pixels * 7 // 8
            if pixels < frame.tile_pixels(side):
                return frame.tile_pixels(side)
        return pixels

    def _pass_bytes(self, runtime: "TorchRuntime", fused_bytes: int) -> float:
        """What one pass of the network may take, next to all that is held already."""
        if runtime.device.type == "cuda":
            return float(self.memory)
        return self.memory * (1 - _RESERVE) - resident_memory() - fused_bytes

    def _too_large(self, height: int, width: int) -> str:
        return (
            f"a pair of {width}x{height} pixels does not fit into {format_bytes(self.memory)} of memory;"
            " give more (--memory), or let it be cut into tiles (--tile auto)"
        )


def chroma_source(color: Colour, infrared: Pixels, visible: Pixels) -> Pixels | None:
    """The picture whose chroma :func:`render` carries; heat colours begin with that of the visible one."""
    return {"infrared": infrared, "gray": None}.get(color, visible)


def render(fused: Luma, range_: Range, colour: Pixels | None, dtype: np.dtype[Any]) -> Pixels:
    """Turn fused luma into pixels: output mapping, chroma of ``colour``, rounding to nearest; strip by strip.

    Args:
        fused: (H, W).
        range_: the fused values that become black and white.
        colour: (H, W, 3) whose chroma is carried; (H, W) or None for a gray result.
        dtype: uint8, uint16 or floating.

    Returns:
        (H, W, 3) if ``colour`` has three channels, else (H, W); the full range of ``dtype``, or 0..1.
    """
    chroma = colour if colour is not None and colour.ndim == 3 else None
    result = np.empty(fused.shape if chroma is None else (*fused.shape, 3), dtype)
    for rows in strips(*fused.shape):
        level = apply_range(fused[rows], range_)
        result[rows] = quantise(level if chroma is None else recolour(level, chroma[rows]), dtype)
    return result


def _check_pairs(infrared: Sequence[Pixels], visible: Sequence[Pixels]) -> tuple[int, int]:
    """The common (H, W) of all images; InputError where there is none."""
    if len(infrared) != len(visible):
        raise InputError(
            f"{len(infrared)} infrared and {len(visible)} visible images make no pairs; give as many"
        )
    for name, images in (("infrared", infrared), ("visible", visible)):
        for image in images:
            check_pixels(image, name)
    (height, width), *others = dict.fromkeys(image.shape[:2] for image in (*visible, *infrared))
    if others:
        other = f"{others[0][1]}x{others[0][0]}"
        raise InputError(
            f"sizes differ: {width}x{height} and {other} (width x height); resize one to the other"
        )
    return height, width


def _parse_tile(tile: str | int) -> Literal["auto", "off"] | int:
    if tile in ("auto", "off"):
        return tile  # type: ignore[return-value]
    if not str(tile).isdigit() or int(tile) == 0:
        raise InputError(f"tile {tile!r} is unknown; give auto, off, or a side in pixels such as 512")
    return int(tile)


def _load_runtime(
    model: Any, device: str, precision: str, threads: int | None, runtime: str
) -> "TorchRuntime":
    import torch

    from fsidfusion.runtime.runtimes import load_runtime

    if threads is not None:
        if threads < 1:
            raise InputError(f"{threads} threads cannot compute; give 1 or more, or none to use all")
        torch.set_num_threads(threads)
    if isinstance(model, str | Path):
        from fsidfusion.network.checkpoint import load_model

        model = load_model(model)
    elif runtime == "auto":
        runtime = "torch"
    return load_runtime(model, runtime, device, precision)


def _is_network(model: object) -> bool:
    torch = sys.modules.get("torch")  # whoever holds a network has imported it
    return torch is not None and isinstance(model, torch.nn.Module)
