"""Fuse pairs of images of any size, depth and colour: the centre of the Python API."""

import math
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, Unpack, get_args

import numpy as np

from fsidfusion import DEFAULT_MODEL
from fsidfusion.errors import InputError, ModelError, NotEnoughMemory
from fsidfusion.fusion.arguments import SETTINGS, TREATMENT, Emphasis, Settings, Treatment, spelled_out
from fsidfusion.fusion.pipeline import Fusion, Pipeline
from fsidfusion.fusion.plan import Plan, Task
from fsidfusion.fusion.rules import RULES, fuse_stack
from fsidfusion.images.files import Picture
from fsidfusion.images.output_range import RangeMode
from fsidfusion.images.pixels import Luma, Pixels, PixelsLike, as_pixels
from fsidfusion.network.names import suited
from fsidfusion.runtime import passes
from fsidfusion.runtime.device import (
    check_threads,
    format_bytes,
    free_memory,
    parse_bytes,
    release_free_blocks,
    resident_memory,
)
from fsidfusion.runtime.passes import LumaFuser, tiled, whole
from fsidfusion.runtime.runtimes import load_runtime
from fsidfusion.runtime.tiles import Frame, smallest_tile

if TYPE_CHECKING:
    from torch import nn

    from fsidfusion.runtime.interface import Runtime

BATCH_PIXELS = {"cpu": 1 << 16, "cuda": 1 << 23}  # most pixels of the images that go through together
MAX_BATCH = 64
QUICK_PIXELS, QUICK_SECONDS = 1 << 21, 0.5  # below both, pairs go through side by side
MAX_LOCAL_TILE = 768  # local networks were fastest with it on a CPU; a power of two was twice as slow
MAX_OVERLAPS = (
    16  # a network that sees further takes larger tiles: what is computed twice stays below a third
)
_SAFE_PASS = (
    16 * 1024
)  # bytes a pixel that no network of this project needs: if they fit, nothing is measured
_DEFAULT_SHARE = 0.5  # of the free memory
# Without a limit given, pictures beyond 4K are cut so that the process stays below this: larger tiles are
# hardly faster. A process that holds more already takes so much more for a pass.
LARGE_PIXELS = 9_000_000
AIM, LEAST_AIM = 1400 << 20, 512 << 20  # bytes
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

    @spelled_out(Settings)
    def __init__(
        self,
        model: "str | Path | nn.Module | LumaFuser" = DEFAULT_MODEL,
        **settings: Unpack[Settings],
    ) -> None:
        """Load the model.

        Args:
            model: the name of a shipped model or of a baseline (:mod:`fsidfusion.fusion.rules`), a
                .safetensors file, a network, or a :class:`LumaFuser`.
            settings: its task and how it runs, by name: :class:`fsidfusion.fusion.arguments.Settings`.

        Raises:
            InputError: an unknown model, device, precision, range, emphasis, tile, memory or runtime, or one
                that is not installed.
        """
        given: Settings = {**SETTINGS, **settings}
        task, range, emphasis = given["task"], given["range"], given["emphasis"]
        memory, threads = given["memory"], given["threads"]
        if range not in get_args(RangeMode):
            raise InputError(f"range {range!r} is unknown; choose one of {', '.join(get_args(RangeMode))}")
        if emphasis not in get_args(Emphasis):
            raise InputError(f"emphasis {emphasis!r} is unknown; choose {' or '.join(get_args(Emphasis))}")
        if task not in get_args(Task):
            raise InputError(f"task {task!r} is unknown; choose one of {', '.join(get_args(Task))}")
        self.task: Task = task
        self.range: RangeMode = range
        self._tile = _parse_tile(given["tile"])
        self._memory = None if memory is None else parse_bytes(memory)
        check_threads(threads)
        self._runtime: Runtime | None = None
        self._rule: LumaFuser | None = None
        if isinstance(model, str) and model in RULES:
            self._rule = partial(fuse_stack, model)
        elif isinstance(model, str | Path) or _is_network(model):
            if isinstance(model, str):
                model = suited(model, task == "medical")
            how = given["runtime"], given["device"], given["precision"], threads
            self._runtime = load_runtime(model, *how, float(emphasis == "targets"))
        elif callable(model):
            self._rule = model
        else:
            raise InputError(f"model {model!r} is no name, path, network or function of two luma images")

        self.name = (
            str(model) if isinstance(model, str | Path) else getattr(model, "__name__", type(model).__name__)
        )
        self.threads = self._runtime.threads if self._runtime else threads or os.cpu_count() or 1

    def __repr__(self) -> str:
        return f"Fuser({self.name!r}, {self.task}, on {self.device} in {self.precision} by {self.runtime})"

    @property
    def network(self) -> "nn.Module | None":
        """The network itself, for people who build on it; None for a rule."""
        return self._runtime.network if self._runtime else None

    @property
    def device(self) -> str:
        """Where the model runs."""
        return self._runtime.device if self._runtime else "cpu"

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
        """The memory limit in bytes; without one given, what is held already and half of what is free.

        What does not fit into it is refused. Tiles take less where that costs little: see ``AIM``.
        """
        if self._memory is not None:
            return self._memory
        if self._runtime and self._runtime.device.startswith("cuda"):
            return int(_DEFAULT_SHARE * self._runtime.memory())
        return resident_memory() + int(_DEFAULT_SHARE * free_memory())

    @spelled_out(Treatment)
    def fuse(
        self,
        infrared: PixelsLike | None = None,
        visible: PixelsLike | None = None,
        **treatment: Unpack[Treatment],
    ) -> Pixels:
        """Fuse one pair: infrared and visible, or by name ``mri`` and one of ``ct``, ``pet``, ``spect``.

        Args:
            infrared: (H, W) or (H, W, 3) RGB; uint8, uint16 or floating 0..1; an array, a torch tensor (also
                (3, H, W)) or a PIL image. Of a fuser for the medical task, the first one given is the MRI.
            visible: the same size, unless ``align`` is given; depth and channels may differ.
            treatment: scans in place of these, colours, type, alignment, by name:
                :class:`fsidfusion.fusion.arguments.Treatment`.

        Returns:
            a NumPy array: (H, W, 3) if the image that gives the chroma is RGB, and for ``heat``, else (H, W).

        Raises:
            InputError: no two images that belong together; shapes, types or values as
                :func:`fsidfusion.images.pixels.as_pixels` says, sizes that differ, or images that cannot be
                aligned.
            NotEnoughMemory: the pair does not fit into the memory limit.
            ModelError: the model returned NaN.
        """
        given: Treatment = {**TREATMENT, **treatment}
        scans = given["mri"], given["ct"], given["pet"], given["spect"]
        first, second, task = in_their_places(self.task, infrared, visible, *scans)
        plan = Plan(task=task, color=given["color"], align=given["align"], crop=given["crop"])
        names = ("infrared", "visible") if task == "thermal" else ("ct, pet or spect", "mri")
        ours, theirs = (as_pixels(image, name) for image, name in zip((first, second), names))
        wanted = None if given["dtype"] is None else np.dtype(given["dtype"])
        fusion = Fusion(Picture(ours), Picture(theirs), names, dtype=wanted)
        Pipeline(self, plan)(fusion)
        assert fusion.result is not None
        return fusion.result.pixels

    def fuse_luma(self, infrared: Sequence[PixelsLike], visible: Sequence[PixelsLike]) -> list[Luma]:
        """Fuse several pairs of one size to luma, before any output range: (H, W) float32 each.

        The images are those of the infrared place (CT, PET, SPECT) and of the visible one (MRI).

        Raises:
            InputError, NotEnoughMemory, ModelError: as :meth:`fuse`.
        """
        if not infrared and not visible:
            return []
        infrared, visible = _check_pairs(infrared, visible)
        height, width = visible[0].shape[:2]
        try:
            if self._runtime:
                fused = self._through_network(self._runtime, infrared, visible)
            else:
                assert self._rule is not None
                fused = whole(self._rule, Frame.around(height, width), infrared, visible, 1)
        except MemoryError as error:
            raise NotEnoughMemory(self._too_large(height, width)) from error
        if not all(np.isfinite((image.min(), image.max())).all() for image in fused):
            raise ModelError(
                "the model returned NaN or infinity: its weights are unsound; try fp32, or another model"
            )
        return fused

    def batch_size(self, height: int, width: int) -> int:
        """How many pairs of this size gain from one :meth:`fuse_luma`."""
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
        self, runtime: "Runtime", infrared: Sequence[Pixels], visible: Sequence[Pixels]
    ) -> list[Luma]:
        height, width = infrared[0].shape[:2]
        frame = Frame.around(height, width, runtime.traits.size_multiple, runtime.traits.minimum_size)
        budget = self._pass_bytes(runtime, 4 * height * width * len(infrared))
        if frame.pixels * _SAFE_PASS > budget:
            runtime.peak_bytes(frame.pixels)  # measures, and so loads what every pass holds on to
            release_free_blocks()  # they count as held, but a large pass could use them
            budget = self._pass_bytes(runtime, 4 * height * width * len(infrared))
        aim = min(budget, self._aim(runtime, frame, 4 * height * width * len(infrared)))
        side = self._tile_side(runtime, frame, budget, aim)
        while True:
            try:
                if side is None:
                    batch = min(self.batch_size(height, width), int(budget / (frame.pixels * _SAFE_PASS)))
                    return whole(runtime, frame, infrared, visible, max(1, batch))
                sampled = 0
                if runtime.traits.has_global_statistics:
                    sampled = self._sampled_pixels(runtime, frame, side, budget)
                return [tiled(runtime, frame, side, sampled, *pair) for pair in zip(infrared, visible)]
            except MemoryError:  # more was needed than foreseen
                side = (side or max(frame.framed_height, frame.framed_width)) // 2
                budget /= 2
                least = smallest_tile(runtime.traits.tile_overlap or 0, runtime.traits.size_multiple)
                if self._tile != "auto" or runtime.traits.tile_overlap is None or side < least:
                    raise

    def _tile_side(self, runtime: "Runtime", frame: Frame, budget: float, aim: float) -> int | None:
        """The side of the tiles to use, None for the image as a whole.

        Tiles are cut to ``aim`` bytes a pass, but no smaller than they must be; MemoryError where no tile
        fits into ``budget``.
        """
        longest = max(frame.framed_height, frame.framed_width)
        if isinstance(self._tile, int):
            return self._tile if self._tile < longest else None
        if self._tile == "off" or runtime.traits.tile_overlap is None:
            if frame.pixels * _SAFE_PASS > budget and runtime.peak_bytes(frame.pixels) > runtime.memory():
                raise MemoryError
            return None
        most = max(MAX_LOCAL_TILE, MAX_OVERLAPS * runtime.traits.tile_overlap)
        side = longest if runtime.traits.has_global_statistics else min(longest, most)
        if aim < budget and runtime.tile_pixels is not None:
            side = min(side, math.isqrt(runtime.tile_pixels))
        least = min(smallest_tile(runtime.traits.tile_overlap, runtime.traits.size_multiple), longest)
        while frame.tile_pixels(side) * _SAFE_PASS > aim < runtime.peak_bytes(frame.tile_pixels(side)):
            if side == least:
                if budget < runtime.peak_bytes(frame.tile_pixels(side)):
                    raise MemoryError
                break
            side = max(least, side * 15 // 16)
        return side if side < longest else None

    def _sampled_pixels(self, runtime: "Runtime", frame: Frame, side: int, budget: float) -> int:
        """How many pixels the statistics of a tiled image are taken from: as many as fit into one pass."""
        pixels = min(frame.pixels, passes.MAX_SAMPLED)
        while pixels * _SAFE_PASS > budget < runtime.peak_bytes(pixels):
            pixels = pixels * 7 // 8
            if pixels < frame.tile_pixels(side):
                return frame.tile_pixels(side)
        return pixels

    def _pass_bytes(self, runtime: "Runtime", fused_bytes: int) -> float:
        """What one pass of the network may take, next to all that is held already."""
        if runtime.device.startswith("cuda"):
            return float(self.memory)
        return self.memory * (1 - _RESERVE) - resident_memory() - fused_bytes

    def _aim(self, runtime: "Runtime", frame: Frame, fused_bytes: int) -> float:
        """What one pass should take: less than it may, where tiles are as good and nobody gave a limit."""
        free = self._memory is not None or runtime.device != "cpu" or frame.pixels <= LARGE_PIXELS
        if free or runtime.traits.has_global_statistics:
            return math.inf
        return max(LEAST_AIM, AIM - resident_memory() - fused_bytes)

    def _too_large(self, height: int, width: int) -> str:
        return (
            f"a pair of {width}x{height} pixels does not fit into {format_bytes(self.memory)} of memory;"
            " give more (`memory`), or let it be cut into tiles (`tile` auto)"
        )


def _check_pairs(
    infrared: Sequence[PixelsLike], visible: Sequence[PixelsLike]
) -> tuple[list[Pixels], list[Pixels]]:
    """All images as plain pixels of one size; InputError where they are not pairs."""
    if len(infrared) != len(visible):
        raise InputError(
            f"{len(infrared)} infrared and {len(visible)} visible images make no pairs; give as many"
        )
    ours = [as_pixels(image, "infrared") for image in infrared]
    theirs = [as_pixels(image, "visible") for image in visible]
    (height, width), *others = dict.fromkeys(image.shape[:2] for image in (*theirs, *ours))
    if others:
        other = f"{others[0][1]}x{others[0][0]}"
        raise InputError(
            f"sizes differ: {width}x{height} and {other} (width x height); resize one to the other"
        )
    return ours, theirs


def in_their_places(
    task: Task, infrared: Any, visible: Any, mri: Any, ct: Any, pet: Any, spect: Any
) -> tuple[Any, Any, Task]:
    """The images of the infrared and of the visible place, and the task, of what was given by name or order.

    Raises:
        InputError: not two images that belong together.
    """
    named = {"infrared": infrared, "visible": visible, "mri": mri, "ct": ct, "pet": pet, "spect": spect}
    given = [name for name, image in named.items() if image is not None]
    if given == ["infrared", "visible"]:
        return (visible, infrared, task) if task == "medical" else (infrared, visible, task)
    if given in (["mri", "ct"], ["mri", "pet"], ["mri", "spect"]):
        return named[given[1]], mri, "medical"
    raise InputError(
        f"given {', '.join(given) or 'no image'}; expected infrared and visible,"
        " or mri and one of ct, pet, spect"
    )


def _parse_tile(tile: str | int) -> Literal["auto", "off"] | int:
    if tile in ("auto", "off"):
        return tile  # type: ignore[return-value]
    if not str(tile).isdigit() or int(tile) == 0:
        raise InputError(f"tile {tile!r} is unknown; give auto, off, or a side in pixels such as 512")
    return int(tile)


def _is_network(model: object) -> "TypeGuard[nn.Module]":
    torch = sys.modules.get("torch")  # whoever holds a network has imported it
    return torch is not None and isinstance(model, torch.nn.Module)
