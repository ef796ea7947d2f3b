"""Fuse two volumes on the grid of the first, the base; all slices share one output range."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from fsidfusion import __version__
from fsidfusion.errors import InputError
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.pipeline import Fusion, Pipeline, Still
from fsidfusion.fusion.plan import Plan, Style
from fsidfusion.fusion.uptake import Colormap, apply_colormap, color_table, overlay_gray, overlay_uptake
from fsidfusion.fusion.volumes.grid import (
    AXES,
    Axis,
    Volume,
    Voxels,
    default_axis,
    describe_grid,
    display_spacing,
    from_display,
    overlap,
    plane,
    resample,
    to_display,
)
from fsidfusion.fusion.volumes.identity import cross_check
from fsidfusion.fusion.volumes.outline import draw_outlines, outlines
from fsidfusion.fusion.volumes.suv import SUV, to_suv
from fsidfusion.fusion.volumes.windows import (
    UPTAKE,
    WINDOWS,
    Level,
    Modality,
    choose_level,
    is_hounsfield,
    parse_window,
)
from fsidfusion.images.files import Picture
from fsidfusion.images.output_range import Range, apply_range, find_range
from fsidfusion.images.pixels import luma as luma_of
from fsidfusion.images.pixels import quantise

DESCRIPTION = f"Fused by fsidfusion {__version__}; not a medical device"  # in the metadata of every result
SEEN = 0.7  # of uptake, for the model: its colour tells it, and more detail of the anatomy stays in the luma
PARTIAL_OVERLAP = 0.9  # share of the base's voxels below which it is said how many the other volume covers


@dataclass(frozen=True)
class Options:
    """How two volumes are fused."""

    axis: Axis | None = None  # of the slices; None is that of the largest spacing
    window: str | None = None  # of the other: brain, bone, LOW..HIGH or W,L; None as choose_level says
    base_window: str | None = None  # of the base, likewise
    unit: str | None = None  # SUV, or None for that of the file
    colormap: Colormap | None = None  # of PET, SPECT or dose that is not RGB; None is hot
    gray: bool = False  # drop the colour of the result
    bits: Literal[8, 16] = 8  # of a gray result
    style: Style = "fused"  # through the network, or a plain overlay of the other on the base


@dataclass(frozen=True)
class Fused:
    """A fused volume and what it was made of, all (I, J, K) or (I, J, K, 3) on the grid of the base."""

    voxels: Voxels  # uint8 or uint16; three channels where the result has colour
    base: Voxels  # float32 in 0..1, as the model saw it
    other: Voxels  # float32 in 0..1, likewise; or uint8 RGB where the file holds colours
    mapping: Range  # the fused values that became black and white, in every slice
    overlap: float  # share 0..1 of the base's voxels that the other volume covers
    notes: tuple[str, ...]  # what the user should know, one line each
    axis: Axis  # of the slices
    base_level: Level  # the values that are 0 and 1 in ``base``
    level: Level | None  # those of ``other``; None where the file holds colours
    colormap: Colormap | None  # of ``other``; None where it is gray or has its own colours
    level_below: Voxels | None = (
        None  # (I, J, K) uint8: the fused luma that colours lie over; None in an overlay
    )
    outlines: Voxels | None = None  # (I, J, K) uint8: the label whose outline is drawn here, 0 for none
    colored: bool = False  # whether ``other`` lies over the luma in colour


def check_options(base: Modality, modality: Modality, options: Options) -> None:
    """Check that the options suit the modalities and each other.

    Raises:
        InputError: an unknown window, a colour map for a volume that is no map of uptake, a unit that is not
            known or of another modality, 16 bits in colour.
    """
    for window in (options.window, options.base_window):
        if window is not None:
            parse_window(window)
    if base not in ("mri", "ct"):
        raise InputError(f"the base is {base.upper()}, expected an MRI or a CT; give `mri` or `ct` too")
    if options.window in WINDOWS and modality != "ct":
        raise InputError(
            f"the window {options.window} is for CT, given {modality.upper()}; give `window`=LOW..HIGH"
        )
    if options.colormap is not None and modality not in UPTAKE:
        raise InputError(
            f"a colour map is for PET, SPECT and dose, given {modality.upper()}; leave out `colormap`"
        )
    if options.colormap is not None:
        color_table(options.colormap)
    if options.unit is not None and (options.unit.upper() not in ("SUV", SUV.upper()) or modality != "pet"):
        raise InputError(
            f"the unit {options.unit} is not known for {modality.upper()}; `unit` SUV is for PET"
        )
    if options.style not in get_args(Style):
        raise InputError(f"style {options.style!r} is unknown; choose one of {', '.join(get_args(Style))}")
    coloured = modality in UPTAKE and options.colormap != "gray" and not options.gray
    if options.bits == 16 and coloured:
        raise InputError("a volume in colour has 8 bits; give `colormap` gray for one of 16, or `bits` 8")


def fuse_volumes(
    fuser: Fuser | None,
    base: Volume,
    other: Volume,
    modality: Modality,
    options: Options = Options(),
    progress: Callable[[int, int], None] = lambda done, total: None,
    base_modality: Modality = "mri",
    labels: Volume | None = None,
) -> Fused:
    """Fuse two volumes slice by slice.

    The other volume is resampled to the grid of the base by the affines; nothing is registered. Both are
    scaled to 0..1 (:func:`~fsidfusion.fusion.volumes.windows.choose_level`), all slices are fused before any
    is mapped to the output, and one range is found over all of them: equal fused values are equal voxels,
    whatever the slice. The network sees uptake as gray; its colour is laid over the fused luma
    (:func:`~fsidfusion.fusion.uptake.show_uptake`), so that it depends on the uptake and little else.

    Args:
        fuser: the model, and how the output range is found; None for the style ``overlay``.
        base: MRI or CT, not RGB.
        other: any modality; RGB PET or SPECT keeps its own colours.
        modality: what ``other`` is.
        options: axis, windows, colours and depth.
        progress: called with slices done and in all.
        base_modality: what ``base`` is.
        labels: whole numbers, whose outlines are drawn into the result; it becomes RGB.

    Raises:
        InputError: :func:`check_options`; an RGB volume where values are needed; volumes that do not overlap,
            are flat, or lie outside the window; a unit that cannot be computed.
    """
    check_options(base_modality, modality, options)
    needed = (
        [(base, base_modality)]
        if modality in ("pet", "spect")
        else [(base, base_modality), (other, modality)]
    )
    for volume, kind in needed:
        if volume.is_rgb:
            raise InputError(
                f"{volume.name} holds RGB colours, expected the values of the {kind.upper()}; give those"
            )
    if other.is_rgb and (options.colormap is not None or options.window is not None):
        raise InputError(f"{other.name} holds RGB colours already; leave out `colormap` and `window`")
    share = overlap(base, other)
    if options.unit is not None:
        other = to_suv(other)
    axis = options.axis or default_axis(base.affine)
    notes = [*base.notes, *other.notes, *cross_check(base, other, base_modality, modality)]
    notes += _notes(base, other, modality, options, share)
    base_level, told = choose_level(base, base_modality, options.base_window)
    notes += told
    shown, level = other, None
    if not other.is_rgb:
        level, told = choose_level(other, modality, options.window)  # of all of it, not of what is covered
        notes += told
    voxels = resample(shown, base)
    ours = base_level.apply(base.voxels)
    theirs = voxels if level is None else level.apply(voxels)
    if level is not None and not theirs.any():
        raise InputError(
            f"{other.name} shows nothing on the grid of {base.name} in {level}; check that they show one"
            " patient, or give `window`=LOW..HIGH"
        )
    colormap = (options.colormap or "hot") if modality in UPTAKE and not other.is_rgb else None
    colormap = None if colormap == "gray" or options.gray else colormap
    stack = _Stack(base, ours, theirs, axis, colormap, options)
    mapping = _overlay_slices(stack, progress) if fuser is None else _fuse_slices(fuser, stack, progress)
    fused = np.ascontiguousarray(from_display(stack.result, base.affine))
    below = None if fuser is None else from_display(stack.below, base.affine)
    edges = None if labels is None else outlines(labels, base, axis)
    if edges is not None:
        fused = draw_outlines(fused, edges)
    return Fused(
        fused,
        ours,
        theirs,
        mapping,
        share,
        tuple(notes),
        axis,
        base_level,
        level,
        colormap,
        below,
        edges,
        stack.coloured,
    )


@dataclass
class _Slice(Fusion):
    """One slice of two volumes on one grid, and its place in the result; see :func:`_fuse_slices`."""

    stack: "_Stack | None" = None
    number: int = 0

    def read(self, plan: Plan) -> None:
        assert self.stack is not None
        ours, theirs = (self.stack.plane(voxels, self.number) for voxels in self.stack.sources)
        self.visible = Picture(ours)
        colormap = self.stack.colormap
        if colormap is None:
            self.infrared, self.paint = Picture(theirs), theirs if theirs.ndim == 3 else None
        else:
            self.infrared = Picture(theirs * np.float32(SEEN))
            self.paint = apply_colormap(theirs, colormap)

    def write(self, plan: Plan) -> None:
        assert self.stack is not None and self.result is not None and self.luma is not None
        self.stack.plane(self.stack.result, self.number)[...] = self.result.pixels
        if self.stack.below is not self.stack.result:
            level = apply_range(self.luma, self.stack.shared)
            plane(self.stack.below, self.stack.axis, self.number)[...] = quantise(level, np.dtype(np.uint8))


class _Stack:
    """The slices of two volumes along an axis, in the orientation in which they are shown."""

    def __init__(
        self,
        base: Volume,
        ours: Voxels,
        theirs: Voxels,
        axis: Axis,
        colormap: Colormap | None,
        options: Options,
    ) -> None:
        self.sources = tuple(to_display(voxels, base.affine) for voxels in (ours, theirs))
        self.axis, self.colormap = axis, colormap
        self.number = self.sources[0].shape[AXES[axis]]
        x, y, z = display_spacing(base.affine)
        self.spacing = {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[axis]
        self.coloured = (colormap is not None or theirs.ndim == 4) and not options.gray
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if options.bits == 16 else np.uint8)
        shape = self.sources[0].shape[:3]
        self.result = np.empty((*shape, 3) if self.coloured else shape, self.dtype)
        self.below = np.empty(shape, np.uint8) if self.coloured else self.result  # the luma alone
        self.shared = Range(0.0, 1.0)  # the output range of all slices

    def plane(self, voxels: Voxels, number: int) -> Voxels:
        """One slice (H, W) or (H, W, 3), which can be written to where it is of the result."""
        flat = plane(voxels, self.axis, number)
        return flat if voxels is self.result else np.ascontiguousarray(flat)

    def slices(self, start: int, stop: int) -> list[_Slice]:
        """New fusions of some of the slices."""
        return [
            _Slice(dtype=self.dtype, spacing=self.spacing, stack=self, number=number)
            for number in range(start, min(stop, self.number))
        ]


class _OneRange(Still):
    """The memory of a volume: all slices share one output range, so that equal values are equal voxels."""

    shared = Range(0.0, 1.0)

    def range(self, fusion: Fusion) -> Range:
        """That of all slices."""
        return self.shared


def _fuse_slices(fuser: Fuser, stack: _Stack, progress: Callable[[int, int], None]) -> Range:
    """All slices through the pipeline: first the model, then, by the range that they share, the rest."""
    plan = Plan(task="medical", color="auto" if stack.coloured else "gray")
    memory = _OneRange(plan, fuser.range)
    pipeline = Pipeline(fuser, plan, memory)
    height, width = stack.plane(stack.sources[0], 0).shape[:2]
    luma = np.empty((stack.number, height, width), np.float32)
    batch = fuser.batch_size(height, width)
    for start in range(0, stack.number, batch):
        slices = stack.slices(start, start + batch)
        for one in slices:
            pipeline.prepare(one)
        pipeline.fuse(*slices)
        for one in slices:
            luma[one.number] = one.luma
        progress(start + len(slices), stack.number)
    memory.shared = stack.shared = find_range(luma.reshape(-1, width), fuser.range)
    for one in stack.slices(0, stack.number):
        pipeline.prepare(one)
        one.luma = luma[one.number]
        pipeline.finish(one)
    return memory.shared


def _overlay_slices(stack: _Stack, progress: Callable[[int, int], None]) -> Range:
    """A plain overlay of the other on the base, without a model."""
    for one in stack.slices(0, stack.number):
        anatomy, flat = (stack.plane(voxels, one.number) for voxels in stack.sources)
        if stack.coloured:
            colors = flat if stack.colormap is None else apply_colormap(flat, stack.colormap)
            uptake = luma_of(flat) if stack.colormap is None else flat
            pixels = overlay_uptake(anatomy, uptake, colors)
        else:
            pixels = overlay_gray(anatomy, luma_of(flat))
        stack.plane(stack.result, one.number)[...] = quantise(pixels, stack.dtype)
        progress(one.number + 1, stack.number)
    return Range(0.0, 1.0)


def _notes(base: Volume, other: Volume, modality: Modality, options: Options, share: float) -> list[str]:
    notes = []
    if share < PARTIAL_OVERLAP:
        notes.append(
            f"the {modality.upper()} covers {share:.0%} of the grid: {describe_grid(base)},"
            f" {describe_grid(other)}"
        )
    if options.window in WINDOWS and not is_hounsfield(other):
        notes.append(
            f"{other.name} holds {other.voxels.min():g}..{other.voxels.max():g}, which does not look like"
            f" Hounsfield units, for which the window {options.window} is meant; `window`=LOW..HIGH takes its"
            " own"
        )
    return notes
