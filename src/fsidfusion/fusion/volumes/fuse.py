"""Fuse an MRI with a CT, PET or SPECT volume on the grid of the MRI; all slices share one output mapping."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fsidfusion import __version__
from fsidfusion.errors import InputError
from fsidfusion.fusion.color import render
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.volumes.grid import (
    AXES,
    Axis,
    Volume,
    Voxels,
    describe_grid,
    from_display,
    overlap,
    plane,
    resample,
    to_display,
)
from fsidfusion.fusion.volumes.windows import (
    WINDOWS,
    Colormap,
    apply_colormap,
    apply_window,
    is_hounsfield,
    parse_window,
    scale_robust,
)
from fsidfusion.images.output_range import Range, find_range

Modality = Literal["ct", "pet", "spect"]

DESCRIPTION = f"Fused by fsidfusion {__version__}; not a medical device"  # in the metadata of every result
PARTIAL_OVERLAP = 0.9  # share of the MRI's voxels below which it is said how many the other volume covers


@dataclass(frozen=True)
class Options:
    """How two volumes are fused."""

    axis: Axis = "axial"  # of the slices; the nearest axis of the MRI grid
    window: str | None = None  # of a CT: brain, bone, or W,L in its units; None as :func:`ct_window` says
    colormap: Colormap | None = None  # of a PET or SPECT volume that is not RGB; None is hot
    gray: bool = False  # drop the colour of the result
    bits: Literal[8, 16] = 8  # of a gray result


@dataclass(frozen=True)
class Fused:
    """A fused volume and what it was made of, all (I, J, K) or (I, J, K, 3) on the grid of the MRI."""

    voxels: Voxels  # uint8 or uint16; three channels where the other volume has colour
    mri: Voxels  # float32 in 0..1, as the model saw it
    other: Voxels  # float32 in 0..1, or uint8 RGB; likewise
    mapping: Range  # the fused values that became black and white, in every slice
    overlap: float  # share 0..1 of the MRI's voxels that the other volume covers
    notes: tuple[str, ...]  # what the user should know, one line each


def check_options(modality: Modality, options: Options) -> None:
    """Check that the options suit the modality and each other.

    Raises:
        InputError: an unknown window, a window for another volume than a CT, a colour map for a CT, 16 bits
            in colour.
    """
    if options.window is not None:
        if modality != "ct":
            raise InputError(f"a window is for CT, given {modality.upper()}; leave out --window")
        parse_window(options.window)
    if options.colormap is not None and modality == "ct":
        raise InputError("a colour map is for PET and SPECT, given CT; leave out --colormap")
    coloured = modality != "ct" and options.colormap != "gray" and not options.gray
    if options.bits == 16 and coloured:
        raise InputError("a volume in colour has 8 bits; give --colormap gray for one of 16, or --bits 8")


def ct_window(ct: Volume, options: Options) -> str | None:
    """The window of a CT: the one that is asked for, else bone in Hounsfield units, and none in others."""
    return options.window or ("bone" if is_hounsfield(ct) else None)


def fuse_volumes(
    fuser: Fuser,
    mri: Volume,
    other: Volume,
    modality: Modality,
    options: Options = Options(),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Fused:
    """Fuse two volumes slice by slice.

    The other volume is resampled to the MRI grid by the affines; nothing is registered. Both are scaled to
    0..1 (:mod:`fsidfusion.fusion.volumes.windows`), all slices are fused before any is mapped to the output,
    and one range is found over all of them: equal fused values are equal voxels, whatever the slice.

    Args:
        fuser: the model, and how the output range is found.
        mri: not RGB.
        other: CT, PET or SPECT; RGB for the last two keeps its own colours.
        modality: what ``other`` is.
        options: axis, window, colours and depth.
        report: called with slices done and in all.

    Raises:
        InputError: :func:`check_options`; an RGB volume where values are needed; volumes that do not overlap,
            are flat, or lie outside the window.
    """
    check_options(modality, options)
    for volume, name in ((mri, "MRI"), *([(other, "CT")] if modality == "ct" else [])):
        if volume.is_rgb:
            raise InputError(
                f"{volume.name} holds RGB colours, expected the values of the {name}; give those"
            )
    if other.is_rgb and options.colormap is not None:
        raise InputError(f"{other.name} holds RGB colours already; leave out --colormap")
    share = overlap(mri, other)
    notes = _notes(mri, other, modality, options, share)
    voxels = resample(other, mri)
    name = other.name if voxels is other.voxels else f"{other.name}, on the grid of the MRI,"
    aligned = Volume(name, voxels, mri.affine)
    shown = _shown(aligned, modality, ct_window(other, options) if modality == "ct" else None, options)
    dim = scale_robust(mri)
    fused, mapping = _fuse_slices(fuser, mri, dim, shown, options, report)
    return Fused(fused, dim, shown, mapping, share, notes)


def _fuse_slices(
    fuser: Fuser,
    mri: Volume,
    dim: Voxels,
    shown: Voxels,
    options: Options,
    report: Callable[[int, int], None],
) -> tuple[Voxels, Range]:
    """All slices along the axis to voxels on the grid of the MRI, and the one range that they share."""
    ours, theirs = (to_display(voxels, mri.affine) for voxels in (dim, shown))
    total = ours.shape[AXES[options.axis]]
    height, width = plane(ours, options.axis, 0).shape
    luma = np.empty((total, height, width), np.float32)
    batch = fuser.batch_size(height, width)
    for start in range(0, total, batch):
        stop = min(start + batch, total)
        slices = [
            [np.ascontiguousarray(plane(voxels, options.axis, k)) for k in range(start, stop)]
            for voxels in (theirs, ours)
        ]
        luma[start:stop] = fuser.fuse_luma(*slices)
        report(stop, total)
    mapping = find_range(luma.reshape(-1, width), fuser.range)
    coloured = shown.ndim == 4 and not options.gray
    dtype: np.dtype[Any] = np.dtype(np.uint16 if options.bits == 16 else np.uint8)
    result = np.empty((*ours.shape, 3) if coloured else ours.shape, dtype)
    for k in range(total):
        colour = plane(theirs, options.axis, k) if coloured else None
        plane(result, options.axis, k)[...] = render(
            luma[k], mapping, None if colour is None else np.ascontiguousarray(colour), dtype
        )
    return np.ascontiguousarray(from_display(result, mri.affine)), mapping


def _shown(other: Volume, modality: Modality, window: str | None, options: Options) -> Voxels:
    """The other volume as the model sees it: float32 in 0..1, or uint8 RGB."""
    if other.is_rgb:
        return other.voxels
    if window is not None:
        return apply_window(other, window)
    values = scale_robust(other)
    colormap = options.colormap or "hot"
    return values if modality == "ct" or colormap == "gray" else apply_colormap(values, colormap)


def _notes(mri: Volume, other: Volume, modality: Modality, options: Options, share: float) -> tuple[str, ...]:
    notes = []
    if share < PARTIAL_OVERLAP:
        notes.append(
            f"the {modality.upper()} covers {share:.0%} of the MRI grid: {describe_grid(mri)},"
            f" {describe_grid(other)}"
        )
    if options.window in WINDOWS and not is_hounsfield(other):
        notes.append(
            f"{other.name} holds {other.voxels.min():g}..{other.voxels.max():g}, which does not look like"
            f" Hounsfield units, for which the window {options.window} is meant; --window W,L takes its own"
        )
    frames = {str(getattr(volume.header, "FrameOfReferenceUID", "")) for volume in (mri, other)}
    if len(frames - {""}) > 1:
        notes.append(
            "the two series have different frames of reference, and nothing is registered: look whether they"
            " lie on each other"
        )
    return tuple(notes)
