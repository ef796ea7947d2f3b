"""The package in one call: arrays, files; the loaded model is kept for the next call."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from fsidfusion import DEFAULT_MODEL
from fsidfusion.fusion.arguments import SETTINGS, TREATMENT, Arguments, spelled_out
from fsidfusion.fusion.files import Outcome
from fsidfusion.fusion.fuser import Fuser, in_their_places
from fsidfusion.fusion.outputs import output_paths
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.stored import fuse_stored
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.pixels import Pixels, PixelsLike, as_pixels, quantise, unit

if TYPE_CHECKING:
    from fsidfusion.alignment.transform import Alignment
    from fsidfusion.fusion.volumes.files import Written
    from fsidfusion.fusion.volumes.fuse import Options as VolumeOptions
    from fsidfusion.fusion.volumes.windows import Modality

kept_fuser = lru_cache(maxsize=4)(Fuser)

PathLike = str | Path


@spelled_out(Arguments)
def fuse(
    infrared: PixelsLike | None = None,
    visible: PixelsLike | None = None,
    *,
    model: str | Path = DEFAULT_MODEL,
    **arguments: Unpack[Arguments],
) -> Pixels:
    """Fuse one pair of images; the loaded model is kept for the next call.

    By order: infrared and visible, or with ``task="medical"`` MRI and CT, PET or SPECT; or by name.
    Args, result and errors are those of :meth:`Fuser.fuse` and of :class:`Fuser`:

        >>> import numpy as np
        >>> import fsidfusion
        >>> infrared = np.zeros((48, 64), np.uint8)
        >>> visible = np.full((48, 64, 3), 90, np.uint8)
        >>> fused = fsidfusion.fuse(infrared, visible)
        >>> fused.shape, fused.dtype
        ((48, 64, 3), dtype('uint8'))
        >>> fsidfusion.fuse(mri=infrared, pet=visible).shape
        (48, 64, 3)
    """
    settings: dict[str, Any] = {name: arguments.get(name, value) for name, value in SETTINGS.items()}
    treatment: dict[str, Any] = {name: arguments.get(name, value) for name, value in TREATMENT.items()}
    scans = (treatment[name] for name in ("mri", "ct", "pet", "spect"))
    settings["task"] = in_their_places(settings["task"], infrared, visible, *scans)[2]
    return kept_fuser(str(model), **settings).fuse(infrared, visible, **treatment)


def fuse_files(
    infrared: PathLike | Sequence[PathLike],
    visible: PathLike | Sequence[PathLike],
    output: PathLike,
    *,
    plan: Plan = Plan(),
    fuser: Fuser | None = None,
    extension: str = ".png",
    recursive: bool = False,
    progress: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Fuse pairs of picture files, and write each result whole; what exists is skipped, so a run resumes.

    Args:
        infrared: files, a folder, a glob, a ``.txt`` list or addresses of a store; with a medical plan
            CT, PET or SPECT. Pairs share their stem (:func:`fsidfusion.images.pairs.match_pairs`).
        visible: likewise; with a medical plan MRI.
        output: a file for one pair, else a folder, also in a store.
        plan: task, colour, gain, alignment, depth.
        fuser: the model; the default one of the plan's task if none is given.
        extension: of the files in a folder.
        recursive: look into sub-folders.
        progress: called with each outcome as soon as it is known.

    Returns:
        an outcome for each pair; bad pairs are outcomes, not exceptions.

    Raises:
        InputError: nothing found, no pairs, or outputs that cannot be written.
    """
    ours, theirs = ([side] if isinstance(side, str | Path) else side for side in (infrared, visible))
    matches = match_pairs(ours, theirs, recursive)
    paths = output_paths(matches.pairs, str(output), matches.many, extension)
    return fuse_stored(fuser or kept_fuser(task=plan.task), matches.pairs, paths, plan, progress)


def fuse_volumes(
    base: PathLike,
    other: PathLike,
    output: PathLike,
    *,
    modality: "Modality",
    base_modality: "Modality" = "mri",
    options: "VolumeOptions | None" = None,
    fuser: Fuser | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> "Written":
    """Fuse an MRI or CT with another volume on the grid of the first, and write the result whole.

    Args:
        base: NIfTI, NRRD, MetaImage or MGZ, a DICOM file, or a folder of DICOM series.
        other: likewise.
        output: .nii, .nii.gz, or a folder for DICOM.
        modality: what ``other`` is: ``mri``, ``ct``, ``pet``, ``spect`` or ``dose``.
        base_modality: what ``base`` is: ``mri`` or ``ct``.
        options: axis, window, colours and depth (:class:`fsidfusion.fusion.volumes.fuse.Options`).
        fuser: the model; the default one of the medical task if none is given.
        overwrite: replace an output that exists.
        progress: called with slices done and in all.

    Raises:
        InputError: what is wrong with the request, its paths or the volumes.
        MissingDependency: nibabel or pydicom is not installed.
    """
    from fsidfusion.fusion.volumes.files import Request, Source, fuse_volume_files
    from fsidfusion.fusion.volumes.fuse import Options

    first, second = Source(Path(base), base_modality), Source(Path(other), modality)
    request = Request(first, second, Path(output), overwrite=overwrite)
    return fuse_volume_files(
        lambda: fuser or kept_fuser(task="medical"), request, options or Options(), progress
    )


def estimate_alignment(infrared: PixelsLike, visible: PixelsLike, **options: Any) -> "Alignment":
    """How an infrared image lies on a visible one, from this pair; see :func:`fsidfusion.alignment.estimate`.

    Args:
        infrared: (h, w) or (h, w, 3), as for :func:`fuse`.
        visible: (H, W) or (H, W, 3).
        options: ``model``, ``field``, ``method``, ``infrared_fov`` and ``visible_fov`` of
            :func:`fsidfusion.alignment.estimate.estimate`.

    Raises:
        InputError: images that cannot be aligned, or where no transform is better than none.
    """
    from fsidfusion.alignment.estimate import estimate

    return estimate([(as_pixels(infrared, "infrared"), as_pixels(visible, "visible"))], **options)


def score(
    fused: PixelsLike,
    infrared: PixelsLike,
    visible: PixelsLike,
    metrics: Sequence[str] | None = None,
    convention: str = "cddfuse",
) -> dict[str, float]:
    """The metrics of one fused image and its two sources, by name; NaN (with a warning) where undefined.

    Args:
        fused: (H, W) or (H, W, 3), as for :func:`fuse`; colour is scored on its luma, all depths on 8 bits.
        infrared: infrared, CT, PET or SPECT, of the same size.
        visible: visible or MRI.
        metrics: names, such as ``("EN", "VIF")``; all by default.
        convention: of the constants, see docs/metrics.md.

    Raises:
        InputError: sizes that differ, or an unknown metric or convention.
    """
    from fsidfusion import metrics as room

    images = {"fused": fused, "infrared": infrared, "visible": visible}
    levels = [quantise(unit(as_pixels(image, name)), np.dtype(np.uint8)) for name, image in images.items()]
    return room.score(levels[0], levels[1], levels[2], tuple(metrics or room.DEFAULT), convention)
