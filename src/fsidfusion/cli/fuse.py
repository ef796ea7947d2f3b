"""``fsidfusion fuse``: pairs of picture files, from one line."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from fsidfusion.cli.many import find_work, run_work, write_failures
from fsidfusion.cli.messages import as_options, plain, print_json, say, warn
from fsidfusion.cli.options import Inputs, Many, Output, Placement, Run, Volumes
from fsidfusion.cli.volumes import fuse_volumes, names_volumes
from fsidfusion.errors import InputError
from fsidfusion.images.atomic import write_text
from fsidfusion.thermal.measure import TABLE_HEAD, Measuring, table_row
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.temperature import Unit

if TYPE_CHECKING:
    from fsidfusion.fusion.files import Outcome


_TOLD = 10  # failures on the terminal, where a table names all


@dataclass(frozen=True)
class Picture:
    """What is done to the pictures, and what is told of them."""

    color: Annotated[str, tyro.conf.arg(metavar="auto|gray|heat|thermal:PALETTE")] = "auto"
    """auto keeps the colour of the visible (PET, SPECT) picture; heat warms it where infrared is hot;
    thermal:PALETTE shows infrared in a palette under the edges of the visible picture"""
    agc_vis: Annotated[str, tyro.conf.arg(metavar="MODE")] = "off"
    """gain control of visible (MRI) pictures: off, linear, plateau, clahe, window:LOW..HIGH"""
    temperature: Annotated[str | None, tyro.conf.arg(metavar="FILE|FOLDER")] = None
    """write the infrared temperatures, on the grid of the fused picture, as float TIFF in C"""
    max_megapixels: float = 500.0
    """larger pictures are refused before they are decoded"""


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def fuse(
    *,
    inputs: Inputs = Inputs(),
    output: Output,
    run: Run = Run(),
    picture: Picture = Picture(),
    thermal: Thermal = Thermal(),
    measuring: Measuring = Measuring(),
    placement: Placement = Placement(),
    volumes: Volumes = Volumes(),
    many: Many = Many(),
) -> int:
    """Fuse pairs of pictures: infrared with visible, or MRI with CT, PET or SPECT.

    One pair: --ir thermal.png --vis colour.png -o fused.png

    Folders: --ir thermal/ --vis colour/ -o fused/

    Globs: --ir 'x/*_ir.png' --vis 'x/*_vis.png' -o fused/

    Medical: --mri mri.png --pet pet.png -o fused.png

    Thermal: --ir flir.jpg --vis colour.jpg --resize --temperature t.tif --highlight 35C -o fused.jpg

    Volumes: --mri t1.nii.gz --ct ct.nii.gz -o fused.nii.gz, or folders of DICOM series

    PNG, JPEG, BMP, TIFF and WebP; 8 and 16 bits; gray and colour. What exists is skipped, so that the same
    line resumes a stopped run. Exit status: 0 done, 1 some of many pairs failed, 2 nothing could be done.

    Args:
        inputs: what to fuse.
        run: the model and how it runs.
        picture: what is done to the pictures, and what is told of them.
        thermal: what infrared files hold: counts, temperatures, false colours.
        measuring: what is told of temperatures.
        placement: how the sources come to lie on each other.
        volumes: for NIfTI files and DICOM series.
        many: for very many pairs.
        output: where the fused pictures go.
    """
    from fsidfusion.alignment.transform import read_align
    from fsidfusion.fusion.plan import Plan

    if names_volumes(inputs, volumes):
        unit: Unit = "SUV" if thermal.unit == "SUV" else "auto"
        for_pictures = {
            "options for thermal pictures": thermal != Thermal(unit=unit),
            "`agc_visible`": picture.agc_vis != "off",
            "`temperature`": picture.temperature is not None,
            "options for temperatures": measuring != Measuring(),
            "`align`": placement.align != "none",
            "`crop`": placement.crop,
            "`resize`": placement.resize,
            "`max_width`": output.max_width is not None,
            "options for many pairs": many != Many(),
            f"`color` {picture.color}": picture.color not in ("auto", "gray"),
        }
        unfit = [name for name, given in for_pictures.items() if given]
        gray, suv = picture.color == "gray", unit == "SUV"
        return fuse_volumes(inputs, run, volumes, output, gray, suv, unfit)
    start = time.perf_counter()
    if volumes != Volumes(style=volumes.style, report=volumes.report):
        raise InputError("options for volumes are given, but no volume; see 'fsidfusion fuse --help'")
    work = find_work(inputs, many, output.output, output.format, picture.temperature)
    matches, task = work.matches, work.task
    if volumes.report and task == "medical":
        raise InputError(
            "a report of pictures tells temperatures, which medical pairs have not; leave `report` out"
        )
    plan = Plan(
        task=task,
        color=picture.color,
        style=volumes.style,
        thermal=thermal,
        agc_visible=picture.agc_vis,
        align=read_align(placement.align, placement.crop),
        crop=placement.crop,
        resize=placement.resize,
        bits=output.bits,
        quality=output.quality,
        max_width=output.max_width,
        overwrite=output.overwrite,
        measuring=measuring,
        max_pixels=int(picture.max_megapixels * 1e6),
    )
    done = run_work(work, run, many, plan, shown=not output.json)
    outcomes = done.outcomes
    if measuring.table:
        rows = [table_row(outcome.pair.infrared.name, outcome.measures) for outcome in outcomes]
        write_text(measuring.table, "\n".join((TABLE_HEAD, *rows)) + "\n")
    if volumes.report:
        from fsidfusion.fusion.measured import write_measured

        write_measured(volumes.report, outcomes, plan.thermal_palette or "ironbow")
    counts = Counter(outcome.status for outcome in outcomes)
    failed = counts["failed"] + len(matches.alone)
    status = 0 if not failed else 1 if matches.many or done.stopped else 2
    if many.failures:
        write_failures(many.failures, work, outcomes, output.output)
    seconds = time.perf_counter() - start
    if output.json:
        summary = {
            "status": status,
            "model": run.name(task),
            "device": done.device,
            "precision": done.precision,
            "runtime": done.runtime,
            "seconds": round(seconds, 3),
            **{name: counts[name] for name in ("fused", "skipped", "failed")},
            "pairs": [_entry(outcome) for outcome in outcomes],
            "without_partner": [str(path) for path in matches.alone],
        }
        print_json(summary)
    else:
        _summarise(outcomes, seconds, output.output)
    told = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in told[:_TOLD] if many.failures else told:
        warn(f"fsidfusion fuse: failed: {outcome.message}")
    if many.failures and told[_TOLD:]:
        warn(f"fsidfusion fuse: and {len(told) - _TOLD} more failed; {many.failures} names all, with reasons")
    for path in matches.alone:
        near = f"; the nearest is {matches.nearest[path].name}" if path in matches.nearest else ""
        warn(
            f"fsidfusion fuse: failed: {path} has no partner of the same stem{near}; add it, or leave it out"
        )
    if done.stopped:
        warn(f"fsidfusion fuse: {done.stopped}")
    return status


def _summarise(outcomes: "Sequence[Outcome]", seconds: float, output: str) -> None:
    fused = [outcome for outcome in outcomes if outcome.status == "fused"]
    skipped = [outcome for outcome in outcomes if outcome.status == "skipped"]
    if len(outcomes) == 1 and fused:
        say(f"{fused[0].output}  {fused[0].width}x{fused[0].height}  {fused[0].seconds:.2f} s")
    elif len(outcomes) > 1:
        rate = f", {len(fused) / seconds:.1f} pairs/s" if fused else ""
        counts = f"{len(fused)} of {len(outcomes)} pairs fused into {output} in {seconds:.1f} s{rate}"
        say(f"{counts}; {len(skipped)} existed and were skipped" if skipped else counts)
    if len(outcomes) == 1 and skipped:
        say(f"{skipped[0].output} exists and was left as it is; `overwrite` replaces it")
    notes: dict[str, list[str]] = {}  # by what they say, whatever the numbers in them
    for outcome in fused:
        if outcome.message:
            notes.setdefault(re.sub(r"\d+", "#", outcome.message), []).append(outcome.message)
    for alike in notes.values():
        like = "" if len(set(alike)) == 1 else ", and others like it"
        warn(f"note: {alike[0]}" + (f" ({len(alike)} pictures{like})" if alike[1:] else ""))


def _entry(outcome: "Outcome") -> dict[str, object]:
    return {
        "name": outcome.pair.name,
        "infrared": str(outcome.pair.infrared),
        "visible": str(outcome.pair.visible),
        "output": str(outcome.output),
        "status": outcome.status,
        "width": outcome.width,
        "height": outcome.height,
        "seconds": round(outcome.seconds, 4),
        "message": as_options(plain(outcome.message)),
        **({"temperatures": asdict(outcome.measures)} if outcome.measures else {}),
    }
