"""``fsidfusion fuse`` with NIfTI files or DICOM series: its options for volumes, and the call."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fsidfusion.cli.messages import as_options, print_json, say, warn
from fsidfusion.cli.options import Inputs, Output, Run, Volumes
from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError

if TYPE_CHECKING:
    from fsidfusion.fusion.volumes.files import Source
    from fsidfusion.fusion.volumes.fuse import Options
    from fsidfusion.fusion.volumes.windows import Modality


def names_volumes(inputs: Inputs, volumes: Volumes) -> bool:
    """Whether one of the inputs is a volume."""
    from fsidfusion.fusion.volumes.files import is_volume

    if volumes.dose is not None or volumes.studies is not None:
        return True
    groups = (inputs.ir, inputs.vis, inputs.mri, inputs.ct, inputs.pet, inputs.spect)
    return any(is_volume(Path(path)) for group in groups for path in group)


def fuse_volumes(
    inputs: Inputs, run: Run, volumes: Volumes, output: Output, gray: bool, suv: bool, unfit: Sequence[str]
) -> int:
    """Fuse one pair of volumes; see :func:`fsidfusion.fusion.volumes.files.fuse_volume_files`.

    ``suv`` asks for standardised uptake values of a PET. ``unfit`` names the options given that are for
    pictures alone, which are refused.
    """
    from fsidfusion.fusion.volumes.files import Request, fuse_volume_files

    if unfit:
        raise InputError(
            f"given {', '.join(unfit)}, for pictures; volumes lie by their own geometry: leave it out"
        )
    options = _options(volumes, gray, suv, output.bits)
    if volumes.studies is not None:
        return _fuse_studies(inputs, run, volumes, output, options)
    base, other = _sources(inputs, volumes)
    request = Request(
        base,
        other,
        Path(output.output),
        volumes.views,
        volumes.report,
        volumes.label,
        volumes.register,
        volumes.transform,
        volumes.keep_patient,
        output.overwrite,
    )
    with progress("slices", shown=not output.json) as bar:
        written = fuse_volume_files(partial(run.load, task="medical"), request, options, bar.at)
    if output.json:
        summary = {
            "status": 0,
            "model": run.name("medical"),
            "output": output.output,
            "shape": written.shape,
            "spacing_mm": written.spacing,
            "axis": written.axis,
            "shown": written.levels,
            "overlap": round(written.overlap, 4),
            "seconds": round(written.seconds, 3),
            "notes": [as_options(note) for note in written.notes],
        }
        print_json(summary)
        return 0
    size = "x".join(map(str, written.shape))
    say(f"{output.output}  {size} voxels, {written.axis} slices  {written.seconds:.1f} s")
    say("  ".join(f"{name} {level}" for name, level in written.levels.items()))
    for note in written.notes:
        warn(f"note: {note}")
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


def _fuse_studies(inputs: Inputs, run: Run, volumes: Volumes, output: Output, options: "Options") -> int:
    """All pairs of a folder of patients; 1 where some failed, 2 where all did."""
    from fsidfusion.fusion.volumes.studies import fuse_studies

    single = {
        "`series`": volumes.series,
        "`frame`": volumes.frame,
        "`label`": volumes.label,
        "`transform`": volumes.transform,
        "`keep_patient`": volumes.keep_patient,
        "`views`": volumes.views,
        "`report`": volumes.report,
        "`dose`": volumes.dose,
        "other inputs": any((inputs.ir, inputs.vis, inputs.mri, inputs.ct, inputs.pet, inputs.spect)),
    }
    given = [name for name, value in single.items() if value]
    if given:
        raise InputError(f"given {', '.join(given)} with `studies`, which finds its own pairs; leave it out")
    if volumes.register not in (None, "rigid"):
        raise InputError("a transform is for one pair; with `studies` give `register` rigid, or leave it out")
    assert volumes.studies is not None
    with progress("pairs", shown=not output.json) as bar:
        outcomes = fuse_studies(
            partial(run.load, task="medical"),
            volumes.studies,
            Path(output.output),
            options,
            volumes.register,
            output.overwrite,
            bar.at,
        )
    failed = [one for one in outcomes if one.status == "failed"]
    status = 0 if not failed else 2 if len(failed) == len(outcomes) else 1
    if output.json:
        pairs = [
            {
                "patient": one.patient,
                "pair": one.name,
                "status": one.status,
                "notes": [as_options(note) for note in one.notes],
            }
            for one in outcomes
        ]
        print_json({"status": status, "output": output.output, "pairs": pairs})
        return status
    kinds = [one.status for one in outcomes]
    counts = [f"{kinds.count(kind)} {kind}" for kind in ("fused", "skipped", "failed")]
    say(f"{output.output}/index.html  {', '.join(counts)}")
    for one in failed:
        warn(f"fsidfusion fuse: failed: {f'{one.patient} {one.name}'.strip()}: {one.notes[0]}")
    return status


def _sources(inputs: Inputs, volumes: Volumes) -> "tuple[Source, Source]":
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
