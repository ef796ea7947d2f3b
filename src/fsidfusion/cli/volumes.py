"""``fsidfusion fuse`` with NIfTI files or DICOM series: its options for volumes, and the call."""

import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fsidfusion.cli.options import Engine, Inputs, Volumes
from fsidfusion.cli.progress import counted
from fsidfusion.errors import FusionError, InputError

if TYPE_CHECKING:
    from fsidfusion.fusion.volumes.files import Source
    from fsidfusion.fusion.volumes.fuse import Options
    from fsidfusion.fusion.volumes.windows import Modality


def names_volumes(inputs: "Inputs", volumes: Volumes) -> bool:
    """Whether one of the inputs is a volume."""
    from fsidfusion.fusion.volumes.files import is_volume

    if volumes.dose is not None or volumes.studies is not None:
        return True
    groups = (inputs.ir, inputs.vis, inputs.mri, inputs.ct, inputs.pet, inputs.spect)
    return any(is_volume(Path(path)) for group in groups for path in group)


def fuse_volumes(
    inputs: "Inputs",
    engine: "Engine",
    volumes: Volumes,
    output: str,
    gray: bool,
    suv: bool,
    bits: Literal["auto", "8", "16"],
    overwrite: bool,
    json: bool,
    unfit: Sequence[str],
) -> int:
    """Fuse one pair of volumes; see :func:`fsidfusion.fusion.volumes.files.fuse_volume_files`.

    ``suv`` asks for standardised uptake values of a PET. ``unfit`` names the options given that are for
    pictures alone, which are refused.
    """
    from fsidfusion.fusion.volumes.files import Request, fuse_volume_files

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        if unfit:
            raise InputError(
                f"given {', '.join(unfit)}, for pictures; volumes lie by their own geometry: leave it out"
            )
        if volumes.studies is not None:
            options = _options(volumes, gray, suv, bits)
            return _fuse_studies(inputs, engine, volumes, output, options, overwrite, json)
        base, other = _sources(inputs, volumes)
        request = Request(
            base,
            other,
            Path(output),
            volumes.views,
            volumes.report,
            volumes.label,
            volumes.register,
            volumes.transform,
            volumes.keep_patient,
            overwrite,
        )
        options = _options(volumes, gray, suv, bits)
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
            "axis": written.axis,
            "shown": written.levels,
            "overlap": round(written.overlap, 4),
            "seconds": round(written.seconds, 3),
            "notes": written.notes,
        }
        print(dumps(summary))
        return 0
    size = "x".join(map(str, written.shape))
    print(f"{output}  {size} voxels, {written.axis} slices  {written.seconds:.1f} s")
    print("  ".join(f"{name} {level}" for name, level in written.levels.items()))
    for note in written.notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def _options(volumes: Volumes, gray: bool, suv: bool, bits: str) -> "Options":
    """How volumes are fused, as the command line says."""
    from fsidfusion.fusion.volumes.fuse import Options

    return Options(
        None if volumes.axis == "auto" else volumes.axis,
        volumes.window,
        volumes.base_window,
        "SUV" if suv else None,
        volumes.colormap,
        gray,
        16 if bits == "16" else 8,
        volumes.style,
    )


def _fuse_studies(
    inputs: "Inputs",
    engine: "Engine",
    volumes: Volumes,
    output: str,
    options: "Options",
    overwrite: bool,
    json: bool,
) -> int:
    """All pairs of a folder of patients; 1 where some failed, 2 where all did."""
    from fsidfusion.fusion.volumes.studies import fuse_studies

    single = {
        "--series": volumes.series,
        "--frame": volumes.frame,
        "--label": volumes.label,
        "--transform": volumes.transform,
        "--keep-patient": volumes.keep_patient,
        "--views": volumes.views,
        "--report": volumes.report,
        "--dose": volumes.dose,
        "other inputs": any((inputs.ir, inputs.vis, inputs.mri, inputs.ct, inputs.pet, inputs.spect)),
    }
    given = [name for name, value in single.items() if value]
    if given:
        raise InputError(f"given {', '.join(given)} with --studies, which finds its own pairs; leave it out")
    if volumes.register not in (None, "rigid"):
        raise InputError("a transform is for one pair; with --studies give --register rigid, or leave it out")
    assert volumes.studies is not None
    with nullcontext() if json else counted("pairs", "pairs/s") as report:
        outcomes = fuse_studies(
            partial(engine.load, task="medical"),
            volumes.studies,
            Path(output),
            options,
            volumes.register,
            overwrite,
            report or (lambda done, total: None),
        )
    failed = [one for one in outcomes if one.status == "failed"]
    status = 0 if not failed else 2 if len(failed) == len(outcomes) else 1
    if json:
        pairs = [
            {"patient": one.patient, "pair": one.name, "status": one.status, "notes": one.notes}
            for one in outcomes
        ]
        print(dumps({"status": status, "output": output, "pairs": pairs}))
        return status
    kinds = [one.status for one in outcomes]
    counts = [f"{kinds.count(kind)} {kind}" for kind in ("fused", "skipped", "failed")]
    print(f"{output}/index.html  {', '.join(counts)}")
    for one in failed:
        print(f"fsidfusion fuse: failed: {one.patient} {one.name}: {one.notes[0]}", file=sys.stderr)
    return status


def _sources(inputs: "Inputs", volumes: Volumes) -> "tuple[Source, Source]":
    """The volume whose grid the result has, and the other."""
    from fsidfusion.fusion.volumes.files import Source

    groups: dict[Modality, tuple[str, ...]] = {
        "mri": inputs.mri,
        "ct": inputs.ct,
        "pet": inputs.pet,
        "spect": inputs.spect,
        "dose": () if volumes.dose is None else (volumes.dose,),
    }
    given = [(name, path) for name, paths in groups.items() for path in paths]
    options = [f"--{name}" for name, _ in given] + [
        f"--{name}" for name in ("ir", "vis") if getattr(inputs, name)
    ]
    if len(options) != 2 or len(given) != 2 or inputs.pairs is not None:
        raise InputError(
            f"given {', '.join(options) or 'no volume'}; expected two volumes: --mri or --ct, and another"
            " --mri, --ct, --pet, --spect or --dose"
        )
    for name, values in (("series", volumes.series), ("frame", volumes.frame)):
        if len(values) > 2:
            raise InputError(
                f"--{name} has {len(values)} values; give one, or that of the first and of the other"
            )
    series, frames = (
        (values[0], values[-1]) if values else (None, None) for values in (volumes.series, volumes.frame)
    )
    first, second = (
        Source(Path(path), name, series[which], frames[which]) for which, (name, path) in enumerate(given)
    )
    return first, second
