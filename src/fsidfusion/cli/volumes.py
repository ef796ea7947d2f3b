"""``fsidfusion fuse`` with NIfTI files or DICOM series: its options for volumes, and the call."""

import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from json import dumps
from pathlib import Path
from typing import Literal, get_args

from fsidfusion.cli.options import Engine, Inputs, Volumes
from fsidfusion.cli.progress import counted
from fsidfusion.errors import FusionError, InputError


def names_volumes(inputs: "Inputs") -> bool:
    """Whether one of the inputs is a volume."""
    from fsidfusion.fusion.volumes.files import is_volume

    groups = (inputs.ir, inputs.vis, inputs.mri, inputs.ct, inputs.pet, inputs.spect)
    return any(is_volume(Path(path)) for group in groups for path in group)


def fuse_volumes(
    inputs: "Inputs",
    engine: "Engine",
    volumes: Volumes,
    output: str,
    gray: bool,
    bits: Literal["auto", "8", "16"],
    overwrite: bool,
    json: bool,
    unfit: Sequence[str],
) -> int:
    """Fuse one pair of volumes; see :func:`fsidfusion.fusion.volumes.files.fuse_volume_files`.

    ``unfit`` names the options given that are for pictures alone, which are refused.
    """
    from fsidfusion.fusion.volumes.files import Request, fuse_volume_files
    from fsidfusion.fusion.volumes.fuse import Modality, Options

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        given = [name for name in ("ir", "vis", "mri", "ct", "pet", "spect") if getattr(inputs, name)]
        modality = next((name for name in get_args(Modality) if given == ["mri", name]), None)
        if modality is None or inputs.pairs is not None:
            raise InputError(
                f"given {', '.join(f'--{name}' for name in given)} with a volume; expected --mri and one of"
                " --ct, --pet, --spect"
            )
        if unfit:
            raise InputError(
                f"given {', '.join(unfit)}, for pictures; volumes lie by their own geometry: leave it out"
            )
        other = getattr(inputs, modality)
        if len(inputs.mri) != 1 or len(other) != 1:
            raise InputError("volumes are fused one pair at a time; give one file or folder for each input")
        request = Request(
            Path(inputs.mri[0]),
            Path(other[0]),
            modality,
            Path(output),
            volumes.views,
            volumes.report,
            volumes.series,
            volumes.keep_patient,
            overwrite,
        )
        options = Options(volumes.axis, volumes.window, volumes.colormap, gray, 16 if bits == "16" else 8)
        with nullcontext() if json else counted("slices", "slices/s") as report:
            written = fuse_volume_files(
                partial(engine.load, task="medical"), request, options, report or (lambda done, total: None)
            )
    except FusionError as error:
        if json:
            print(dumps({"status": 2, "error": str(error)}))
        raise
    if json:
        summary = {
            "status": 0,
            "model": engine.name("medical"),
            "output": output,
            "shape": written.shape,
            "spacing_mm": written.spacing,
            "overlap": round(written.overlap, 4),
            "seconds": round(written.seconds, 3),
            "notes": written.notes,
        }
        print(dumps(summary))
        return 0
    size = "x".join(map(str, written.shape))
    print(f"{output}  {size} voxels, {volumes.axis} slices  {written.seconds:.1f} s")
    for note in written.notes:
        print(f"note: {note}", file=sys.stderr)
    return 0
